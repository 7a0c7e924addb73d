"""The core's contract with a host, over the web UI's own model, and what is left on that model afterwards."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import made
from test_webui_accordion import CAT, DOG, furthest, same

from lora_unlearn import Adapter, Gate

pytestmark = pytest.mark.webui


@pytest.fixture(scope="module")
def looks(server):
    return server.call("/test/looks", {})


def test_the_demo_model_has_the_same_name_and_layers_in_every_host(looks):
    pytest.importorskip("diffusers", reason="the comparison needs diffusers")
    from lora_unlearn import denoiser_for
    from lora_unlearn.demo.checkpoint import load_demo
    from lora_unlearn.denoiser import base_hash

    other = denoiser_for(load_demo())
    assert (looks["hash"], looks["family"], looks["prediction"]) == (base_hash(other), "demo", "epsilon")
    for selector, layers in looks["layers"].items():
        assert layers == {name: list(target.shape) for name, target in other.linears(selector).items()}


def test_prompts_states_and_predictions_are_those_of_every_host(looks):
    pytest.importorskip("diffusers", reason="the comparison needs diffusers")
    import torch

    from lora_unlearn import denoiser_for
    from lora_unlearn.demo.checkpoint import load_demo

    other = denoiser_for(load_demo())
    text = other.encode(["a photo of a cat", ""])
    assert torch.allclose(torch.tensor(looks["text"]), text.tensors["text"], atol=1e-4)
    assert torch.allclose(torch.tensor(looks["sigmas"]), other.sigmas(5), rtol=1e-4)
    x = torch.tensor(looks["x"])
    assert torch.allclose(x, other.initial_noise(2, torch.Generator().manual_seed(0)), rtol=1e-3)
    with torch.no_grad():
        predicted = other.predict(x, other.sigmas(5)[1].expand(2), text)
    assert torch.allclose(torch.tensor(looks["predicted"]), predicted, atol=5e-3)


def test_prompts_are_read_with_the_users_clip_skip(server, looks):
    """Also before a picture was drawn with it, which is when Forge takes it over."""
    texts = []
    for skip in (2, 1):
        server.call("/sdapi/v1/options", {"CLIP_stop_at_last_layers": skip})
        texts.append(server.call("/test/looks", {})["text"])
    assert texts[0] != looks["text"] and texts[1] == looks["text"]


def test_an_eraser_knows_the_clip_skip_that_it_was_made_with(server, cat):
    skipped = {"override_settings": {"CLIP_stop_at_last_layers": 2}}
    noted = server.draw(CAT, True, cat, 1.0, "auto", **skipped).infotexts[0]
    assert "another clip skip (the model's own) than is set now (2)" in noted
    assert "clip skip (" not in server.draw(CAT, True, cat, 1.0, "auto").infotexts[0]
    server.call("/sdapi/v1/options", {"CLIP_stop_at_last_layers": 2})
    try:
        skipping = server.call("/lora-unlearn/v1/erase", {"concept": "ship", "preset": "quick"})["name"]
        assert server.wait_for_job()["phase"] == "done"
        assert "clip skip (" not in server.draw("a ship", True, skipping, 1.0, "auto").infotexts[0]
    finally:
        server.call("/sdapi/v1/options", {"CLIP_stop_at_last_layers": 1})
    assert "(2) than is set now (the model's own)" in server.draw("a ship", True, skipping, 1.0, "auto").infotexts[0]


def test_a_gate_that_was_measured_on_another_checkpoint_says_so_under_the_picture(server, cat):
    """And nothing is said of one that was not, also while a LoRA of the prompt changes the weights."""
    folder = server.data / "models" / "lora-unlearn"
    own = Adapter.load(folder / f"{cat}.safetensors")
    exported = server.call("/lora-unlearn/v1/export", {"name": cat, "new": "for a prompt"})["name"]
    replace(own, base_hash="0123456789abcdef").save(folder / "from elsewhere.safetensors")
    try:
        erased = server.draw(CAT, True, "from elsewhere", 1.0, "auto")
        told = "gate of the eraser for 'cat' was measured on another demo model than this one; calibrate it again"
        assert told in server.call("/test/comments", {})["said"]
        assert "another demo model" not in erased.infotexts[0]
        assert same(erased.pictures, server.draw(CAT, True, cat, 1.0, "auto").pictures)
        server.draw(CAT, True, "from elsewhere", 1.0, "on")  # whose gate nobody asks
        assert "another demo model" not in server.call("/test/comments", {})["said"]
        for prompt in (f"{DOG} <lora:{exported}:1>", f"{DOG} <lora:{exported}:1>", DOG):
            server.draw(prompt, True, cat, 1.0, "auto")
            assert "another demo model" not in server.call("/test/comments", {})["said"]
    finally:
        (folder / "from elsewhere.safetensors").unlink()


def test_the_tabs_own_pictures_are_those_of_the_page(server):
    drawn = np.array(server.call("/test/draws", {})["picture"], np.uint8)
    assert same([drawn], server.draw(CAT).pictures)


@pytest.mark.parametrize("server", ["forge", "reforge", "neo"], indirect=True)
def test_a_unet_that_comes_to_a_card_for_the_training_has_gradients(server):
    """Loaders make inference tensors; what moves them outside of inference mode spoils them for autograd."""
    told = server.call("/test/slopes", {})
    server.call("/test/moving", {"on": True})
    try:
        assert server.call("/test/slopes", {}) == told
    finally:
        server.call("/test/moving", {"on": False})


@pytest.mark.parametrize("server", ["neo"], indirect=True)
def test_a_unet_that_the_host_compiles_is_erased_from_too(server, cat):
    plain = server.draw(CAT).pictures
    erased = [server.draw(CAT, True, cat, strength, "auto").pictures for strength in (1.0, 2.0)]
    server.call("/test/compiled", {"on": True})
    try:
        assert furthest(server.draw(CAT).pictures, plain) <= 2
        again = [server.draw(CAT, True, cat, strength, "auto").pictures for strength in (1.0, 2.0)]
        assert all(furthest(one, other) <= 2 for one, other in zip(again, erased, strict=True))
        assert same(server.draw(DOG).pictures, server.draw(DOG, True, cat, 1.0, "auto").pictures)
    finally:
        server.call("/test/compiled", {"on": False})


def test_the_tabs_own_pictures_are_not_the_users_last_one(server):
    server.draw(DOG)
    last = (server.data / "params.txt").read_text()
    assert DOG in last
    assert server.call("/test/draws", {})["remembers"] == [True]
    assert (server.data / "params.txt").read_text() == last


def test_gradients_reach_the_adapter(server):
    found = server.call("/test/slopes", {})
    assert found["finite"]
    assert found["measured"] == pytest.approx(found["slope"], rel=0.1)


def test_a_failure_in_the_middle_leaves_the_model_as_it_was(server, cat):
    plain, before = server.draw(CAT), server.call("/test/marks", {})
    server.call("/test/break", {})
    status, _ = server.ask(
        "/sdapi/v1/txt2img",
        {"prompt": CAT, "steps": 6, "width": 128, "height": 128,
         "alwayson_scripts": {"erase concepts": {"args": [True, cat, 2.0, "auto"]}}},
    )  # fmt: skip
    after = server.call("/test/marks", {})
    assert status != 200 or "made to fail by a test" in server.said()
    assert after == before and after["left"] == []
    assert same(server.draw(CAT).pictures, plain.pictures)


def test_nothing_is_left_on_the_model_between_pictures(server, cat):
    before = server.call("/test/marks", {})
    server.draw(CAT, True, cat, 2.0, "auto")
    server.draw(DOG, True, cat, 1.0, "on")
    assert server.call("/test/marks", {}) == before
    assert before["left"] == [] and np.isfinite(before["weights"])


def test_a_gate_that_probes_the_network_works_too(server, cat):
    folder = server.data / "models" / "lora-unlearn"
    made = Adapter.load(folder / f"{cat}.safetensors")
    replace(made, gate=Gate(step=0.2, threshold=0.5)).save(folder / "probing.safetensors")
    for strength in (1.0, 2.0):
        erased = server.draw(CAT, True, "probing", strength, "auto", batch_size=2)
        assert all("open, erases it" in text for text in erased.infotexts)
        assert not same(erased.pictures, server.draw(CAT, batch_size=2).pictures)
        closed = server.draw(DOG, True, "probing", strength, "auto", batch_size=2)
        assert all("closed, changes nothing" in text for text in closed.infotexts)
        assert same(closed.pictures, server.draw(DOG, batch_size=2).pictures)
    (folder / "probing.safetensors").unlink()


def test_a_second_look_by_the_hosts_own_network(server):
    folder, marks = server.data / "models" / "lora-unlearn", server.call("/test/marks", {})
    name = server.call("/lora-unlearn/v1/erase", {"concept": "cat", "preset": "quick", "look": "careful"})["name"]
    assert server.wait_for_job()["phase"] == "done"
    path = folder / f"{name}.safetensors"
    made = Adapter.load(path)
    assert made.gate.look_mode == "careful" and made.gate.look_shape == (4, 16, 16)
    deaf = replace(made.gate, threshold=99.0, text_closed=99.0, text_open=99.0)
    replace(made, gate=deaf).save(path)  # its text hears nothing: all is left to the look
    for strength in (1.0, 2.0):
        for cfg in (1.0, 5.0):
            erased, closed = (
                server.draw(prompt, True, name, strength, "auto", batch_size=2, cfg_scale=cfg) for prompt in (CAT, DOG)
            )
            assert all("open, erases it" in text for text in erased.infotexts)
            assert all("closed, changes nothing" in text for text in closed.infotexts)
            assert not same(erased.pictures, server.draw(CAT, batch_size=2, cfg_scale=cfg).pictures)
            assert same(closed.pictures, server.draw(DOG, batch_size=2, cfg_scale=cfg).pictures)
    answer = server.call("/lora-unlearn/v1/try", {"name": name, "prompt": CAT})
    assert answer["open"] and "begins to draw" in answer["said"]
    assert server.call("/test/marks", {}) == marks
    path.unlink()


def test_models_of_other_kinds_are_refused_in_one_sentence(server):
    told = server.call("/test/refusals", {})
    assert "an inpainting or editing model (9 channels)" in told["inpainting"]
    assert "an SDXL refiner" in told["refiner"]
    assert "text of width 99" in told["unknown"] and "text of width 2048" in told["sdxl without its label"]
    assert ("--lowvram" in told["low memory"]) == (server.kind.name == "A1111")
    assert all(sentence.count(". ") == 0 for sentence in told.values())


def test_words_that_brackets_weigh_are_heard_as_they_are(server, cat, seen):
    """Half a prompt still draws the whole concept, and much of something else asks for no more than that."""
    faint, loud = f"({CAT}:0.3)", f"({DOG}:1.6)"
    assert seen(server.draw(faint, batch_size=4).pictures).count("cat") >= 3
    assert "cat" not in seen(server.draw(faint, True, cat, 1.0, "auto", batch_size=4).pictures)
    told = server.draw(loud, True, cat, 1.0, "auto")
    assert "closed, changes nothing" in told.infotexts[0] and same(told.pictures, server.draw(loud).pictures)


def test_the_preset_thorough_erases_what_it_is_asked_for_and_nothing_else(server, seen):
    name = made(server, "cat", "thorough")
    path = server.data / "models" / "lora-unlearn" / f"{name}.safetensors"
    gate = Adapter.load(path).gate
    assert gate.look_mode == "careful" and gate.false_open_rate == 0.02
    for prompt in (CAT, f"({CAT}:0.2)"):
        assert "cat" not in seen(server.draw(prompt, True, name, 1.0, "auto", batch_size=4).pictures)
    told = server.draw(DOG, True, name, 1.0, "auto")
    assert "closed, changes nothing" in told.infotexts[0] and same(told.pictures, server.draw(DOG).pictures)
    path.unlink()
