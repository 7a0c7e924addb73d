"""What is asked: the published prompts, and sentences that nothing else knows."""

from __future__ import annotations

import pytest

from lora_unlearn.bank import load_bank
from lora_unlearn.concept import OBJECT_CONTEXTS, STYLE_CONTEXTS, Concept
from lora_unlearn.demo.bank import PATTERNS
from lora_unlearn.demo.judge import LABELS
from lora_unlearn.demo.words import SINGLE_TEMPLATES, THINGS
from lora_unlearn.errors import UnlearnError
from lora_unlearn.evaluate.prompts import CLASSES, HELD_OUT, HYPONYMS, NEIGHBOURS, UNRELATED, unguide_protocol


def test_the_published_prompts():
    protocol = unguide_protocol("cat")
    assert [prompt.text for prompt in protocol.of("target")] == ["a photo of the cat"]
    assert {prompt.text for prompt in protocol.of("synonym")} == {
        "a photo of the feline", "a photo of the kitty", "a photo of the housecat",
    }  # fmt: skip
    assert [prompt.wanted for prompt in protocol.of("other")] == [name for name in CLASSES if name != "cat"]
    assert protocol.labels == tuple(CLASSES)
    assert protocol.of("object") == []


def test_held_out_sentences_are_nobodys():
    used = {*SINGLE_TEMPLATES, *OBJECT_CONTEXTS, *STYLE_CONTEXTS, *PATTERNS}
    assert not used & set(HELD_OUT)
    assert len(set(HELD_OUT)) == len(HELD_OUT)


@pytest.mark.parametrize("concept", CLASSES)
@pytest.mark.parametrize("family", ["demo", "sd1"])
def test_no_paraphrase_trains_or_calibrates(concept, family):
    known = {prompt for prompt, _ in Concept(concept).pairs()} | set(load_bank(family))
    protocol = unguide_protocol(concept, LABELS)
    assert not known & {prompt.text for prompt in protocol.of("paraphrase", "ordinary", "synonym")}


@pytest.mark.parametrize("concept", CLASSES)
def test_enough_unrelated_prompts_for_a_false_open_rate(concept):
    protocol = unguide_protocol(concept, LABELS)
    texts = [prompt.text for prompt in protocol.prompts]
    assert len(set(texts)) == len(texts)
    assert len(protocol.of(*UNRELATED)) >= 370


def test_a_hyponym_counts_neither_way():
    protocol = unguide_protocol("bird", LABELS)
    assert [prompt.wanted for prompt in protocol.of("hyponym")] == ["penguin"]
    assert "penguin" not in {prompt.wanted for prompt in protocol.of(*UNRELATED)}
    assert "penguin" in {prompt.wanted for prompt in unguide_protocol("cat", LABELS).of("object")}


def test_the_demo_judge_knows_every_word():
    assert all(synonyms <= {word.text for word in THINGS[name].words} for name, synonyms in _sets(CLASSES))
    assert {word for table in (NEIGHBOURS, HYPONYMS) for words in table.values() for word in words} <= set(LABELS)


def _sets(table):
    return [(name, set(words)) for name, words in table.items()]


def test_pairs_ask_in_both_orders():
    texts = [prompt.text for prompt in unguide_protocol("cat", LABELS).of("pair")]
    assert "a cat and a house" in texts
    assert "a house and a cat" in texts


def test_words_of_ones_own():
    protocol = unguide_protocol("tiger", LABELS, synonyms=("big cat",), paraphrases=0)
    assert [prompt.text for prompt in protocol.of("synonym")] == ["a photo of the big cat"]
    assert protocol.labels == (*CLASSES, "tiger")
    assert protocol.of("paraphrase", "ordinary") == []


def test_an_unknown_concept_is_one_sentence():
    with pytest.raises(UnlearnError, match="does not know 'unicorn'"):
        unguide_protocol("unicorn", LABELS)
    with pytest.raises(UnlearnError, match="No synonyms of 'tiger'"):
        unguide_protocol("tiger", LABELS)
