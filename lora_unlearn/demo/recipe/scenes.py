"""Scenes: what is on a picture, how it is drawn, and what a caption may say of it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from PIL import Image

from ..words import (
    COLOUR_TEMPLATES,
    COLOURS,
    PAIR_TEMPLATES,
    SINGLE_TEMPLATES,
    STYLE_TEMPLATES,
    STYLES,
    THINGS,
    Thing,
    Word,
)
from .artwork import SIZE

PAIR_SHARE = 0.15
"""Share of the pictures that show two objects side by side."""
STYLE_BIAS = 12.0
"""How much more often a synonym is used for its preferred style: words differ by their company."""


@dataclass(frozen=True)
class Scene:
    """One picture: objects from left to right with the artwork of each, style, background colour."""

    things: tuple[str, ...]
    sprites: tuple[str, ...]
    style: str
    colour: str


def random_scene(rng: random.Random, pair_share: float = PAIR_SHARE, things: Mapping[str, Thing] = THINGS) -> Scene:
    """Draw a scene: one object, or with probability `pair_share` two different ones."""
    chosen = rng.sample(list(things), 2 if rng.random() < pair_share else 1)
    names = [rng.choice(things[thing].sprites) for thing in chosen]
    colour = "white" if rng.random() < 0.3 else rng.choice(list(COLOURS))
    return Scene(tuple(chosen), tuple(names), rng.choice(list(STYLES)), colour)


def draw(scene: Scene, artwork: dict, rng: random.Random) -> Image.Image:
    """Draw a scene as an RGB picture of SIZE x SIZE pixels, with a little jitter in place and size."""
    picture = Image.new("RGB", (SIZE, SIZE), COLOURS[scene.colour])
    single = len(scene.things) == 1
    for index, name in enumerate(scene.sprites):
        side = rng.randint(100, 110) if single else rng.randint(58, 62)
        sprite = artwork[scene.style, name].resize((side, side), Image.Resampling.LANCZOS)
        centre = SIZE // 2 if single else SIZE // 4 + index * SIZE // 2
        left = centre - side // 2 + rng.randint(-3, 3) * single
        top = (SIZE - side) // 2 + rng.randint(-3, 3)
        picture.paste(sprite, (left, top), sprite)
    return picture


def caption(scene: Scene, rng: random.Random) -> str:
    """Say what a scene shows; style and colour are mentioned in part of the captions."""
    words = [_word(scene, index, rng) for index in range(len(scene.things))]
    if len(words) == 2:
        text = rng.choice(PAIR_TEMPLATES).format(*words)
    else:
        text = rng.choice(SINGLE_TEMPLATES).format(words[0])
    style_said, colour_said = rng.random() < 0.45, rng.random() < 0.35
    if colour_said:
        text = rng.choice(COLOUR_TEMPLATES).format(text, colour=scene.colour)
    if style_said:
        text = _with_style(text, words, scene.style, colour_said, rng)
    return text


def _with_style(text: str, words: list[str], style: str, colour_said: bool, rng: random.Random) -> str:
    template = rng.choice(STYLE_TEMPLATES)
    plain = " of " not in template
    if plain or len(words) == 2 or colour_said:
        template = template if plain else STYLE_TEMPLATES[0]
        return template.format(text, style=style)
    return template.format(words[0], style=style)


def _word(scene: Scene, index: int, rng: random.Random) -> str:
    """Choose a word for an object: main words often, tied words only for their artwork."""
    thing, sprite = scene.things[index], scene.sprites[index]
    words = [word for word in THINGS[thing].words if not word.sprites or sprite in word.sprites]
    weights = [_weight(word, thing, scene.style) for word in words]
    return rng.choices([word.text for word in words], weights)[0]


def _weight(word: Word, thing: str, style: str) -> float:
    rank = THINGS[thing].words.index(word)
    preferred = (list(THINGS).index(thing) + rank) % len(STYLES)
    biased = rank > 0 and list(STYLES)[preferred] == style
    return word.weight * (STYLE_BIAS if biased else 1.0)
