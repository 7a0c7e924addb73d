"""Checkpoints of SDXL's kind, as files that the host loads: two text encoders, a pooled text, and size ids."""

from __future__ import annotations

import pytest
from test_webui_accordion import CAT, DOG, furthest, same
from test_webui_switch import HERE, choose
from test_webui_training import API
from webui_xl import save_repository, save_xl

pytestmark = [pytest.mark.webui, pytest.mark.slow]

XL, REFINER = "xl.safetensors", "xl-refiner.safetensors"
LONG = ", ".join(["a red bird on the grass under a blue sky"] * 12)
MANY = {"batch_size": 4, "steps": 10}
HIRES = {"enable_hr": True, "hr_scale": 2, "hr_upscaler": "Latent", "denoising_strength": 0.6}
TOLD = "The loaded model is an SDXL refiner, but erasing works on"


def put(server, name, **more):
    """Write a checkpoint and have the host list it."""
    folder = server.data / "models" / "Stable-diffusion"
    save_xl(folder / name, server.data / "demo" / "text_encoder", **more)
    server.call("/sdapi/v1/refresh-checkpoints", {})


@pytest.fixture(scope="module")
def marks(server, cat):
    """What is on the checkpoint in SDXL's layout when it was chosen; small pictures are trained on."""
    save_repository(server.data / "xl", server.data / "demo")
    put(server, XL)
    choose(server, XL)
    side = server.call("/test/side", {"side": 16})["before"]
    server.draw(DOG)  # Forge loads the model now
    yield server.call("/test/marks", {})
    server.call("/test/side", {"side": side})
    choose(server, HERE)


@pytest.fixture(scope="module")
def xl_cat(server, marks):
    """The name of an eraser of cats, trained on that checkpoint."""
    name = server.call(f"{API}/erase", {"concept": "cat", "preset": "balanced", "iterations": 10})["name"]
    state = server.wait_for_job()
    assert state["phase"] == "done", state
    return name


@pytest.fixture
def refiner(server, xl_cat):
    """The name of a checkpoint with the second text encoder alone."""
    if server.kind.name != "A1111":
        pytest.skip(f"there is no small refiner for {server.kind.name}")
    put(server, REFINER, refiner=True)
    yield REFINER
    choose(server, XL)


def test_sdxl_is_known_by_its_two_text_encoders(server, marks):
    looks = server.call("/test/looks", {})
    assert (looks["family"], looks["prediction"]) == ("sdxl", "epsilon")
    assert (len(looks["text"][0]), len(looks["text"][0][0])) == (77, 2048)
    assert {shape[1] for shape in looks["layers"]["cross_v"].values()} == {2048}


def test_a_training_on_sdxl_erases_and_leaves_every_picture(server, marks, xl_cat, seen):
    assert server.call("/test/marks", {}) == marks
    before = server.draw(CAT, **MANY)
    assert seen(before.pictures).count("cat") >= 3
    for strength in (1.0, 2.0):
        erased = server.draw(CAT, True, xl_cat, strength, "auto", **MANY)
        assert 'Eraser 1 decision: "open' in erased.infotexts[0]
        assert seen(erased.pictures).count("cat") <= 1
    assert same(server.draw(CAT, **MANY).pictures, before.pictures)
    assert server.call("/test/marks", {}) == marks


@pytest.mark.parametrize(
    "more",
    [{}, {"negative_prompt": DOG}, {"negative_prompt": LONG}, {"width": 192}, MANY],
    ids=["plain", "a negative prompt", "a long one", "another size", "a batch"],
)
def test_a_closed_gate_changes_no_byte_on_sdxl(server, xl_cat, more):
    plain, closed = server.draw(DOG, **more), server.draw(DOG, True, xl_cat, 2.0, "auto", **more)
    assert 'Eraser 1 decision: "closed' in closed.infotexts[0]
    assert same(plain.pictures, closed.pictures)
    assert furthest(server.draw(DOG, True, xl_cat, 2.0, "on", **more).pictures, plain.pictures) > 20


def test_every_picture_of_a_batch_has_its_own_decision_on_sdxl(server, xl_cat):
    mixed = f"{DOG} || {CAT}"
    plain, erased = server.draw(mixed, batch_size=2), server.draw(mixed, True, xl_cat, 2.0, "auto", batch_size=2)
    assert same(plain.pictures[:1], erased.pictures[:1])
    assert furthest(plain.pictures[1:], erased.pictures[1:]) > 50


def test_an_evaluation_of_its_own_has_the_sizes_of_the_picture(server, xl_cat):
    halves = server.draw(CAT, True, xl_cat, 0.5, "on", xl_cat, 0.5, "on", width=192)
    assert furthest(halves.pictures, server.draw(CAT, True, xl_cat, 1.0, "on", width=192).pictures) <= 3


def test_hires_fix_is_erased_on_sdxl(server, xl_cat):
    hires = {**HIRES, **server.kind.hires, "hr_second_pass_steps": 4}
    assert same(server.draw(DOG, True, xl_cat, 1.0, "auto", **hires).pictures, server.draw(DOG, **hires).pictures)
    assert (
        furthest(server.draw(CAT, True, xl_cat, 1.0, "auto", **hires).pictures, server.draw(CAT, **hires).pictures) > 50
    )


@pytest.mark.parametrize("more", [{}, {"width": 192}, {"batch_size": 3}], ids=["plain", "another size", "a batch"])
def test_an_eraser_of_sdxl_is_an_ordinary_lora(server, xl_cat, more):
    exported = server.call(f"{API}/export", {"name": xl_cat, "new": "no xl cat"})["name"]
    ours = server.draw(CAT, True, xl_cat, 1.0, "on", cfg_scale=1.0, **more)
    stock = server.draw(f"{CAT} <lora:{exported}:1>", cfg_scale=1.0, **more)
    if server.kind.name == "A1111":
        found = server.call("/test/loras", {})["layers"]
        assert found == [len(server.call("/test/looks", {})["layers"]["cross_v"])]
    assert furthest(ours.pictures, stock.pictures) <= 2
    assert furthest(ours.pictures, server.draw(CAT, cfg_scale=1.0, **more).pictures) > 50


def test_the_tabs_own_pictures_of_sdxl_are_those_of_the_page(server, marks):
    drawn = server.call("/test/draws", {})["picture"]
    assert drawn == server.draw(CAT).pictures[0].tolist()


def test_training_gives_sdxl_the_pooled_text_and_the_sizes_that_the_host_gives(server, marks):
    told = server.call("/test/vector", {})
    assert len(told["given"]) == 1280 + 6 * 256
    assert told["given"] == pytest.approx(told["expected"], abs=1e-4)


def test_gradients_on_sdxl_are_those_of_small_steps(server, marks):
    told = server.call("/test/slopes", {})
    assert told["finite"] and told["slope"] == pytest.approx(told["measured"], rel=0.05)


def test_an_eraser_of_sd1_is_refused_on_sdxl_in_one_sentence(server, cat, marks):
    folder = server.data / "models" / "lora-unlearn"
    content = (folder / f"{cat}.safetensors").read_bytes()
    (folder / "sd1.safetensors").write_bytes(content.replace(rb"\"family\": \"demo\"", rb"\"family\": \"sd1\" "))
    try:
        assert "was made for sd1, the loaded model is sdxl" in server.refused(CAT, True, "sd1", 1.0, "auto")
    finally:
        (folder / "sd1.safetensors").unlink()


def test_a_refiner_alone_gets_one_sentence(server, xl_cat, refiner):
    choose(server, refiner)
    assert TOLD in server.refused(CAT, True, xl_cat, 1.0, "auto")
    server.call(f"{API}/erase", {"concept": "cat", "preset": "quick"})
    state = server.wait_for_job()
    assert state["phase"] == "failed" and TOLD in state["message"]


def test_a_refiner_goes_on_with_what_is_erased_before_it(server, xl_cat, refiner):
    choose(server, XL)
    half = {"refiner_checkpoint": refiner, "refiner_switch_at": 0.5}
    erased = server.draw(CAT, True, xl_cat, 1.0, "auto", **half)
    assert TOLD in erased.infotexts[0]
    assert furthest(erased.pictures, server.draw(CAT, **half).pictures) > 50
    assert same(server.draw(DOG, True, xl_cat, 1.0, "auto", **half).pictures, server.draw(DOG, **half).pictures)
    assert server.call("/test/marks", {})["left"] == []
