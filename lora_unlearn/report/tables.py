"""The figures of a report as tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .headline import Figures, times
from .markup import Html, Part, number, percent, score, span, table, tag

WAYS = {"base": "without the eraser", "gated": "with the eraser", "exported": "the file as a plain LoRA, no gate"}
DETAILS = {
    "neighbours": "what is most like it", "objects": "further things", "hyponyms": "kinds of it (either is right)",
    "paraphrases": "it, in other sentences",
}  # fmt: skip

COSTS = {
    "plain": "a picture without the eraser", "closed": "a picture, gate closed", "open": "a picture, gate open",
    "training": "training the eraser, once", "calibration": "calibrating its gate, once",
}  # fmt: skip


def scores(figures: Figures) -> Html:
    """Acc_e, Acc_g, Acc_s and H of the three ways to draw."""
    concept = figures["concept"]
    head: list[Part] = [
        "",
        ["shows ", concept, tag("br"), "when asked", tag("br"), "Acc_e \u2193"],
        ["shows ", concept, tag("br"), "asked by other words", tag("br"), "Acc_g \u2193"],
        ["shows the other classes", tag("br"), "when asked", tag("br"), "Acc_s \u2191"],
        ["overall", tag("br"), "H \u2191"],
    ]
    blocks = {"base": figures["base"], "gated": figures, "exported": figures["exported"]}
    return table(head, [_score_row(way, block) for way, block in blocks.items()], "scores")


def _score_row(way: str, block: Figures) -> list[Part]:
    names = ("acc_e", "acc_g", "acc_s")
    cells: list[Part] = [[percent(block[name]), tag("small", span(block["intervals"][name]))] for name in names]
    interval = block["intervals"].get("h")
    h: Part = "\u2013" if way == "base" else [score(block["h"]), tag("small", _plain_span(interval))]
    return [WAYS[way], *cells, h]


def _plain_span(interval: Sequence[float] | None) -> str:
    return "" if interval is None else "\u2013".join(map(score, interval))


def details(figures: Figures) -> Html:
    """Things that are counted apart, over all labels of the judge."""
    head = ["", "pictures", "shown without the eraser", "with it", "plain LoRA", "gate opened", "identical"]
    rows: list[list[Part]] = []
    for name, words in DETAILS.items():
        block = figures[name]
        if block["pictures"]:
            listed = ", ".join(block["labels"]) if len(block["labels"]) <= 4 else f"{len(block['labels'])} of them"
            shares = [percent(block[key]) for key in ("base", "acc", "exported", "opened", "identical_share")]
            rows.append([[words, tag("small", listed, class_="note")], number(block["pictures"]), *shares])
    return table(head, rows)


def pairs(figures: Figures) -> Html | None:
    """Two things in one prompt: which of them are on the picture."""
    block = figures["pairs"]
    if not block["pictures"]:
        return None
    head = ["", f"{figures['concept']} is there", "the other thing is there"]
    rows = [[words, percent(block[way]["concept"]), percent(block[way]["partner"])] for way, words in WAYS.items()]
    return table(head, rows)


def ways(blocks: dict[str, Figures]) -> Html:
    """Shares as `counting.ways` hands them out, a row each: without the eraser, with it, as a plain LoRA."""
    head: list[Part] = ["", "pictures", *(WAYS[way] for way in WAYS)]
    rows: list[list[Part]] = [
        [words, number(block["base"]["pictures"]), *(share(block[way]) for way in WAYS)]
        for words, block in blocks.items()
        if block["base"]["pictures"]
    ]
    return table(head, rows)


def share(found: Figures) -> Part:
    """A share with its interval."""
    return [percent(found["share"]), tag("small", span(found["interval"]))]


def cost(figures: Figures) -> Html:
    """What a picture and the eraser itself cost."""
    spent, clock = figures["evaluations"], figures["seconds"]
    rows = [
        [words, number(spent[key]), times(spent[key], spent["plain"]), seconds(clock.get(key))]
        for key, words in COSTS.items()
    ]
    return table(["", "network evaluations", "pictures' worth", "seconds"], rows)


def seconds(value: float | None) -> str:
    """A time in seconds."""
    return "\u2013" if value is None else f"{value:.2f}" if value < 100 else number(round(value))


def listing(values: dict[str, Any]) -> Html:
    """Names with their values, as text."""
    return tag("dl", [[tag("dt", name), tag("dd", _said(value))] for name, value in values.items()])


def _said(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_said(inner)}" for name, inner in value.items() if inner not in (None, "", []))
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return str(value)
