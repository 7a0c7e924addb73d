"""Measuring a gate anew with prompts of one's own."""

from __future__ import annotations

import shutil

import pytest

from lora_unlearn.adapter import Adapter


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "negatives.txt"
    path.write_text("a dog\n\na house\na red star\na tree\na fish\nthe moon\na boat\na truck\na key\n")
    return path


def test_a_copy_gets_the_new_gate(model, eraser, run, tmp_path, prompts):
    before, out = eraser.read_bytes(), tmp_path / "new.safetensors"
    words = ("--checkpoint", model, "--adapter", eraser, "--negatives", prompts, "--false-open-rate", 0.1)
    code, said, err = run("calibrate", *words, "--out", out)
    assert (code, err) == (0, "")
    assert "opens from a score" in said
    gate = Adapter.load(out).gate
    assert (gate.negatives, gate.false_open_rate) == (9, 0.1)
    assert gate.positives >= 10
    assert eraser.read_bytes() == before


def test_without_out_the_eraser_itself_gets_it(model, eraser, run, tmp_path, prompts):
    mine = tmp_path / "mine.safetensors"
    shutil.copy(eraser, mine)
    positives = tmp_path / "positives.txt"
    positives.write_text("a cat\nmy cat\n")
    words = ("--checkpoint", model, "--adapter", mine, "--negatives", prompts, "--false-open-rate", 0.1)
    code, _, _ = run("calibrate", *words, "--positives", positives)
    assert code == 0
    assert Adapter.load(mine).gate.positives == 2
    assert Adapter.load(mine).redirected == Adapter.load(eraser).redirected


def test_too_few_prompts_for_the_rate(model, eraser, refused, tmp_path, prompts):
    words = ("--checkpoint", model, "--adapter", eraser, "--negatives", prompts, "--out", tmp_path / "a.safetensors")
    assert "at least 99" in refused("calibrate", *words)
    assert not (tmp_path / "a.safetensors").exists()


def test_prompts_of_ones_own_stand_beside_the_usual_ones(model, eraser, run, refused, tmp_path, prompts):
    out = tmp_path / "new.safetensors"
    words = ("calibrate", "--checkpoint", model, "--adapter", eraser, "--out", out, "--false-open-rate", 0.1)
    code, _, _ = run(*words, "--negatives", prompts, "--bank", prompts)
    assert code == 0
    assert Adapter.load(out).gate.negatives == 18
    prompts.write_text("a cat\n")
    assert "asks for cat itself" in refused(*words, "--bank", prompts)


@pytest.mark.thorough
def test_a_second_look_is_taken_up_and_left_off(run, refused, eraser, model, tmp_path):
    made, careful = tmp_path / "made.safetensors", tmp_path / "careful.safetensors"
    assert run("erase", "--checkpoint", "demo", "--concept", "cat", "--mode", "instant", "--out", made)[0] == 0
    words = ("calibrate", "--checkpoint", "demo", "--false-open-rate", 0.1)
    code, said, _ = run(*words, "--adapter", made, "--out", careful, "--look", "careful")
    assert code == 0 and "second look: what the text leaves closed opens" in said
    assert Adapter.load(careful).gate.look_mode == "careful"
    said = run("try", "--checkpoint", "demo", "--adapter", careful, "--prompt", "a dog", "a cat")[1].splitlines()
    assert said[0].startswith("a dog: Stays closed") and said[1].startswith('a cat: Opens because of "cat"')
    code, _, _ = run(*words, "--adapter", careful, "--look", "text")
    assert code == 0 and Adapter.load(careful).gate.look is None
    said = refused("calibrate", "--checkpoint", model, "--adapter", eraser, "--look", "careful", "--out", careful)
    assert "can't read a prompt's text" in said
