"""The host's selectable scripts beside the accordion: each makes several jobs of one, or stands in for its sampling."""

from __future__ import annotations

import numpy as np
import pytest
from test_webui_accordion import CAT, DOG, furthest, same
from webui_server import encoded

pytestmark = pytest.mark.webui

DECIDED = 'Eraser 1 decision: "'


@pytest.fixture(scope="module")
def start(server):
    """A picture to begin with."""
    return server.draw("a photo of a bird").pictures[0]


def script(server, name, values, is_img2img=False):
    """A request's fields for one of the host's scripts: its arguments by label or place, the others as they are."""
    infos = [info for info in server.call("/sdapi/v1/script-info") if info["is_img2img"] == is_img2img]
    info = next((info for info in infos if info["name"].lower() == name), None)
    if info is None:
        pytest.xfail(f"{server.kind.name} has no script {name}")
    labels = [str(argument["label"]).lower() for argument in info["args"]]
    found = ["" if argument["value"] is None else argument["value"] for argument in info["args"]]
    for place, value in values.items():
        if isinstance(place, str):  # Forge Neo has its own spelling of some
            fits = [label for label in labels if place.lower() in label]
            place = labels.index(min(fits, key=len))
        found[place] = value
    return {"script_name": name, "script_args": found}


def grid(server, **values):
    """The same for an X/Y/Z plot; every value is an axis and what to set on it."""
    info = next(info for info in server.call("/sdapi/v1/script-info") if info["name"].lower() == "x/y/z plot")
    types = info["args"][0]["choices"]
    chosen = {"Draw legend": False, "Include Sub Images": True}
    chosen |= {0: types.index("Nothing"), 2: [], 3: types.index("Nothing"), 5: [], 6: types.index("Nothing"), 8: []}
    for place, (axis, setting) in zip((0, 3, 6), values.items(), strict=False):
        chosen |= {place: types.index(axis), place + (2 if isinstance(setting, list) else 1): setting}
    return script(server, "x/y/z plot", chosen)


def onward(server, prompt, *values, **way):
    """img2img after a job that is always the same: the hosts encode a picture with what noise the last job left."""
    server.draw(DOG, steps=1)
    return server.draw(prompt, *values, steps=4, **way)


def test_loopback_erases_in_every_round(server, cat, start):
    """A loop of two is two jobs, the second of which starts at the picture of the first."""
    way = {"init_images": [encoded(start)], "denoising_strength": 0.7}
    loop = {**way, **script(server, "loopback", {"Loops": 2, "Final denoising strength": 0.7}, True)}
    for prompt, strength in ((CAT, 1.0), (CAT, 2.0), (DOG, 1.0)):
        values = (True, cat, strength, "auto")
        *_, one, two = onward(server, prompt, *values, **loop).pictures
        first = onward(server, prompt, *values, **way).pictures
        second = server.draw(prompt, *values, steps=4, **{**way, "init_images": [encoded(one)]}, seed=4).pictures
        assert same([one, two], first + second)
        assert same(onward(server, prompt, **loop).pictures[-1:], [two]) == (prompt == DOG)
    assert server.call("/test/marks", {})["left"] == []


def test_a_prompt_matrix_has_a_decision_for_each_of_its_prompts(server, cat):
    way = script(server, "prompt matrix", {"joining char": "space"})
    found = server.draw("a photo of|a cat|and a dog", True, cat, 1.0, "auto", batch_size=4, **way)
    plain = server.draw("a photo of|a cat|and a dog", batch_size=4, **way)
    assert ["closed" if f"{DECIDED}closed" in text else "open" for text in found.infotexts[1:]] == [
        "closed", "open", "closed", "open",
    ]  # fmt: skip
    assert all("Eraser 1 decision" in text for text in found.infotexts[1:])
    pairs = list(zip(found.pictures[1:], plain.pictures[1:], strict=True))
    assert [same([ours], [theirs]) for ours, theirs in pairs] == [True, False, True, False]


def test_prompts_from_a_textbox_are_jobs_of_their_own(server, cat):
    lines = f"{DOG}\n{CAT}\n--prompt '{DOG}' --seed 8"
    way = script(server, "prompts from file or textbox", {"List of prompt inputs": lines})
    found = server.draw("", True, cat, 1.0, "auto", **way)
    apart = [server.draw(DOG), server.draw(CAT, True, cat, 1.0, "auto"), server.draw(DOG, seed=8)]
    assert same(found.pictures, [one.pictures[0] for one in apart])
    assert [f"{DECIDED}open" in text for text in found.infotexts] == [False, True, False]


def test_what_one_job_was_told_is_not_said_of_the_next(server, cat):
    """Some scripts give the jobs that they make one infotext in common."""
    drawn = server.draw(CAT, **grid(server, **{"[Erase concepts] eraser": [cat, "none"]}))
    *_, erased, plain = drawn.infotexts
    assert "Eraser 1: cat" in erased and f"{DECIDED}open" in erased
    assert "Eraser" not in plain.replace("[Erase concepts]", "")


@pytest.mark.slow
def test_an_upscale_by_tiles(server, cat, start):
    large = encoded(np.kron(start, np.ones((2, 2, 1), np.uint8)))
    way = {"init_images": [large], "denoising_strength": 0.7, "batch_size": 3}
    way |= script(server, "sd upscale", {"Upscaler": "None"}, True)
    erased = onward(server, CAT, True, cat, 1.0, "auto", **way)
    assert erased.pictures[0].shape == (256, 256, 3)
    assert furthest(erased.pictures, onward(server, CAT, **way).pictures) > 30
    assert same(onward(server, DOG, True, cat, 1.0, "auto", **way).pictures, onward(server, DOG, **way).pictures)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("outpainting mk2", {"Pixels to expand": 32, "Outpainting direction": ["right"]}),
        ("poor man's outpainting", {"Pixels to expand": 32, "Masked content": 0, "Outpainting direction": ["right"]}),
        pytest.param(
            "img2img alternative test",
            {"Original prompt": CAT, "Decode steps": 3, "Decode CFG scale": 5.0},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_scripts_for_img2img(server, cat, start, name, values):
    way = {"init_images": [encoded(start)], "denoising_strength": 0.8, **script(server, name, values, True)}
    if name.startswith("img2img") and server.kind.name != "A1111":
        pytest.xfail(f"the script reads attributes of the model that {server.kind.name} has not")
    erased = onward(server, CAT, True, cat, 1.0, "auto", **way)
    assert f"{DECIDED}open" in erased.infotexts[0] and "problem" not in erased.infotexts[0]
    assert furthest(erased.pictures, onward(server, CAT, **way).pictures) > 30
    values = {**values, **({"Original prompt": DOG} if "Original prompt" in values else {})}
    way |= script(server, name, values, True)
    closed = onward(server, DOG, True, cat, 1.0, "auto", **way)
    assert same(closed.pictures, onward(server, DOG, **way).pictures)
    assert "problem" not in closed.infotexts[0]
    assert server.call("/test/marks", {})["left"] == []
