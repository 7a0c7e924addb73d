"""The extension's modules, under whatever name it was loaded."""

from __future__ import annotations

import importlib

from lora_unlearn.commands.ui import find_extension

NAME = find_extension().__name__


def part(name):
    """One of them, such as "studio" or "standalone.host"."""
    return importlib.import_module(f"{NAME}.{name}")
