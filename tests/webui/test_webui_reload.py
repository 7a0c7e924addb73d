"""Reload UI: the host loads all scripts anew in the same process."""

from __future__ import annotations

import time

import pytest
from test_webui_accordion import CAT, same

pytestmark = pytest.mark.webui


def test_everything_works_after_reload_ui_in_the_middle_of_a_training(server, cat):
    plain, erased = server.draw(CAT), server.draw(CAT, True, cat, 2.0, "auto")
    slowly = {"preset": "balanced", "iterations": 5000, "learning_rate": 1e-5, "options": "enough=1"}  # it never ends
    begun = server.call("/lora-unlearn/v1/erase", {"concept": "frog", **slowly})["name"]
    while (state := server.call("/lora-unlearn/v1/status"))["stage"] != "training" or state["done"] < 2:
        assert state["phase"] == "running"
    started = server.said().count("Startup time")
    server.ask("/test/reload", {})
    end = time.monotonic() + 240
    while server.said().count("Startup time") == started:
        assert time.monotonic() < end and server.process.poll() is None, server.said()[-2000:]
        time.sleep(0.5)
    assert same(server.draw(CAT).pictures, plain.pictures)
    again = server.draw(CAT, True, cat, 2.0, "auto")
    assert same(again.pictures, erased.pictures)
    assert again.infotexts == erased.infotexts
    grid = next(info for info in server.call("/sdapi/v1/script-info") if info["name"].lower() == "x/y/z plot")
    choices = next(value["choices"] for value in grid["args"] if value["label"] == "X type")
    assert sum(choice.startswith("[Erase concepts]") for choice in choices) == 3
    listed = {entry["name"]: entry["partial"] for entry in server.call("/lora-unlearn/v1/list")["erasers"]}
    assert listed[begun] and not listed[cat]
