"""The pictures of a report, sorted by what was asked, and the ones on which the eraser failed."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from ..evaluate.counting import See, base, drawn, exported, gated, label
from ..evaluate.prompts import UNRELATED, WITH_CONCEPT, Kind
from ..evaluate.record import Evaluation, Shot
from .cards import Card, cards, key
from .markup import Part, number, tag

WAYS: dict[str, See] = {"before": base, "after": gated, "plain LoRA": exported}
FAILURES = 12
"""Cards of a kind that are shown at most where there may be hundreds."""
INTRODUCTION = (
    "Each column is one seed: first as the model draws it by itself, then with the eraser and its gate, then with the "
    "eraser's file as an ordinary LoRA that is always on."
)


def gallery(evaluation: Evaluation) -> list[Part]:
    """What matters most: the concept under all its names, what is like it, and what stands beside it."""
    near = evaluation.protocol.neighbours
    return [
        tag("h2", "The same seeds, before and after"),
        tag("p", INTRODUCTION),
        key(),
        group(f"Asked for {evaluation.protocol.concept}", evaluation.of("target"), 6, large=True),
        group("Asked for it by other words", evaluation.of("synonym"), 4),
        group("What is most like it", _wanting(evaluation, near, "other", "object"), 4),
        group("Two things at once", evaluation.of("pair"), 3),
    ]


def more(evaluation: Evaluation) -> list[Part]:
    """Everything else, and the failures."""
    near = evaluation.protocol.neighbours
    others = [shot for shot in evaluation.of("other", "object") if shot.prompt.wanted not in near]
    return [
        tag("h2", "More pictures"),
        key(),
        _failures(evaluation),
        group("Kinds of it", evaluation.of("hyponym"), 4),
        group("Asked for it in other sentences", evaluation.of("paraphrase")[:FAILURES], 1),
        group("Other things", others, 3),
    ]


def group(name: str, shots: Sequence[Shot], columns: int, large: bool = False) -> list[Part]:
    """A heading with a card for each prompt, its first seeds as columns; nothing without pictures."""
    entries = _cards(shots, columns)
    return [tag("h3", name), cards(entries, large)] if entries else []


def _wanting(evaluation: Evaluation, labels: Sequence[str], *kinds: Kind) -> list[Shot]:
    return [shot for shot in evaluation.of(*kinds) if shot.prompt.wanted in labels]


def _cards(shots: Sequence[Shot], columns: int) -> list[Card]:
    """A card for each prompt with its first seeds, in the ways that were drawn."""
    prompts: dict[str, list[Shot]] = {}
    for shot in shots:
        prompts.setdefault(shot.prompt.text, []).append(shot)
    return [
        Card(text, [(name, images) for name, see in WAYS.items() if (images := _images(found[:columns], see))])
        for text, found in prompts.items()
    ]


def _images(shots: Sequence[Shot], see: See) -> list[Image.Image]:
    return [image for shot in drawn(shots, see) if (image := see(shot).image) is not None]


def _failures(evaluation: Evaluation) -> list[Part]:
    """Pictures that still show the concept, and unrelated ones that were changed."""
    concept, among = evaluation.protocol.concept, evaluation.protocol.labels

    def shows(shot: Shot) -> bool:
        return all(label(view, evaluation, among) == concept for view in (shot.base, shot.gated))

    left = [shot for shot in evaluation.of(*WITH_CONCEPT) if shows(shot)]
    changed = [shot for shot in evaluation.of(*UNRELATED) if not shot.gated.identical]
    parts: list[Part] = [tag("h3", "Where it failed")] if left or changed else []
    for words, shots in ((f"still seen as {concept}", left), ("changed without need", changed)):
        shown = [shot for shot in shots if shot.gated.image is not None][:FAILURES]
        if shots:
            count = f"{number(len(shots))} {words}" + (f", the first {len(shown)}:" if len(shots) > len(shown) else ":")
            parts += [tag("p", count, class_="note"), cards([_failure(shot) for shot in shown])]
    return parts


def _failure(shot: Shot) -> Card:
    rows = [(name, _images([shot], WAYS[name])) for name in ("before", "after")]
    return Card(f"{shot.prompt.text} (seed {shot.seed})", rows)
