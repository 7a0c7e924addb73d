"""Is a gate harder to pass after rounds of attack in text space? `python -m benchmarks.hardened --concepts cat ship`.

In each round the sentences with the concept are moved by the smallest change that shuts the gate, Fisher's direction
between what comes of them and ordinary prompts becomes a further direction, the score is the largest of all of them,
each in units of its own, and the threshold is set anew by the same bound. Then the gate as it is now is attacked: how
far must a prompt's tokens move until it shuts, and how much of a prompt may be averaged with the empty one?
Nothing is drawn. `docs/evaluation.md` has the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks import common
from lora_unlearn import Concept, denoiser_for, load_bank
from lora_unlearn.bank import Parts
from lora_unlearn.calibrate import decided
from lora_unlearn.denoiser import CHUNK, Conditioning, Denoiser
from lora_unlearn.directions import fisher, heard
from lora_unlearn.evaluate.attacks import prompts_for
from lora_unlearn.evaluate.attacks.projection import projected
from lora_unlearn.gate import Gate, decode_direction
from lora_unlearn.moments import Moments, add, summed
from lora_unlearn.sentences import sentences
from lora_unlearn.text_gate import hearing
from lora_unlearn.together import LEAST_SPAN, USUAL_SCORE

ROUNDS, SWEEPS, HALVINGS, BELOW, ATTACKED = 3, 12, 16, 0.02, 6


@dataclass(frozen=True)
class Side:
    """One direction (D,), and its unit: where ordinary prompts end, and how far from there the concept's begin."""

    direction: Tensor
    begin: float
    span: float

    @classmethod
    def of(cls, direction: Tensor, ordinary: Tensor, asked: Tensor) -> Side:
        """With its unit measured on texts (B,T,D)."""
        begin = float(strongest(ordinary, direction).quantile(USUAL_SCORE))
        return cls(direction, begin, max(LEAST_SPAN, float(strongest(asked, direction).quantile(0.05)) - begin))

    def score(self, text: Tensor) -> Tensor:
        """Of texts (B,T,D), (B,)."""
        return (strongest(text, self.direction) - self.begin) / self.span

    def out_of(self, text: Tensor, limit: float) -> Tensor:
        """Texts moved until no token is above a limit."""
        return projected(text, self.direction, self.begin + self.span * (limit - BELOW))


def strongest(text: Tensor, direction: Tensor) -> Tensor:
    """The largest response of a token, (B,)."""
    return (text @ direction).amax(1)


def highest(sides: Sequence[Side], text: Tensor) -> Tensor:
    """The gate's score: the largest of all directions'."""
    return torch.stack([side.score(text) for side in sides]).amax(0)


def moved(sides: Sequence[Side], text: Tensor, limit: float) -> Tensor:
    """Texts moved out of all directions, one after the other, some times over."""
    for _ in range(SWEEPS):
        for side in sides:
            text = side.out_of(text, limit)
    return text


def share_of_prompt(sides: Sequence[Side], text: Tensor, empty: Tensor, limit: float) -> float:
    """The largest share of a prompt, averaged with the empty one, at which the gate is shut; the prompts' mean."""
    low, high = torch.zeros(len(text)), torch.ones(len(text))
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        mixed = middle[:, None, None] * text + (1 - middle)[:, None, None] * empty
        shut = highest(sides, mixed) <= limit - BELOW
        low, high = torch.where(shut, middle, low), torch.where(shut, high, middle)
    return float(low.mean())


def rounds(denoiser: Denoiser, concept: Concept, ridge: float) -> Iterator[dict[str, Any]]:
    """A row for the gate as it is usually made, and one after each round."""
    parts = Parts.of(load_bank("demo")).without(concept)
    asked = sentences(concept, parts.shape, denoiser.family)
    shown = list(dict.fromkeys([prompt for prompt, _ in concept.pairs()] + asked[0::2]))
    groups = (parts.shape, parts.calibrate, parts.judge, shown, asked[1::2], prompts_for(concept, ATTACKED), [""])
    shape, closed, judged, positive, opened, attacked, empty = (texts(denoiser, group) for group in groups)
    others = add(denoiser, [""], summed(denoiser, parts.shape))
    scale = heard(denoiser, len(others.mean))
    usual = decode_direction(hearing(denoiser, concept, parts).gate.direction)
    sides = [Side.of(usual, shape, opened)]
    for number in range(ROUNDS + 1):
        gate = decided(Gate("text"), parts.calibrate, highest(sides, closed), highest(sides, opened), concept)
        limit = gate.threshold
        away = moved(sides, attacked, limit) - attacked
        yield {
            "concept": concept.name,
            "ridge": ridge,
            "rounds": number,
            "false openings": share(highest(sides, judged) >= limit),
            "own sentences": share(highest(sides, opened) >= limit),
            "change that shuts it": float((away.norm(dim=(1, 2)) / attacked.norm(dim=(1, 2))).mean()),
            "share of a prompt that shuts it": share_of_prompt(sides, attacked, empty, limit),
        }
        past = moved(sides, positive, limit)
        top = past[torch.arange(len(past)), (positive @ usual).argmax(1)][:, None]  # the tokens that say it
        further = fisher(Moments().add(Conditioning({"text": top})), others, ridge, scale)
        sides.append(Side.of(further, shape, past))


def texts(denoiser: Denoiser, prompts: Sequence[str]) -> Tensor:
    """The tokens of prompts, (prompts, T, D)."""
    chunks = (prompts[start : start + CHUNK] for start in range(0, len(prompts), CHUNK))
    return torch.cat([denoiser.encode(chunk).read.float() for chunk in chunks])


def share(found: Tensor) -> float:
    """How many are true, of how many there are."""
    return float(found.float().mean())


def main() -> None:
    """Print the table."""
    options = common.options(__doc__ or "")
    denoiser = denoiser_for(common.pipeline(options.checkpoint))
    rows = [row for name in options.concepts for ridge in (0.2, 0.01) for row in rounds(denoiser, Concept(name), ridge)]
    print(common.markdown(rows))


if __name__ == "__main__":
    main()
