"""Reports: pages and contact sheets that stand by themselves."""

from .cards import Card
from .page import demo_page
from .readout import Reading, cost_line, readings, readout_chart
from .sheet import sheet
from .write import write_report

__all__ = ["Card", "Reading", "cost_line", "demo_page", "readings", "readout_chart", "sheet", "write_report"]
