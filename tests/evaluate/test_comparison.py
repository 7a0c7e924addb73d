"""Two erasers side by side, and the distance between sets of pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lora_unlearn.errors import UnlearnError
from lora_unlearn.evaluate.comparison import compare, paired_interval
from lora_unlearn.evaluate.counting import Counted
from lora_unlearn.evaluate.protocols import Measured
from lora_unlearn.evaluate.scores import frechet, share_interval


def of(*values):
    return Counted({(f"prompt {i}", 0): float(value) for i, value in enumerate(values)}, share_interval)


def rows(first, second):
    tree = [{"ua": {"base": of(0, 0, 0), "gated": of(*values)}} for values in (first, second)]
    return compare({"canvas": Measured(tree[0])}, {"canvas": Measured(tree[1]), "gate": Measured({})})


def test_the_difference_is_of_the_same_pictures():
    (found,) = rows([1, 1, 0], [1, 0, 0])
    assert (found["protocol"], found["figure"], found["pictures"]) == ("canvas", "ua", 3)
    assert found["difference"] == pytest.approx(-1 / 3)
    assert found["interval"][0] < found["difference"] < 0 < found["interval"][1]


def test_pictures_that_only_one_has_do_not_count():
    (found,) = rows([1, 1, 0], [0])
    assert found["pictures"] == 1 and found["first"] == 1 and found["second"] == 0


def test_equal_erasers_differ_by_nothing_that_is_sure():
    (found,) = rows([1] * 5, [1] * 5)
    assert found["difference"] == 0 and found["interval"][0] < -0.3 and found["interval"][1] > 0.3


def test_a_clear_difference_is_told_from_chance():
    low, high = paired_interval([[(1.0, 0.0)]] * 30)
    assert low == -1 and -1 < high < -0.7


def test_the_interval_covers_a_known_difference():
    """Of many pairs of shares that differ by 0.2, the interval holds that in nearly all cases."""
    dice, held = np.random.default_rng(0), 0
    for _ in range(25):
        first = dice.random(25) < 0.5
        second = np.where(first, dice.random(25) < 0.9, dice.random(25) < 0.5)
        low, high = paired_interval([[(float(a), float(b))] for a, b in zip(first, second, strict=True)])
        held += low <= 0.2 <= high
    assert held >= 23


def test_frechet_is_the_formula():
    torch.manual_seed(0)
    first, second = torch.randn(60, 5, dtype=torch.float64), torch.randn(40, 5, dtype=torch.float64) * 2 + 1
    covariances = [np.cov(features.numpy(), rowvar=False) for features in (first, second)]
    root = np.sqrt(np.linalg.eigvals(covariances[0] @ covariances[1]).real).sum()
    gap = float((first.mean(0) - second.mean(0)).square().sum())
    wanted = gap + np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * root
    assert frechet(first, second) == pytest.approx(wanted, rel=1e-9)
    assert frechet(first, first) == pytest.approx(0, abs=1e-9)


def test_frechet_is_what_torchmetrics_measures():
    fid = pytest.importorskip(
        "torchmetrics.image.fid", reason="torchmetrics is not installed: pip install torchmetrics"
    )

    class Means(torch.nn.Module):
        """A stand-in for Inception: 12 means of parts of a picture."""

        num_features = 12

        def forward(self, pictures):
            return torch.nn.functional.adaptive_avg_pool2d(pictures.float() / 255, 2).flatten(1)

    torch.manual_seed(0)
    sets = [torch.randint(low, 256, (50, 3, 299, 299), dtype=torch.uint8) for low in (0, 40)]
    metric = fid.FrechetInceptionDistance(feature=Means(), normalize=False)
    for pictures, real in zip(sets, (True, False), strict=True):
        metric.update(pictures, real=real)
    ours = frechet(*(Means()(pictures) for pictures in sets))
    assert ours == pytest.approx(float(metric.compute()), rel=1e-3)


def test_erasers_of_two_concepts_are_not_compared():
    from lora_unlearn.evaluate.comparison import check_comparable

    def made(name, model):
        return type("Made", (), {"concept": type("Named", (), {"name": name})(), "base_hash": model})()

    with pytest.raises(UnlearnError, match="different concepts"):
        check_comparable(made("cat", "a"), made("dog", "a"))
    with pytest.raises(UnlearnError, match="different models"):
        check_comparable(made("cat", "a"), made("Cat", "b"))
    check_comparable(made("cat", "a"), made("Cat", "a"))
