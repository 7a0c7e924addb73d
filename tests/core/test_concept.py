"""What becomes of the user's words."""

from __future__ import annotations

import pytest

from lora_unlearn import Concept, UnlearnError


def test_every_word_is_practised_in_every_context():
    targets = [target for target, _ in Concept("cat", also=("kitten", " cat ")).pairs()]
    assert "a photo of a cat" in targets and "a photo of a kitten" in targets
    assert len(targets) == len(set(targets))


def test_without_a_replacement_the_reference_is_the_empty_prompt():
    assert {reference for _, reference in Concept("cat").pairs()} == {""}


def test_a_replacement_takes_the_concepts_place():
    assert ("a photo of a cat", "a photo of a dog") in Concept("cat", replace_with="dog").pairs()


def test_an_attribute_goes_and_the_thing_stays():
    concept = Concept("red", of="apple")
    assert ("a photo of a red apple", "a photo of a apple") in concept.pairs()
    assert any("apple" in prompt and "red" not in prompt for prompt in concept.kept())


def test_a_style_is_practised_as_a_style():
    assert "a painting, Van Gogh style" in [target for target, _ in Concept("Van Gogh style").pairs()]


def test_beside_other_things_only_the_concept_goes():
    assert Concept("cat").beside(["a house"]) == [("a house and a cat", "a house")]


@pytest.mark.parametrize("name", ["", "   ", "\n"])
def test_an_empty_concept_is_refused(name):
    with pytest.raises(UnlearnError, match="The concept is empty"):
        Concept(name)
