"""The report of an evaluation: report.html for people, report.json for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..evaluate.protocols import PROTOCOLS, Bench, Measured
from ..evaluate.record import Evaluation
from ..evaluate.summary import plain, settings
from ..files import write_text
from . import sections
from .gallery import gallery, more
from .headline import headline, tiles, warnings
from .markup import tag
from .page import document, title
from .protocols import section


def write_report(evaluation: Evaluation, folder: str | Path) -> Path:
    """Write report.json and report.html into a folder, which is made if need be; returns the page's path.

    Raises:
        UnlearnError: if the folder is not writable.
    """
    folder = Path(folder)
    write_text(folder / "report.json", json.dumps(evaluation.figures, indent=1, allow_nan=False) + "\n")
    write_text(folder / "report.html", report_page(evaluation))
    return folder / "report.html"


def write_measured(bench: Bench, found: Mapping[str, Measured], folder: str | Path) -> Path:
    """The same for what protocols found: a key of report.json and a section of report.html each.

    The figures of `unguide` are at the top of report.json, those of the others in its key "protocols".

    Raises:
        UnlearnError: if the folder is not writable.
    """
    folder = Path(folder)
    others = {name: measured for name, measured in found.items() if name != "unguide"}
    own = found["unguide"].evaluation if "unguide" in found else None
    figures = dict(own.figures) if own else {"concept": bench.concept, "settings": settings(bench.blank())}
    if others or own is None:
        figures["protocols"] = plain({name: told(name, measured) for name, measured in others.items()})
    page = report_page(own, others) if own else protocols_page(bench, others)
    write_text(folder / "report.json", json.dumps(figures, indent=1, allow_nan=False) + "\n")
    write_text(folder / "report.html", page)
    return folder / "report.html"


def told(name: str, measured: Measured) -> dict[str, Any]:
    """A protocol's key of report.json."""
    row = PROTOCOLS[name]
    return {"about": row.about, "origin": row.origin, "unfinished": measured.unfinished, **measured.figures}


def protocols_page(bench: Bench, found: Mapping[str, Measured]) -> str:
    """The page of a report without the figures of `unguide`."""
    concept = ", ".join(eraser.adapter.concept.name for eraser in bench.erasers)
    lead = f"Measured by {', '.join(found)}. Judged by {bench.judge.name}. Small figures are 95\u202f% intervals."
    body = [section(name, measured, concept) for name, measured in found.items()]
    return document(f"Erasing {concept}: report", [title(concept, "report"), tag("p", lead, class_="lead")], body)


def report_page(evaluation: Evaluation, others: Mapping[str, Measured] = {}) -> str:
    """The page as text; `others`: what further protocols found."""
    figures, concept = evaluation.figures, evaluation.figures["concept"]
    head = [title(concept, "report"), tag("p", headline(figures), class_="lead")]
    body = [
        [tag("p", text, class_="warning") for text in warnings(figures)],
        tiles(figures),
        gallery(evaluation),
        sections.accuracy(figures),
        sections.gate(figures),
        sections.instead(figures),
        sections.cost(figures),
        [section(name, measured, concept) for name, measured in others.items()],
        more(evaluation),
        sections.notes(evaluation),
    ]
    return document(f"Erasing {concept}: report", head, body)
