"""vision-unlearning, in its own environment: its interface makes erasers, and its evaluator sees what they do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from interpreters import interpreter, run

from lora_unlearn import Adapter, UnlearnError
from lora_unlearn.plugins import unlearner

pytestmark = pytest.mark.thorough


def test_its_evaluator_sees_a_cat_go_and_the_others_stay(tmp_path):
    python = interpreter("VISION_UNLEARNING_PYTHON", "vision-unlearning")
    out, _ = run(python, str(Path(__file__).parent / "vision_run.py"), str(tmp_path))
    found = json.loads(out.splitlines()[-1])
    figures = {name.rpartition(" (")[0]: value for name, value in found["figures"].items()}
    assert found["is_unlearner"] and found["pictures"] == 4
    assert figures["ForgetSet clip score of original model mean"] > 0.5
    assert figures["ForgetSet clip score of unlearned model mean"] < 0.1
    assert figures["RetainSet clip score of unlearned model mean"] > 0.5
    assert figures["Runtime training seconds"] > 0 and figures["Gate open for the concept"] > 0.5
    assert Adapter.load(tmp_path / "cat.safetensors").concept.name == "cat"


def test_without_it_one_sentence_says_so():
    pytest.importorskip("pydantic")
    with pytest.raises(UnlearnError, match=r"is missing; docs/hosts\.md says how"):
        unlearner.LoraUnlearner  # noqa: B018
    with pytest.raises(AttributeError):
        unlearner.Another  # noqa: B018
