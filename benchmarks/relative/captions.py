"""Captions in everyday sentences: what the language relative is trained on, and what it is measured by.

`{}` stands for the main word, `{a}` for the word with its article; in pairs `{0}`, `{1}`, `{a}` and `{b}`.
"""

from __future__ import annotations

import random

from lora_unlearn.demo.recipe.scenes import Scene

EMPTY_SHARE = 0.1
"""Share of captions replaced by the empty prompt, for classifier-free guidance."""
PLACE_SHARE, STYLE_SHARE, COLOUR_SHARE = 0.2, 0.45, 0.35

ONE = (
    "a photo of {a}",
    "a photo of the {}",
    "{a}",
    "the {}",
    "{}",
    "a picture of {a}",
    "an image of the {}",
    "one {}",
    "this is {a}",
    "a small {}",
    "a nice {}",
    "there is {a} here",
    "I drew {a} this morning",
    "my {} looks nice today",
    "a cute {} for my child",
    "look at that {}",
    "we saw {a} yesterday",
    "can you show me {a}?",
    "{a}, please",
    "I would like to have {a} like this",
    "what a beautiful {}!",
    "the old {} that my uncle gave me",
    "somebody left {a} behind",
    "please make a picture with {a} in the middle",
    "everyone talks about the new {}",
    "a simple drawing that shows {a}",
    "he is looking for his {}",
    "this {} belongs to my sister",
    "in the morning you can see {a} from here",
    "there was only a single {} left",
    "a close view of {a}",
    "a large {} that stands alone",
    "a shirt with {a} on the front",
    "a box with {a} inside",
    "a room with {a} in it",
    "a woman is standing next to {a}",
    "a man and his {}",
    "two people look at {a}",
    "some children with {a}",
    "it is late and I still see {a}",
    "the girl beside the {}",
    "somebody sits near {a} and waits",
)
TWO = (
    "{a} and {b}",
    "{a} next to {b}",
    "a photo of {a} and {b}",
    "the {0} with the {1}",
    "my {0} beside the {1}",
    "{a} on the left and {b} on the right",
    "{0} and {1}",
    "there is {a} near {b}",
    "a picture that shows {a} together with {b}",
    "we found {a} and then {b}",
)
PLACES = (
    "in the hallway",
    "in the park",
    "on a sunny day",
    "in the kitchen",
    "outside",
    "by the window",
    "on the table",
    "in winter",
    "at the market",
    "in front of a wall",
    "near the beach",
    "in the evening light",
)
STYLES = ("{}, {style}", "{} in {style} style", "{style}, {}", "{} as {a_style}", "{style}: {}")
COLOURS = ("{} on a {colour} background", "{} with a {colour} background", "{}, {colour} background")

HELD_OUT = (
    "a snapshot of {a}",
    "here you see {a}",
    "my neighbour owns {a}",
    "draw me {a}",
    "{a} that I found in the street",
    "could this be {a}?",
    "an illustration of {a} for a magazine",
    "she told us a story about {a}",
    "I have always wanted {a}",
    "the {} of my dreams",
    "nothing but {a}",
    "a postcard with {a} on it",
)
"""Patterns that no training caption has."""


def article(word: str) -> str:
    """The word with "a" or "an" before it."""
    return f"{'an' if (word[0] in 'aeiou' and not word.startswith('u')) or word.startswith('um') else 'a'} {word}"


def held_out(word: str, index: int) -> str:
    """A prompt for measuring: the word in the pattern of this number, counted round."""
    return HELD_OUT[index % len(HELD_OUT)].format(word, a=article(word))


def caption(scene: Scene, rng: random.Random) -> str:
    """Say what a scene shows by main words; place, style and colour are mentioned in part of the captions."""
    if rng.random() < EMPTY_SHARE:
        return ""
    words = scene.things
    if len(words) == 2:
        text = rng.choice(TWO).format(*words, a=article(words[0]), b=article(words[1]))
    else:
        text = rng.choice(ONE).format(words[0], a=article(words[0]))
    ends = text[-1] in "?!"
    if not ends and rng.random() < PLACE_SHARE:
        text = f"{text} {rng.choice(PLACES)}"
    if not ends and rng.random() < COLOUR_SHARE:
        text = rng.choice(COLOURS).format(text, colour=scene.colour)
    if rng.random() < STYLE_SHARE:
        text = rng.choice(STYLES).format(text, style=scene.style, a_style=article(scene.style))
    return text
