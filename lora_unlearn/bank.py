"""Ordinary prompts of all kinds: what shapes an eraser, and what calibrates its gate."""

from __future__ import annotations

from pathlib import Path

from .demo.bank import demo_bank

BANK = Path(__file__).with_suffix(".txt")
"""One prompt a line: plain "a photo of ...", longer captions, lists of tags."""


def load_bank(family: str) -> list[str]:
    """The prompts for a model family: the demo's own, or the ones in `bank.txt` for every real model."""
    return demo_bank() if family == "demo" else BANK.read_text(encoding="ascii").splitlines()
