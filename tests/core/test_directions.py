"""The closed form moves the concept's tokens and nobody else's."""

from __future__ import annotations

import torch

from lora_unlearn import Concept, denoiser_for, load_bank
from lora_unlearn.directions import discriminant, energy, factors, token_edit
from lora_unlearn.gate import Gate, encode_direction, text_score
from lora_unlearn.moments import tokens
from lora_unlearn.training.prompts import encode


def moved(edit, conditioning):
    """How far the edit moves each prompt's tokens at most, as a share of the token's length."""
    text = conditioning.tensors["text"].float()
    return ((text @ edit).norm(dim=-1) / text.norm(dim=-1)).amax(1)


def test_the_edit_moves_the_concept_and_pins_the_empty_prompt(pipe):
    denoiser = denoiser_for(pipe)
    prompts = encode(denoiser, Concept("cat"), load_bank("demo")[:200])
    edit, _ = token_edit(*prompts.text_pairs, energy(tokens(prompts.keep)), prompts.empty)
    concept = moved(edit, denoiser.encode(["a nice small cat", "the feline"])).min()
    assert concept > 2 * moved(edit, denoiser.encode(["a ship", "my own guitar", "a clipart of a tiger"])).max()
    assert concept > 20 * moved(edit, prompts.empty).max()


def test_a_full_rank_factorisation_is_the_edit_itself():
    edit = torch.randn(12, 12, generator=torch.Generator().manual_seed(0))
    down, rest = factors(edit, 12)
    assert torch.allclose(down.T @ rest, edit, atol=1e-5)
    assert torch.allclose(down.norm(dim=1), torch.ones(12), atol=1e-5)


def test_the_gates_direction_survives_its_way_into_the_file(pipe):
    denoiser = denoiser_for(pipe)
    prompts = encode(denoiser, Concept("cat"), load_bank("demo")[:200])
    direction = discriminant(prompts.text_pairs[0], prompts.keep, prompts.empty)[0]
    gate = Gate.from_dict(Gate(direction=encode_direction(direction)).to_dict())
    rows = denoiser.encode(["a cat", "a house"])
    expected = (rows.tensors["text"].float() @ direction).amax(1)
    assert torch.equal(text_score(rows, gate), expected)
    assert expected[0] > expected[1] + 1
