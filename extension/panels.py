"""What the page shows, as HTML: progress, pictures, the gate, the library. No host and no gradio in here."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path

from lora_unlearn import Adapter, Picture
from lora_unlearn.describe import describe, gate_lines
from lora_unlearn.estimate import duration
from lora_unlearn.report import Card, Reading, cards, cost_line, readout_bars, training_curve
from lora_unlearn.report.cards import key
from lora_unlearn.report.markup import Html, Part, picture, table, tag

from . import words
from .library import Entry
from .state import Pair, State

LOOK = Path(__file__).with_name("look.css")
STAGES = {
    "waiting": "waiting for the model",
    "measuring": "measuring this machine",
    "recording": "watching how the model draws it",
    "training": "learning to steer away from it",
    "calibrating": "adjusting the gate",
    "drawing": "drawing before and after",
}
"""The stages of a training in words, in their order."""


def box(*parts: Part) -> str:
    """Markup in our own style; nothing at all where there is nothing to show."""
    return tag("div", *parts, class_="lu") if any(parts) else ""


def style() -> str:
    """The style sheet, for one place of the page."""
    return tag("style", Html(LOOK.read_text(encoding="ascii")))


def head() -> str:
    """What this is, and what it promises."""
    promises = tag("div", [tag("span", words_) for words_ in words.PROMISES], class_="promises")
    return box(tag("h2", words.TITLE), tag("p", words.LEAD), promises)


def note(sentence: str, good: bool = False) -> str:
    """One sentence that the user should read."""
    return box(tag("div", sentence, class_="said good" if good else "said", role="status")) if sentence else ""


def progress(state: State, hint: str = "") -> str:
    """Where the job is; an invitation while there was none, and a hint what to do with a finished eraser."""
    if state.phase == "idle":
        return box(tag("div", [tag("p", line) for line in words.EMPTY], class_="empty"))
    if not state.running:
        finished = state.phase == "done" and state.adapter is not None
        return note(f"{state.message} {hint if finished else ''}".strip(), state.phase == "done")
    share = state.done / state.total if state.total else 0.0
    doing = "stopping" if state.stopping else STAGES.get(state.stage, state.stage)
    bar = tag("span", tag("span", style=f"width:{100 * share:.1f}%"), class_="track")
    where = tag("div", tag("b", f"{state.job}: {doing}"), tag("span", _figures(state)), class_="where")
    return box(where, bar, _stages(state) if state.updates else None)


def _figures(state: State) -> str:
    """Steps, rate and time to go."""
    figures = [f"{state.done} of {state.total}"] if state.total > 1 else []
    if state.rate:
        figures.append(f"{state.rate:.1f} a second" if state.rate >= 1 else f"{1 / state.rate:.1f} s each")
    if state.seconds_left is not None and state.stage in ("recording", "training"):
        figures.append(f"about {duration(state.seconds_left)} left")
    return " \u00b7 ".join(figures)


def _stages(state: State) -> Html:
    names = [name for name in STAGES if name not in ("waiting", "measuring")]
    at = names.index(state.stage) if state.stage in names else -1
    marks = ["past" if i < at else "now" if i == at else "next" for i in range(len(names))]
    return tag(
        "div", [tag("span", STAGES[n], class_=mark) for n, mark in zip(names, marks, strict=True)], class_="stages"
    )


def course(state: State) -> str:
    """The curve and the pictures on the way."""
    parts: list[Part] = []
    if len(state.losses) > 1:
        parts += [
            tag("h3", "How it learns"),
            tag("p", words.CURVE, class_="soft"),
            training_curve(state.losses, state.redirected, state.updates),
        ]
    if state.previews:
        figures = [
            tag("figure", picture(shown.image, caption), tag("figcaption", caption))
            for shown in state.previews
            for caption in ["before" if shown.step == 0 else f"after {shown.step} steps"]
        ]
        parts += [tag("h3", "On the way"), tag("div", figures, class_="strip")]
    return box(*parts)


def sheet(state: State) -> str:
    """Before and after, prompt by prompt."""
    if not state.pairs:
        return ""
    shown = [Card(pair.prompt, _rows(pair)) for pair in state.pairs]
    return box(tag("h3", "Before and after"), tag("p", words.SHEET, class_="soft"), cards(shown), key())


def _rows(pair: Pair) -> list[tuple[str, list]]:
    return [
        ("before", [found.image for found in pair.before]),
        ("after", [found.image for found in pair.after]),
    ]


def gate(state: State) -> str:
    """Scores against thresholds, what the calibration promises, and what erasing cost."""
    if state.adapter is None:
        return ""
    parts: list[Part] = [tag("h3", "The gate"), tag("p", words.GATE, class_="soft")]
    if state.pairs:
        found = [
            Reading(1, 0, state.adapter.concept.name, pair.after[0].decisions[0], pair.prompt)
            for pair in state.pairs
            if pair.after[0].decisions
        ]
        parts.append(readout_bars(found))
    lines = [re.sub("^gate[:,] ", "", line) for line in gate_lines(state.adapter)] + (
        [_cost(state.pairs)] if state.pairs else []
    )
    return box(*parts, tag("ul", [tag("li", line) for line in lines]))


def _cost(pairs: Sequence[Pair]) -> str:
    return cost_line(*_spent([found for pair in pairs for found in pair.after]))


def _spent(found: Sequence[Picture]) -> tuple[float, float]:
    """Network evaluations of pictures, and how many of them erasing added."""
    return sum(shown.evaluations or 0 for shown in found), sum(shown.extra for shown in found)


def decisions(adapter: Adapter, found: Sequence[Picture]) -> str:
    """What the gate decided for freshly drawn pictures."""
    readings = [
        Reading(number, 0, adapter.concept.name, shown.decisions[0])
        for number, shown in enumerate(found, 1)
        if shown.decisions
    ]
    if not readings:
        return ""
    return box(
        tag("h3", "What the gate decided"), readout_bars(readings), tag("p", cost_line(*_spent(found)), class_="soft")
    )


def expected(text: str) -> str:
    """The estimate, in a line."""
    return box(tag("p", text, class_="soft"))


def erasers(entries: Sequence[Entry]) -> str:
    """The library as a table."""
    if not entries:
        return box(tag("div", tag("p", "There are no erasers yet. Make one on the page Erase."), class_="empty"))
    usable = [
        [entry.name, f"erases {entry.concept}", entry.family, "not finished" if entry.partial else "ready",
         f"{entry.size / 1000:.0f} kB", time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.changed))]
        for entry in entries if not entry.problem
    ]  # fmt: skip
    strange = [tag("p", entry.problem, class_="soft") for entry in entries if entry.problem]
    shown = table(["eraser", "what it does", "model", "state", "size", "changed"], usable) if usable else None
    return box(shown, strange)


def inspected(adapter: Adapter) -> str:
    """Everything that a file says of itself."""
    return box(tag("h3", "About this eraser"), tag("ul", [tag("li", line) for line in describe(adapter)]))


def families() -> str:
    """Which models work."""
    return box(tag("h3", "Which models work"), table(["model", "supported", "good to know"], words.FAMILIES))


def questions() -> str:
    """Answers where questions come up."""
    return box([[tag("h3", question), tag("p", answer)] for question, answer in words.QUESTIONS])
