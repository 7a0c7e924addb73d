"""eval-unlearn, in its own environment: it finds the plug-ins, runs them, and comes to our own figures."""

from __future__ import annotations

import pytest

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

from interpreters import interpreter, run

from benchmarks.evaluators import METRIC, TECHNIQUE, accuracies, compared


@pytest.fixture(scope="module")
def python():
    return interpreter("EVAL_UNLEARN_PYTHON", "eval-unlearn")


@pytest.mark.thorough
def test_it_lists_the_plug_ins_for_it_skips_those_that_fail(python):
    out, err = run(python, "-m", "eval_unlearn.cli", "plugins")
    techniques, _, metrics = out.partition("Metrics:")
    assert TECHNIQUE in techniques.split() and METRIC in metrics.split()
    assert f"Failed to load plugin {TECHNIQUE}" not in err and f"Failed to load plugin {METRIC}" not in err


@pytest.mark.thorough
def test_its_runner_comes_to_the_figures_of_evaluate_picture_by_picture(python, tmp_path):
    ours, theirs = compared(python, tmp_path, count=2, kept=2)
    assert [picture["gated"] for picture in ours] == theirs["details"]["seen"]
    assert accuracies(ours) == (theirs["details"]["ua_score"], theirs["details"]["ira_score"])
    assert any(picture["gated"] != picture["base"] for picture in ours)
    assert len(list(tmp_path.glob("results/*/images/*/*.png"))) == len(ours)
