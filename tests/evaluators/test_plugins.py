"""What an evaluator's run file may say, and what comes of it, without the evaluator."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

from lora_unlearn import UnlearnError
from lora_unlearn.plugins.metric import JudgedAccuracy
from lora_unlearn.plugins.technique import LoraUnlearnTechnique
from lora_unlearn.plugins.unlearner import concepts_of

CAT = str(Path(__file__).parents[1] / "erasers" / "version-1.safetensors")
USUAL = {"checkpoint": "demo", "device": "cpu", "num_inference_steps": 2, "erase_concept": "cat", "use_fp16": True}


def technique(**config):
    return LoraUnlearnTechnique(**USUAL | config)


def drawn(prompts, **config):
    return [np.asarray(image) for image in technique(**config).generate(prompts, 0)]


def test_each_prompt_of_a_call_has_the_next_seed_whatever_the_batch():
    prompts, seeded = ["a cat", "a dog", "a ship"], technique(batch=2, seed=3)
    plain, again = seeded.generate(prompts, seed=3), seeded.generate(prompts)
    assert [image.tobytes() for image in plain] == [image.tobytes() for image in again]
    (alone,) = seeded.generate(["a ship"], seed=5)
    assert np.array_equal(plain[2], alone)
    (longer,) = seeded.generate(["a ship"], seed=5, num_inference_steps=3)
    assert not np.array_equal(alone, longer)


@pytest.mark.thorough
def test_gate_and_strength_are_as_the_run_file_says():
    prompts = ["a cat", "a dog"]
    (cat, dog), (no_cat, same_dog) = drawn(prompts), drawn(prompts, adapter=[CAT])
    assert not np.array_equal(cat, no_cat) and np.array_equal(dog, same_dog)
    assert not np.array_equal(drawn(prompts, adapter=CAT, gate="on")[1], dog)
    for off in ({"gate": "off"}, {"strength": 0}):
        assert np.array_equal(drawn(prompts, adapter=CAT, **off)[0], cat)
    (half,) = drawn(["a cat"], adapter=f"{CAT}:0.5")
    assert not np.array_equal(half, no_cat) and np.array_equal(half, drawn(["a cat"], adapter=CAT, strength=0.5)[0])


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"checkpoint": ""}, 'a folder, a file, or "demo"'),
        ({"gate": True}, '"auto", "on" or "off"'),
        ({"strength": "much"}, "a number"),
        ({"batch": 0}, "a whole number from 1 up"),
        ({"seed": 0.5}, "a whole number"),
        ({"dtype": "int8"}, "float32, float16 or bfloat16"),
        ({"adapter": "nowhere.safetensors"}, "nowhere.safetensors"),
    ],
)
def test_a_run_file_that_cannot_be_meant_gets_one_sentence(wrong, words):
    with pytest.raises(UnlearnError, match=words):
        technique(**wrong)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "could not be read"),
        ("prompt,concept\n", "holds no prompts"),
        ("text,label\na cat,cat\n", 'needs the columns "prompt" and "concept"'),
        ("prompt,concept\na dog,dog\n", "No prompt in .* is for 'cat'"),
        ("prompt,concept\na cat,cat\na gnu,gnu\n", "knows no 'gnu'"),
    ],
)
def test_prompts_that_the_metric_cannot_use_get_one_sentence(text, words, tmp_path):
    file = tmp_path / "prompts.csv"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    with pytest.raises(UnlearnError, match=words):
        JudgedAccuracy(prompts_path=str(file), target_concept="cat")


def test_an_unlearners_concepts_are_listed_as_in_its_own():
    asked = SimpleNamespace(edit_concepts="cat; ship", guide_concepts="dog", preserve_concepts="tiger;lion")
    cat, ship = concepts_of(asked)
    assert (cat.name, cat.replace_with, cat.keep, cat.avoid) == ("cat", "dog", ("tiger", "lion"), ("ship",))
    assert (ship.name, ship.replace_with, ship.avoid) == ("ship", "dog", ("cat",))
    asked.guide_concepts = "dog;boat;house"
    with pytest.raises(UnlearnError, match="write one, or as many"):
        concepts_of(asked)
    asked.edit_concepts = " ; "
    with pytest.raises(UnlearnError, match="is empty"):
        concepts_of(asked)
