"""What the model does not draw is not erased: the user is told at once, not after a training that achieved nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lora_unlearn import Concept, Settings, UnlearnError, denoiser_for, erase, load_bank
from lora_unlearn.demo.checkpoint import load_demo
from lora_unlearn.training.methods import INSTANT

FEW = Settings(iterations=1, batch=1)


@pytest.mark.parametrize(
    ("concept", "sentence"),
    [
        (Concept("xyzzy"), "hardly reacts to the concept"),
        (Concept("castle", replace_with="horse", keep=("ship",)), "hardly reacts to the concept"),
        (Concept("Van Gogh style"), "hardly (reacts to the concept|differs from what takes its place)"),
        (Concept("cat", replace_with="cat"), "hardly differs from what takes its place"),
    ],
)
@pytest.mark.parametrize("mode", ["fast", "instant"])
def test_what_the_model_does_not_draw_is_refused(pipe, concept, sentence, mode):
    updates = []
    with pytest.raises(UnlearnError, match=rf"nothing to erase: .*{sentence} \([0-5] %"):
        erase(denoiser_for(pipe), concept, load_bank("demo"), mode, FEW, save=updates.append)
    assert not updates


@pytest.mark.thorough
@pytest.mark.parametrize(
    "concept",
    [Concept("apple"), Concept("cat", replace_with="dog"), Concept("ink drawing style"), Concept("red", of="apple")],
    ids=lambda concept: concept.name,
)
def test_things_styles_and_attributes_that_it_draws_are_not(pipe, concept):
    adapter = erase(denoiser_for(pipe), concept, load_bank("demo"), settings=FEW)
    assert adapter.iterations == 1 and adapter.redirected is not None


@pytest.mark.thorough
def test_a_concept_that_is_gone_already_is_refused():
    """An eraser without repulsion merged for good: the prompt now does what no prompt does."""
    denoiser, bank = denoiser_for(load_demo()), load_bank("demo")
    settings = replace(INSTANT, gamma=0.0, reference="empty", selector="cross_kv", rank=8)
    parts = dict(erase(denoiser, Concept("truck"), bank, "instant", settings).lora.items())
    with torch.no_grad():
        for name, layer in denoiser.linears("cross_kv").items():
            layer.linear.weight += parts[name].scale * parts[name].up @ parts[name].down
    with pytest.raises(UnlearnError, match="nothing to erase"):
        erase(denoiser, Concept("truck"), bank, settings=FEW)
    assert erase(denoiser, Concept("dog"), bank, settings=FEW).iterations == 1
