"""Ordinary prompts for the demo model: what shapes and calibrates its erasers."""

from __future__ import annotations

import itertools
import random

from .words import COLOURS, STYLES, THINGS

PATTERNS = (
    "a {}",
    "a photo of a {}",
    "the {}",
    "a picture of a {}, {style}",
    "a {style} of a {}",
    "a {} on a {colour} background",
    "a drawing of a {}",
    "{}, {style}",
    "an image of the {} with a {colour} background",
    "{}",
)
PAIRS = ("a {} and a {}", "a {} next to a {}")


def demo_bank(seed: int = 0) -> list[str]:
    """About 440 prompts with the main words of the 22 objects: every object in every pattern, and pairs."""
    rng = random.Random(seed)
    prompts = [
        pattern.format(thing, style=rng.choice(list(STYLES)), colour=rng.choice(list(COLOURS)))
        for thing, pattern in itertools.product(THINGS, PATTERNS)
    ]
    prompts += [rng.choice(PAIRS).format(*rng.sample(list(THINGS), 2)) for _ in range(220)]
    rng.shuffle(prompts)
    return prompts
