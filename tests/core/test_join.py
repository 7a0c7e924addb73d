"""Several erasers in one LoRA: the sum of their changes, layer by layer."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lora_unlearn import Adapter, Concept, Gate, Settings, UnlearnError
from lora_unlearn.adapter import KEY
from lora_unlearn.formats import from_stock, to_stock
from lora_unlearn.join import concepts_of, joined
from lora_unlearn.lora import Lora, LoraLayer
from lora_unlearn.merging import MERGES

BLOCK = "down_blocks.0.attentions.0.transformer_blocks.0.attn2."


def eraser(name, seed, **ranks):
    draws = torch.Generator().manual_seed(seed)
    layers = {
        BLOCK + part: LoraLayer(
            torch.randn(rank, 6, generator=draws), torch.randn(8, rank, generator=draws), 0.5 + seed
        )
        for part, rank in ranks.items()
    }
    return Adapter(Lora(layers), Concept(name), Settings(), Gate(), "sd1", "0" * 16)


def change(lora, part):
    layer = dict(lora.items())[BLOCK + part]
    return (layer.scale * layer.up @ layer.down).detach()


def test_changes_add_up_times_their_strengths():
    one, two = eraser("cat", 1, to_k=1, to_v=2), eraser("dog", 2, to_v=3)
    lora, metadata = joined([(one, 1.0), (two, -0.5)])
    assert torch.allclose(change(lora, "to_k"), change(one.lora, "to_k"), atol=1e-5)
    assert torch.allclose(change(lora, "to_v"), change(one.lora, "to_v") - 0.5 * change(two.lora, "to_v"), atol=1e-5)
    stored = from_stock(to_stock(lora, "sd1"), lora.names, "sd1")
    assert torch.allclose(change(stored, "to_v"), change(lora, "to_v"), atol=0.05)
    assert metadata["modelspec.title"] == "Erase cat, dog" and metadata["ss_network_dim"] == "5"
    assert KEY not in metadata


def test_several_trainings_of_one_concept_are_named_once():
    seeds = [(eraser("cat", seed, to_k=1), 1.0) for seed in (1, 2, 3)]
    lora, metadata = joined(seeds, "soup")
    assert metadata["modelspec.title"] == "Erase cat" and metadata["ss_network_dim"] == str(lora.rank) == "3"
    assert "drawing cat; without a gate, merged by soup." in metadata["modelspec.description"]
    assert concepts_of([eraser("cat", 1, to_k=1), eraser("dog", 2, to_k=1)]) == "cat, dog"
    of = [replace(eraser("red", 1, to_k=1), concept=Concept("red", of=thing)) for thing in ("apple", "apple", "car")]
    assert concepts_of(of) == "red of apple, red of car"


def test_the_methods_options_are_passed_on():
    parts = [(eraser("cat", 1, to_k=2), 1.0), (eraser("dog", 2, to_k=2), 1.0)]
    lora, _ = joined(parts, "dare", rank=3, density=0.5, seed=4)
    again, _ = joined(parts, "dare", rank=3, density=0.5, seed=4)
    other, _ = joined(parts, "dare", rank=3, density=0.5, seed=5)
    assert lora.rank == 3
    assert torch.equal(change(lora, "to_k"), change(again, "to_k"))
    assert not torch.allclose(change(lora, "to_k"), change(other, "to_k"), atol=0.1)


@pytest.mark.parametrize("method", MERGES)
def test_strength_0_leaves_an_eraser_out(method):
    one, two, three = (eraser(name, seed, to_k=1) for seed, name in enumerate(("cat", "dog", "frog"), 1))
    lora, metadata = joined([(one, 1.0), (two, 0.0), (three, 1.0)], method)
    assert metadata["modelspec.title"] == "Erase cat, frog"
    without = MERGES[method]([(one.lora, 1.0), (three.lora, 1.0)])
    assert torch.allclose(change(lora, "to_k"), change(without, "to_k"), atol=1e-5)


def test_all_strengths_are_0():
    parts = [(eraser("cat", 1, to_k=1), 0.0), (eraser("dog", 2, to_k=1), 0.0)]
    with pytest.raises(UnlearnError, match="All strengths are 0"):
        joined(parts)


def test_layers_of_other_sizes():
    wide = Lora({BLOCK + "to_k": LoraLayer(torch.ones(1, 5), torch.ones(8, 1), 1.0)})
    parts = [(eraser("cat", 1, to_k=1), 1.0), (replace(eraser("dog", 2, to_k=1), lora=wide), 1.0)]
    with pytest.raises(UnlearnError, match=r"to_k has the shape \(8, 6\) in one eraser and \(8, 5\) in that for 'dog'"):
        joined(parts)


def test_what_cannot_be_joined():
    one, two = eraser("cat", 1, to_k=1), eraser("dog", 2, to_k=1)
    for parts, sentence in (
        ([one], "at least two"),
        ([one, replace(two, family="sdxl")], "different model families \\(sd1, sdxl\\)"),
        ([one, replace(two, partial=True)], "'dog' was not finished"),
    ):
        with pytest.raises(UnlearnError, match=sentence):
            joined([(adapter, 1.0) for adapter in parts])
