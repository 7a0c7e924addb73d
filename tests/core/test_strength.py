"""The smallest strength that still erases."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lora_unlearn import Concept, Eraser, denoiser_for, erase, load_bank
from lora_unlearn.bank import without_concept
from lora_unlearn.lora import Lora, LoraLayer
from lora_unlearn.strength import MOST, needed


@pytest.fixture(scope="module")
def solved(pipe):
    return erase(denoiser_for(pipe), Concept("cat"), load_bank("demo"), "instant")


@pytest.fixture(scope="module")
def bank(solved):
    return without_concept(load_bank("demo"), solved.concept)


def scaled(adapter, factor):
    layers = {name: LoraLayer(own.down, own.up * factor, own.scale) for name, own in adapter.lora.items()}
    return replace(adapter, lora=Lora(layers))


def test_a_weaker_eraser_needs_more_strength(pipe, solved, bank):
    denoiser = denoiser_for(pipe)
    found = needed(denoiser, solved, bank)
    assert 0.2 < found < 1.3 < needed(denoiser, scaled(solved, 0.5), bank)
    assert needed(denoiser, scaled(solved, 0.0), bank) == MOST  # what does nothing is never strong enough


@pytest.mark.thorough
def test_at_that_strength_the_concept_is_gone(pipe, solved, bank, draw, seen):
    eraser = Eraser(solved, needed(denoiser_for(pipe), solved, bank))
    assert "cat" not in seen(draw("a photo of a cat", 6, eraser))
