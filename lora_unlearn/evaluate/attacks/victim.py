"""What is attacked: a loaded model under an eraser, with everything that an attacker may ask of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from ...concept import Concept
from ...denoiser import Conditioning, Denoiser, from_denoised
from ...errors import UnlearnError
from ...gate import Gate, kappa, text_score
from ...guidance import Eraser, Mode
from ...look import Look, decide_prompts
from ...vocabulary import Vocabulary
from ..judge import Judge
from .drawing import Picture, Way, draw
from .words import Words

EXAMPLES, SEED = 4, 70_000
"""Pictures of the concept that an attacker has, and the first seed that they are drawn from."""
TRIES = 8
"""How often the base model may fail to draw an example."""
MIDDLE = (0.1, 0.9)
"""The part of a run, in steps from noise to picture, at whose noise levels predictions are compared."""


@dataclass(frozen=True)
class Lesson:
    """Noised pictures of the concept: states x (N,C,H,W) at sigma (N,), and the native prediction (N,C,H,W) that
    leads back to the picture.
    """

    x: Tensor
    sigma: Tensor
    wanted: Tensor


@dataclass
class Victim:
    """A model under an eraser. Use it within `attached`.

    Attributes:
        denoiser: the loaded model.
        eraser: what is attacked, in the mode in which it is used.
        judge: says what is on a picture; `label` is what it calls the concept.
        steps, scale: of all pictures.
        pictures: of the concept, as latents (1,C,H,W), that an attacker has; default: the base model's own.
    """

    denoiser: Denoiser
    eraser: Eraser
    judge: Judge
    label: str
    steps: int = 20
    scale: float = 5.0
    pictures: Sequence[Tensor] = ()

    @property
    def gate(self) -> Gate:
        """Of the eraser."""
        return self.eraser.adapter.gate

    @property
    def concept(self) -> Concept:
        """That is erased."""
        return self.eraser.adapter.concept

    @property
    def words(self) -> tuple[str, ...]:
        """The concept's own words, which an attacker may have to avoid."""
        return self.concept.words

    @contextmanager
    def attached(self) -> Iterator[Victim]:
        """Within this block the adapter is on the model's layers, silent until rows are switched on."""
        adapter = self.eraser.adapter
        with adapter.lora.attached(self.denoiser.linears(adapter.settings.selector)):
            yield self

    def base(self, x: Tensor, sigma: Tensor, asked: Conditioning) -> Tensor:
        """What the model predicts by itself, (N,C,H,W)."""
        return self.denoiser.predict(x, sigma, asked)

    def erased(self, x: Tensor, sigma: Tensor, asked: Conditioning) -> Tensor:
        """What it predicts with the eraser always on, (N,C,H,W)."""
        with self.eraser.adapter.lora.rows(torch.ones(1)):
            return self.denoiser.predict(x, sigma, asked)

    def hears(self, asked: Conditioning) -> Tensor:
        """The gate's text score, (N,), with gradients; open from `gate.text_closed` up.

        Raises:
            UnlearnError: if the gate reads no text.
        """
        if not self.gate.direction or self.gate.statistic == "look":
            raise UnlearnError(
                f"The gate of the eraser for {self.label!r} does not decide by the text, so this attack has nothing to "
                "go past; take another attack."
            )
        return text_score(asked, self.gate)

    def sees(self, asked: Conditioning) -> Tensor:
        """The second look's score kappa of one row, (1,), with gradients; open from `gate.look` up."""
        look, shape, noises = Look(self.denoiser), self.gate.look_shape, self.gate.look_noises
        with torch.no_grad():
            concept, empty = look.predictions(self.denoiser.encode([self.concept.probe, ""]), shape, noises)
        shown = look.whole(self.eraser.adapter, asked)
        return kappa(look.evaluated(shown, shape, (0, noises)), concept[None], empty[None])

    def shut(self, prompts: Sequence[str]) -> list[bool]:
        """Whether the gate stays shut for prompts, as far as that is told before a picture is begun."""
        return [decision.open is False for decision in decide_prompts(self.denoiser, self.eraser.adapter, prompts)]

    def draw(self, way: Way, seed: int, mode: Mode = "auto") -> Picture:
        """A picture asked for in some way: "auto" with the eraser as it is used, "on" always on, "off" without it."""
        own = self.eraser.mode if mode == "auto" else mode
        return draw(self.denoiser, way, seed, self.steps, replace(self.eraser, mode=own))

    def shows(self, picture: Picture) -> str:
        """What the judge sees on a picture."""
        return self.judge.labels[int(self.judge.verdict([picture.image]).probabilities[0].argmax())]

    def asking(self, prompt: str) -> Way:
        """The ordinary way to ask for a prompt."""
        rows = self.denoiser.encode([prompt, ""])  # together, so that both have one length
        return Way([rows[[0]]], [rows[[1]]] if self.scale > 1 else [], self.scale)

    def examples(self) -> Tensor:
        """The attacker's pictures of the concept, (N,C,H,W).

        Raises:
            UnlearnError: if there are none, as the base model does not draw the concept.
        """
        if not self.pictures and not self._drawn:
            raise UnlearnError(f"The model draws no {self.label} by itself, so there is nothing to bring back.")
        return torch.cat([*(self.pictures or self._drawn)])

    @cached_property
    def _drawn(self) -> list[Tensor]:
        """Pictures on which the base model draws the concept: up to EXAMPLES of as many and TRIES more."""
        way, found = self.asking(self.concept.probe), list[Tensor]()
        for seed in range(SEED, SEED + EXAMPLES + TRIES):
            picture = self.draw(way, seed, "off")
            if self.shows(picture) == self.label:
                found.append(picture.state)
            if len(found) == EXAMPLES:
                break
        return found

    def lesson(self, count: int, generator: torch.Generator) -> Lesson:
        """Some of the examples under noise of random levels."""
        known, kind = self.examples(), self.denoiser.prediction_type
        levels = self.denoiser.sigmas(50)
        levels = levels[int(MIDDLE[0] * 50) : int(MIDDLE[1] * 50)]
        clean = known[torch.randint(len(known), (count,), generator=generator)]
        sigma = levels[torch.randint(len(levels), (count,), generator=generator)].to(clean)
        x = noised(clean, sigma, torch.randn(clean.shape, generator=generator).to(clean), kind)
        return Lesson(x, sigma, from_denoised(x, sigma, clean, kind))

    def vocabulary(self) -> Vocabulary:
        """The words of the model's text encoder.

        Raises:
            UnlearnError: if the model tells none.
        """
        offered = getattr(self.denoiser, "vocabulary", None)
        if offered is None:
            raise UnlearnError(
                "This model's text encoder tells no words, so they can't be searched; take another attack."
            )
        found: Vocabulary = offered()
        return found

    @cached_property
    def candidates(self) -> Words:
        """The words that a search may use."""
        return Words.without(self.concept, self.vocabulary())


def noised(clean: Tensor, sigma: Tensor, noise: Tensor, kind: str) -> Tensor:
    """States of clean latents (N,C,H,W) at noise levels (N,): see `denoiser`."""
    spread = sigma.view(-1, 1, 1, 1)
    return (1 - spread) * clean + spread * noise if kind == "flow" else clean + spread * noise
