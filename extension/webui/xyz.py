"""Axes for the host's X/Y/Z plot: eraser, strength and gate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from modules import scripts

from .erasers import SHELF
from .slots import AXES, GATES, NONE

PREFIX = "[Erase concepts]"
NAMES = ("xyz_grid.py", "scripts.xyz_grid")


def setter(name: str) -> Callable[[Any, Any, Any], None]:
    """What an axis does to a job; the job before shares nothing with it."""

    def apply(p: Any, value: Any, values: Any) -> None:
        setattr(p, AXES, {**getattr(p, AXES, {}), name: value})

    return apply


def add_axes() -> None:
    """The host's callback before it builds the page: add our axes, once."""
    found = next((data.module for data in scripts.scripts_data if data.script_class.__module__ in NAMES), None)
    if found is None:
        return
    axes = {
        "eraser": (str, lambda: [NONE, *SHELF.offered()]),
        "strength": (float, None),
        "gate": (str, lambda: list(GATES)),
    }
    found.axis_options[:] = [option for option in found.axis_options if not option.label.startswith(PREFIX)]
    for name, (kind, choices) in axes.items():
        found.axis_options.append(found.AxisOption(f"{PREFIX} {name}", kind, setter(name), choices=choices))
