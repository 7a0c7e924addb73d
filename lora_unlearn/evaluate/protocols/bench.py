"""What every protocol is, and what it measures on: one model, one eraser or several, one judge."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ...concept import Concept
from ...denoiser import Denoiser, base_hash
from ...errors import UnlearnError
from ...guidance import Eraser
from ...hosts.diffusers import denoiser_for
from ...hosts.generate import Picture, Sampling
from ..counting import style_of
from ..drawing import NOTHING, Album, Job, Saving
from ..judge import ClipJudge, Judge
from ..kept import Kept
from ..prompts import CLASSES, HELD_OUT, Kind, Protocol
from ..record import Evaluation
from ..unguide import Options, measure

STYLED = ("a {}, {style}", "the {} in {style} style", "a {style} of one {}", "this is a {style} of the {}")
"""Sentences for a style, around a thing."""
DRAWN = ("house", "tree", "dog", "cat", "flower", "star")
"""Things that a style is asked on, where the judge knows them."""


@dataclass
class Bench:
    """A loaded model with what is to be measured.

    Attributes:
        pipe: a diffusers pipeline that `denoiser_for` knows.
        erasers: with strength and mode; all protocols but `sequence` measure the first.
        judge: says what is on a picture.
        sampling: of all pictures.
        count: pictures of each prompt; 0: each protocol's own, see `Row.seeds`.
        quick: whether a first look is enough.
        first_seed: of every prompt's pictures.
        saving: what is left out.
        synonyms, paraphrases: as `unguide_protocol` takes them.
        captions: prompts of the user's, for the gate.
        translations: prompts for the concept in other languages, by the language's name.
        implicit: the user's own list for `implicit`, by kind.
        report: takes (stage, done, total).
        each: called with the protocol's name and every picture under the eraser.
        things, styles: what `canvas` crosses; default: what the judge knows, or UnlearnCanvas' own.
        seeds: those of every prompt's pictures, as many as `count` says; default: from `first_seed` on.
        album: pictures without the eraser, by the judge who saw them: all protocols share them.
        kept: pictures of an earlier, unfinished run of the same.
    """

    pipe: Any
    erasers: Sequence[Eraser]
    judge: Judge
    sampling: Sampling
    count: int = 0
    quick: bool = False
    first_seed: int = 0
    saving: Saving = NOTHING
    synonyms: Sequence[str] = ()
    paraphrases: int = len(HELD_OUT)
    captions: Sequence[str] = ()
    translations: Mapping[str, str] = field(default_factory=dict)
    implicit: Mapping[Kind, Sequence[str]] = field(default_factory=dict)
    report: Callable[[str, int, int], None] = lambda stage, done, total: None
    each: Callable[[str, Job, Picture], None] = lambda name, job, picture: None
    things: Sequence[str] = ()
    styles: Sequence[str] = ()
    seeds: Sequence[int] = ()
    album: dict[tuple[str, ...], Album] = field(default_factory=dict)
    kept: Kept | None = None

    @property
    def eraser(self) -> Eraser:
        """The one that is measured."""
        return self.erasers[0]

    @property
    def concept(self) -> str:
        """Its concept's name."""
        return self.eraser.adapter.concept.name

    @property
    def style(self) -> str | None:
        """The concept's name as one of the judge's styles; None: it is a thing."""
        return style_of(self.concept, self.judge.styles)

    @cached_property
    def denoiser(self) -> Denoiser:
        """The model."""
        return denoiser_for(self.pipe)

    @property
    def other_words(self) -> tuple[str, ...]:
        """Words for the concept that the eraser was not given, as far as they are known."""
        given = {word.lower() for word in self.eraser.adapter.concept.words}
        return tuple(word for word in (self.synonyms or CLASSES.get(self.concept, ())) if word.lower() not in given)

    @property
    def known(self) -> Concept:
        """The concept with all words for it that are known, a style's bare name too: it tells whether a prompt asks."""
        concept = self.eraser.adapter.concept
        bare = () if self.style is None else (self.style,)
        return Concept(concept.name, (*concept.also, *self.other_words, *bare), of=concept.of)

    def blank(self) -> Evaluation:
        """An evaluation without a picture, which tells the settings."""
        seeds = self.seeds_of((1, 1))
        asked = Protocol(self.concept, self.judge.labels, ())
        return Evaluation(
            self.eraser, asked, self.sampling, self.judge.name, self.judge.labels, seeds, base_hash(self.denoiser), [],
            0.0, saving=self.saving,
        )  # fmt: skip

    def seeds_of(self, usual: tuple[int, int]) -> Sequence[int]:
        """The seeds of every prompt's pictures; `usual`: how many, in full and where a first look is enough."""
        count = self.count or usual[self.quick]
        return self.seeds[:count] or range(self.first_seed, self.first_seed + count)

    def knows(self, word: str) -> bool:
        """Whether the judge can say a word; CLIP says any."""
        return isinstance(self.judge, ClipJudge) or word in self.judge.labels

    def judge_of(self, labels: Sequence[str], styles: Sequence[str] = (), name: str = "") -> Judge:
        """A judge who tells these labels and styles apart.

        Raises:
            UnlearnError: if the judge has words of its own, and one is missing; `name`: of the protocol that asks.
        """
        if isinstance(self.judge, ClipJudge):
            return self.judge.saying(labels, styles)
        missing = [*set(labels) - set(self.judge.labels), *set(styles) - set(self.judge.styles)]
        if missing:
            raise UnlearnError(
                f"{name}: {self.judge.name} does not know {sorted(missing)[0]!r}; it knows "
                f"{', '.join((*self.judge.labels, *self.judge.styles))}."
            )
        return self.judge

    def sentences(self, most: int) -> list[str]:
        """Held-out sentences that ask for the concept, `most` of them at most."""
        if self.style is None:
            return [sentence.format(self.concept) for sentence in HELD_OUT[:most]]
        things = [thing for thing in DRAWN if thing in self.judge.labels] or ["house"]
        return [s.format(thing, style=self.style) for thing in things for s in STYLED][:most]

    def draw(
        self,
        asked: Protocol,
        name: str,
        seeds: Sequence[int],
        count: Callable[[Evaluation], dict[str, Any]],
        saving: Saving | None = None,
    ) -> Evaluation:
        """Draw and judge what is asked, with and without the eraser; an interrupt keeps what was drawn."""
        judge = self.judge_of(asked.labels, asked.styles, name)
        saving = self.saving if saving is None else saving
        return measure(
            self.pipe,
            self.eraser,
            asked,
            judge,
            Options(seeds, self.sampling, saving, count, partial=True, kept=self.kept),
            self.album.setdefault((*judge.labels, "", *judge.styles), Album()),
            lambda done, total: self.report(name, done, total),
            lambda job, picture: self.each(name, job, picture),
        )
