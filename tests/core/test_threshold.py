"""The guarantee behind the threshold, and the interval beside the true-open rate."""

from __future__ import annotations

import pytest
import torch

from lora_unlearn import UnlearnError, calibrate, denoiser_for
from lora_unlearn.bounds import clopper_pearson, conformal_threshold


@pytest.mark.parametrize("count,rate", [(99, 0.01), (143, 0.01), (19, 0.05), (200, 0.1)])
def test_new_negatives_open_at_most_at_the_rate(count, rate):
    """Over many calibrations, a fresh draw exceeds the threshold about as often as promised, never much more."""
    generator = torch.Generator().manual_seed(0)
    draws = torch.randn(4000, count + 1, generator=generator).exp()
    opened = [bool(row[-1] >= conformal_threshold(row[:-1], rate)) for row in draws]
    assert sum(opened) / len(opened) <= rate + 3 * (rate / len(opened)) ** 0.5


def test_the_threshold_lies_just_above_the_worst_of_99():
    scores = torch.linspace(0, 1, 99)
    assert 1.0 < conformal_threshold(scores, 0.01) < 1.0001


@pytest.mark.parametrize("hits,trials,low,high", [(30, 30, 0.8843, 1.0), (0, 10, 0.0, 0.3085), (8, 10, 0.4439, 0.9748)])
def test_clopper_pearson_matches_published_values(hits, trials, low, high):
    assert clopper_pearson(hits, trials) == pytest.approx((low, high), abs=2e-4)


def test_too_few_negatives_are_refused(pipe, cat):
    with pytest.raises(UnlearnError, match="at least 99 negative prompts, got 3"):
        calibrate(denoiser_for(pipe), cat, ["a house", "a tree", "a ship"])


def test_the_demo_erasers_gate_opens_for_its_concept(cat):
    assert cat.gate.negatives >= 99
    assert cat.gate.true_open_rate >= 0.95
    assert cat.gate.text_closed == cat.gate.text_open == cat.gate.threshold
