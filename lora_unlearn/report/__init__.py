"""Reports: pages and contact sheets that stand by themselves."""

from .cards import Card
from .page import demo_page
from .sheet import sheet
from .write import write_report

__all__ = ["Card", "demo_page", "sheet", "write_report"]
