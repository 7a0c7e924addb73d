"""The command line on a family with a language model: a folder of Z-Image, an eraser, pictures, another checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

pytest.importorskip("transformers")
pytest.importorskip("diffusers", minversion="0.42")

import tiny_language

from lora_unlearn.adapter import Adapter

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("z_image") / "model"
    tiny_language.new_pipeline("z_image").save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def other(folder):
    """Another checkpoint of the family."""
    pipe = tiny_language.new_pipeline("z_image")
    with torch.no_grad():
        for layer in pipe.transformer.context_refiner.parameters():
            layer.mul_(1.5)
    path = Path(folder).with_name("other")
    pipe.save_pretrained(path)
    return path


def test_erase_and_draw(folder, other, run, tmp_path):
    out = tmp_path / "cat.safetensors"
    words = ("--concept", "cat", "--replace-with", "dog", "--mode", "instant", "--resolution", 32, "--out", out)
    code, said, _ = run("erase", "--checkpoint", folder, *words)
    assert code == 0 and "from this z_image model" in said
    adapter = Adapter.load(out)
    assert (adapter.family, adapter.lora.names) == ("z_image", ["cap_embedder.1"])

    def draw(model, gate, *more):
        drawn = tmp_path / f"{model.name} {gate} {len(more)}"
        words = ("--prompt", "a photo of a cat", "--size", "32x32", "--steps", 2, *more)
        code, said, err = run("generate", "--checkpoint", model, *words, "--out", drawn)
        assert code == 0, err
        (entry,) = json.loads((drawn / "generate.json").read_text())["pictures"]
        return (drawn / entry["file"]).read_bytes(), entry, said + err

    plain, _, _ = draw(folder, "none")
    erased, entry, said = draw(folder, "auto", "--adapter", out)
    assert entry["gates"][0]["open"] and "another" not in said
    assert entry["evaluations"] == 2  # without guidance, as Z-Image-Turbo is drawn
    assert erased != plain
    closed, _, _ = draw(folder, "off", "--adapter", out, "--gate", "off")
    assert closed == plain
    before, _, _ = draw(other, "none")
    after, _, said = draw(other, "auto", "--adapter", out)
    assert "was measured on another z_image model" in said
    assert after != before
