"""How well the gate decides, what it leaves untouched, and what it costs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from .counting import by_prompt, gated, identical_share, share
from .prompts import UNRELATED, WITH_CONCEPT
from .record import Evaluation, Shot
from .scores import auc, bootstrap, mean, share_interval


def integrity(evaluation: Evaluation) -> dict[str, Any]:
    """Byte-identity of the pictures whose gate stayed closed, and of all unrelated pictures."""
    closed = [shot for shot in evaluation.shots if not shot.decision.open and shot.compared]
    unrelated = [shot for shot in evaluation.of(*UNRELATED) if shot.compared]
    return {
        "identical_share": share(closed, lambda shot: float(shot.gated.identical)),
        "closed": len(closed),
        "unrelated_identical_share": identical_share(evaluation, gated),
        "unrelated": len(unrelated),
    }


def gate(evaluation: Evaluation) -> dict[str, Any]:
    """How well the gate told prompts with the concept from unrelated ones."""
    asked, unrelated = evaluation.of(*WITH_CONCEPT), evaluation.of(*UNRELATED)
    opened = [by_prompt(shots, lambda shot: float(bool(shot.decision.open))) for shots in (asked, unrelated)]
    by = Counter(shot.decision.by or "undecided" for shot in evaluation.shots)
    stage = "probe" if by["probe"] else "text"
    ranks = [
        by_prompt([s for s in shots if s.decision.score is not None], lambda shot: rank(shot, stage))
        for shots in (asked, unrelated)
    ]
    thresholds = {shot.decision.threshold for shot in evaluation.shots if shot.decision.by == stage}
    return {
        "tpr": mean(opened[0]),
        "tpr_interval": share_interval(opened[0]),
        "positives": len(asked),
        "fpr": mean(opened[1]),
        "fpr_interval": share_interval(opened[1]),
        "negatives": len(unrelated),
        "auc": auc(*(np.concatenate(values) for values in ranks)) if all(ranks) else None,  # type: ignore[arg-type]
        "auc_interval": bootstrap(ranks, auc) if all(ranks) else None,
        "threshold": thresholds.pop() if len(thresholds) == 1 else None,
        "decided_by": by,
        "stage": stage,
        "scores": {name: _scored(shots, stage) for name, shots in (("concept", asked), ("unrelated", unrelated))},
    }


def rank(shot: Shot, stage: str) -> float:
    """The score of the deciding stage; what the text decided before a probe lies beyond all probed scores."""
    decision = shot.decision
    if decision.by == stage and decision.score is not None:
        return decision.score
    return math.inf if decision.open else -math.inf


def _scored(shots: Iterable[Shot], stage: str) -> list[float | None]:
    return [shot.decision.score for shot in shots if shot.decision.by == stage]


def evaluations(evaluation: Evaluation) -> dict[str, Any]:
    """Network evaluations (rows): of a picture, plain, with the gate closed and open; of making the eraser."""
    shots, made = evaluation.shots, evaluation.eraser.adapter.evaluations
    return {
        "plain": share(shots, lambda shot: shot.plain_evaluations),
        "closed": share([s for s in shots if not s.decision.open], lambda shot: shot.evaluations),
        "open": share([s for s in shots if s.decision.open], lambda shot: shot.evaluations),
        "training": made.get("training"),
        "calibration": made.get("calibration"),
    }


def seconds(evaluation: Evaluation) -> dict[str, Any]:
    """Median seconds of a picture, likewise; of the training, and of this evaluation."""
    shots = evaluation.shots
    return {
        "plain": _median(shot.plain_seconds for shot in shots),
        "closed": _median(shot.seconds for shot in shots if not shot.decision.open and shot.compared),
        "open": _median(shot.seconds for shot in shots if shot.decision.open),
        "training": evaluation.training_seconds,
        "total": evaluation.seconds,
    }


def _median(values: Iterable[float]) -> float | None:
    found = list(values)
    return float(np.median(found)) if found else None
