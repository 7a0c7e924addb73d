"""Checkpoints of other kinds, as files that the host loads: v-prediction works, an inpainting model gets a sentence."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_webui_accordion import CAT, DOG, furthest, same
from test_webui_switch import HERE, choose
from test_webui_training import API
from webui_server import ROOT, encoded

pytestmark = pytest.mark.webui

RELATIVE = ROOT / "tests" / "relatives" / "v_prediction.safetensors"
FIRST = "model.diffusion_model.input_blocks.0.0.weight"


def put(server, name, yaml):
    """Give a checkpoint its configuration, have the host list it, and choose it."""
    folder = server.data / "models" / "Stable-diffusion"
    place = str(server.data / "demo" / "text_encoder")
    (folder / name).with_suffix(".yaml").write_text(yaml.replace("version: tokenizer", f"version: {place}"))
    server.call("/sdapi/v1/refresh-checkpoints", {})
    choose(server, name)


@pytest.fixture
def v_model(server):
    """The demo model's relative that predicts v, which draws as well as the demo model."""
    pytest.importorskip("diffusers", reason="the relative is put together by diffusers")
    from lora_unlearn.demo.checkpoint import save_checkpoint
    from lora_unlearn.demo.relatives import load_relative

    pipe, path = load_relative(RELATIVE), server.data / "models" / "Stable-diffusion" / "v.safetensors"
    save_checkpoint(path, pipe.unet, pipe.vae, pipe.text_encoder, "v_prediction")
    put(server, path.name, path.with_suffix(".yaml").read_text())
    yield path
    choose(server, HERE)


@pytest.fixture
def inpainting(server):
    """The demo model with the five more channels of inpainting models."""
    folder = server.data / "models" / "Stable-diffusion"
    weights = load_file(folder / HERE)
    weights[FIRST] = torch.nn.functional.pad(weights[FIRST], (0, 0, 0, 0, 0, 5))
    save_file(weights, folder / "demo-inpainting.safetensors")
    yaml = (folder / HERE).with_suffix(".yaml").read_text()
    yaml = yaml.replace("ddpm.LatentDiffusion", "ddpm.LatentInpaintDiffusion")
    yaml = yaml.replace("key: crossattn", "key: hybrid\n    finetune_keys: null")
    put(server, "demo-inpainting.safetensors", yaml.replace("in_channels: 4", "in_channels: 9"))
    yield
    choose(server, HERE)


def test_a_model_that_predicts_v_is_erased_from_and_draws_as_before(server, v_model, seen):
    assert server.call("/test/looks", {})["prediction"] == "v_prediction"
    many = {"batch_size": 4, "steps": 10}
    before = server.draw(CAT, **many)
    assert seen(before.pictures).count("cat") >= 3
    name = server.call(f"{API}/erase", {"concept": "cat", "preset": "balanced", "iterations": 30})["name"]
    state = server.wait_for_job()
    assert state["phase"] == "done", state
    assert same(server.draw(CAT, **many).pictures, before.pictures)
    for strength in (1.0, 2.0):
        erased = server.draw(CAT, True, name, strength, "auto", **many)
        assert seen(erased.pictures).count("cat") <= 1
        assert same(server.draw(DOG, True, name, strength, "auto").pictures, server.draw(DOG).pictures)
    exported = server.call(f"{API}/export", {"name": name, "new": "no v cat"})["name"]
    ours = server.draw(CAT, True, name, 1.0, "on", cfg_scale=1.0)
    assert furthest(ours.pictures, server.draw(f"{CAT} <lora:{exported}:1>", cfg_scale=1.0).pictures) <= 2
    assert same(server.draw(CAT, **many).pictures, before.pictures)
    assert server.call("/test/marks", {})["left"] == []


def test_an_inpainting_model_gets_one_sentence_and_no_picture_that_is_not_erased(server, cat, inpainting):
    server.call(f"{API}/erase", {"concept": "cat", "preset": "quick"})
    state = server.wait_for_job()
    assert state["phase"] == "failed" and "an inpainting or editing model (9 channels)" in state["message"]
    plain = server.draw(CAT)
    assert "an inpainting or editing model (9 channels)" in server.refused(CAT, True, cat, 1.0, "auto")
    mask = encoded(255 * (plain.pictures[0] > 128).astype("uint8"))
    way = {"init_images": [encoded(plain.pictures[0])], "mask": mask, "denoising_strength": 0.8}
    assert "an inpainting or editing model" in server.refused(CAT, True, cat, 1.0, "auto", **way)
    assert server.call("/test/marks", {})["left"] == []
