"""Thresholds for the gate, from prompts without the concept (negatives) and with it (positives); see `bounds`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from .adapter import Adapter
from .bounds import FALSE_OPEN_RATE, check_enough, clopper_pearson, conformal_threshold, least
from .concept import Concept
from .denoiser import CHUNK, Denoiser, derivative
from .detectors import DETECTORS
from .errors import UnlearnError
from .gate import Gate, text_score_of_each
from .look import Asked, LookMode, share_of_text, with_look
from .sentences import sentences

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
    look: LookMode | None = None,
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
        look: who decides, for a gate that can read the text; default: as before. With a second look the bound is split
            between the two.

    Raises:
        UnlearnError: if there are too few negatives for the rate, or the gate can't read the text.
    """
    gate, positives = adapter.gate, list(positives or sentences(adapter.concept, negatives, denoiser.family))
    gate = replace(gate, judged=0, judged_open=0, heard=0, heard_open=0, shared_by=0)  # counted otherwise
    if gate.statistic in ("text", "look"):
        mode = look or gate.look_mode
        gate = replace(gate, statistic="text", look=None, look_shape=(), look_prompts=0, look_noises=2)
        share = share_of_text(mode, false_open_rate)
        check_enough(len(negatives), share)
        prompts = [*negatives, *positives]
        scores = text_scores(denoiser, gate, prompts, Count(len(prompts), report))
    elif look is not None:
        raise UnlearnError(
            "This eraser's gate watches pictures while they are drawn and can't read a prompt's text, so nobody can "
            "look a second time; make the eraser anew."
        )
    else:
        mode, share = "text", false_open_rate
        check_enough(len(negatives), share)
        index = probe_index(gate, steps)
        prompts = [*negatives, *positives]
        scores = measure(
            denoiser, adapter, prompts, [index], steps, guidance_scale, seed, report, statistics=(gate.statistic,)
        )[index][gate.statistic]
    closed, opened = scores[: len(negatives)], scores[len(negatives) :]
    gate = decided(gate, negatives, closed, opened, adapter.concept, share)
    asked = Asked(negatives, [adapter.concept.kept()], positives)
    found = with_look(denoiser, replace(adapter, gate=gate), asked, share, mode, report)
    return replace(found, false_open_rate=false_open_rate)


def decided(
    gate: Gate,
    negatives: Sequence[str],
    closed: Tensor,
    opened: Tensor,
    concept: Concept,
    false_open_rate: float = FALSE_OPEN_RATE,
    own: int = 0,
    lowest: float = -math.inf,
) -> Gate:
    """A gate with its threshold, from the scores of its negatives (N,) and positives (P,).

    The last `own` negatives are the user's: the bound holds for them by themselves, too. The threshold is not below
    `lowest`.

    Raises:
        UnlearnError: if there are too few negatives for the rate.
    """
    check_enough(len(negatives), false_open_rate)
    probed = gate.statistic != "text"  # pictures can look alike without meaning the same, so none is set aside
    meant = [] if probed else mentions(negatives, closed, opened, concept.kept(), least(false_open_rate))
    aside = set(meant)
    kept = torch.tensor([prompt not in aside for prompt in negatives])
    mine = kept & (torch.arange(len(negatives)) >= len(negatives) - own)
    bounds = [conformal_threshold(closed[group], false_open_rate) for group in (kept, mine) if group.any()]
    threshold = max(lowest, *bounds)
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


class Count:
    """Adds up prompts that are done and reports them."""

    def __init__(self, total: int, report: Callable[[int, int], None]) -> None:
        self.done, self.total, self.report = 0, total, report

    def __call__(self, more: int) -> None:
        """Note that `more` prompts are done; the total is an estimate, which `finish` brings to its end."""
        self.done = min(self.total, self.done + more)
        self.report(self.done, self.total)

    def finish(self) -> None:
        """Note that all are done."""
        self(self.total - self.done)


def text_scores(
    denoiser: Denoiser, gate: Gate, prompts: Sequence[str], count: Callable[[int], None] = lambda more: None
) -> Tensor:
    """The text scores of prompts, (len(prompts),); `count` hears how many more are done."""
    return text_scores_of_each(denoiser, [gate], prompts, count)[0]


def text_scores_of_each(
    denoiser: Denoiser, gates: Sequence[Gate], prompts: Sequence[str], count: Callable[[int], None] = lambda more: None
) -> Tensor:
    """The scores of prompts by each of some gates, (gates, len(prompts)): they are read once for all."""
    found = [torch.zeros(len(gates), 0)]
    for start in range(0, len(prompts), CHUNK):
        chunk = prompts[start : start + CHUNK]
        found.append(text_score_of_each(denoiser.encode(chunk), gates).cpu())
        count(len(chunk))
    return torch.cat(found, dim=1)


def mentions(
    negatives: Sequence[str], closed: Tensor, opened: Tensor, protected: Sequence[str], needed: int
) -> list[str]:
    """Negatives that score like the concept itself (kinds of it, other words for it), most suspect first.

    They count neither way, unless the user asked to keep them or too few negatives would be left.
    """
    like = float(opened.quantile(LIKE_THE_CONCEPT))
    scores, order = closed.sort(descending=True)
    found = [negatives[i] for i in order[scores >= like].tolist() if negatives[i] not in protected]
    return list(dict.fromkeys(found[: max(0, len(negatives) - needed)]))


def probe_index(gate: Gate, steps: int) -> int:
    """The step at which the gate probes in a run of `steps`."""
    return min(round(gate.step * steps), steps - 1)


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
    statistics: Sequence[str] = tuple(DETECTORS),
) -> dict[int, dict[str, Tensor]]:
    """Statistics of all prompts at some steps of their own base trajectories.

    Returns:
        For each index the scores of `DETECTORS` that were asked for, by name, each (len(prompts),).
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
                    found[index].append({name: DETECTORS[name](_RunView(run)) for name in statistics})
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

    def advance(self, sigma: Tensor, following: Tensor) -> None:
        guided = self.e_empty + self.scale * (self.e_prompt - self.e_empty)
        slope = derivative(self.x, self.sigma, guided, self.denoiser.prediction_type)
        self.x = self.x + slope * (following - sigma).to(self.x)


class _RunView:
    """The prompts at the present step of a run, as detectors see them (`detectors.View`)."""

    def __init__(self, run: _Run) -> None:
        self.run, self.adapter, self.asked = run, run.adapter, run.prompt
        self.prompt, self.empty = run.e_prompt, run.e_empty

    @cached_property
    def concept(self) -> Tensor:
        return self.run.denoiser.predict(self.run.x, self.run.sigma, self.run.concept)

    @cached_property
    def change(self) -> Tensor:
        with self.adapter.lora.rows(torch.ones(1)):
            return self.run.denoiser.predict(self.run.x, self.run.sigma, self.asked) - self.prompt
