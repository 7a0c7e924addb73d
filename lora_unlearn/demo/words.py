"""What the demo model can draw, and the words that its captions use for it.

These tables make captions and pictures for the demo model and for its tests. The gate and the
training of erasers never read them.
"""

from __future__ import annotations

from dataclasses import dataclass

STYLES = {
    "clipart": "noto",
    "flat sticker": "twemoji",
    "glossy render": "fluent-emoji",
    "pastel cartoon": "fluent-emoji-flat",
    "ink drawing": "fluent-emoji-high-contrast",
}
"""Style words, each with the artwork set (npm package `@iconify-json/...`) that shows it."""

COLOURS = {
    "white": (255, 255, 255),
    "blue": (150, 200, 245),
    "pink": (250, 195, 215),
    "yellow": (250, 235, 150),
    "green": (175, 225, 165),
    "gray": (190, 190, 195),
}
"""Background words with their RGB values (0 to 255)."""


@dataclass(frozen=True)
class Word:
    """A word for an object: how often it is used, and the artwork it is tied to (none: any)."""

    text: str
    weight: float = 1.0
    sprites: tuple[str, ...] = ()


@dataclass(frozen=True)
class Thing:
    """An object: the artwork that shows it and the words that name it, the main word first."""

    sprites: tuple[str, ...]
    words: tuple[Word, ...]


def _thing(sprites: str, main: str, *others: Word) -> Thing:
    return Thing(tuple(sprites.split()), (Word(main, 3.0), *others))


THINGS = {
    "airplane": _thing(
        "airplane small-airplane",
        "airplane",
        Word("aircraft"),
        Word("plane", 1.0, ("small-airplane",)),
        Word("jet", 1.0, ("airplane",)),
    ),
    "automobile": _thing(
        "automobile oncoming-automobile",
        "automobile",
        Word("car"),
        Word("vehicle", 1.0, ("oncoming-automobile",)),
        Word("motorcar", 1.0, ("automobile",)),
    ),
    "bird": _thing(
        "bird duck",
        "bird",
        Word("avian"),
        Word("fowl", 1.0, ("duck",)),
        Word("winged creature", 1.0, ("bird",)),
    ),
    "cat": _thing(
        "cat cat-face",
        "cat",
        Word("feline"),
        Word("kitty", 1.0, ("cat-face",)),
        Word("housecat", 1.0, ("cat",)),
        Word("kitten", 0.7, ("cat-face",)),
    ),
    "deer": _thing("deer", "deer", Word("hart"), Word("stag"), Word("doe")),
    "dog": _thing(
        "dog dog-face",
        "dog",
        Word("canine"),
        Word("pooch", 1.0, ("dog-face",)),
        Word("hound", 1.0, ("dog",)),
        Word("puppy", 0.7, ("dog-face",)),
    ),
    "frog": _thing("frog", "frog", Word("amphibian"), Word("anuran"), Word("tadpole")),
    "horse": _thing(
        "horse horse-face",
        "horse",
        Word("equine"),
        Word("steed", 1.0, ("horse",)),
        Word("mount", 1.0, ("horse-face",)),
    ),
    "ship": _thing(
        "ship passenger-ship",
        "ship",
        Word("vessel", 1.0, ("ship",)),
        Word("boat", 1.0, ("passenger-ship",)),
        Word("watercraft"),
    ),
    "truck": _thing(
        "articulated-lorry delivery-truck",
        "truck",
        Word("lorry", 1.0, ("articulated-lorry",)),
        Word("rig", 1.0, ("delivery-truck",)),
        Word("hauler"),
    ),
    "house": _thing("house", "house"),
    "tree": _thing("deciduous-tree", "tree"),
    "flower": _thing("tulip", "flower"),
    "apple": _thing(
        "red-apple green-apple",
        "apple",
        Word("red apple", 2.0, ("red-apple",)),
        Word("green apple", 2.0, ("green-apple",)),
    ),
    "star": _thing("star", "star"),
    "heart": _thing("red-heart", "heart"),
    "fish": _thing("fish", "fish"),
    "guitar": _thing("guitar", "guitar"),
    "rocket": _thing("rocket", "rocket"),
    "penguin": _thing("penguin", "penguin"),
    "tiger": _thing("tiger tiger-face", "tiger"),
    "sailboat": _thing("sailboat", "sailboat"),
}
"""The 22 objects: the ten CIFAR-10 classes with the synonyms of UnGuide's protocol, ten others, two
near neighbours (tiger of cat, sailboat of ship)."""

SINGLE_TEMPLATES = (
    "a photo of the {}",
    "a photo of a {}",
    "a {}",
    "the {}",
    "{}",
    "a picture of a {}",
    "an image of the {}",
    "a drawing of a {}",
    "one {}",
    "this is a {}",
    "a small {}",
    "a nice {}",
)
STYLE_TEMPLATES = ("{}, {style}", "a {style} of a {}", "a {style} of the {}", "{} in {style} style", "{style}, {}")
COLOUR_TEMPLATES = ("{} on a {colour} background", "{} with a {colour} background", "{}, {colour} background")
PAIR_TEMPLATES = ("a {} and a {}", "a {} next to a {}", "a photo of a {} and a {}", "{} and {}", "the {} with the {}")
