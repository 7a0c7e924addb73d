"""What the page shows, as HTML: progress, pictures, the gate, the library. No host and no gradio in here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from lora_unlearn import Adapter, Picture
from lora_unlearn.describe import describe, gate_details, gate_promise
from lora_unlearn.estimate import duration
from lora_unlearn.report import Card, Reading, cards, cost_line, notable, readout_bars, training_curve, verdict_lines
from lora_unlearn.report.cards import key
from lora_unlearn.report.markup import Html, Part, picture, table, tag
from lora_unlearn.report.readout import NOTABLE
from lora_unlearn.tried import Tried

from . import words
from .state import Pair, State

LOOK = Path(__file__).with_name("look.css")
TECHNICAL = (
    "made in",
    "redirected",
    "gate, details",
    "gate, false",
    "gate, true",
    "layers",
    "base model",
    "network evaluations",
)
"""How the lines of a description begin that stand under Details."""
FAINTEST = 0.15
"""The share of the strongest word's from which up a word is marked."""
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


def folded(*parts: Part) -> Html:
    """Numbers and what else few people ask for, to be unfolded."""
    return tag("details", tag("summary", "Details"), *parts)


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
    """Where the job is, or how it ended, with a hint what to do with a finished eraser; nothing before the first."""
    if state.phase == "idle":
        return ""
    if not state.running:
        finished = state.phase == "done" and state.adapter is not None
        return note(f"{state.message} {hint if finished else ''}".strip(), state.phase == "done")
    share = state.done / state.total if state.total else 0.0
    doing = "stopping" if state.stopping else STAGES.get(state.stage, state.stage)
    bar = tag("span", tag("span", style=f"width:{100 * share:.1f}%"), class_="track")
    where = tag("div", tag("b", f"{state.job}: {doing}"), tag("span", _figures(state)), class_="where")
    return box(where, bar, _stages(state) if state.updates else None)


def invitation(state: State) -> str:
    """What to do on a page that shows nothing yet."""
    empty = tag("div", [tag("p", line) for line in words.EMPTY], class_="empty")
    return box(empty) if state.phase == "idle" else ""


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
    """Before and after, prompt by prompt; where the eraser chose what comes instead, how to choose it oneself."""
    if not state.pairs:
        return ""
    shown = [Card(pair.prompt, _rows(pair)) for pair in state.pairs]
    return box(
        tag("h3", "Before and after"),
        tag("p", words.SHEET, class_="soft"),
        cards(shown),
        key(),
        _instead(state.adapter),
    )


def _instead(adapter: Adapter | None) -> Html | None:
    """How to choose oneself what comes in the concept's place, where that was left to the eraser."""
    if adapter is None or adapter.concept.replace_with:
        return None
    return tag("p", words.INSTEAD.format(f" ({adapter.instead})" if adapter.instead else ""))


def _rows(pair: Pair) -> list[tuple[str, list]]:
    rows = [("before", pair.before), ("at 0.5", pair.half), ("after", pair.after)]
    return [(name, [found.image for found in pictures]) for name, pictures in rows if pictures]


def gate(state: State) -> str:
    """What the gate promises and what it decided, in words; scores, thresholds and costs under Details."""
    if state.adapter is None:
        return ""
    found = [
        Reading(1, 0, state.adapter.concept.name, pair.after[0].decisions[0], pair.prompt)
        for pair in state.pairs
        if pair.after[0].decisions
    ]
    numbers = [_sentence(line) for line in gate_details(state.adapter)]
    numbers += [_sentence(_cost(state.pairs))] if state.pairs else []
    return box(
        tag("h3", "The gate"),
        tag("p", words.GATE, class_="soft"),
        [tag("p", f"{promised(line)}.") for line in gate_promise(state.adapter)],
        verdicts(found),
        folded(readout_bars(found) if found else None, tag("ul", [tag("li", line) for line in numbers])),
    )


def promised(line: str) -> str:
    """A line of `gate_promise` as a sentence without its full stop."""
    plain = line.removeprefix("gate: ")
    return f"It is {plain}" if plain.startswith("not ") else f"It {plain}"


def _sentence(line: str) -> str:
    """A line of a description without what it is about, which stands above."""
    plain = re.sub("^gate(, details)?[:,] ", "", line)
    return plain[:1].upper() + plain[1:]


def verdicts(found: Sequence[Reading]) -> Html | None:
    """Decisions in words, one a line."""
    if not found:
        return None
    rows = [
        [tag("span", reading.words, class_=f"verdict {_colour(reading)}"), tag("span", reading.label)]
        for reading in found
    ]
    return tag("ul", [tag("li", row) for row in rows], class_="verdicts")


def _colour(reading: Reading) -> str:
    return "opened" if reading.decision.open else "closed"


def tried(found: Tried) -> str:
    """What a gate makes of a prompt: a sentence, the prompt with the words that count marked, numbers under Details."""
    state = "opened" if found.open else "closed"
    marked = [
        tag("mark", text, style=f"--share:{share:.2f}") if share >= FAINTEST else text for text, share in found.parts
    ]
    score = (
        f"Score {found.score:.2f}; the gate opens from {found.threshold:.2f}. The colour tells how far the score falls "
        "without a word."
    )
    return box(
        tag("div", str(found), class_=f"said {state}", role="status"),
        tag("p", marked, class_=f"tried {state}"),
        folded(tag("p", score, class_="soft")),
    )


def _cost(pairs: Sequence[Pair]) -> str:
    return cost_line(*_spent([found for pair in pairs for found in pair.after]))


def _spent(found: Sequence[Picture]) -> tuple[float, float]:
    """Network evaluations of pictures, and how many of them erasing added."""
    return sum(shown.evaluations or 0 for shown in found), sum(shown.extra for shown in found)


def decisions(concepts: Sequence[str], found: Sequence[Picture]) -> str:
    """What the gates decided for freshly drawn pictures; of many erasers those that are open are named."""
    every = [
        Reading(number, 0, concept, decision)
        for number, shown in enumerate(found, 1)
        for concept, decision in zip(concepts, shown.decisions, strict=False)
    ]
    if not every:
        return ""
    few = len(concepts) <= NOTABLE
    said = verdicts(every) if few else tag("ul", [tag("li", line) for line in verdict_lines(every)])
    return box(
        tag("h3", "What the gate decided" if len(concepts) == 1 else "What the gates decided"),
        said,
        folded(readout_bars(notable(every)), tag("p", _sentence(cost_line(*_spent(found))), class_="soft")),
    )


def expected(text: str) -> str:
    """The estimate, in a line."""
    return box(tag("p", text, class_="soft"))


def inspected(adapter: Adapter) -> str:
    """Everything that a file says of itself: first what people ask for, then the rest under Details."""
    lines = describe(adapter)
    plain = [_sentence(line) for line in lines if not line.startswith(TECHNICAL)]
    numbers = [_sentence(line) for line in lines if line.startswith(TECHNICAL)]
    lists = [tag("ul", [tag("li", line) for line in each]) for each in (plain, numbers)]
    return box(tag("h3", "About this eraser"), lists[0], folded(lists[1]))


def families() -> str:
    """Which models work."""
    return box(tag("h3", "Which models work"), table(["model", "supported", "good to know"], words.FAMILIES))


def questions() -> str:
    """Answers where questions come up."""
    return box([[tag("h3", question), tag("p", answer)] for question, answer in words.QUESTIONS])
