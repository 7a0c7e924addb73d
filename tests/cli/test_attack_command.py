"""Attacks from the command line: files, going on after a stop, and one sentence for what can't be."""

from __future__ import annotations

import json
import signal
from dataclasses import replace

import pytest
import torch
from processes import interrupt, start, wait_for

from lora_unlearn.commands.words.using import ATTACK_NAMES
from lora_unlearn.evaluate.attacks import ATTACKS
from lora_unlearn.gate import Gate, encode_direction
from lora_unlearn.written import Written, written

FAST = ("--steps", 2)


@pytest.fixture(scope="module")
def gated(adapter, tmp_path_factory):
    """The random eraser with a gate that reads the text and is calibrated, as far as its file says."""
    direction = encode_direction(torch.randn(80, generator=torch.Generator().manual_seed(0)))
    gate = Gate("text", 1e3, direction=direction, text_closed=1e3, text_open=1e3, false_open_rate=0.01)
    return replace(adapter, gate=gate).save(tmp_path_factory.mktemp("gated") / "cat.safetensors")


def words(model, gated, folder, *more):
    return ("attack", "--checkpoint", model, "--eraser", gated, *FAST, "--out", folder, *more)


def test_the_help_names_every_attack():
    assert tuple(ATTACKS) == ATTACK_NAMES


def test_a_run_goes_on_where_it_was(run, model, gated, tmp_path):
    folder = tmp_path / "new" / "attacked"
    code, out, err = run(*words(model, gated, folder, "--attack", "none,schedule", "--prompts", 1))
    assert (code, err) == (0, "")
    first = json.loads((folder / "attack.json").read_text())
    assert [found["attack"] for found in first["attempts"]] == ["none", "schedule"]
    assert "of 1 through (95 % interval" in out and "gate shut 1" in out
    run(*words(model, gated, folder, "--attack", "none,negative", "--prompts", 2))
    second = json.loads((folder / "attack.json").read_text())
    assert second["attempts"][:2] == first["attempts"]
    assert [(found["attack"], found["index"]) for found in second["attempts"][2:]] == [
        ("negative", 0), ("none", 1), ("negative", 1),
    ]  # fmt: skip
    assert {row["attack"]: row["through"]["of"] for row in second["summary"]} == {
        "none": 2,
        "schedule": 1,
        "negative": 2,
    }
    assert len(list(folder.glob("*.png"))) == 5 * 3
    assert written(folder / "attack.json") == Written("attacks", "cat")
    assert "trials got through" in (folder / "attack.html").read_text()


def test_other_settings_are_not_mixed(run, refused, model, gated, tmp_path):
    run(*words(model, gated, tmp_path, "--attack", "none", "--prompts", 1))
    again = words(model, gated, tmp_path, "--attack", "none", "--prompts", 1, "--seed", 5)
    assert "another seed (0, now 5)" in refused(*again)
    assert run(*again, "--overwrite")[0] == 0
    assert json.loads((tmp_path / "attack.json").read_text())["settings"]["seed"] == 5


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--attack", "ringabel"), "no attack 'ringabel'; the nearest name is 'ringabell'"),
        (("--budget", 0), "0 is not allowed"),
        (("--prompts", 0), "0 is not allowed"),
        (("--attack", "img2img"), "img2img: The model draws no cat by itself"),
    ],
)
def test_what_can_not_be_is_said_in_a_sentence(refused, model, gated, tmp_path, more, said):
    assert said in refused(*words(model, gated, tmp_path, *more))


def test_a_gate_that_nobody_measured_a_strength_of_nothing_and_a_plain_lora(refused, model, eraser, gated, tmp_path):
    assert "never calibrated" in refused(*words(model, eraser, tmp_path))
    assert "strength 0" in refused(*words(model, f"{gated}:0", tmp_path))
    assert "demo.safetensors" in refused(*words(model, model, tmp_path))


def test_what_the_judge_does_not_know(refused, model, adapter, gated, tmp_path):
    gate = type(adapter).load(gated).gate
    concept = type(adapter.concept)("zebra")
    path = replace(adapter, gate=gate, concept=concept).save(tmp_path / "zebra.safetensors")
    assert "judge does not know 'zebra'" in refused(*words(model, path, tmp_path / "out"))


def test_a_file_of_the_users_own_is_left_alone(refused, model, gated, tmp_path):
    (tmp_path / "attack.json").write_text('{"mine": 1}')
    assert "was not made by this program" in refused(*words(model, gated, tmp_path))
    assert (tmp_path / "attack.json").read_text() == '{"mine": 1}'


@pytest.mark.thorough
def test_trials_outlive_an_interrupt(model, gated, run, tmp_path):
    some = ("--attack", "none,negative,schedule", "--prompts", 500)
    process = start(*words(model, gated, tmp_path, *some))
    wait_for(tmp_path / "attack.json", process)
    code, out, err = interrupt(process, signal.SIGINT)
    assert (code, err) == (130, "") and "of 1500 trials are done; the same command goes on." in out
    kept = json.loads((tmp_path / "attack.json").read_text())["attempts"]
    assert kept and (tmp_path / "attack.html").is_file()
    count = 1 + kept[-1]["index"]
    assert run(*words(model, gated, tmp_path, "--attack", "none,negative,schedule", "--prompts", count))[0] == 0
    found = json.loads((tmp_path / "attack.json").read_text())["attempts"]
    assert found[: len(kept)] == kept and len(found) == 3 * count
