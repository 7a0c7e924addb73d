"""Thresholds for the gate, from prompts without the concept (negatives) and with it (positives).

The threshold is conformal: the ceil((n + 1)(1 - a))-th smallest of n negative scores lets a new prompt like
them open the gate with probability at most a, whatever the scores' distribution. So a = 1 % needs n >= 99.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from .adapter import Adapter
from .concept import Concept
from .denoiser import Denoiser, derivative
from .errors import UnlearnError
from .gate import Gate, kappa, raw, rho, text_score
from .sentences import sentences

CHUNK = 32
FALSE_OPEN_RATE = 0.01
"""The default bound on false openings: one ordinary prompt in a hundred."""
LIKE_THE_CONCEPT = 0.05
"""Quantile of the positives' scores from which up a prompt scores like the concept."""


def calibrate(
    denoiser: Denoiser,
    adapter: Adapter,
    negatives: Sequence[str],
    positives: Sequence[str] | None = None,
    false_open_rate: float = FALSE_OPEN_RATE,
    steps: int = 30,
    guidance_scale: float = 7.5,
    seed: int = 1,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Gate:
    """Measure the gate's statistic on prompts and choose its threshold.

    Args:
        denoiser: the model on which the gate will work.
        adapter: whose gate is calibrated; its own statistic and probe step are kept.
        negatives: prompts that must leave the gate closed; at least ceil(1 / false_open_rate) - 1.
        positives: prompts that must open it; default: `sentences` with the concept.
        false_open_rate: the guaranteed bound on false openings.
        steps, guidance_scale, seed: of the runs whose first steps are probed; every prompt has noise of its own.
        report: called with (prompts done, prompts in all).

    Raises:
        UnlearnError: if there are too few negatives for the rate.
    """
    check_enough(len(negatives), false_open_rate)
    gate, positives = adapter.gate, list(positives or sentences(adapter.concept, negatives, denoiser.family))
    prompts = [*negatives, *positives]
    if gate.statistic == "text":
        scores = text_scores(denoiser, gate, prompts)
        report(len(prompts), len(prompts))
    else:
        index = probe_index(gate, steps)
        table = measure(denoiser, adapter, prompts, [index], steps, guidance_scale, seed, report)
        scores = combine(table[index], gate.statistic)
    closed, opened = scores[: len(negatives)], scores[len(negatives) :]
    gate = replace(gate, judged=0, judged_open=0, heard=0, heard_open=0)  # counted with another threshold
    return decided(gate, negatives, closed, opened, adapter.concept, false_open_rate)


def least(false_open_rate: float) -> int:
    """How many negatives a bound needs: ceil(1 / rate) - 1."""
    return math.ceil(1 / false_open_rate) - 1


def check_enough(negatives: int, false_open_rate: float) -> None:
    """Refuse a calibration with too few negatives for its bound.

    Raises:
        UnlearnError: saying how many are needed.
    """
    if negatives < least(false_open_rate):
        raise UnlearnError(
            f"A false-open rate of {false_open_rate:g} needs at least {least(false_open_rate)} negative prompts, got "
            f"{negatives}."
        )


def decided(
    gate: Gate,
    negatives: Sequence[str],
    closed: Tensor,
    opened: Tensor,
    concept: Concept,
    false_open_rate: float = FALSE_OPEN_RATE,
    own: int = 0,
) -> Gate:
    """A gate with its threshold, from the scores of its negatives (N,) and positives (P,).

    The last `own` negatives are the user's: the bound holds for them by themselves, too.

    Raises:
        UnlearnError: if there are too few negatives for the rate.
    """
    check_enough(len(negatives), false_open_rate)
    probed = gate.statistic != "text"  # pictures can look alike without meaning the same, so none is set aside
    meant = [] if probed else mentions(negatives, closed, opened, concept.kept(), least(false_open_rate))
    aside = set(meant)
    kept = torch.tensor([prompt not in aside for prompt in negatives])
    mine = kept & (torch.arange(len(negatives)) >= len(negatives) - own)
    threshold = max(conformal_threshold(closed[group], false_open_rate) for group in (kept, mine) if group.any())
    hits = int((opened >= threshold).sum())
    low, high = clopper_pearson(hits, len(opened))
    band: dict[str, Any] = {} if probed else {"text_closed": threshold, "text_open": threshold}
    return replace(
        gate,
        threshold=threshold,
        false_open_rate=false_open_rate,
        negatives=int(kept.sum()),
        positives=len(opened),
        mentions=tuple(meant),
        true_open_rate=hits / len(opened),
        true_open_low=low,
        true_open_high=high,
        **band,
    )


def text_scores(
    denoiser: Denoiser, gate: Gate, prompts: Sequence[str], count: Callable[[int], None] = lambda more: None
) -> Tensor:
    """The text scores of prompts, (len(prompts),); `count` hears how many more are done."""
    found = []
    for start in range(0, len(prompts), CHUNK):
        chunk = prompts[start : start + CHUNK]
        found.append(text_score(denoiser.encode(chunk), gate).cpu())
        count(len(chunk))
    return torch.cat(found)


def mentions(
    negatives: Sequence[str], closed: Tensor, opened: Tensor, protected: Sequence[str], needed: int
) -> list[str]:
    """Negatives that score like the concept itself (kinds of it, other words for it), most suspect first.

    They count neither way, unless the user asked to keep them or too few negatives would be left.
    """
    like = float(opened.quantile(LIKE_THE_CONCEPT))
    order = [i for i in closed.argsort(descending=True).tolist() if closed[i] >= like and negatives[i] not in protected]
    return list(dict.fromkeys(negatives[i] for i in order[: max(0, len(negatives) - needed)]))


def probe_index(gate: Gate, steps: int) -> int:
    """The step at which the gate probes in a run of `steps`."""
    return min(round(gate.step * steps), steps - 1)


def combine(scores: dict[str, Tensor], statistic: str) -> Tensor:
    """The gate's score from the single statistics."""
    return (scores["kappa"] + scores["rho"]) / 2 if statistic == "both" else scores[statistic]


def conformal_threshold(negatives: Tensor, false_open_rate: float) -> float:
    """The smallest threshold with the guarantee above, just over the quantile's score."""
    rank = math.ceil((len(negatives) + 1) * (1 - false_open_rate))
    quantile = negatives.double().sort().values[min(rank, len(negatives)) - 1]
    return float(torch.nextafter(quantile.float(), torch.tensor(float("inf"))))


@torch.no_grad()
def measure(
    denoiser: Denoiser,
    adapter: Adapter,
    prompts: Sequence[str],
    indices: Sequence[int],
    steps: int,
    guidance_scale: float,
    seed: int,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> dict[int, dict[str, Tensor]]:
    """All statistics of all prompts at some steps of their own base trajectories.

    Returns:
        For each index "kappa", "rho", "raw" and "text", each (len(prompts),).
    """
    sigmas = denoiser.sigmas(steps)
    found: dict[int, list[dict[str, Tensor]]] = {index: [] for index in indices}
    with adapter.lora.attached(denoiser.linears(adapter.settings.selector)):
        for start in range(0, len(prompts), CHUNK):
            chunk = prompts[start : start + CHUNK]
            generator = torch.Generator().manual_seed(seed + start)
            run = _Run(denoiser, adapter, chunk, guidance_scale, generator)
            for index in range(max(indices) + 1):
                run.predict(sigmas[index])
                if index in found:
                    found[index].append(run.statistics())
                run.advance(sigmas[index], sigmas[index + 1])
            report(start + len(chunk), len(prompts))
    return {
        index: {name: torch.cat([part[name] for part in parts]).cpu() for name in parts[0]}
        for index, parts in found.items()
    }


class _Run:
    """A batch of base trajectories, one prompt each."""

    def __init__(
        self, denoiser: Denoiser, adapter: Adapter, prompts: Sequence[str], scale: float, generator: torch.Generator
    ) -> None:
        self.denoiser, self.adapter, self.scale = denoiser, adapter, scale
        rows = torch.zeros(len(prompts), dtype=torch.long)
        self.prompt = denoiser.encode(prompts)
        self.concept, self.blank = denoiser.encode([adapter.concept.probe])[rows], denoiser.encode([""])[rows]
        self.x = denoiser.initial_noise(len(prompts), generator)

    def predict(self, sigma: Tensor) -> None:
        self.sigma = sigma.expand(len(self.x)).to(self.x.device)
        self.e_prompt = self.denoiser.predict(self.x, self.sigma, self.prompt)
        self.e_empty = self.denoiser.predict(self.x, self.sigma, self.blank)

    def statistics(self) -> dict[str, Tensor]:
        e_concept = self.denoiser.predict(self.x, self.sigma, self.concept)
        with self.adapter.lora.rows(torch.ones(len(self.x))):
            change = self.denoiser.predict(self.x, self.sigma, self.prompt) - self.e_prompt
        return {
            "kappa": kappa(self.e_prompt, e_concept, self.e_empty),
            "rho": rho(change, e_concept, self.e_empty, self.adapter.settings.repulsion),
            "raw": raw(change),
            "text": text_score(self.prompt, self.adapter.gate),
        }

    def advance(self, sigma: Tensor, following: Tensor) -> None:
        guided = self.e_empty + self.scale * (self.e_prompt - self.e_empty)
        slope = derivative(self.x, self.sigma, guided, self.denoiser.prediction_type)
        self.x = self.x + slope * (following - sigma).to(self.x)


def clopper_pearson(hits: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact interval for a share (Clopper and Pearson 1934), by bisection on the binomial tails."""
    tail = (1 - confidence) / 2
    low = 0.0 if hits == 0 else _bisect(lambda p: 1 - _binomial_cdf(hits - 1, trials, p) < tail)
    high = 1.0 if hits == trials else _bisect(lambda p: _binomial_cdf(hits, trials, p) > tail)
    return low, high


def _bisect(below: Callable[[float], bool]) -> float:
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if below(middle) else (low, middle)
    return (low + high) / 2


def _binomial_cdf(hits: int, trials: int, p: float) -> float:
    if p <= 0 or p >= 1:
        return float(p <= 0 or hits >= trials)
    logs = [
        math.lgamma(trials + 1)
        - math.lgamma(k + 1)
        - math.lgamma(trials - k + 1)
        + k * math.log(p)
        + (trials - k) * math.log1p(-p)
        for k in range(hits + 1)
    ]
    return min(1.0, sum(math.exp(value) for value in logs))
