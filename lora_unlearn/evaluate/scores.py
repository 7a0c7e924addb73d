"""The figures of an evaluation: accuracies, their harmonic mean, ROC area, and honest intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..bounds import clopper_pearson

Values = Sequence[Sequence[float]]
"""One list of values for each prompt: pictures of one prompt are not independent, prompts are."""
CONFIDENCE = 0.95


def restricted(probabilities: Tensor, labels: Sequence[str], chosen: Sequence[str]) -> Tensor:
    """Probabilities (N, labels) over the chosen labels alone, (N, chosen), rows summing to one."""
    columns = probabilities[:, [list(labels).index(label) for label in chosen]]
    return columns / columns.sum(dim=1, keepdim=True).clamp_min(1e-12)


def harmonic(acc_e: float, acc_s: float, acc_g: float) -> float:
    """H = 3 / (1/(1 - Acc_e) + 1/Acc_s + 1/(1 - Acc_g)), 0 when a term is 0 (MACE, arXiv 2403.06135)."""
    terms = (1 - acc_e, acc_s, 1 - acc_g)
    return 0.0 if min(terms) <= 0 else 3 / sum(1 / term for term in terms)


def auc(positives: Sequence[float], negatives: Sequence[float]) -> float:
    """Area under the ROC curve: how often a positive score lies above a negative one, ties counted half.

    Raises:
        ValueError: if one of the two is empty.
    """
    ours, others = np.asarray(positives, dtype=float), np.sort(np.asarray(negatives, dtype=float))
    if not len(ours) or not len(others):
        raise ValueError("The ROC area needs scores of both kinds.")
    below, up_to = np.searchsorted(others, ours, "left"), np.searchsorted(others, ours, "right")
    return float((below + up_to).mean() / (2 * len(others)))


def bootstrap(
    groups: Sequence[Sequence[Sequence[Any]]],
    statistic: Callable[..., float],
    resamples: int = 1000,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of a statistic when the prompts, not the pictures, are drawn again with replacement.

    Args:
        groups: one for each argument of the statistic, each with at least one prompt; values may be pairs.
        statistic: takes the values of all drawn prompts, one array for each group.
    """
    rng = np.random.default_rng(seed)
    arrays = [[np.asarray(values, dtype=float) for values in group] for group in groups]
    found = []
    for _ in range(resamples):
        drawn = (rng.integers(len(group), size=len(group)) for group in arrays)
        found.append(statistic(*(np.concatenate([g[i] for i in d]) for g, d in zip(arrays, drawn, strict=True))))
    tail = (1 - confidence) / 2
    low, high = np.quantile(found, [tail, 1 - tail])
    return float(low), float(high)


def mean(prompts: Values) -> float | None:
    """The mean over all pictures; None without any."""
    values = [value for prompt in prompts for value in prompt]
    return sum(values) / len(values) if values else None


def share_interval(prompts: Values, confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """Interval of a share (values 0 or 1): the wider of the exact one over pictures and the bootstrap over prompts.

    The exact one (Clopper and Pearson) keeps its width where the bootstrap's vanishes, at 0 and 1 and for a
    single prompt; the bootstrap is wider where prompts differ. None without pictures.
    """
    values = [value for prompt in prompts for value in prompt]
    if not values:
        return None
    exact = clopper_pearson(round(sum(values)), len(values), confidence)
    resampled = bootstrap([prompts], lambda drawn: float(drawn.mean()), confidence=confidence)
    return min(exact[0], resampled[0]), max(exact[1], resampled[1])


def frechet(first: Tensor, second: Tensor) -> float:
    """Frechet distance between the normal distributions of two sets of features, as in FID (arXiv 1706.08500).

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) with means and unbiased covariances. With the centred features X1, X2
    the last trace is the sum of the singular values of X1 X2^T / sqrt((N-1)(M-1)), which needs no root of a matrix.

    Args:
        first, second: (N,F) and (M,F), N and M at least 2. Fewer pictures than features bias it upwards.
    """
    one, other = first.double(), second.double()
    centred = [features - features.mean(0) for features in (one, other)]
    scaled = [features / (len(features) - 1) ** 0.5 for features in centred]
    spread = sum(float(features.square().sum()) for features in scaled)
    common = float(torch.linalg.svdvals(scaled[0] @ scaled[1].T).sum())
    return max(0.0, float((one.mean(0) - other.mean(0)).square().sum()) + spread - 2 * common)
