"""Scores against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from lora_unlearn.evaluate.scores import auc, bootstrap, harmonic, mean, restricted, share_interval


def test_harmonic_gives_the_published_figure():
    assert harmonic(0.0269, 0.9898, 0.0273) == pytest.approx(0.9785, abs=5e-5)  # UnGuide's airplane: 97.85


def test_harmonic_by_hand():
    assert harmonic(0.5, 1.0, 0.5) == pytest.approx(3 / (2 + 1 + 2))
    assert harmonic(0.0, 1.0, 0.0) == 1.0


@pytest.mark.parametrize("terms", [(1.0, 1.0, 0.0), (0.0, 0.0, 0.0), (0.0, 1.0, 1.0)])
def test_harmonic_is_nothing_when_a_term_is(terms):
    assert harmonic(*terms) == 0.0


def test_auc_by_hand():
    assert auc([3, 4], [1, 2]) == 1.0
    assert auc([1, 2], [3, 4]) == 0.0
    assert auc([1, 3], [2, 2]) == 0.5
    assert auc([2, 3], [1, 2]) == (2 * 1.5 + 2 * 2) / 8  # 2 ties with 2: half


def test_auc_orders_infinities():
    assert auc([math.inf, 0.3], [-math.inf, 0.1]) == 1.0


def test_auc_needs_both_kinds():
    with pytest.raises(ValueError, match="both kinds"):
        auc([], [1.0])


def test_restricted_labels_sum_to_one():
    found = restricted(torch.tensor([[0.2, 0.5, 0.3]]), ("a", "b", "c"), ("c", "a"))
    assert found.tolist() == [pytest.approx([0.6, 0.4])]


def test_an_interval_at_zero_keeps_its_width():
    low, high = share_interval([[0.0] * 30])
    assert low == 0.0
    assert high == pytest.approx(1 - 0.025 ** (1 / 30), abs=1e-6)  # Clopper and Pearson's closed form at 0


def test_prompts_that_differ_widen_the_interval():
    alike = share_interval([[0.0, 1.0] * 10 for _ in range(8)])
    apart = share_interval([[0.0] * 20] * 4 + [[1.0] * 20] * 4)
    assert apart[1] - apart[0] > 1.5 * (alike[1] - alike[0])


def test_the_bootstrap_draws_prompts_not_pictures():
    drawn = set()
    bootstrap([[[1.0] * 5, [0.0] * 5]], lambda values: drawn.add(float(values.mean())) or values.mean(), resamples=200)
    assert drawn == {0.0, 0.5, 1.0}


def test_the_bootstrap_repeats():
    groups = [[[0.0, 1.0], [1.0], [0.0]]]
    assert bootstrap(groups, lambda v: v.mean()) == bootstrap(groups, lambda v: v.mean())


def test_nothing_measured_is_none():
    assert mean([]) is None
    assert share_interval([]) is None
    assert mean([[1.0, 0.0], [0.0, 0.0]]) == 0.25
