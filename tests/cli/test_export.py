"""Exported files do in other loaders what the eraser does at that strength."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lora_unlearn.adapter import KEY, Adapter
from lora_unlearn.concept import Concept
from lora_unlearn.files import read_metadata, read_safetensors, write_safetensors
from lora_unlearn.formats import PEFT_CONFIG
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


def test_only_an_older_file_of_the_same_kind_and_eraser_is_replaced(adapter, eraser, run, refused, tmp_path):
    out = tmp_path / "mine.safetensors"
    write_safetensors(out, {"a": torch.ones(9)}, {"format": "pt"})
    before = out.read_bytes()
    for kind in ("kohya", "diffusers"):
        said = refused("export", eraser, "--format", kind, "--out", out)
        assert "was not made by this program" in said and "--overwrite" in said
    assert out.read_bytes() == before
    assert run("export", eraser, "--format", "diffusers", "--overwrite", "--out", out)[0] == 0
    assert run("export", eraser, "--format", "diffusers", "--strength", 2, "--out", out)[0] == 0
    assert "is a LoRA for diffusers for 'cat'" in refused("export", eraser, "--format", "kohya", "--out", out)
    dog = replace(adapter, concept=Concept("dog")).save(tmp_path / "dog.safetensors")
    assert "for 'cat'" in refused("export", dog, "--format", "diffusers", "--out", out)
    assert "is an eraser for 'dog'" in refused("export", eraser, "--format", "kohya", "--out", dog)
    assert run("export", eraser, "--format", "kohya", "--strength", 0.5, "--out", tmp_path / "half.safetensors")[0] == 0
    assert "without a gate" in refused("export", eraser, "--format", "kohya", "--out", tmp_path / "half.safetensors")


def test_an_adapter_of_the_users_own_is_not_replaced(eraser, run, refused, tmp_path):
    (tmp_path / PEFT_CONFIG).write_text('{"peft_type": "LORA"}')
    assert "was not made" in refused("export", eraser, "--format", "peft", "--out", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [PEFT_CONFIG]
    for _ in range(2):
        assert run("export", eraser, "--format", "peft", "--overwrite", "--out", tmp_path)[0] == 0
    assert run("export", eraser, "--format", "peft", "--out", tmp_path)[0] == 0


def with_metadata(model, path, metadata, tensors=None):
    """A copy of the model with more metadata, and other tensors added."""
    own, known = read_safetensors(model)
    write_safetensors(path, {**own, **(tensors or {})}, {**known, **metadata})
    return ("--format", "checkpoint", "--checkpoint", path)


def test_a_merged_checkpoint_has_a_name_of_its_own(model, eraser, run, tmp_path):
    hashes = {"modelspec.hash_sha256": "0xab", "sshs_model_hash": "cd", "sshs_legacy_hash": "ef"}
    more = {**hashes, "modelspec.title": "A Mix", "modelspec.author": "Somebody"}
    out = tmp_path / "merged.safetensors"
    assert run("export", eraser, *with_metadata(model, tmp_path / "mix.safetensors", more), "--out", out)[0] == 0
    metadata = read_metadata(out)
    assert not [name for name in metadata if "hash" in name]
    assert (metadata["modelspec.title"], metadata["modelspec.author"]) == ("A Mix without cat", "Somebody")


@pytest.mark.parametrize(
    ("part", "tensor"),
    [
        ("weight_scale", torch.tensor(2.0)),
        ("scale_weight", torch.tensor(2.0)),
        ("weight.absmax", torch.ones(4)),
        ("qzeros", torch.ones(4, dtype=torch.int32)),
    ],
)
def test_a_quantised_checkpoint_is_not_merged_into(model, eraser, refused, tmp_path, part, tensor):
    key = next(name for name in read_safetensors(model)[0] if name.endswith("attn2.to_k.weight"))
    words = with_metadata(model, tmp_path / "q.safetensors", {}, {f"{key.removesuffix('weight')}{part}": tensor})
    said = refused("export", eraser, *words, "--out", tmp_path / "out.safetensors")
    assert "is quantised" in said and part in said
    assert not (tmp_path / "out.safetensors").exists()


def test_weights_that_are_no_real_numbers_are_not_merged_into(model, eraser, refused, tmp_path):
    key, weight = next(item for item in read_safetensors(model)[0].items() if item[0].endswith("attn2.to_k.weight"))
    words = with_metadata(model, tmp_path / "q.safetensors", {}, {key: weight.to(torch.int8)})
    assert "torch.int8" in refused("export", eraser, *words, "--out", tmp_path / "out.safetensors")


def test_a_configuration_is_copied_byte_by_byte_and_replaces_no_other(model, eraser, run, refused, tmp_path):
    words, config = with_metadata(model, tmp_path / "mix.safetensors", {}), b"# caf\xe9 \xff\r\n"
    (tmp_path / "mix.yaml").write_bytes(config)
    (tmp_path / "out.yaml").write_bytes(b"mine")
    out = tmp_path / "out.safetensors"
    assert "another configuration" in refused("export", eraser, *words, "--out", out)
    assert (tmp_path / "out.yaml").read_bytes() == b"mine" and not out.exists()
    assert run("export", eraser, *words, "--overwrite", "--out", out)[0] == 0
    assert (tmp_path / "out.yaml").read_bytes() == config
    assert run("export", eraser, *words, "--out", out)[0] == 0


def test_a_checkpoint_without_these_layers(eraser, refused, tmp_path):
    words = ("--format", "checkpoint", "--checkpoint", eraser, "--out", tmp_path / "a.safetensors")
    assert "no counterpart" in refused("export", eraser, *words)
    assert list(tmp_path.iterdir()) == []
