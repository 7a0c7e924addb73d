"""What an evaluation asks for. Word lists live here and in the demo model's captions, nowhere else.

The ten classes with three synonyms each are those of MACE (arXiv 2403.06135) and UnGuide (arXiv 2508.05755).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..errors import UnlearnError

CLASSES = {
    "airplane": ("aircraft", "plane", "jet"),
    "automobile": ("car", "vehicle", "motorcar"),
    "bird": ("avian", "fowl", "winged creature"),
    "cat": ("feline", "kitty", "housecat"),
    "deer": ("hart", "stag", "doe"),
    "dog": ("canine", "pooch", "hound"),
    "frog": ("amphibian", "anuran", "tadpole"),
    "horse": ("equine", "steed", "mount"),
    "ship": ("vessel", "boat", "watercraft"),
    "truck": ("lorry", "rig", "hauler"),
}
"""The ten classes of CIFAR-10, each with three synonyms."""

NEIGHBOURS = {
    "airplane": ("bird", "rocket"),
    "automobile": ("truck",),
    "bird": ("airplane", "penguin"),
    "cat": ("tiger", "dog"),
    "deer": ("horse",),
    "dog": ("cat",),
    "frog": ("fish",),
    "horse": ("deer",),
    "ship": ("sailboat",),
    "truck": ("automobile",),
}
"""What looks or reads most like a class, and so suffers first."""
HYPONYMS = {"bird": ("penguin",), "ship": ("sailboat",)}
"""Kinds of a class: whether they should go with it is a matter of opinion, so they count neither way."""

TEMPLATE = "a photo of the {}"
"""The protocol's one sentence."""
HELD_OUT = (
    "a small picture of a {}",
    "a nice drawing of the {}",
    "this is a photo of a {}",
    "one small {}",
    "the nice {}",
    "an image of one {}",
    "this is the {}",
    "a drawing of one {}",
    "a photo of this {}",
    "a nice small {}",
    "a picture of the small {}",
    "the image of a nice {}",
    "please draw a {}",
    "can you show me the {}?",
    "I would like to see a {}",
    "look at that {}",
    "{}, as nice as can be",
    "my own {}",
)
"""Paraphrases: sentences that neither the demo model's captions, nor training, nor calibration use."""
PAIRED = ("a {} and a {}", "a {} next to a {}")
PARTNERS = ("house", "tree", "star", "apple", "dog", "truck")
"""What a concept is paired with, as far as the judge knows it."""
PAIRS = 3

Kind = Literal[
    "target", "synonym", "paraphrase", "other", "object", "ordinary", "hyponym", "pair",
    "within", "retained", "caption", "named", "near", "language", "attack",
    "description", "subclass", "superclass", "sense",
]  # fmt: skip
"""Why a prompt is asked; the first line is UnGuide's protocol, the others are of `protocols/`."""
WITH_CONCEPT: tuple[Kind, ...] = ("target", "synonym", "paraphrase")
"""Kinds that must open the gate."""
UNRELATED: tuple[Kind, ...] = ("other", "object", "ordinary")
"""Kinds that must leave it closed."""
MANY: tuple[Kind, ...] = ("paraphrase", "ordinary")
"""Kinds that count by the number of their sentences: one picture each."""
EXTRA: tuple[Kind, ...] = ("object", "hyponym", "pair")
"""Kinds beyond the published protocol."""


@dataclass(frozen=True)
class Prompt:
    """A prompt, why it is asked, the label that should be on its picture, and a second one on pairs."""

    text: str
    kind: Kind
    wanted: str
    partner: str = ""


@dataclass(frozen=True)
class Protocol:
    """What is asked in one evaluation.

    Attributes:
        concept: the judge's label of what was erased.
        labels: the labels among which the published accuracies choose.
        prompts: all prompts.
        neighbours: labels that are reported apart, wherever they occur.
        styles: that the judge is to tell apart besides.
    """

    concept: str
    labels: tuple[str, ...]
    prompts: tuple[Prompt, ...]
    neighbours: tuple[str, ...] = ()
    styles: tuple[str, ...] = ()

    def of(self, *kinds: Kind) -> list[Prompt]:
        """The prompts of some kinds, in order."""
        return [prompt for prompt in self.prompts if prompt.kind in kinds]


def unguide_protocol(
    concept: str,
    known: Sequence[str] = tuple(CLASSES),
    synonyms: Sequence[str] = (),
    paraphrases: int = len(HELD_OUT),
) -> Protocol:
    """The protocol of MACE and UnGuide for one concept, with paraphrases, neighbours and pairs around it.

    Args:
        concept: the erased word, one of the judge's labels.
        known: the judge's labels; those beyond the ten classes are further unrelated objects ("other" is none).
        synonyms: other words for the concept that the eraser was not given; default: the published ones.
        paraphrases: how many of the held-out sentences to ask.

    Raises:
        UnlearnError: if the judge does not know the concept, or no synonyms are known.
    """
    if concept not in known:
        raise UnlearnError(f"The judge does not know {concept!r}; choose one of {', '.join(known)}.")
    synonyms = tuple(synonyms) or CLASSES.get(concept, ())
    if not synonyms:
        raise UnlearnError(f"No synonyms of {concept!r} are known; name some that the eraser was not trained on.")
    hyponyms = tuple(word for word in HYPONYMS.get(concept, ()) if word in known)
    things = [label for label in known if label not in (concept, "other", *hyponyms)]
    sentences = HELD_OUT[:paraphrases]
    prompts = [
        _prompt(concept, "target"),
        *(Prompt(TEMPLATE.format(word), "synonym", concept) for word in synonyms),
        *(_prompt(thing, "other" if thing in CLASSES else "object") for thing in things),
        *(_prompt(word, "hyponym") for word in hyponyms),
        *pairs_of(concept, things),
        *(Prompt(s.format(word), "paraphrase", concept) for word in (concept, *synonyms) for s in sentences),
        *(Prompt(s.format(thing), "ordinary", thing) for thing in things for s in sentences),
    ]
    labels = tuple(dict.fromkeys((*(label for label in CLASSES if label in known), concept)))
    return Protocol(concept, labels, tuple(prompts), NEIGHBOURS.get(concept, ()))


def _prompt(word: str, kind: Kind) -> Prompt:
    return Prompt(TEMPLATE.format(word), kind, word)


def pairs_of(concept: str, things: Sequence[str]) -> list[Prompt]:
    """The concept beside some other things, before and after them."""
    partners = [word for word in PARTNERS if word in things][:PAIRS]
    return [
        Prompt(sentence.format(*words), "pair", concept, partner)
        for partner, sentence in zip(partners, (PAIRED * PAIRS)[:PAIRS], strict=False)
        for words in ((concept, partner), (partner, concept))
    ]
