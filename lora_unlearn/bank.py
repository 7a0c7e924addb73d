"""Ordinary prompts of all kinds: what shapes an eraser, and what calibrates its gate."""

from __future__ import annotations

from pathlib import Path

from .demo.bank import demo_bank

BANK = Path(__file__).with_suffix(".txt")
"""One prompt a line: plain "a photo of ...", longer captions, lists of tags.

The short ones come first: the concept is put beside those, where a word more shifts few others."""
PLAIN = "a photo of a"
"""How the plain ones begin."""


def load_bank(family: str, seed: int = 0) -> list[str]:
    """The prompts for a model family, short ones first: the ones in `bank.txt` for every real model.

    For the demo, sentences about the things that it draws take the place of the plain ones. The captions and lists
    of tags stay: a gate that was calibrated on short sentences alone opens for one long caption in ten.

    Args:
        seed: of the demo's own sentences and their order.
    """
    prompts = BANK.read_text(encoding="ascii").splitlines()
    if family != "demo":
        return prompts
    return demo_bank(seed) + [prompt for prompt in prompts if not prompt.startswith(PLAIN)]
