"""Every sampler and every schedule that the host offers: closed changes no byte, open erases."""

from __future__ import annotations

import pytest
from test_webui_accordion import CAT, DOG, furthest, same

pytestmark = [pytest.mark.webui, pytest.mark.slow]


def pictures(server, prompt, *values, **way):
    """Two pictures in few steps; None where the host itself makes none."""
    body = {"prompt": prompt, "steps": 4, "batch_size": 2, **way}
    if not values and server.ask("/sdapi/v1/txt2img", {**body, "width": 64, "height": 64})[0] != 200:
        return None
    drawn = server.draw(body.pop("prompt"), *values, **body)
    return drawn.pictures, drawn.infotexts


def wrong(server, cat, **way):
    """What is not as it should be in one way of sampling."""
    plain = pictures(server, DOG, **way)
    if plain is None:
        return "the host's own"
    for strength in (1.0, 2.0):
        values = (True, cat, strength, "auto")
        closed, told = pictures(server, DOG, *values, **way)
        if not same(plain[0], closed):
            return f"a closed gate changed {furthest(plain[0], closed)}"
        if not all('Eraser 1 decision: "closed' in text for text in told):
            return told[0]
        erased, told = pictures(server, CAT, *values, **way)
        if furthest(pictures(server, CAT, **way)[0], erased) < 30:
            return "an open gate changed next to nothing"
        if not all('Eraser 1 decision: "open' in text and "problem" not in text for text in told):
            return told[0]
    return ""


def test_every_sampler(server, cat, record_property):
    names = [sampler["name"] for sampler in server.call("/sdapi/v1/samplers")]
    found = {name: wrong(server, cat, sampler_name=name) for name in names}
    record_property("found", found)
    assert len(names) > 15 and {"Euler", "Heun", "DPM adaptive", "UniPC", "LCM"} <= set(names)
    assert {name: told for name, told in found.items() if told not in ("", "the host's own")} == {}
    assert list(found.values()).count("the host's own") <= 1


def test_every_schedule(server, cat, record_property):
    names = [schedule["label"] for schedule in server.call("/sdapi/v1/schedulers")]
    found = {name: wrong(server, cat, sampler_name="DPM++ 2M", scheduler=name) for name in names}
    record_property("found", found)
    assert len(names) > 8
    assert {name: told for name, told in found.items() if told not in ("", "the host's own")} == {}
    assert list(found.values()).count("the host's own") <= 1
