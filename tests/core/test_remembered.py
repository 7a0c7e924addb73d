"""Prompts that are read once give what they gave when they were read anew."""

from __future__ import annotations

import torch

from lora_unlearn import Concept, denoiser_for, erase, load_bank
from lora_unlearn.remembered import RememberingDenoiser


def test_what_is_remembered_is_what_was_read(pipe):
    plain = denoiser_for(pipe)
    remembering, long = RememberingDenoiser(plain), " and ".join(["a cat"] * 60)
    for prompts in (["a cat", "a dog"], ["a dog", "a house", "a cat"], ["a house", long], [long, "a cat"], ["a cat"]):
        found, wanted = remembering.encode(prompts), plain.encode(prompts)
        for name, tensor in wanted.tensors.items():
            assert found.tensors[name].shape == tensor.shape
            assert torch.allclose(found.tensors[name], tensor, atol=1e-5)
    assert set(remembering.known) >= {"a cat", "a dog", "a house"}


def test_only_so_much_is_remembered(pipe):
    few = RememberingDenoiser(denoiser_for(pipe), room=1000)
    few.encode(["a cat"])
    assert few.known == {} and len(few.encode(["a cat", "a dog"])) == 2


def test_an_eraser_is_the_same(pipe):
    plain = erase(denoiser_for(pipe), Concept("ship"), load_bank("demo"), "instant")
    again = erase(RememberingDenoiser(denoiser_for(pipe)), Concept("ship"), load_bank("demo"), "instant")
    assert again.instead == plain.instead and abs(again.gate.text_open - plain.gate.text_open) < 1e-3
    for one, other in zip(plain.lora.parameters(), again.lora.parameters(), strict=True):
        assert torch.allclose(one, other, atol=2e-3)
