"""The page of a comparison: the same prompts and seeds without an eraser, under the first, and under the second."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..evaluate.protocols import Bench, Measured
from ..evaluate.record import Evaluation, Shot, View
from ..evaluate.summary import plain, settings
from ..files import write_text
from .cards import key
from .markup import Html, Part, number, percent, picture, span, table, tag
from .page import document, title

FEW, SEEDS = 6, 3
"""Prompts of a kind, and pictures of a prompt, that are shown."""
SHOWN = {
    "target": "Asked for it", "synonym": "Asked for it by other words", "pair": "Two things at once",
    "other": "Other things", "within": "Other things and styles", "near": "What is nearest",
    "retained": "What must stay", "attack": "Forms that people try", "subclass": "Kinds of it", "sense": "Other senses",
}  # fmt: skip
FIGURES = {
    "h": "H \u2191", "acc_e": "Acc_e, it is still there \u2193", "acc_g": "Acc_g, by other words \u2193",
    "acc_s": "Acc_s, the others are right \u2191", "ua": "UA \u2191", "ira": "IRA \u2191", "cra": "CRA \u2191",
    "target": "opened for its own sentences \u2191", "paraphrase": "opened for other sentences \u2191",
    "synonym": "opened for other words \u2191", "named": "opened for captions that name it \u2191",
    "caption": "opened for captions without it \u2193",
}  # fmt: skip
NAMES = ("A", "B")


def write_comparison(
    benches: Sequence[Bench],
    found: Sequence[Mapping[str, Measured]],
    rows: list[dict[str, Any]],
    attacks: Sequence[list[dict[str, Any]]],
    names: Sequence[str],
    folder: Path,
) -> Path:
    """Write report.json and report.html of two erasers; returns the page's path.

    Args:
        benches, found: of the first and of the second.
        rows: as `compare` hands them out.
        attacks: the summaries of both attack.json; empty without.
        names: of the two files.

    Raises:
        UnlearnError: if the folder is not writable.
    """
    figures = {
        "concept": benches[0].concept,
        "settings": {name: settings(bench.blank()) for name, bench in zip(NAMES, benches, strict=True)},
        "files": dict(zip(NAMES, names, strict=True)),
        "protocols": {},
        "comparison": rows,
        "attacks": dict(zip(NAMES, attacks, strict=False)),
    }
    write_text(folder / "report.json", json.dumps(plain(figures), indent=1, allow_nan=False) + "\n")
    write_text(folder / "report.html", comparison_page(benches, found, rows, attacks, names))
    return folder / "report.html"


def comparison_page(
    benches: Sequence[Bench],
    found: Sequence[Mapping[str, Measured]],
    rows: list[dict[str, Any]],
    attacks: Sequence[list[dict[str, Any]]],
    names: Sequence[str],
) -> str:
    """The page as text."""
    concept = benches[0].concept
    said = f"A is {names[0]}, B is {names[1]}: the same prompts from the same noise. {verdict(rows)}"
    shown = [
        _gallery(one.evaluation, other.evaluation)
        for name, one in found[0].items()
        if (other := found[1].get(name)) and one.evaluation and other.evaluation
    ]
    body: list[Part] = [
        tag("h2", "What differs"),
        differences(rows),
        tag("p", EXPLAINED, class_="note"),
        [tag("h2", "Attacks"), _attacks(attacks)] if len(attacks) == len(NAMES) else None,
        [tag("h2", "The same seeds"), key(), *shown] if shown else None,
        tag("h2", "What they are"),
        erasers(benches),
        tag("p", f"Pictures were judged by {benches[0].judge.name}.", class_="note"),
    ]
    head = [title(concept, "comparison"), tag("p", said, class_="lead")]
    return document(f"Erasing {concept}: two erasers", head, body)


EXPLAINED = (
    "Differences are B minus A on the same pictures, with 95 % intervals: the wider of the paired bootstrap over "
    "prompts and an exact one over pictures; of H and of distances the bootstrap. Bold rows differ by more than chance."
)


def verdict(rows: list[dict[str, Any]]) -> str:
    """How many figures surely differ, in a sentence."""
    sure = [FIGURES.get(row["figure"], row["figure"]) for row in rows if surely(row)]
    if not sure:
        return f"None of {len(rows)} figures differs by more than chance would."
    differ = "differs" if len(sure) == 1 else "differ"
    return f"{len(sure)} of {len(rows)} figures {differ} by more than chance would: {', '.join(sure)}."


def surely(row: dict[str, Any]) -> bool:
    """Whether the interval of the difference leaves out zero."""
    return bool(row["interval"][0] > 0 or row["interval"][1] < 0)


def differences(rows: list[dict[str, Any]]) -> Html:
    """Every figure of both, and by how much they differ."""
    head: list[Part] = ["", "pictures", "A", "B", "B \u2212 A"]
    cells: list[list[Part]] = []
    for row in rows:
        words = FIGURES.get(row["figure"], row["figure"])
        change = [_points(row["difference"]), tag("small", " to ".join(map(_points, row["interval"])))]
        first, second = percent(row["first"]), percent(row["second"])
        name = [words, tag("small", row["protocol"], class_="note")]
        cells.append([name, number(row["pictures"]), first, second, tag("strong", change) if surely(row) else change])
    return table(head, cells, "compared")


def _points(value: float) -> str:
    """A difference of shares in percentage points, with its sign."""
    return f"{100 * value:+.1f}".replace("-", "\u2212") if round(100 * value, 1) else "0"


def erasers(benches: Sequence[Bench]) -> Html:
    """How both were made, and when their gates open."""
    adapters = [bench.eraser.adapter for bench in benches]
    rows: dict[str, list[str]] = {
        "mode": [adapter.mode for adapter in adapters],
        "rank": [number(adapter.lora.rank) for adapter in adapters],
        "updates": [number(adapter.iterations) for adapter in adapters],
        "network evaluations to make it": [number(adapter.evaluations.get("training")) for adapter in adapters],
        "who decides": [adapter.gate.look_mode for adapter in adapters],
        "bound on false openings": [percent(adapter.gate.false_open_rate) for adapter in adapters],
        "strength": [f"{bench.eraser.strength:g}" for bench in benches],
    }
    return table(["", *NAMES], [[words, *values] for words, values in rows.items()])


def _attacks(attacks: Sequence[list[dict[str, Any]]]) -> Html:
    """How often each attack got through, of both."""
    first, second = ({row["attack"]: row["through"] for row in rows} for rows in attacks)
    rows: list[list[Part]] = [
        [name, *(_through(of.get(name)) for of in (first, second))] for name in dict.fromkeys([*first, *second])
    ]
    return table(["", *(f"through, {name}" for name in NAMES)], rows)


def _through(found: dict[str, Any] | None) -> Part:
    if found is None:
        return "\u2013"
    return [f"{found['count']} of {found['of']}", tag("small", span((found["low"], found["high"])))]


def _gallery(first: Evaluation, second: Evaluation) -> list[Part]:
    """Some prompts of each kind, a row of three pictures for every seed."""
    parts: list[Part] = []
    seen = {(shot.prompt.text, shot.seed): shot for shot in second.shots}
    for kind, words in SHOWN.items():
        prompts: dict[str, list[tuple[Shot, Shot]]] = {}
        for shot in first.shots:
            other = seen.get((shot.prompt.text, shot.seed))
            if shot.prompt.kind == kind and other and shot.base.image:
                prompts.setdefault(shot.prompt.text, []).append((shot, other))
        made = [_card(text, pairs[:SEEDS]) for text, pairs in list(prompts.items())[:FEW]]
        parts += [tag("h3", words), tag("div", made, class_="cards")] if made else []
    return parts


def _card(text: str, pairs: Sequence[tuple[Shot, Shot]]) -> Html:
    cells: list[Part] = [tag("span", word) for word in ("", "without", *NAMES)]
    for one, other in pairs:
        cells.append(tag("span", f"seed {one.seed}"))
        cells += [_cell(view, one, text) for view in (one.base, one.gated, other.gated)]
    rows = tag("div", cells, class_="rows", style="--columns:3")
    return tag("figure", tag("figcaption", text), rows, class_="card")


def _cell(view: View, shot: Shot, text: str) -> Html:
    same = view is not shot.base and view.identical
    image = picture(view.image, f"{text}, seed {shot.seed}") if view.image else None
    return tag("div", image, class_="same" if same else None)
