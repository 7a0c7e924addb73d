"""Ordinary prompts that ask for the concept by another name do not hold its eraser back."""

from __future__ import annotations

import pytest

from lora_unlearn import Concept, UnlearnError, denoiser_for, erase, load_bank
from lora_unlearn.bank import Parts
from lora_unlearn.namesakes import without_namesakes
from lora_unlearn.training.prompts import encode

ORDINARY = Parts.of(load_bank("demo")).without(Concept("cat")).shape[:60]
NAMES = ["a photo of a kitten", "the nice kitten", "a painting of a feline"]


def left_out(pipe, concept, keep):
    denoiser = denoiser_for(pipe)
    prompts = encode(denoiser, concept, keep)
    left = without_namesakes(denoiser, concept, prompts)
    assert len(left.keep) == len(left.kept) and [prompt for prompt in prompts.kept if prompt in left.kept] == [
        *left.kept
    ]
    for row, prompt in enumerate(left.kept):
        before = prompts.keep[[prompts.kept.index(prompt)]].tensors["text"]
        assert left.keep[[row]].tensors["text"].equal(before)
    return [prompt for prompt in prompts.kept if prompt not in left.kept]


def test_another_name_of_the_concept_is_nothing_to_keep(pipe):
    assert left_out(pipe, Concept("cat"), [*ORDINARY[:30], *NAMES, *ORDINARY[30:]]) == NAMES


@pytest.mark.parametrize("name", ["cat", "ship", "frog"])
def test_of_other_things_none_is_left_out(pipe, name):
    ordinary = Parts.of(load_bank("demo")).without(Concept(name)).shape[:200]
    assert left_out(pipe, Concept(name), ordinary) == []


def test_what_the_user_keeps_stays(pipe):
    concept = Concept("cat", keep=("kitten",))
    assert left_out(pipe, concept, [*ORDINARY, *NAMES[2:]]) == NAMES[2:]


def test_beside_a_style_everything_stays(pipe):
    keep = [*ORDINARY, "a cat in clipart style", "an ink drawing of a cat"]
    assert left_out(pipe, Concept("clipart style"), keep) == []


def test_a_word_that_means_nothing_is_refused_whatever_else_means_nothing(pipe):
    """To a model that reads no Chinese all of it is alike, and what is taken for a name must not hide that."""
    with pytest.raises(UnlearnError, match="nothing to erase"):
        erase(denoiser_for(pipe), Concept("\u732b"), load_bank("demo"), "instant")
