"""Asking an eraser's gate about prompts, without drawing anything."""

from __future__ import annotations

import json

import pytest


@pytest.fixture(scope="module")
def cat(tmp_path_factory):
    """An eraser of cats for the demo model."""
    from lora_unlearn.cli import main

    out = tmp_path_factory.mktemp("tried") / "cat.safetensors"
    words = ("erase", "--checkpoint", "demo", "--concept", "cat", "--mode", "instant", "--out", str(out))
    assert main(words) == 0
    return out


def test_prompts_are_answered_in_words(cat, run):
    code, said, err = run("try", "--checkpoint", "demo", "--adapter", cat, "--prompt", "a kitten on a sofa", "a dog")
    assert (code, err) == (0, "")
    first, second = said.splitlines()
    assert first == 'a kitten on a sofa: Opens because of "kitten": the concept will be erased.'
    assert second.startswith("a dog: Stays closed")


def test_the_call_of_a_network_is_no_word(cat, run):
    words = ("--prompt", "a dog", "--prompt", "a dog <lora:cat_v2:0.8>", "--prompt", "a cat <lora:dog:1>")
    _, said, _ = run("try", "--checkpoint", "demo", "--adapter", cat, *words)
    note, plain, tagged, other = said.splitlines()
    assert note == "Note: no networks are called by prompts here; left out: <lora:cat_v2:0.8>, <lora:dog:1>."
    assert "Stays closed" in plain and "Stays closed" in tagged
    assert "Opens" in other


def test_programs_get_the_scores(cat, run):
    words = ("--json", "--prompt", "a cat", "--prompt", "a dog")
    _, said, _ = run("try", "--checkpoint", "demo", "--adapter", cat, *words)
    opened, closed = json.loads(said)
    assert (opened["open"], opened["word"], closed["open"]) == (True, "cat", False)
    assert opened["score"] >= opened["threshold"] > closed["score"]
    assert "".join(text for text, _ in opened["parts"]) == "a cat"


def test_a_gate_that_looks_at_pictures_cannot_be_asked(model, eraser, refused):
    said = refused("try", "--checkpoint", model, "--adapter", eraser, "--prompt", "a cat")
    assert "looks at the picture" in said


def test_an_unfinished_eraser_is_told_of(model, adapter, refused, tmp_path):
    from dataclasses import replace

    path = replace(adapter, partial=True).save(tmp_path / "begun.safetensors")
    assert "not finished" in refused("try", "--checkpoint", model, "--adapter", path, "--prompt", "a cat")
