"""What an order's eraser is made with: the usual gamma is another one where nothing takes the concept's place."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lora_unlearn import Concept
from lora_unlearn.denoiser import Target, stored_hash, weights_hash
from lora_unlearn.erase import fitting
from lora_unlearn.order import Order
from lora_unlearn.training.methods import METHODS


@pytest.mark.parametrize(
    ("concept", "method", "asked", "made"),
    [
        (Concept("Van Gogh style"), "instant", {}, 1.0),
        (Concept("red", of="apple"), "robust", {}, 1.0),
        (Concept("cat"), "instant", {}, 0.5),
        (Concept("Van Gogh style", replace_with="watercolour style"), "instant", {}, 0.5),
        (Concept("Van Gogh style"), "instant", {"reference": "empty"}, 0.5),
        (Concept("Van Gogh style"), "fast", {"gamma": 0.2}, 0.2),
        (Concept("Van Gogh style"), "uce", {}, 0.0),
        (Concept("Van Gogh style"), "uce", {"gamma": 0.5}, 0.5),
    ],
)
def test_a_style_is_pushed_further_than_what_has_a_replacement(concept, method, asked, made):
    order = Order(concept, method, replace(METHODS[method].settings, **asked))
    assert fitting(order, "sd1").gamma == made


def test_a_training_goes_on_with_the_gamma_that_it_began_with(pipe):
    from lora_unlearn import denoiser_for, erase, load_bank

    few = replace(METHODS["fast"].settings, iterations=2, trajectories=2, trajectory_steps=2)
    asked = denoiser_for(pipe), Concept("ink drawing style"), load_bank("demo"), "fast", few
    begun = erase(*asked, stop=lambda: True)
    assert begun.partial and begun.settings.gamma == 1.0
    older = replace(begun, settings=replace(begun.settings, gamma=0.5))  # as earlier versions began
    assert [erase(*asked, resume=one, stop=lambda: True).settings.gamma for one in (begun, older)] == [1.0, 0.5]


@pytest.mark.parametrize("size", [1.0, 1e-3])
def test_a_checkpoint_has_one_name_in_every_precision(size):
    import torch

    weight = size * torch.randn(320, 768, generator=torch.Generator().manual_seed(0))
    assert weights_hash({"to_k": weight}) == weights_hash({"to_k": weight.half()})
    stored = weight.half()
    assert weights_hash({"to_k": stored}) == weights_hash({"to_k": stored.bfloat16()})
    assert weights_hash({"to_k": weight}) != weights_hash({"to_k": weight + size / 100})


def test_weights_that_a_host_keeps_apart_tell_the_checkpoint_unless_one_is_quantised():
    """Of a fused layer the rows that count are those of the part."""
    import torch
    from torch.nn import Linear

    fused = Linear(8, 6, bias=False)
    layers = {"to_k": Target(fused, slice(0, 3)), "to_v": Target(fused, slice(3, 6))}
    kept = torch.randn(6, 8)
    apart = {"to_k": kept[:3], "to_v": kept[3:]}
    assert stored_hash(dict.fromkeys(layers, kept), layers) == weights_hash(apart)
    assert stored_hash({"to_k": kept, "to_v": kept.to(torch.float8_e4m3fn)}, layers) == ""
    assert stored_hash({"to_k": kept, "to_v": None}, layers) == ""
