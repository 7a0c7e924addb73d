"""What takes a concept's place, and an adapter in units of the model at hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from lora_unlearn import Concept, Settings, denoiser_for, erase, load_bank, replacement
from lora_unlearn.bank import without_concept
from lora_unlearn.directions import energy, enough_factors
from lora_unlearn.erase import PRESETS, keeping
from lora_unlearn.moments import tokens
from lora_unlearn.replacement import neighbours
from lora_unlearn.training.prompts import encode
from lora_unlearn.training.scene import Scene
from lora_unlearn.training.starts import STARTS


@pytest.mark.parametrize("word", ["cat", "ship", "frog"])
def test_the_nearest_other_thing_is_one_that_the_model_draws(pipe, word):
    from lora_unlearn.demo.words import THINGS

    bank = without_concept(load_bank("demo"), Concept(word))
    found = neighbours(denoiser_for(pipe), Concept(word), bank)
    assert found.instead in THINGS and found.instead != word and found.nearest == found.instead


@pytest.mark.parametrize("concept", [Concept("ink drawing style"), Concept("red", of="apple")])
def test_a_style_and_an_attribute_have_their_sentence_without_it(pipe, concept):
    assert neighbours(denoiser_for(pipe), concept, load_bank("demo")) == ("", "")


@pytest.mark.thorough
def test_the_file_says_what_is_drawn_instead(pipe, tmp_path):
    from lora_unlearn import Adapter

    few = Settings(iterations=1, trajectories=2, trajectory_steps=2)
    denoiser, bank = denoiser_for(pipe), load_bank("demo")
    found = erase(denoiser, Concept("cat"), bank, settings=few)
    assert found.instead and found.concept.replace_with == ""
    assert erase(denoiser, Concept("cat", replace_with="house"), bank, settings=few).instead == "house"
    assert erase(denoiser, Concept("cat"), bank, settings=replace(few, reference="empty")).instead == ""
    assert Adapter.load(found.save(tmp_path / "cat.safetensors")).instead == found.instead


def test_scaled_directions_answer_in_the_models_own_units(pipe):
    denoiser = denoiser_for(pipe)
    prompts, targets = encode(denoiser, Concept("cat"), ["a house", "a tree"]), denoiser.linears("cross_v")
    scene = Scene(denoiser, prompts, targets, Settings(rank=64), torch.Generator().manual_seed(0))
    lora, text = STARTS["scaled"]()(scene), tokens(prompts.text_pairs[0])
    for name, layer in lora.items():
        assert (text @ layer.down.T).square().mean().sqrt().item() == pytest.approx(1, rel=0.3)
        own = (text @ targets[name].weight.T).square().mean().sqrt().item()
        assert layer.scale == pytest.approx(own, rel=1e-4) and not layer.up.any()


def test_the_concept_is_practised_alone_and_beside_other_things(pipe):
    denoiser, bank = denoiser_for(pipe), ["a house", "two trees"]
    practised = encode(denoiser, Concept("cat", replace_with="dog"), bank).practised()
    rows = ["a house and a cat", "two trees and a cat"], ["a house and a dog", "two trees and a dog"]
    for found, prompts in zip((practised.target, practised.reference), rows, strict=True):
        assert len(found) == 4
        assert torch.allclose(found.tensors["text"][1::2], denoiser.encode(prompts).tensors["text"], atol=1e-5)
    for found, word in ((practised.target, "cat"), (practised.reference, "dog")):
        alone = denoiser.encode([word, f"a {word}"]).tensors["text"]
        assert torch.allclose(found.tensors["text"][::2], alone, atol=1e-5)


def test_selective_directions_answer_the_concept_and_hardly_anything_else(pipe):
    denoiser = denoiser_for(pipe)
    prompts = encode(denoiser, Concept("cat"), load_bank("demo")[:200])
    generator = torch.Generator().manual_seed(0)
    scene = Scene(denoiser, prompts, denoiser.linears("cross_v"), Settings(rank=16), generator)
    new = denoiser.encode(["a picture of one ship", "my own guitar", "the old house by the tree"])
    for start, most in (("scaled", None), ("selective", 0.5)):
        lora = STARTS[start]()(scene)
        answers = [
            sum(float((tokens(rows) @ layer.down.T).square().mean().sqrt()) for _, layer in lora.items())
            / len(lora.names)
            for rows in (prompts.text_pairs[0], new)
        ]
        assert answers[0] == pytest.approx(1, rel=0.3)
        assert answers[1] < most if most else answers[1] > 0.8


def test_the_closed_form_takes_as_few_directions_as_keep_its_effect():
    generator = torch.Generator().manual_seed(0)
    left, right = torch.randn(3, 24, generator=generator), torch.randn(3, 24, generator=generator)
    edit = (torch.linalg.qr(left.T)[0] * torch.tensor([[10.0, 8.0, 0.1]])) @ torch.linalg.qr(right.T)[0].T
    text, weight = torch.randn(50, 24, generator=generator), torch.eye(24)
    down, rest = enough_factors(edit, 16, energy(text), weight.T @ weight)
    assert len(down) == 2
    effect, kept = text @ edit @ weight.T, text @ down.T @ rest @ weight.T
    assert (effect - kept).square().sum() <= 0.05 * effect.square().sum()


def test_what_is_erased_already_takes_nobodys_place(pipe):
    few = Settings(iterations=1, trajectories=2, trajectory_steps=2)
    denoiser, bank = denoiser_for(pipe), load_bank("demo")
    first = erase(denoiser, Concept("cat"), bank, "instant").instead
    second = erase(denoiser, Concept("cat", avoid=(first,)), bank, settings=few).instead
    assert second and second != first


@pytest.mark.thorough
@pytest.mark.parametrize("further", [{"avoid": ("dog",)}, {"replace_with": "house"}])
def test_the_nearest_thing_stays_closed_whatever_takes_the_place(pipe, further, tmp_path):
    """A second look took a dog for a cat where the dog was not what the cat became."""
    from lora_unlearn import Adapter
    from lora_unlearn.look import decide_prompts

    denoiser, chosen = denoiser_for(pipe), PRESETS["thorough"]
    found = erase(denoiser, Concept("cat", **further), load_bank("demo"), chosen.mode, promise=chosen.promise)
    assert found.instead != "dog" and found.nearest == "dog"
    found = Adapter.load(found.save(tmp_path / "cat.safetensors"))
    asked = [f"a {kind} of a {thing}" for thing in ("dog", "cat") for kind in ("photo", "picture", "drawing")]
    assert [decision.open for decision in decide_prompts(denoiser, found, asked)] == [False] * 3 + [True] * 3
    assert "dog" in keeping(found).keep


def test_what_takes_a_place_is_drawn_with_like_force(pipe, monkeypatch):
    """By the text encoder alone a cat would become a star, an emblem to which the network reacts far harder."""
    denoiser, concept = denoiser_for(pipe), Concept("cat")
    bank = without_concept(load_bank("demo"), concept)
    x = denoiser.initial_noise(8, torch.Generator().manual_seed(0))
    sigma = denoiser.sigmas(2)[0].expand(8)

    @torch.no_grad()
    def force(prompt):
        said, blank = (denoiser.predict(x, sigma, denoiser.encode([text])[[0] * 8]) for text in (prompt, ""))
        return (said - blank).square().mean().item()

    def unlike():
        return abs(
            math.log(force(f"a photo of a {neighbours(denoiser, concept, bank).instead}") / force(concept.probe))
        )

    today = unlike()
    monkeypatch.setattr(replacement, "UNLIKE", 0.0)
    assert today < unlike() / 2
