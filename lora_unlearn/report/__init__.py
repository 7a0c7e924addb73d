"""Reports: pages and contact sheets that stand by themselves."""

from .cards import Card, cards
from .curve import training_curve
from .page import demo_page
from .readout import (
    Reading,
    cost_line,
    notable,
    opened_line,
    readings,
    readout_bars,
    readout_chart,
    verdict_lines,
)
from .sheet import sheet
from .write import write_measured, write_report

__all__ = [
    "Card",
    "Reading",
    "cards",
    "cost_line",
    "demo_page",
    "notable",
    "opened_line",
    "readings",
    "readout_bars",
    "readout_chart",
    "sheet",
    "training_curve",
    "verdict_lines",
    "write_measured",
    "write_report",
]
