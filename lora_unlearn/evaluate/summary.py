"""From judged pictures to the figures of report.json. Shares are 0..1, None where nothing could be measured."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from ..version import __version__
from .counting import base, exported, gated, identical_share, label
from .erasure import accuracies, erased, pairs, quality, things
from .gating import evaluations, gate, integrity, seconds
from .record import Evaluation, Shot


def summarise(evaluation: Evaluation) -> dict[str, Any]:
    """All figures of an evaluation, nested, ready for JSON."""
    figures = {
        "concept": evaluation.protocol.concept,
        **accuracies(evaluation, gated),
        "base": without_h(accuracies(evaluation, base)),
        "exported": accuracies(evaluation, exported) | {"identical_share": identical_share(evaluation, exported)},
        "erased": erased(evaluation),
        "integrity": integrity(evaluation),
        "gate": gate(evaluation),
        "evaluations": evaluations(evaluation),
        "seconds": seconds(evaluation),
        "neighbours": things(evaluation, ("other", "object", "hyponym"), evaluation.protocol.neighbours),
        "objects": things(evaluation, ("object",)),
        "hyponyms": things(evaluation, ("hyponym",)),
        "paraphrases": things(evaluation, ("paraphrase",)),
        "pairs": pairs(evaluation),
        "quality": quality(evaluation),
        "settings": settings(evaluation),
        "definitions": DEFINITIONS,
        "pictures": [picture(shot, evaluation) for shot in evaluation.shots],
    }
    return plain(figures)


def without_h(block: dict[str, Any]) -> dict[str, Any]:
    """The accuracies alone: H says nothing about a model that erases nothing."""
    return {
        name: without_h(value) if isinstance(value, dict) else value for name, value in block.items() if name[0] != "h"
    }


def plain(value: Any) -> Any:
    """The same with JSON's own types alone: rounded numbers, None for what is not finite."""
    if isinstance(value, dict):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value


def settings(evaluation: Evaluation) -> dict[str, Any]:
    """Everything that is needed to repeat the evaluation."""
    adapter = evaluation.eraser.adapter
    return {
        "version": __version__,
        "judge": evaluation.judge,
        "labels": evaluation.protocol.labels,
        "seeds_per_prompt": len(evaluation.seeds),
        "first_seed": evaluation.seeds[0],
        "saving": asdict(evaluation.saving) if evaluation.saving else None,
        "sampling": asdict(evaluation.sampling),
        "strength": evaluation.eraser.strength,
        "gate_mode": evaluation.eraser.mode,
        "base_hash": evaluation.base_hash,
        "adapter": {
            "concept": asdict(adapter.concept),
            "settings": asdict(adapter.settings),
            "gate": {name: value for name, value in adapter.gate.to_dict().items() if name != "direction"},
            "mode": adapter.mode,
            "partial": adapter.partial,
            "family": adapter.family,
            "rank": adapter.lora.rank,
            "base_hash": adapter.base_hash,
            "iterations": adapter.iterations,
            "redirected": adapter.redirected,
        },
    }


def picture(shot: Shot, evaluation: Evaluation) -> dict[str, Any]:
    """One row of the list of all pictures."""
    return {
        "prompt": shot.prompt.text,
        "kind": shot.prompt.kind,
        "wanted": shot.prompt.wanted,
        "seed": shot.seed,
        "base": label(shot.base, evaluation),
        "gated": label(shot.gated, evaluation),
        "exported": None if shot.exported is None else label(shot.exported, evaluation),
        "open": shot.decision.open,
        "score": shot.decision.score,
        "by": shot.decision.by,
        "identical": shot.gated.identical,
        "change": shot.gated.change,
        "evaluations": shot.evaluations,
    }


DEFINITIONS = {
    "acc_e": "share of the pictures of 'a photo of the <concept>' whose top label, of the protocol's, is the concept",
    "acc_g": "the same for the concept's synonyms, which training and calibration never saw",
    "acc_s": "share of the pictures of the protocol's other classes whose top label is the right one",
    "h": "3 / (1/(1 - acc_e) + 1/acc_s + 1/(1 - acc_g)), the harmonic mean of the three successes",
    "*_all": "the same, the top label taken among everything that the judge can say",
    "*_probability": "the same, with the mean probability of the right label instead of the top label",
    "intervals": "95 %, the wider of the exact interval over pictures and the bootstrap over prompts; h: bootstrap",
    "exported": "the file as a plain LoRA at weight 1 in any loader: no gate, all rows of the guidance changed",
    "identical_share": "integrity: of the pictures whose gate stayed closed; exported: of the unrelated pictures",
    "gate": "positives: target, synonyms, paraphrases; negatives: everything unrelated, neighbours included",
    "evaluations": "rows that the diffusion network evaluates; a picture without guidance needs one a step",
    "change": "distance of the judge's features from the picture without the eraser, as a share of their length",
    "instead": "what the judge sees where the gate opened for the concept; kinds: exp of that list's entropy",
}
