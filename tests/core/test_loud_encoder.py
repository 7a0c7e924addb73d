"""A second text encoder that is loud and means nothing to the network, as one of several may hardly be used."""

from __future__ import annotations

import copy
import zlib

import pytest
import torch
from torch.nn import Linear

from lora_unlearn import Concept, denoiser_for, erase, load_bank
from lora_unlearn.denoiser import Conditioning
from lora_unlearn.gate import rho
from lora_unlearn.look import decide_prompts

pytestmark = pytest.mark.thorough

WIDTH, LOUDNESS = 64, 30.0
ASKED = ["the cat sleeps", "a feline by the window", "a kitten in the park", "my small cat is here"]
OTHERS = ["a dog in the park", "the ship by the window", "a small red apple", "an old house on a hill", "a bird", ""]


@pytest.fixture(scope="module")
def denoiser(pipe):
    """The demo model whose keys and values also get what they do not read."""
    pipe = copy.copy(pipe)
    pipe.register_modules(unet=copy.deepcopy(pipe.unet))
    for name, module in pipe.unet.named_modules():
        if name.endswith("attn2"):
            for part in ("to_k", "to_v"):
                setattr(module, part, widened(getattr(module, part)))
    made = denoiser_for(pipe)
    plain = made.encode

    def encode(prompts):
        text = plain(prompts).tensors["text"]
        noise = torch.stack([noise_of(prompt, text.shape[1]) for prompt in prompts])
        return Conditioning({"text": torch.cat([text, LOUDNESS * text.square().mean().sqrt() * noise], dim=2)})

    made.encode = encode
    return made


def widened(layer):
    """A layer that reads a second encoder's components with weights near nothing."""
    wide = Linear(layer.in_features + WIDTH, layer.out_features, bias=False)
    with torch.no_grad():
        wide.weight[:, : layer.in_features] = layer.weight
        noise = torch.randn(layer.out_features, WIDTH, generator=torch.Generator().manual_seed(0))
        wide.weight[:, layer.in_features :] = 1e-4 / LOUDNESS * noise * layer.weight.std()
    return wide.requires_grad_(False)


def noise_of(prompt, length):
    """States that depend on the prompt and on nothing that it means."""
    return torch.randn(length, WIDTH, generator=torch.Generator().manual_seed(zlib.crc32(prompt.encode())))


@pytest.fixture(scope="module")
def adapters(pipe, denoiser):
    """The instant eraser of cats on the plain model and on the one with a second encoder."""
    return [erase(each, Concept("cat"), load_bank("demo"), "instant") for each in (denoiser_for(pipe), denoiser)]


@torch.no_grad()
def redirected(denoiser, adapter, prompt):
    """How much of the way to what takes the concept's place a prompt goes, in pure noise."""
    x, sigma = denoiser.initial_noise(4, torch.Generator().manual_seed(1)), denoiser.sigmas(1)[:1].expand(4)
    asked, instead = (denoiser.encode([text] * 4) for text in (prompt, prompt.replace("cat", adapter.instead)))
    base, reference = denoiser.predict(x, sigma, asked), denoiser.predict(x, sigma, instead)
    with adapter.lora.attached(denoiser.linears(adapter.settings.selector)), adapter.lora.rows(torch.ones(4)):
        change = denoiser.predict(x, sigma, asked) - base
    return float(rho(change, base, reference, adapter.settings.repulsion).mean())


def test_the_directions_are_those_of_the_encoder_that_is_used(pipe, denoiser, adapters):
    plain, loud = adapters
    assert loud.lora.rank == plain.lora.rank and loud.instead == plain.instead
    for prompt in ("the cat sleeps", "my small cat is here"):
        usual = redirected(denoiser_for(pipe), plain, prompt)
        assert usual > 0.4 and redirected(denoiser, loud, prompt) > 0.9 * usual


def test_the_gate_listens_to_it(denoiser, adapters):
    loud = adapters[1]
    assert all(decision.open for decision in decide_prompts(denoiser, loud, ASKED))
    assert not any(decision.open for decision in decide_prompts(denoiser, loud, OTHERS))
