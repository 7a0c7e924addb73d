"""Reports: pages and contact sheets that stand by themselves."""

from .cards import Card, cards
from .curve import training_curve
from .page import demo_page
from .readout import Reading, cost_line, readings, readout_bars, readout_chart
from .sheet import sheet
from .write import write_report

__all__ = [
    "Card",
    "Reading",
    "cards",
    "cost_line",
    "demo_page",
    "readings",
    "readout_bars",
    "readout_chart",
    "sheet",
    "training_curve",
    "write_report",
]
