"""Prompts that were mixed with the empty one come out whole; all others keep every bit."""

from __future__ import annotations

import torch

from lora_unlearn.denoiser import Conditioning
from lora_unlearn.weakened import restored


def rows(*texts, ragged=False, pooled=False):
    """Prompts of one length."""
    text = torch.stack(texts)
    return Conditioning({"text": text, **({"pooled": text.mean(dim=1)} if pooled else {})}, ragged)


def noise(length, seed):
    return torch.randn(length, 8, generator=torch.Generator().manual_seed(seed))


def test_a_mixture_comes_out_as_the_prompt_and_its_neighbours_keep_every_bit():
    empty, concept, other = noise(7, 0), noise(7, 1), noise(7, 2)
    asked = rows(0.1 * concept + 0.9 * empty, other, empty, pooled=True)
    found = restored(asked, rows(concept, pooled=True), rows(empty, pooled=True))
    torch.testing.assert_close(found.tensors["text"][0], concept, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.tensors["pooled"][0], concept.mean(dim=0), rtol=0, atol=1e-5)
    for name, tensor in asked.tensors.items():
        assert torch.equal(found.tensors[name][1:], tensor[1:])


def test_prompts_that_are_far_enough_are_the_same_object():
    asked = rows(noise(7, 3), noise(7, 4))
    assert restored(asked, rows(noise(7, 1)), rows(noise(7, 0))) is asked


def test_what_rounding_leaves_between_a_prompt_and_the_empty_one_is_not_blown_up():
    empty = noise(7, 0)
    asked = rows(empty, empty + 1e-3 * noise(7, 2))
    assert restored(asked, rows(noise(7, 1)), rows(empty)) is asked


def test_a_prompt_of_two_chunks_is_compared_chunk_by_chunk():
    empty, concept = noise(7, 0), noise(7, 1)
    long, blank = torch.cat([noise(7, 5), concept]), torch.cat([empty, empty])
    found = restored(rows(0.2 * long + 0.8 * blank), rows(concept), rows(empty))
    direction = torch.nn.functional.cosine_similarity(
        (found.tensors["text"][0] - blank).flatten(), (long - blank).flatten(), dim=0
    )
    assert float(direction) > 0.9999
    assert float((found.tensors["text"][0] - blank).norm()) > 4 * float((0.2 * (long - blank)).norm())


def test_padding_stays_silent_where_the_network_is_to_read_none():
    empty, concept = noise(2, 0), noise(5, 1)
    blank = torch.cat([empty, torch.zeros(3, 8)])
    short = torch.cat([0.1 * concept[:4] + 0.9 * blank[:4], torch.zeros(1, 8)])
    found = restored(rows(short, ragged=True), rows(concept, ragged=True), rows(empty, ragged=True))
    assert torch.equal(found.tensors["text"][0, 4], torch.zeros(8))
    assert float((found.tensors["text"][0, :4] - short[:4]).abs().max()) > 0.1


def test_half_precision_stays_half_precision():
    empty, concept = noise(7, 0).half(), noise(7, 1).half()
    found = restored(rows(0.1 * concept + 0.9 * empty), rows(concept), rows(empty))
    assert found.tensors["text"].dtype == torch.float16
    torch.testing.assert_close(found.tensors["text"][0], concept, rtol=0, atol=0.05)
