"""The report of an evaluation: report.html for people, report.json for programs."""

from __future__ import annotations

import json
from pathlib import Path

from ..evaluate.record import Evaluation
from ..files import write_text
from . import sections
from .gallery import gallery, more
from .headline import headline, tiles, warnings
from .markup import tag
from .page import document, title


def write_report(evaluation: Evaluation, folder: str | Path) -> Path:
    """Write report.json and report.html into a folder, which is made if need be; returns the page's path.

    Raises:
        UnlearnError: if the folder is not writable.
    """
    folder = Path(folder)
    write_text(folder / "report.json", json.dumps(evaluation.figures, indent=1, allow_nan=False) + "\n")
    write_text(folder / "report.html", report_page(evaluation))
    return folder / "report.html"


def report_page(evaluation: Evaluation) -> str:
    """The page as text."""
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
        more(evaluation),
        sections.notes(evaluation),
    ]
    return document(f"Erasing {concept}: report", head, body)
