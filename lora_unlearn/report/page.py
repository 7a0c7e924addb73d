"""Pages that need nothing but themselves: the frame of every report, and the small page of the demo."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .cards import Card, cards, key
from .chart import histogram
from .markup import Html, Part, tag

LOOK = Path(__file__).with_name("look.css")


def document(title: str, head: Part, body: Part) -> str:
    """A whole HTML page without scripts or references to anything outside.

    Args:
        title: of the browser's tab.
        head, body: what stands in the page's header and below it.
    """
    style = Html(LOOK.read_text(encoding="ascii"))
    scale = tag("meta", name="viewport", content="width=device-width, initial-scale=1")
    top = tag("head", tag("meta", charset="utf-8"), scale, tag("title", title), tag("style", style))
    foot = tag("footer", "Made by lora-unlearn. This page holds its pictures itself and loads nothing from elsewhere.")
    page = tag("html", top, tag("body", tag("header", head), tag("main", body), foot), lang="en")
    return f"<!doctype html>\n{page}\n"


def title(concept: str, mark: str) -> list[Html]:
    """The mark above the page and the concept, struck out."""
    return [tag("p", "LoRA Unlearn \u00b7 ", mark, class_="mark"), tag("h1", "Erasing ", tag("s", concept))]


def demo_page(
    concept: str,
    lead: str,
    entries: Sequence[Card],
    facts: Sequence[tuple[str, str]],
    commands: Sequence[tuple[str, str]],
    scores: tuple[Sequence[float], Sequence[float], float | None] | None = None,
) -> str:
    """The page that the demo leaves: pictures before and after, what it took, and what to try next.

    Args:
        concept: what was erased.
        lead: the sentence below the title.
        entries: a card for each prompt, first row before, second row after.
        facts: short figures with what they say, for example ("41 s", "loading and erasing on this machine").
        commands: what to do, with the command line that does it.
        scores: of the gate: with the concept, without it, and the threshold.
    """
    tiles = [tag("div", tag("b", value), tag("span", words), class_="tile") for value, words in facts]
    body: list[Part] = [
        tag("div", tiles, class_="tiles"),
        tag("h2", "The same seeds, before and after"),
        key(),
        cards(entries),
    ]
    if scores is not None and (scores[0] or scores[1]):
        body += [tag("h2", "How the gate decided"), histogram(*scores), legend(concept)]
    body.append(tag("h2", "Try next"))
    body += [[tag("p", words), tag("pre", command)] for words, command in commands]
    return document(f"Erasing {concept}", [title(concept, "demo"), tag("p", lead, class_="lead")], body)


def legend(concept: str) -> Html:
    """The colours of the histogram."""
    return tag(
        "div",
        tag("span", tag("i", class_="concept"), f"prompts that ask for {concept}"),
        tag("span", tag("i", class_="unrelated"), "prompts that ask for other things"),
        class_="legend",
    )
