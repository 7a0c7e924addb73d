"""What the tests of pipelines share: a picture, an adapter of random values, and what a network is made of."""

from __future__ import annotations

from contextlib import contextmanager

import tiny
import torch

from lora_unlearn.adapter import Adapter
from lora_unlearn.concept import Concept
from lora_unlearn.denoiser import base_hash
from lora_unlearn.gate import Gate, encode_direction
from lora_unlearn.lora import new_lora
from lora_unlearn.settings import Settings

STEPS = 3
OPEN_TO_ALL = Gate(text_open=float("-inf"))


def draw(pipe, prompts=("a cat", "a dog"), **options):
    generators = [torch.Generator().manual_seed(seed) for seed in range(len(prompts))]
    height, width = tiny.SIZE
    return pipe(
        prompt=list(prompts), height=height, width=width, num_inference_steps=STEPS, generator=generators,
        output_type="pt", **{"guidance_scale": 3.5, **options},
    ).images  # fmt: skip


@contextmanager
def listening(network):
    """Notes what the pipeline asks of its network, and what it gets."""
    calls, plain = [], network.forward

    def forward(*args, **kwargs):
        out = plain(*args, **kwargs)
        calls.append((args, kwargs, out[0]))
        return out

    network.forward = forward
    yield calls
    del network.forward


def random_adapter(denoiser, selector="cross_kv", gate=OPEN_TO_ALL, size=0.3):
    lora = new_lora(denoiser.linears(selector), 2, 1.0, torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(2)
    for _, layer in lora.items():
        layer.up.data = torch.randn(layer.up.shape, generator=generator) * size
    return Adapter(lora, Concept("cat"), Settings(selector=selector), gate, denoiser.family, base_hash(denoiser))


def fingerprint(network):
    return {name: dict(module.__dict__) for name, module in network.named_modules()}


def same_modules(before, network):
    """Every module has the attributes that it had, the very same objects."""
    after = fingerprint(network)
    return before.keys() == after.keys() and all(
        before[name].keys() == after[name].keys() and all(before[name][key] is after[name][key] for key in after[name])
        for name in after
        for key in after[name]
        if not isinstance(after[name][key], int | float | bool)
    )


def gate_of(denoiser, wanted="a cat", other="a dog"):
    """A gate that opens for one prompt and stays closed for another."""
    texts = denoiser.encode([wanted, other]).read.float()
    change = texts[0] - texts[1]
    scores = (texts @ change.T).amax(dim=1)  # of the two, by the change of each token
    direction = change[(scores[0] - scores[1]).argmax()]
    high, low = (texts @ direction).amax(dim=1).tolist()
    assert high > low
    middle = (high + low) / 2
    return Gate("text", middle, direction=encode_direction(direction), text_closed=middle, text_open=middle)
