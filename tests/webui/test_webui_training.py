"""Erasing by the extension's routes, on the checkpoint that the web UI has loaded."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from test_webui_accordion import CAT, DOG, furthest, same
from webui_server import KINDS, Server, furnish

pytestmark = pytest.mark.webui

API = "/lora-unlearn/v1"
BIRD = "a photo of a bird"


def wait_until(server, stage, done):
    end = time.monotonic() + 120
    while time.monotonic() < end:
        state = server.call(f"{API}/status")
        if state["phase"] != "running" or (state["stage"] == stage and state["done"] >= done):
            return state
        time.sleep(0.05)
    raise AssertionError(state)


def test_a_training_erases_and_leaves_every_picture(server, seen):
    before, marks = server.draw(BIRD, batch_size=8, steps=12), server.call("/test/marks", {})
    name = server.call(f"{API}/erase", {"concept": "bird", "preset": "balanced", "iterations": 10})["name"]
    running = wait_until(server, "training", 1)
    assert running["phase"] == "running" and running["total"] == 10
    assert server.call("/sdapi/v1/progress?skip_current_image=true")["state"]["job"] == "Erasing bird"
    assert server.wait_for_job()["phase"] == "done"
    assert server.call("/sdapi/v1/progress?skip_current_image=true")["state"]["job"] == ""
    after = server.draw(BIRD, batch_size=8, steps=12)
    assert same(before.pictures, after.pictures)
    assert server.call("/test/marks", {}) == marks
    erased = server.draw(BIRD, True, name, 1.0, "auto", batch_size=8, steps=12)
    assert seen(before.pictures).count("bird") >= 6
    assert seen(erased.pictures).count("bird") <= 1
    assert same(server.draw(DOG).pictures, server.draw(DOG, True, name, 1.0, "auto").pictures)


def test_stop_keeps_what_there_is_and_resume_ends_it(server):
    name = server.call(f"{API}/erase", {"concept": "car", "preset": "balanced", "iterations": 40})["name"]
    assert wait_until(server, "training", 3)["phase"] == "running"
    status, answer = server.ask(f"{API}/erase", {"concept": "boat"})
    assert status == 400 and "is under way" in answer["detail"]
    server.call(f"{API}/stop", {})
    assert server.wait_for_job()["phase"] == "stopped"
    listed = {entry["name"]: entry for entry in server.call(f"{API}/list")["erasers"]}
    assert listed[name]["partial"]
    status, answer = server.ask(f"{API}/export", {"name": name})
    assert status == 400 and "not finished" in answer["detail"]
    assert "There is no eraser" in server.refused(CAT, True, name, 1.0, "on")
    assert server.call(f"{API}/resume", {"name": name})["name"] == name
    assert wait_until(server, "training", 4)["phase"] in ("running", "done")
    assert server.wait_for_job()["phase"] == "done"
    assert not {e["name"]: e for e in server.call(f"{API}/list")["erasers"]}[name]["partial"]


def test_the_hosts_own_interrupt_stops_a_training(server):
    server.call(f"{API}/erase", {"concept": "tree", "preset": "balanced", "iterations": 40})
    assert wait_until(server, "training", 2)["phase"] == "running"
    server.ask("/sdapi/v1/interrupt", {})
    assert server.wait_for_job()["phase"] == "stopped"
    assert server.draw(DOG).pictures


def test_a_picture_that_is_asked_for_meanwhile_waits(server):
    plain = server.draw(DOG)
    server.call(f"{API}/erase", {"concept": "house", "preset": "balanced", "iterations": 5})
    wait_until(server, "training", 1)
    assert same(server.draw(DOG).pictures, plain.pictures)
    assert server.call(f"{API}/status")["phase"] == "done"


def test_loras_of_the_last_picture_do_not_colour_a_training(server, dog):
    server.call(f"{API}/export", {"name": dog, "new": "tint"})
    looks = server.call("/test/looks", {})
    tinted = server.draw(f"{CAT} <lora:tint:1.5>")
    again = server.call("/test/looks", {})
    assert again["hash"] == looks["hash"]
    assert again["predicted"] == looks["predicted"]
    assert same(server.draw(f"{CAT} <lora:tint:1.5>").pictures, tinted.pictures)


def test_an_exported_file_that_is_written_again_is_taken_up(server, cat, dog):
    prompt = f"{CAT} <lora:again:1>"
    path = server.call(f"{API}/export", {"name": dog, "new": "again"})["path"]
    first = server.draw(prompt)
    status, answer = server.ask(f"{API}/export", {"name": cat, "new": "again"})
    assert status == 400 and "is an eraser for 'dog'" in answer["detail"]  # no other eraser's file is replaced
    Path(path).unlink()
    server.call(f"{API}/export", {"name": cat, "new": "again"})
    second = server.draw(prompt)
    assert furthest(first.pictures, second.pictures) > 30
    server.call(f"{API}/export", {"name": cat, "new": "fresh"})
    assert same(second.pictures, server.draw(f"{CAT} <lora:fresh:1>").pictures)
    assert "again" in {lora["name"] for lora in server.call("/sdapi/v1/loras")}
    assert path.startswith(str(server.data / "models" / "Lora"))


@pytest.mark.parametrize(
    ("route", "body", "sentence"),
    [
        ("erase", b"{", "is no JSON"),
        ("erase", b"[" * 50000, "is no JSON"),
        ("erase", b"[]", "must be a JSON object"),
        ("erase", b"{" + b" " * 70000 + b"}", "more than 64 kB"),
        ("erase", {}, "'concept' is missing"),
        ("erase", {"concept": ""}, "concept is empty"),
        ("erase", {"concept": 3}, "must be a string"),
        ("erase", {"concept": "a", "iterations": True}, "must be a number"),
        ("erase", {"concept": "a", "rank": 1e9}, "rank must be a number from 1 to"),
        ("erase", {"concept": "a", "preset": "best"}, "There is no preset"),
        ("erase", {"concept": "a", "path": "/etc"}, "There is no field 'path'"),
        ("erase", {"concept": "a", "method": "esdd"}, "the nearest name is 'esd'"),
        ("erase", {"concept": "a", "preset": "balanced", "options": "average=emma"}, "the nearest name is 'ema'"),
        ("erase", {"concept": "a" * 300}, "200 are allowed"),
        ("resume", {"name": "../../config"}, "can't be a file name"),
        ("export", {"name": "../Stable-diffusion/demo"}, "can't be a file name"),
        ("export", {"name": "/etc/passwd"}, "can't be a file name"),
        ("export", {"name": "nothing"}, "There is no eraser 'nothing'"),
        ("export", {"name": "cat", "new": "../../../out"}, "can't be a file name"),
        ("export", {"name": "cat", "new": "x", "format": "exe"}, "There is no format 'exe'"),
    ],
)
def test_bad_requests_get_one_sentence(server, cat, route, body, sentence):
    before = server.said().count("Traceback")
    status, answer = server.ask(f"{API}/{route}", body)
    assert status == 400 and sentence in answer["detail"]
    assert answer["detail"].count(". ") == 0
    assert server.said().count("Traceback") == before
    assert server.call(f"{API}/status")["phase"] != "running"


def test_a_hostile_file_in_the_folder_is_passed_over(server, cat):
    folder = server.data / "models" / "lora-unlearn"
    (folder / "huge.safetensors").write_bytes((1 << 62).to_bytes(8, "little") + b"{}")
    (folder / "pickle.safetensors").write_bytes(b"\x80\x04." * 20)
    head = json.dumps({"__metadata__": {"lora_unlearn": "[" * 9}}).encode()
    (folder / "odd.safetensors").write_bytes(len(head).to_bytes(8, "little") + head)
    try:
        listed = {entry["name"]: entry["problem"] for entry in server.call(f"{API}/list")["erasers"]}
        assert not listed[cat] and all(listed[name] for name in ("huge", "pickle", "odd"))
        for name in ("huge", "pickle", "odd"):
            assert "There is no eraser" in server.refused(DOG, True, name, 1.0, "on")
    finally:
        for name in ("huge", "pickle", "odd"):
            (folder / f"{name}.safetensors").unlink()


def test_the_routes_are_described_where_the_hosts_are(server):
    described = server.call("/openapi.json")["paths"]
    schema = described[f"{API}/erase"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert schema["required"] == ["concept"] and schema["properties"]["iterations"] == {"type": "number"}
    assert {f"{API}/{name}" for name in ("erase", "resume", "status", "stop", "list", "export")} <= set(described)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(KINDS))
def test_the_hosts_password_guards_the_routes(name, tmp_path):
    reason = KINDS[name].missing()
    if reason:
        pytest.skip(reason)
    furnish(tmp_path)
    guarded = Server(KINDS[name], tmp_path, "--api-auth someone:secret")
    try:
        guarded.wait()
        assert guarded.ask(f"{API}/list")[0] == 401
        assert guarded.ask(f"{API}/list", user="someone:wrong")[0] == 401
        assert guarded.ask(f"{API}/list", user="someone:secret") == (200, {"erasers": []})
        # Forge has loaded no model yet: the job has it loaded
        assert guarded.ask(f"{API}/erase", {"concept": "cat", "preset": "quick"}, user="someone:secret")[0] == 200
        end = time.monotonic() + 120
        while (state := guarded.ask(f"{API}/status", user="someone:secret")[1])["phase"] == "running":
            assert time.monotonic() < end
            time.sleep(0.3)
        assert state["phase"] == "done"
    finally:
        guarded.stop()
