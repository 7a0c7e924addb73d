"""The version, which pyproject.toml alone says: ComfyUI's registry and its manager read it there and nowhere else."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
"""Beside the package in a checkout, which a host's pack or extension is too; not beside an installed one."""


def _version() -> str:
    text = PROJECT.read_text(encoding="utf-8", errors="replace") if PROJECT.is_file() else ""
    said = re.search(r'^name = "lora-unlearn"\nversion = "(.+)"$', text, re.MULTILINE)
    return said[1] if said else version("lora-unlearn")


__version__ = _version()
