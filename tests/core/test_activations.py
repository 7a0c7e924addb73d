"""Offloading changes where activations are kept, and nothing else."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import Linear

from lora_unlearn import Concept, Settings, denoiser_for, erase, load_bank
from lora_unlearn.activations import offloaded, private_copies, scaled_backward

pytestmark = pytest.mark.thorough


class InPlace(nn.Module):
    """Changes a tensor that autograd has kept, as some hosts' networks do."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.full((3,), 2.0), requires_grad=False)

    def forward(self, x):
        y = x * self.weight
        z = y.square()
        y += 1
        return z + y


@pytest.mark.parametrize("way", ["offloaded", "private", "both"])
def test_a_network_may_change_its_activations_in_place(way):
    network, x = InPlace(), torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    with pytest.raises(RuntimeError, match="inplace"):
        torch.autograd.backward(network(x).sum())
    with offloaded() if way == "offloaded" else private_copies(network):
        out = network(x)
    if way == "both":
        with offloaded(), private_copies(network):
            out = network(x)
    torch.autograd.backward(out.sum())
    assert torch.equal(x.grad, 8 * x + 2)


def test_a_training_with_offloading_gives_the_same_adapter(pipe):
    small = {"iterations": 3, "batch": 2, "trajectories": 2, "trajectory_steps": 2}
    made = [
        erase(denoiser_for(pipe), Concept("dog"), load_bank("demo"), settings=Settings(offload=offload, **small)).lora
        for offload in (False, True)
    ]
    for (name, first), (_, second) in zip(made[0].items(), made[1].items(), strict=True):
        assert torch.allclose(first.up, second.up, rtol=2e-3, atol=1e-4), name


def test_gradients_survive_a_network_in_half_precision():
    layer = Linear(4, 4, bias=False).half().requires_grad_(False)
    up, x = nn.Parameter(torch.zeros(4, 2)), torch.randn(4096, 4, generator=torch.Generator().manual_seed(0))

    def loss(network):
        return (network(1e-4 * (x + x[:, :2] @ up.T)).float() - 1e-3).square().mean()

    scaled_backward(loss(lambda value: layer(value.half())), [up])
    half, up.grad = up.grad, None
    torch.autograd.backward(loss(lambda value: value @ layer.weight.float().T))
    assert (half - up.grad).norm() < 0.01 * up.grad.norm()
