"""Prompts of several lengths in one tensor: what a network is shown of them, and in which order it answers."""

from __future__ import annotations

import torch

from lora_unlearn.denoiser import Conditioning
from lora_unlearn.padding import by_length, lengths, padded


def some(*counts):
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(count, 3, generator=generator) + 0.1 for count in counts]


def test_a_network_sees_every_prompt_at_its_own_length_and_answers_in_order():
    texts, seen = some(2, 4, 2, 3), []
    text = padded(texts, 8)
    assert text.shape == (4, 8, 3) and lengths(text) == [2, 4, 2, 3]

    def ask(rows, length):
        seen.append((rows.tolist(), length))
        return text[rows, :length].sum(dim=1)

    answers = by_length(text, ask)
    assert seen == [([0, 2], 2), ([1], 4), ([3], 3)]
    assert torch.equal(answers, torch.stack([own.sum(dim=0) for own in texts]))


def test_zeros_that_a_host_adds_itself_stay():
    text = padded(some(2, 6), 8)
    assert lengths(text, least=4) == [4, 6]
    assert lengths(torch.zeros(1, 5, 3)) == [1]


def test_conditionings_of_several_lengths_are_joined():
    tensors = [{"text": padded([own]), "pooled": torch.ones(1, 2)} for own in some(2, 3)]
    short, long = (Conditioning(own, ragged=True) for own in tensors)
    both = Conditioning.cat([short, long])
    assert both.tensors["text"].shape == (2, 3, 3) and both.tensors["pooled"].shape == (2, 2)
    assert torch.equal(both.tensors["text"][0, :2], short.tensors["text"][0])
    assert not both.tensors["text"][0, 2].any()
