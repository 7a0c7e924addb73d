"""Forge Neo's transformers: its own engines, small and random, with which the page draws and erases."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_webui_accordion import furthest, same
from test_webui_training import API

from lora_unlearn import Adapter, Gate

pytestmark = [pytest.mark.webui, pytest.mark.parametrize("server", ["neo"], indirect=True)]

FAMILIES = {
    "ZImage": "z_image", "Anima": "anima", "QwenImage": "qwen_image", "Krea2": "krea2",
    "Flux2": "flux2", "Flux": "flux",
}  # fmt: skip
ENTRIES = {
    "ZImage": "cap_embedder.1", "Anima": "transformer_blocks.0.attn2.to_k", "QwenImage": "txt_in",
    "Krea2": "txt_in.linear_1", "Flux2": "context_embedder", "Flux": "context_embedder",
}  # fmt: skip
WORDS = {"ZImage": 5, "QwenImage": 5, "Krea2": 5}
THING, OTHER = "striped tabby kitten", "old wooden chair"
WITH, WITHOUT = f"a photo of a {THING}", "a red house by the sea"
SMALL = {"steps": 3, "distilled_cfg_scale": 3.0}


@pytest.fixture
def engine(server, request):
    """The name of the engine that the page draws with."""
    name = request.param
    server.call("/test/engine", {"engine": name})
    side = server.call("/test/side", {"side": 16, "family": FAMILIES[name]})["before"] if name in FAMILIES else None
    yield name
    if side:
        server.call("/test/side", {"side": side, "family": FAMILIES[name]})
    server.call("/test/engine", {"engine": ""})


@pytest.fixture(scope="module")
def kept():
    """The names of erasers that were made, by engine; an engine's weights are always the same."""
    return {}


@pytest.fixture
def eraser(server, engine, kept):
    """The name of an eraser that the page made for this engine."""
    if engine not in kept:
        asked = {"concept": THING, "replace_with": OTHER, "preset": "quick"}
        kept[engine] = server.call(f"{API}/erase", asked)["name"]
        state = server.wait_for_job()
        assert state["phase"] == "done", state
    return kept[engine]


every = pytest.mark.parametrize("engine", list(FAMILIES), indirect=True)
first = pytest.mark.parametrize(
    "engine",
    ["ZImage", *(pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES if name != "ZImage")],
    indirect=True,
)


@every
def test_prompts_are_what_the_entry_layer_is_given(server, engine):
    """Also beside a longer prompt, whose company must change nothing."""
    told = server.call("/test/enters", {})
    assert told["entries"][0] == ENTRIES[engine]
    assert told["given"] == 0
    assert engine not in WORDS or told["said"] == WORDS[engine]  # "a photo of a cat", without the template
    assert told["alone"] < 1e-4 * told["size"]
    assert told["redirected"] > 0.9
    assert told["words"][0] > 1000 and told["words"][1:] == [2, 64]


@every
def test_gradients_of_a_transformer_are_those_of_small_steps(server, engine):
    told = server.call("/test/slopes", {})
    assert told["finite"] and told["slope"] == pytest.approx(told["measured"], rel=0.02)


@first
def test_a_transformer_is_erased_from_and_draws_as_before(server, engine, request):
    plain = {cfg: [server.draw(p, cfg_scale=cfg, **SMALL) for p in (WITH, WITHOUT)] for cfg in (1.0, 4.0)}
    name = request.getfixturevalue("eraser")
    made = Adapter.load(server.data / "models" / "lora-unlearn" / f"{name}.safetensors")
    assert (made.family, made.prediction_type) == (FAMILIES[engine], "flow")
    assert made.lora.names[0] == ENTRIES[engine].replace("to_k", "to_v")
    for cfg, (with_it, without) in plain.items():
        for strength in (1.0, 2.0):
            erased = server.draw(WITH, True, name, strength, "auto", cfg_scale=cfg, **SMALL)
            assert 'Eraser 1 decision: "open' in erased.infotexts[0]
            assert furthest(erased.pictures, with_it.pictures) > 2
            closed = server.draw(WITHOUT, True, name, strength, "auto", cfg_scale=cfg, **SMALL)
            assert 'Eraser 1 decision: "closed' in closed.infotexts[0]
            assert same(closed.pictures, without.pictures)
        assert same(server.draw(WITH, cfg_scale=cfg, **SMALL).pictures, with_it.pictures)
    assert server.call("/test/marks", {})["left"] == []


@pytest.mark.parametrize("engine", ["ZImage"], indirect=True)
def test_a_training_on_a_transformer_learns_and_leaves_every_picture(server, engine):
    plain, marks = server.draw(WITH, **SMALL), server.call("/test/marks", {})
    asked = {"concept": THING, "replace_with": OTHER, "preset": "balanced", "iterations": 12}
    name = server.call(f"{API}/erase", asked)["name"]
    state = server.wait_for_job()
    assert state["phase"] == "done", state
    made = Adapter.load(server.data / "models" / "lora-unlearn" / f"{name}.safetensors")
    assert made.iterations == 12 and made.redirected > 0.3
    assert server.call("/test/marks", {}) == marks
    assert same(server.draw(WITH, **SMALL).pictures, plain.pictures)


@first
def test_an_eraser_of_a_transformer_is_an_ordinary_lora(server, engine, eraser):
    exported = server.call(f"{API}/export", {"name": eraser, "new": f"no {engine}"})["name"]
    before = len(server.said())
    stock = server.draw(f"{WITH} <lora:{exported}:1>", cfg_scale=1.0, **SMALL)
    said = server.said()[before:]
    assert "unmatched" not in said and "mismatch" not in said.lower()
    ours = server.draw(WITH, True, eraser, 1.0, "on", cfg_scale=1.0, **SMALL)
    plain = server.draw(WITH, cfg_scale=1.0, **SMALL)
    assert furthest(ours.pictures, stock.pictures) <= 2 < furthest(ours.pictures, plain.pictures)


@pytest.mark.parametrize("engine", ["ZImage"], indirect=True)
def test_every_picture_of_a_batch_has_its_own_decision_in_a_transformer(server, engine, eraser):
    mixed, many = f"{WITHOUT} || {WITH}", {"batch_size": 2, "cfg_scale": 4.0, **SMALL}
    plain, erased = server.draw(mixed, **many), server.draw(mixed, True, eraser, 2.0, "auto", **many)
    assert same(plain.pictures[:1], erased.pictures[:1])
    assert furthest(plain.pictures[1:], erased.pictures[1:]) > 2


@first
@pytest.mark.parametrize("cfg", [1.0, 4.0])
def test_a_gate_may_ask_a_transformer_about_prompts_of_other_lengths(server, engine, eraser, cfg):
    folder = server.data / "models" / "lora-unlearn"
    made = Adapter.load(folder / f"{eraser}.safetensors")
    plain = server.draw(WITH, cfg_scale=cfg, **SMALL)
    for threshold, told in ((-9.0, "open"), (9.0, "closed")):
        replace(made, gate=Gate(step=0.3, threshold=threshold)).save(folder / "probing.safetensors")
        drawn = server.draw(WITH, True, "probing", 0.5, "auto", cfg_scale=cfg, **SMALL)
        assert f'Eraser 1 decision: "{told}' in drawn.infotexts[0]
        assert same(drawn.pictures, plain.pictures) == (told == "closed")
        (folder / "probing.safetensors").unlink()


@pytest.mark.parametrize("engine", ["Lumina2"], indirect=True)
def test_a_transformer_that_is_not_known_gets_one_sentence(server, engine):
    server.call(f"{API}/erase", {"concept": "cat", "preset": "quick"})
    state = server.wait_for_job()
    assert state["phase"] == "failed" and "is of the kind Lumina2, but erasing works on" in state["message"]
    assert "Z-Image" in state["message"] and state["message"].count(". ") == 0


@pytest.mark.parametrize("engine", ["ZImage"], indirect=True)
def test_layers_that_take_no_eraser_get_one_sentence(server, engine, cat):
    server.call("/test/engine", {"engine": engine, "nunchaku": True})
    told = server.refused(WITH, True, cat, 1.0, "auto")
    assert "The loaded Z-Image is quantised by Nunchaku" in told and told.count(". ") == 0
