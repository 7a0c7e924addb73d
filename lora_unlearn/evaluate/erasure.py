"""What went, what stayed, and what appears instead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch

from .counting import See, base, by_prompt, drawn, exported, gated, label, share
from .prompts import Kind
from .record import Evaluation, Shot
from .scores import Values, bootstrap, harmonic, mean, restricted, share_interval

SETS: dict[str, Kind] = {"acc_e": "target", "acc_s": "other", "acc_g": "synonym"}
PRESENT = 0.5
"""An object counts as present from this probability on."""


def accuracies(evaluation: Evaluation, see: See) -> dict[str, Any]:
    """Acc_e, Acc_s, Acc_g and H, counted in three ways, with intervals of the first.

    By the top label of the protocol's ("acc_e") or of all that the judge knows ("acc_e_all"), and by the mean
    probability among the protocol's ("acc_e_probability").
    """
    among, labels = evaluation.protocol.labels, evaluation.labels

    def probability(shot: Shot) -> float:
        row = restricted(see(shot).probabilities[None], labels, among)[0]
        return float(row[among.index(shot.prompt.wanted)])

    ways: dict[str, Callable[[Shot], float]] = {
        "": lambda shot: float(label(see(shot), evaluation, among) == shot.prompt.wanted),
        "_all": lambda shot: float(label(see(shot), evaluation) == shot.prompt.wanted),
        "_probability": probability,
    }
    out: dict[str, Any] = {}
    for suffix, value in ways.items():
        found = [by_prompt(drawn(evaluation.of(kind), see), value) for kind in SETS.values()]
        means = [mean(values) for values in found]
        out |= {name + suffix: average for name, average in zip(SETS, means, strict=True)}
        complete = [average for average in means if average is not None]
        out["h" + suffix] = harmonic(*complete) if len(complete) == len(SETS) else None
        if suffix == "":
            out["intervals"] = _intervals(found)
    return out


def _intervals(found: list[Values]) -> dict[str, Any]:
    intervals: dict[str, Any] = {name: share_interval(values) for name, values in zip(SETS, found, strict=True)}
    if all(found):
        intervals["h"] = bootstrap(found, lambda e, s, g: harmonic(e.mean(), s.mean(), g.mean()))
    return intervals


def erased(evaluation: Evaluation) -> dict[str, Any]:
    """Of the pictures on which the model drew the concept when asked: how many no longer show it."""
    among, concept = evaluation.protocol.labels, evaluation.protocol.concept
    shown = [shot for shot in evaluation.of("target", "synonym") if label(shot.base, evaluation, among) == concept]
    gone = by_prompt(shown, lambda shot: float(label(shot.gated, evaluation, among) != concept))
    return {"share": mean(gone), "interval": share_interval(gone), "pictures": len(shown)}


def things(evaluation: Evaluation, kinds: Sequence[Kind], only: Sequence[str] | None = None) -> dict[str, Any]:
    """How often the judge still sees, among all its labels, what the prompt asked for."""
    shots = [shot for shot in evaluation.of(*kinds) if only is None or shot.prompt.wanted in only]

    def right(see: See) -> Callable[[Shot], float]:
        return lambda shot: float(label(see(shot), evaluation) == shot.prompt.wanted)

    return {
        "labels": sorted({shot.prompt.wanted for shot in shots}),
        "pictures": len(shots),
        "base": share(shots, right(base)),
        "acc": share(shots, right(gated)),
        "interval": share_interval(by_prompt(shots, right(gated))),
        "exported": share(drawn(shots, exported), right(exported)),
        "opened": share(shots, lambda shot: float(bool(shot.decision.open))),
        "identical_share": share((s for s in shots if s.compared), lambda shot: float(shot.gated.identical)),
    }


def pairs(evaluation: Evaluation) -> dict[str, Any]:
    """Two things in one prompt: is the erased one gone, and the other one still there?"""
    shots = [shot for shot in evaluation.of("pair") if shot.base.presence is not None]

    def shows(see: See, partner: bool) -> Callable[[Shot], float]:
        def value(shot: Shot) -> float:
            presence = see(shot).presence
            wanted = shot.prompt.partner if partner else shot.prompt.wanted
            return float(presence is not None and float(presence[evaluation.labels.index(wanted)]) >= PRESENT)

        return value

    return {
        "pictures": len(shots),
        "opened": share(shots, lambda shot: float(bool(shot.decision.open))),
        **{
            name: {which: share(drawn(shots, see), shows(see, which == "partner")) for which in ("concept", "partner")}
            for name, see in {"base": base, "gated": gated, "exported": exported}.items()
        },
    }


def quality(evaluation: Evaluation) -> dict[str, Any]:
    """What appears instead of the concept, where the gate opened for it."""
    shots = [shot for shot in evaluation.of("target", "synonym") if shot.decision.open]
    instead = Counter(label(shot.gated, evaluation) for shot in shots)
    weights = torch.tensor(list(instead.values()), dtype=torch.float)
    share_of = weights / weights.sum()
    styled = [shot for shot in shots if shot.base.style is not None]
    return {
        "pictures": len(shots),
        "confidence": share(shots, lambda shot: float(shot.gated.probabilities.max())),
        "base_confidence": share(shots, lambda shot: float(shot.base.probabilities.max())),
        "saturation": share(shots, lambda shot: shot.gated.saturation),
        "base_saturation": share(shots, lambda shot: shot.base.saturation),
        "style_kept": share(styled, lambda shot: float(shot.gated.style == shot.base.style)),
        "change": share(shots, lambda shot: shot.gated.change),
        "instead": {name: count / len(shots) for name, count in instead.most_common()},
        "kinds": float((-(share_of * share_of.log()).sum()).exp()) if shots else None,
    }
