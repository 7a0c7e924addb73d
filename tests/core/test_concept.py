"""What becomes of the user's words."""

from __future__ import annotations

import pytest

from lora_unlearn import Concept, UnlearnError
from lora_unlearn.concept import notices
from lora_unlearn.hosts.prompts import parse, plain


def test_every_word_is_practised_in_every_context():
    targets = [target for target, _ in Concept("cat", also=("kitten", " cat ")).pairs()]
    assert "a photo of a cat" in targets and "a photo of a kitten" in targets
    assert len(targets) == len(set(targets))
    assert targets[:4] == ["cat", "kitten", "a cat", "a kitten"]  # a training starts from the first few


def test_without_a_replacement_the_reference_is_the_empty_prompt():
    assert {reference for _, reference in Concept("cat").pairs()} == {""}


def test_a_replacement_takes_the_concepts_place():
    assert ("a photo of a cat", "a photo of a dog") in Concept("cat", replace_with="dog").pairs()


def test_an_attribute_goes_and_the_thing_stays():
    concept = Concept("red", of="apple")
    assert ("a photo of a red apple", "a photo of a apple") in concept.pairs()
    assert any("apple" in prompt and "red" not in prompt for prompt in concept.kept())


def test_of_a_style_the_subject_stays():
    concept = Concept("Van Gogh style")
    pairs = dict(concept.pairs())
    assert (pairs["a painting, Van Gogh style"], pairs["a photo in Van Gogh style"]) == ("a painting", "a photo")
    assert pairs["Van Gogh style"] == ""
    assert concept.beside(["a house"]) == [("a house, Van Gogh style", "a house")]


def test_beside_other_things_only_the_concept_goes():
    assert Concept("cat").beside(["a house"]) == [("a house and a cat", "a house")]
    assert Concept("red", of="apple").beside(["a house"]) == [("a house and a red apple", "a house and a apple")]


@pytest.mark.parametrize("name", ["miku (vocaloid)", r"miku \(vocaloid\)"])
def test_brackets_of_a_name_are_no_weights(name):
    concept = Concept(name, keep=("rin [kagamine]",))
    prompts = [prompt for pair in concept.pairs() for prompt in pair] + concept.kept() + [concept.probe]
    assert all(len(parse(prompt)) == 1 and parse(prompt)[0][1] == 1.0 for prompt in prompts)
    assert any("miku (vocaloid)" in plain(parse(prompt)) for prompt in prompts)


@pytest.mark.parametrize("name", ["", "   ", "\n"])
def test_an_empty_concept_is_refused(name):
    with pytest.raises(UnlearnError, match="The concept is empty"):
        Concept(name)


@pytest.mark.parametrize(
    "name", ["cat, dog", "cat,dog", "cat; dog", "cat and dog", "cat & dog", "cat/dog", "cat\u3001dog"]
)
def test_several_things_in_one_name_are_told_to_be_one_phrase(name):
    (said,) = notices(Concept(name), "stack them")
    assert said.startswith(f'"{name}" is taken as one phrase; ') and "an eraser for each and stack them" in said


@pytest.mark.parametrize("name", ["cat", "Van Gogh style", "red panda", "sand castle", "candy", "l'oeil", "t-shirt"])
def test_one_thing_needs_no_notice(name):
    assert notices(Concept(name, ("kitten", "tom cat"), "brandy", ("dog",), "apple")) == []


def test_other_words_are_told_to_be_one_phrase_too():
    said = notices(Concept("cat", ("kitten, tomcat",), "dog and cow", ("fox; wolf",)))
    assert [sentence.split('"')[1] for sentence in said] == ["dog and cow", "kitten, tomcat", "fox; wolf"]
    assert not any("an eraser for each" in sentence for sentence in said)


@pytest.mark.parametrize(
    ("name", "prompt", "named"),
    [
        ("bra", "um abra\u00e7o no bra\u00e7o", False),
        ("bra", "um bra\u0063\u0327o", False),
        ("caf", "a caf\u00e9 at night", False),
        ("cat", "\u4e00\u53eacat\u5728\u5e8a\u4e0a", True),
        ("cat", "concatenate", False),
        ("cat", "Cats!", True),
    ],
)
def test_a_word_is_a_whole_word_in_other_languages_too(name, prompt, named):
    assert Concept(name).named_in(prompt) is named
