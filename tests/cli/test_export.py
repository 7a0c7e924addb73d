"""Exported files do in other loaders what the eraser does at that strength."""

from __future__ import annotations

import pytest
import torch

from lora_unlearn.adapter import KEY, Adapter
from lora_unlearn.files import read_safetensors
from lora_unlearn.hosts.checkpoints import load_pipeline
from lora_unlearn.hosts.diffusers import denoiser_for


def predict(pipe, rows=None, lora=None):
    """One evaluation of the pipeline's U-Net, with a LoRA of ours or as it is."""
    denoiser = denoiser_for(pipe)
    x, sigma = denoiser.initial_noise(2, torch.Generator().manual_seed(0)), torch.full((2,), 5.0)
    prompts = denoiser.encode(["a cat", "a dog"])
    with torch.no_grad():
        if lora is None:
            return denoiser.predict(x, sigma, prompts)
        with lora.attached(denoiser.linears("cross_kv")), lora.rows(torch.full((2,), rows)):
            return denoiser.predict(x, sigma, prompts)


@pytest.fixture(scope="module")
def base(model):
    return load_pipeline(str(model))


def near(found, wanted, plain):
    """Closer to what is wanted than to the model without a LoRA, by far."""
    return (found - wanted).norm() < 0.02 * (wanted - plain).norm()


def test_merged_into_the_checkpoint(model, base, eraser, run, tmp_path):
    out = tmp_path / "merged.safetensors"
    words = ("--format", "checkpoint", "--checkpoint", model, "--strength", 0.5, "--out", out)
    code, said, err = run("export", eraser, *words)
    assert (code, err) == (0, "")
    assert "cannot be taken out" in said
    assert out.with_suffix(".yaml").read_text() == model.with_suffix(".yaml").read_text()
    found = predict(load_pipeline(str(out)))
    assert near(found, predict(base, 0.5, Adapter.load(eraser).lora), predict(base))


def test_for_diffusers(model, base, eraser, run, tmp_path):
    pytest.importorskip("peft")
    out = tmp_path / "diffusers.safetensors"
    code, _, err = run("export", eraser, "--format", "diffusers", "--strength", 2, "--out", out)
    assert (code, err) == (0, "")
    pipe = load_pipeline(str(model))
    pipe.load_lora_weights(str(out))
    assert near(predict(pipe), predict(base, 2.0, Adapter.load(eraser).lora), predict(base))


def test_for_peft(model, base, eraser, run, tmp_path):
    peft = pytest.importorskip("peft")
    code, _, err = run("export", eraser, "--format", "peft", "--out", tmp_path / "peft")
    assert (code, err) == (0, "")
    pipe = load_pipeline(str(model))
    pipe.unet = peft.PeftModel.from_pretrained(pipe.unet, str(tmp_path / "peft"))
    assert near(predict(pipe), predict(base, 1.0, Adapter.load(eraser).lora), predict(base))


def test_kohya_stays_an_eraser_at_strength_one_alone(eraser, run, tmp_path):
    for strength, ours in ((1, True), (0.5, False)):
        out = tmp_path / f"{strength}.safetensors"
        assert run("export", eraser, "--format", "kohya", "--strength", strength, "--out", out)[0] == 0
        tensors, metadata = read_safetensors(out)
        assert (KEY in metadata) == ours
        assert metadata["ss_network_module"] == "networks.lora"
        alphas = {float(value) for name, value in tensors.items() if name.endswith(".alpha")}
        assert alphas == {2.0 * strength}


def test_a_checkpoint_without_these_layers(eraser, refused, tmp_path):
    words = ("--format", "checkpoint", "--checkpoint", eraser, "--out", tmp_path / "a.safetensors")
    assert "no counterpart" in refused("export", eraser, *words)
    assert list(tmp_path.iterdir()) == []
