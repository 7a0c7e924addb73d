"""What the stream relative draws, and what its captions say: the ten classes and four more of the demo's objects.

It is drawn in one style, and on white where no background is said, so that a small network learns it in few steps.
"""

from __future__ import annotations

import random

from lora_unlearn.demo.recipe.scenes import Scene
from lora_unlearn.demo.words import COLOUR_TEMPLATES, PAIR_TEMPLATES, SINGLE_TEMPLATES
from lora_unlearn.demo.words import THINGS as DEMO
from lora_unlearn.evaluate.prompts import CLASSES

THINGS = {name: DEMO[name] for name in (*CLASSES, "house", "tree", "star", "heart")}
STYLE, PLAIN = "clipart", "white"
MAIN_SHARE = 0.5
"""How often a thing is called by its main word."""


def caption(scene: Scene, rng: random.Random) -> str:
    """Say what a scene shows, and its background where it is not white."""
    words = [word(thing, sprite, rng) for thing, sprite in zip(scene.things, scene.sprites, strict=True)]
    text = rng.choice(PAIR_TEMPLATES if len(words) == 2 else SINGLE_TEMPLATES).format(*words)
    return text if scene.colour == PLAIN else rng.choice(COLOUR_TEMPLATES).format(text, colour=scene.colour)


def word(thing: str, sprite: str, rng: random.Random) -> str:
    """A word for a thing; some are tied to their artwork."""
    main, *others = THINGS[thing].words
    fitting = [other.text for other in others if not other.sprites or sprite in other.sprites]
    return rng.choice(fitting) if fitting and rng.random() > MAIN_SHARE else main.text
