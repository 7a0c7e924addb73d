"""Several erasers in one file, by a method's name."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from processes import start

from lora_unlearn.adapter import KEY, Adapter
from lora_unlearn.concept import Concept
from lora_unlearn.files import read_metadata, read_safetensors
from lora_unlearn.formats import from_diffusers, from_stock
from lora_unlearn.lora import Lora, LoraLayer
from lora_unlearn.merging import MERGES, merge_of


@pytest.fixture(scope="module")
def other(adapter, tmp_path_factory):
    """The file of a second eraser: fewer directions, other values."""
    draws = torch.Generator().manual_seed(9)
    layers = {
        name: LoraLayer(layer.down[:1], torch.randn(len(layer.up), 1, generator=draws), 0.5)
        for name, layer in adapter.lora.items()
    }
    second = replace(adapter, lora=Lora(layers), concept=Concept("dog"))
    return second.save(tmp_path_factory.mktemp("other") / "dog.safetensors")


def changes(lora):
    return {name: (layer.scale * layer.up @ layer.down).detach() for name, layer in lora.items()}


def alike(found, wanted):
    """Every layer but for half precision."""
    found, wanted = changes(found), changes(wanted)
    return found.keys() == wanted.keys() and all(
        (found[name] - wanted[name]).norm() < 2e-3 * wanted[name].norm() for name in wanted
    )


def parts(eraser, other, *strengths):
    return [(Adapter.load(file).lora, strength) for file, strength in zip((eraser, other), strengths, strict=True)]


@pytest.mark.parametrize("method", MERGES)
def test_the_file_holds_what_the_method_makes(method, eraser, other, run, tmp_path):
    out = tmp_path / "both.safetensors"
    code, said, err = run("merge", eraser, other, "--method", method, "--strength", 1, "0.5", "--out", out)
    assert (code, err) == (0, "")
    tensors, metadata = read_safetensors(out)
    wanted = merge_of(method)(parts(eraser, other, 1.0, 0.5))
    assert alike(from_stock(tensors, wanted.names, "demo"), wanted)
    assert KEY not in metadata and metadata["modelspec.title"] == "Erase cat, dog"
    assert f"rank {metadata['ss_network_dim']}: load it as an ordinary LoRA" in said


def test_options_and_the_other_format(eraser, other, run, tmp_path):
    out = tmp_path / "both.safetensors"
    words = ("--method", "dare", "--rank", 4, "--density", 0.3, "--seed", 7, "--format", "diffusers")
    assert run("merge", eraser, other, *words, "--out", out)[0] == 0
    wanted = merge_of("dare", rank=4, density=0.3, seed=7)(parts(eraser, other, 1.0, 1.0))
    assert alike(from_diffusers(read_safetensors(out)[0]), wanted)


def test_one_concept_is_named_once(adapter, eraser, run, tmp_path):
    second = replace(adapter, settings=replace(adapter.settings, seed=1)).save(tmp_path / "second.safetensors")
    out = tmp_path / "cat.safetensors"
    assert run("merge", eraser, second, "--method", "soup", "--out", out)[0] == 0
    assert read_metadata(out)["modelspec.title"] == "Erase cat"
    assert run("merge", eraser, second, "--method", "negmerge", "--out", out)[0] == 0


def test_only_an_older_file_of_the_same_erasers_is_replaced(eraser, other, run, refused, tmp_path):
    out = tmp_path / "both.safetensors"
    for _ in range(2):
        assert run("merge", eraser, other, "--out", out)[0] == 0
    assert "several erasers in one LoRA for 'cat, dog'" in refused("merge", eraser, eraser, "--out", out)
    assert run("merge", eraser, eraser, "--overwrite", "--out", out)[0] == 0
    assert "the file to read from" in refused("merge", eraser, other, "--out", eraser)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--method", "tise"), "called 'tise'; the nearest name is 'ties'."),
        (("--method", "soup", "--density", "0.5"), "soup takes no density, ties and dare would"),
        (("--seed", "1"), "stack takes no seed, dare would"),
        (("--strength", "1"), "There are 2 erasers and 1 strengths"),
        (("--density", "0"), "--density: 0.0 is not allowed"),
        (("--rank", "0"), "--rank: 0 is not allowed"),
    ],
)
def test_what_cannot_be_meant(words, said, eraser, other, refused, tmp_path):
    assert said in refused("merge", eraser, other, *words, "--out", tmp_path / "a.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_one_eraser_alone(eraser, refused, tmp_path):
    assert "at least two" in refused("merge", eraser, "--out", tmp_path / "a.safetensors")


def test_as_a_process(eraser, other, tmp_path):
    process = start("merge", eraser, other, "--method", "ties", "--out", tmp_path / "both.safetensors")
    out, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, "") and "is written" in out
    process = start("merge", eraser, tmp_path / "nothing.safetensors", "--out", tmp_path / "a.safetensors")
    _, err = process.communicate(timeout=300)
    assert process.returncode == 1 and "nothing.safetensors" in err and err.count("\n") == 1
