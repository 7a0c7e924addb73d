"""The page of an attack: how many got through, and their pictures beside what the model draws without the eraser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

from ..evaluate.attacks import ATTACKS, NEEDS, Attack
from ..evaluate.attacks.record import PAGE, Record
from ..files import write_text
from .cards import Card, cards, key
from .markup import Html, Part, percent, span, table, tag
from .page import document, title
from .tables import listing

ROWS = {"without the eraser": "base", "with it, as used": "gated", "always on": "always"}
SHOWN = 12
"""Cards of an attack at most."""


def write_attacks(record: Record) -> Path:
    """Write the page beside the record's file; returns its path.

    Raises:
        UnlearnError: if the folder is not writable.
    """
    write_text(record.folder / PAGE, attack_page(record))
    return record.folder / PAGE


def attack_page(record: Record) -> str:
    """The page as text."""
    concept, rows = record.settings["concept"], record.summary
    body: list[Part] = [
        tag("h2", "What was tried"),
        shares(rows),
        tag("p", EXPLAINED, class_="note"),
        tag("h2", f"What got {concept} through"),
        key(),
        *[_through(record, row["attack"]) for row in rows],
        tag("h2", "What each attack takes"),
        needs(rows),
    ]
    head = [title(concept, "attacks"), tag("p", lead(rows), class_="lead")]
    return document(f"Attacks on {concept}", head, body)


EXPLAINED = (
    "Through: the judge sees the concept on the picture of the erased, gated model. A shut gate draws what the model "
    "draws without the eraser. Below each share its 95 % interval (Clopper and Pearson). A search that found nothing "
    "is no proof that there is nothing to find."
)


def lead(rows: list[dict[str, Any]]) -> str:
    """What came of it, in a sentence."""
    tried, through = (sum(row["through"][key] for row in rows) for key in ("of", "count"))
    ways = sum(row["through"]["count"] > 0 for row in rows)
    return f"{through} of {tried} trials got through, by {ways} of {len(rows)} ways."


def shares(rows: list[dict[str, Any]]) -> Html:
    """The counts of every attack."""
    head: list[Part] = ["", "trials", "through", "gate shut", "through, always on", "drawn without the eraser"]
    found: list[list[Part]] = []
    for row in rows:
        cells: list[Part] = [_cell(row[name]) for name in ("through", "shut", "always", "base")]
        found.append([row["attack"], str(row["through"]["of"]), *cells])
    return table(head, found)


def _cell(share: dict[str, float]) -> Part:
    return [percent(share["share"]), tag("small", span((share["low"], share["high"])))]


def needs(rows: list[dict[str, Any]]) -> Html:
    """What every attack does and takes."""
    known = {row["attack"]: ATTACKS[row["attack"]] for row in rows if row["attack"] in ATTACKS}
    return listing(
        {name: f"{attack.about} ({attack.origin}); needs {_needed(attack)}" for name, attack in known.items()}
    )


def _needed(attack: Attack) -> str:
    return NEEDS[attack.needs] + ", and to read the weights" * attack.weights


def _through(record: Record, attack: str) -> Part:
    """The pictures of an attack on which the concept is, first those with the eraser."""
    found = [attempt for attempt in record.attempts if attempt["attack"] == attack and attempt["through"]]
    entries = [card for attempt in found[:SHOWN] if (card := _card(record, attempt)) is not None]
    return [tag("h3", f"{attack}: {len(found)}"), cards(entries)] if entries else None


def _card(record: Record, attempt: dict[str, Any]) -> Card | None:
    """One attempt; None where a picture is gone since."""
    paths = {name: record.picture(attempt["attack"], attempt["index"], view) for name, view in ROWS.items()}
    if not all(path.is_file() for path in paths.values()):
        return None
    gate = "open" if attempt["open"] else "shut"
    rows = [(name, [Image.open(path).convert("RGB")]) for name, path in paths.items()]
    return Card(f"{attempt['found']} (gate {gate})", rows)
