"""Several erasers in one LoRA: the sum of their changes, layer by layer."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lora_unlearn import Adapter, Concept, Gate, Settings, UnlearnError
from lora_unlearn.adapter import KEY
from lora_unlearn.formats import from_stock, to_stock
from lora_unlearn.join import joined
from lora_unlearn.lora import Lora, LoraLayer

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


def test_what_cannot_be_joined():
    one, two = eraser("cat", 1, to_k=1), eraser("dog", 2, to_k=1)
    for parts, sentence in (
        ([one], "at least two"),
        ([one, replace(two, family="sdxl")], "different model families \\(sd1, sdxl\\)"),
        ([one, replace(two, partial=True)], "'dog' was not finished"),
    ):
        with pytest.raises(UnlearnError, match=sentence):
            joined([(adapter, 1.0) for adapter in parts])
