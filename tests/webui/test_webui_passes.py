"""What else a host does between prompt and picture: hires fix, img2img, AND, prompts that change, other models."""

from __future__ import annotations

import numpy as np
import pytest
from test_webui_accordion import CAT, DOG, furthest, same
from webui_server import SIDE, encoded

pytestmark = pytest.mark.webui

ON = (True, "cat", 1.0, "auto")
HIRES = {
    "enable_hr": True, "hr_scale": 1.5, "hr_upscaler": "Latent", "denoising_strength": 0.5, "hr_second_pass_steps": 8,
}  # fmt: skip


def hires(server):
    return {**HIRES, **server.kind.hires}


def test_hires_fix_is_erased_in_both_passes(server, cat):
    exported = server.call("/lora-unlearn/v1/export", {"name": cat, "new": "no cat at all"})["name"]
    without = {**hires(server), "cfg_scale": 1.0}
    ours = server.draw(CAT, True, cat, 1.0, "auto", **without)
    stock = server.draw(f"{CAT} <lora:{exported}:1>", **without)
    assert ours.pictures[0].shape == (SIDE * 3 // 2, SIDE * 3 // 2, 3)
    assert furthest(ours.pictures, stock.pictures) <= 2
    assert furthest(ours.pictures, server.draw(CAT, **without).pictures) > 50


@pytest.mark.parametrize("strength", [1.0, 2.0])
def test_hires_fix_with_guidance(server, cat, strength):
    plain = server.draw(CAT, batch_size=2, **hires(server))
    erased = server.draw(CAT, True, cat, strength, "auto", batch_size=2, **hires(server))
    assert furthest(plain.pictures, erased.pictures) > 50
    closed = server.draw(DOG, True, cat, strength, "auto", batch_size=2, **hires(server))
    assert same(closed.pictures, server.draw(DOG, batch_size=2, **hires(server)).pictures)


def test_a_second_prompt_for_hires_fix_has_a_decision_of_its_own(server, cat):
    erased = server.draw(DOG, *ON, hr_prompt=CAT, **hires(server))
    assert "closed, changes nothing" in erased.infotexts[0] and "/ open, erases it" in erased.infotexts[0]


def test_img2img_and_inpainting(server, cat):
    start = encoded(server.draw(DOG).pictures[0])
    mask = np.zeros((SIDE, SIDE, 3), np.uint8)
    mask[32:96, 32:96] = 255
    whole = {"init_images": [start], "denoising_strength": 0.8}
    part = {**whole, "mask": encoded(mask), "inpainting_fill": 1}
    for way in (whole, part, {**part, "inpaint_full_res": True, "inpaint_full_res_padding": 16}):
        plain, erased = server.draw(CAT, **way), server.draw(CAT, *ON, **way)
        assert furthest(plain.pictures, erased.pictures) > 30
        assert 'Eraser 1 decision: "open' in erased.infotexts[0]
        assert same(server.draw(DOG, **way).pictures, server.draw(DOG, *ON, **way).pictures)


def test_prompts_joined_by_and(server, cat):
    joined = f"{DOG} AND {CAT}"
    for count in (1, 2):
        plain = server.draw(joined, batch_size=count)
        for strength in (1.0, 2.0):
            erased = server.draw(joined, True, cat, strength, "auto", batch_size=count)
            assert furthest(plain.pictures, erased.pictures) > 30
            assert "closed, changes nothing" in erased.infotexts[0] and "open, erases it" in erased.infotexts[0]
    others = f"{DOG} AND a photo of a bird"
    assert same(server.draw(others, batch_size=2).pictures, server.draw(others, *ON, batch_size=2).pictures)


def test_a_prompt_that_changes_on_the_way(server, cat):
    turned = server.draw("a photo of a [dog:cat:0.5]", *ON, steps=8)
    assert "closed, changes nothing" in turned.infotexts[0] and "/ open, erases it" in turned.infotexts[0]
    assert not same(turned.pictures, server.draw("a photo of a [dog:cat:0.5]", steps=8).pictures)


@pytest.mark.parametrize(
    "more",
    [
        {"cfg_scale": 1.0},
        {"negative_prompt": "ugly, " * 40},
        {"negative_prompt": CAT},
        {"override_settings": {"batch_cond_uncond": False}},
        {"override_settings": {"s_min_uncond": 4.0}, "s_min_uncond": 4.0},
        {"override_settings": {"pad_cond_uncond": True}, "negative_prompt": "ugly, " * 40},
    ],
    ids=["no guidance", "long negative", "cat in the negative", "rows apart", "negative left out late", "padded"],
)
@pytest.mark.parametrize("strength", [1.0, 2.0])
def test_rows_of_all_kinds(server, cat, more, strength):
    values = (True, cat, strength, "auto")
    unknown = more.get("override_settings", {}).keys() - server.call("/sdapi/v1/options").keys()
    if unknown:
        pytest.skip(f"{server.kind.name} has no setting {unknown.pop()}")
    plain, erased = server.draw(CAT, batch_size=2, **more), server.draw(CAT, *values, batch_size=2, **more)
    assert furthest(plain.pictures, erased.pictures) > 50
    assert all('Eraser 1 decision: "open' in text for text in erased.infotexts)
    closed = server.draw(DOG, *values, batch_size=2, **more)
    assert same(closed.pictures, server.draw(DOG, batch_size=2, **more).pictures)


def test_the_eraser_follows_to_a_refiner(server, cat):
    refiner = {"refiner_checkpoint": "twin", "refiner_switch_at": 0.5, "steps": 8}
    alone = server.draw(CAT, *ON, steps=8)
    refined = server.draw(CAT, *ON, **refiner)
    assert server.said().count("twin.safetensors") >= 1
    assert furthest(alone.pictures, refined.pictures) <= 1
    assert same(server.draw(DOG, *ON, **refiner).pictures, server.draw(DOG, **refiner).pictures)


def test_other_loras_stay_at_work(server, cat, dog):
    server.call("/lora-unlearn/v1/export", {"name": dog, "new": "other"})
    prompt = f"{CAT} <lora:other:1>"
    assert same(server.draw(f"{DOG} <lora:other:1>").pictures, server.draw(f"{DOG} <lora:other:1>", *ON).pictures)
    assert furthest(server.draw(prompt).pictures, server.draw(prompt, *ON).pictures) > 50


def test_a_grid_over_eraser_strength_and_gate(server, cat):
    infos = server.call("/sdapi/v1/script-info")
    grid = next(info for info in infos if info["name"].lower() == "x/y/z plot" and not info["is_img2img"])
    types = next(value["choices"] for value in grid["args"] if value["label"] == "X type")
    x, y = types.index("[Erase concepts] strength"), types.index("[Erase concepts] gate")
    z = types.index("[Erase concepts] eraser")
    values = [x, "0, 1, 2", [], y, "", ["auto", "off"], z, "", [cat]]
    others = {"Draw legend": False, "Include Sub Images": True}
    legend = [others.get(argument["label"], argument["value"]) for argument in grid["args"][len(values) :]]
    drawn = server.draw(CAT, script_name="x/y/z plot", script_args=[*values, *legend])
    cells = drawn.pictures[-6:]
    assert same(cells[:1], server.draw(CAT).pictures)
    assert same(cells[1:2], server.draw(CAT, True, cat, 1.0, "auto").pictures)
    assert same(cells[2:3], server.draw(CAT, True, cat, 2.0, "auto").pictures)
    assert same(cells[3:], [cells[0]] * 3)
