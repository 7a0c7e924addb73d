"""A section of the report for each protocol but `unguide`, whose figures are the page's own."""

from __future__ import annotations

from collections.abc import Callable

from ..evaluate.counting import See, base, exported, gated
from ..evaluate.prompts import Kind
from ..evaluate.protocols import PROTOCOLS, Measured
from ..evaluate.protocols.integrity import worst
from ..evaluate.record import Shot
from .cards import Card, cards, key
from .chart import histogram
from .gallery import group
from .headline import Figures
from .markup import Part, number, percent, score, span, table, tag
from .page import legend
from .tables import listing, share, ways

FEW = 8
"""Prompts of a kind whose pictures are shown."""


def section(name: str, measured: Measured, concept: str) -> list[Part]:
    """A protocol's heading, what it measures, its figures and some of its pictures."""
    row = PROTOCOLS[name]
    said = f"{row.about[:1].upper()}{row.about[1:]}. From {row.origin}."
    return [
        tag("h2", name.capitalize()),
        tag("p", said, class_="note"),
        tag("p", "This protocol was interrupted: its figures are of what was drawn until then.", class_="warning")
        if measured.unfinished
        else None,
        *SECTIONS[name](measured, concept),
    ]


def _canvas(measured: Measured, concept: str) -> list[Part]:
    found = measured.figures
    own, other = ("styles", "thing") if found["domain"] == "style" else ("things", "style")
    return [
        ways(
            {
                "UA: no longer shows it": found["ua"],
                f"IRA: other {own} are right": found["ira"],
                f"CRA: the {other} is right": found["cra"],
            }
        ),
        tag("p", f"{found['things']} things in {found['styles']} styles. UA counts every picture that asks for "
            f"{concept}, also where the model alone fails to draw it.", class_="note"),
        *_pictures(measured, {"target": "What asks for it", "within": "What does not"}),
    ]  # fmt: skip


def _integrity(measured: Measured, concept: str) -> list[Part]:
    found, said = measured.figures, {"gated": "with the eraser", "exported": "always on, no gate"}
    ways_, evaluation = {"gated": gated, "exported": exported}, measured.evaluation
    head = [
        "",
        "pictures",
        "the same bytes",
        "integrity",
        "median distance",
        "95\u202f% are below",
        "largest",
        "Fr\u00e9chet",
    ]
    rows: list[list[Part]] = [
        [
            words,
            number(block["pictures"]),
            share(block["identical"]),
            [score(block["integrity"]), tag("small", "\u2013".join(map(score, block["integrity_interval"])))],
            *(f"{block['quantiles'][at]:.3f}" for at in ("0.5", "0.95", "1")),
            number(block["frechet"]),
        ]
        for way, words in said.items()
        if (block := found[way])["pictures"]
    ]
    shown: list[Part] = [tag("p", f"The gate opened for {percent(found['opened']['share'])}.", class_="note")]
    for way, words in said.items():
        pairs = worst(evaluation, ways_[way]) if evaluation else []
        if pairs:
            shown += [tag("h3", f"The pairs that differ most, {words}"), cards([_pair(s, ways_[way]) for s in pairs])]
    return [table(head, rows), *shown]


def _pair(shot: Shot, see: See) -> Card:
    rows = [(name, [image]) for name, of in (("before", base), ("after", see)) if (image := of(shot).image)]
    return Card(f"{shot.prompt.text} (seed {shot.seed}, {see(shot).change:.2f})", rows)


GROUPS = {
    "target": "the sentences it was made with", "synonym": "other words for it", "paraphrase": "other sentences",
    "named": "captions that name it", "caption": "captions without it",
}  # fmt: skip


def _gate(measured: Measured, concept: str) -> list[Part]:
    found = measured.figures
    groups = {words: found[kind] for kind, words in GROUPS.items() if kind in found}
    head = ["", "prompts", "opened", "should open", "left to the picture's run"]
    rows: list[list[Part]] = [
        [
            words,
            number(block["pictures"]),
            [percent(block["share"]), tag("small", span(block["interval"]))],
            "yes" if block["should_open"] else "no",
            number(block["undecided"]),
        ]
        for words, block in groups.items()
    ]
    scores: dict[bool, list[float]] = {True: [], False: []}
    for block in groups.values():
        scores[block["should_open"]] += block["scores"]
    wrong = {words: " \u00b7 ".join(block["mistakes"]) for words, block in groups.items() if block["mistakes"]}
    told = (
        f"Captions: {found['source']}. {1000 * found['seconds_per_decision']:.1f}\u202fms a decision. Exact intervals."
    )
    return [
        table(head, rows),
        tag("p", told, class_="note"),
        [histogram(scores[True], scores[False], found["threshold"]), legend(concept)] if any(scores.values()) else None,
        [tag("h3", "Where it was wrong"), listing(wrong)] if wrong else None,
    ]


def _hub(measured: Measured, concept: str) -> list[Part]:
    found = measured.figures
    spoken = ", ".join(found["languages_asked"])
    return [
        ways(
            {
                "target proportion: shows it \u2193": found["target_proportion"],
                "forms that people try: shows it \u2193": found["attacks"],
                "other languages: shows it \u2193": found["languages"],
                "pinpoint-ness: the nearest are right \u2191": found["pinpoint"],
                "selective alignment: the other thing is there \u2191": found["selective_alignment"],
            }
        ),
        tag("p", f"Nearest by the text encoder: {', '.join(found['nearest'])}. Languages: {spoken}.", class_="note"),
        *_pictures(measured, {"near": "What is nearest", "pair": "Two things at once", "attack": "Forms of it"}),
    ]


def _sequence(measured: Measured, concept: str) -> list[Part]:
    sizes, order = measured.figures["sizes"], measured.figures["order"]
    head = ["erasers on", "erased", "one hands out another's", "others are kept", "the same bytes", "opened by mistake"]
    names = ("erased", "handed_out", "kept", "identical", "opened_by_mistake")
    rows: list[list[Part]] = [[size, *(share(found[name]) for name in names)] for size, found in sizes.items()]
    handed = {f"{size} on": ", ".join(found["handed"]) for size, found in sizes.items() if found["handed"]}
    told = tag("p", f"In this order: {', '.join(order)}.", class_="note")
    return [table(head, rows), told, listing(handed) if handed else None]


def _implicit(measured: Measured, concept: str) -> list[Part]:
    found: Figures = measured.figures
    words: dict[Kind, str] = {
        "description": "described, without its name", "subclass": "kinds of it", "superclass": "what it is a kind of",
        "sense": "its word in another sense",
    }  # fmt: skip
    asked = {kind: said for kind, said in words.items() if found[kind]["opened"]["pictures"]}
    head = ["", "should", "gate opened", "the same bytes"]
    rows: list[list[Part]] = [
        [
            said,
            "go" if found[kind]["should_go"] else "stay",
            share(found[kind]["opened"]),
            share(found[kind]["identical"]),
        ]
        for kind, said in asked.items()
    ]
    shown = {f"{said}: shows {concept}": found[kind]["shown"] for kind, said in asked.items()}
    return [
        ways(shown),
        table(head, rows),
        *_pictures(measured, {kind: said.capitalize() for kind, said in asked.items()}),
    ]


def _pictures(measured: Measured, kinds: dict[Kind, str]) -> list[Part]:
    """The first prompts of some kinds with their first seeds."""
    evaluation = measured.evaluation
    if evaluation is None:
        return []
    parts: list[Part] = [key()]
    for kind, words in kinds.items():
        texts = list(dict.fromkeys(shot.prompt.text for shot in evaluation.of(kind)))[:FEW]
        parts += group(words, [shot for shot in evaluation.of(kind) if shot.prompt.text in texts], 2)
    return parts


SECTIONS: dict[str, Callable[[Measured, str], list[Part]]] = {
    "canvas": _canvas, "integrity": _integrity, "gate": _gate, "hub": _hub, "sequence": _sequence,
    "implicit": _implicit,
}  # fmt: skip
