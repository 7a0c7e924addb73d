"""The second look: what the network makes of a prompt in pure noise, for prompts that the text leaves closed.

kappa (see `gate`) at fixed states of pure noise, whatever picture is drawn from whatever noise: `GLANCE` evaluations
for a prompt that was not seen before, up to `MOST_NOISES` for one that may ask for the concept, none for a picture. So
it works for any sampler, number of steps and guidance scale, and before the first step. A prompt that was mixed with
the empty one is shown whole (`weakened`).
The bound on false openings is split between text and look.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, get_args

import torch
from torch import Tensor

from . import detectors
from .adapter import Adapter
from .bounds import clopper_pearson, conformal_threshold, least
from .decisions import Decision, decide
from .denoiser import CHUNK, Conditioning, Denoiser
from .gate import MOST_NOISES, Gate
from .weakened import restored

LookMode = Literal["text", "careful", "always"]
"""Who decides: the text alone; the text, then a second look at what it leaves closed; the second look alone."""
LOOK_MODES: tuple[LookMode, ...] = get_args(LookMode)
GLANCE, SEED = 2, 20250807
"""States of noise in which every prompt is asked, and which are asked at once; the noise's own seed."""
SEEMS = 0.3
"""The kappa of a glance from which up the other noises are asked, too."""
REMEMBERED = 64
"""Texts whose predictions are kept."""
MOST_TOLD = 100
"""Sentences with and prompts without the concept that tell how well a look alone does."""
ROWS = 4
"""Prompts that are glanced at at once, while a threshold is measured: no more than a training's batch."""


class Look:
    """The second look on one model; it remembers the prompts that it has seen.

    Args:
        denoiser: whose network is asked.
        encode: the host's encoder; default: the denoiser's.
        seen: what is remembered, to be shared between objects for one and the same network.

    Attributes:
        evaluations: network evaluations (rows) spent so far.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        encode: Callable[[list[str]], Conditioning] | None = None,
        seen: dict[str, Tensor] | None = None,
    ) -> None:
        self.denoiser, self.encode = denoiser, encode or denoiser.encode
        self.seen = {} if seen is None else seen
        self.evaluations = 0

    @torch.no_grad()
    def __call__(self, adapter: Adapter, asked: Conditioning) -> Tensor:
        """The scores of prompts (rows of `asked`) for an adapter's concept, (B,): kappa, in more noises if it is high.

        One rule makes every prompt's score, so conformal bounds hold for it as for any other.
        """
        most = adapter.gate.look_noises
        scores = self._kappa(adapter, asked, min(GLANCE, most))
        near = (scores >= SEEMS).nonzero().flatten().tolist()
        if near and most > GLANCE:
            scores[near] = self._kappa(adapter, asked[near], most)
        return scores

    def _kappa(self, adapter: Adapter, asked: Conditioning, noises: int) -> Tensor:
        return detectors.kappa(_NoiseView(self, adapter, asked, noises)).float().cpu()

    def whole(self, adapter: Adapter, asked: Conditioning) -> Conditioning:
        """Prompts as they are shown to the network: weakened ones restored, see `weakened`."""
        return restored(asked, self.encode([adapter.concept.probe]), self.encode([""]))

    def predictions(self, asked: Conditioning, shape: Sequence[int], noises: int = MOST_NOISES) -> Tensor:
        """What the network predicts for prompts in the first noises, side by side: (B, noises * C, H, W)."""
        names = [_name(asked[[row]], shape) for row in range(len(asked))]
        rows = {name: row for row, name in enumerate(names)}
        for first in range(0, noises, GLANCE):
            new = [name for name in rows if len(self.seen.get(name, ())) <= first * shape[0]]
            for start in range(0, len(new), ROWS):
                chunk = new[start : start + ROWS]
                found = self.evaluated(asked[[rows[name] for name in chunk]], shape, (first, first + GLANCE))
                for name, more in zip(chunk, found, strict=True):
                    self.seen[name] = torch.cat([self.seen[name], more]) if name in self.seen else more
        found = torch.stack([self.seen.setdefault(name, self.seen.pop(name))[: noises * shape[0]] for name in names])
        for name in list(self.seen)[: max(0, len(self.seen) - REMEMBERED)]:
            del self.seen[name]
        return found

    def evaluated(
        self, asked: Conditioning, shape: Sequence[int], noises: tuple[int, int] = (0, MOST_NOISES)
    ) -> Tensor:
        """As `predictions`, by the network, in the noises from one to another; with gradients where they are on."""
        count, generator = len(asked), torch.Generator().manual_seed(SEED)
        drawn = [torch.randn((number, *shape), generator=generator) for number in (GLANCE, MOST_NOISES - GLANCE)]
        noise = torch.cat(drawn)[slice(*noises)]  # a glance's stay the same, however many follow
        sigma = self.denoiser.sigmas(1)[:1].float()
        text = asked.tensors["text"]
        x = (noise * sigma).to(text.device, torch.float32).repeat(count, 1, 1, 1)
        rows = torch.arange(count).repeat_interleave(len(noise))
        self.evaluations += len(rows)
        found = self.denoiser.predict(x, sigma.expand(len(rows)).to(x.device), asked[rows])
        return found.reshape(count, -1, *found.shape[2:])


def decide_prompts(denoiser: Denoiser, adapter: Adapter, prompts: Sequence[str]) -> list[Decision]:
    """What an eraser's gate makes of prompts before anything is drawn; see `decisions.decide`."""
    look, found = Look(denoiser), list[Decision]()
    for start in range(0, len(prompts), CHUNK):
        found += decide(adapter, denoiser.encode(prompts[start : start + CHUNK]), look)
    return found


class _NoiseView:
    """Prompts in pure noise, as detectors see them (`detectors.View`)."""

    def __init__(self, look: Look, adapter: Adapter, asked: Conditioning, noises: int) -> None:
        self.look, self.adapter, self.asked, self.noises = look, adapter, asked, noises

    @cached_property
    def prompt(self) -> Tensor:
        return self._predictions(self.look.whole(self.adapter, self.asked))

    @cached_property
    def concept(self) -> Tensor:
        return self._predictions(self.look.encode([self.adapter.concept.probe])).expand_as(self.prompt)

    @cached_property
    def empty(self) -> Tensor:
        return self._predictions(self.look.encode([""])).expand_as(self.prompt)

    @property
    def change(self) -> Tensor:
        raise NotImplementedError("the second look asks the base model alone")

    def _predictions(self, asked: Conditioning) -> Tensor:
        return self.look.predictions(asked, self.adapter.gate.look_shape, self.noises)


def share_of_text(mode: LookMode, false_open_rate: float) -> float:
    """The part of the bound on false openings that the text gets; a second look beside it gets the other half."""
    return false_open_rate / 2 if mode == "careful" else false_open_rate


@dataclass(frozen=True)
class Asked:
    """The prompts that a second look is measured on.

    Attributes:
        closed: ordinary ones, which set the threshold; `sample` says how many of them are asked.
        apart: groups (the user's own, things to keep) for which the bound holds by itself, too.
        wanted, judged: sentences with the concept, and ordinary prompts, that only a gate which the look decides alone
            is asked about.
    """

    closed: Sequence[str]
    apart: Sequence[Sequence[str]] = ()
    wanted: Sequence[str] = ()
    judged: Sequence[str] = ()


def with_look(
    denoiser: Denoiser,
    adapter: Adapter,
    asked: Asked,
    false_open_rate: float,
    mode: LookMode,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Gate:
    """An adapter's gate with the second look that a mode asks for, its threshold measured on prompts.

    Args:
        false_open_rate: of the second look alone.
        report: called with (prompts done, prompts in all).
    """
    if mode == "text":
        return adapter.gate
    shape = tuple(denoiser.initial_noise(1, torch.Generator().manual_seed(0)).shape[1:])
    adapter = replace(adapter, gate=replace(adapter.gate, look_shape=shape, look_noises=MOST_NOISES))
    groups = [sample(asked.closed, 2 * least(false_open_rate) + 1), *filter(None, asked.apart)]
    told = [sample(prompts, MOST_TOLD) for prompts in (asked.wanted, asked.judged)] if mode == "always" else []
    scores = list(look_scores(denoiser, adapter, [*groups, *told], report))
    threshold = max(conformal_threshold(found, false_open_rate) for found in scores[: len(groups)])
    gate = replace(adapter.gate, look=threshold, look_prompts=len(groups[0]))
    if mode == "careful":
        return gate
    heard, judged = ((int((found >= threshold).sum()), len(found)) for found in scores[len(groups) :])
    low, high = clopper_pearson(*heard)
    return replace(
        gate,
        statistic="look",
        threshold=threshold,
        negatives=len(groups[0]),
        mentions=(),
        positives=heard[1],
        true_open_rate=heard[0] / max(1, heard[1]),
        true_open_low=low,
        true_open_high=high,
        heard=heard[1],
        heard_open=heard[0],
        judged=judged[1],
        judged_open=judged[0],
    )


def look_scores(
    denoiser: Denoiser, adapter: Adapter, groups: Sequence[Sequence[str]], report: Callable[[int, int], None]
) -> Iterator[Tensor]:
    """The second look's scores of groups of prompts, each (len(group),)."""
    look, total, done = Look(denoiser), sum(map(len, groups)), 0
    for group in groups:
        found = [torch.zeros(0)]
        for start in range(0, len(group), ROWS):
            found.append(look(adapter, denoiser.encode(group[start : start + ROWS])))
            done += len(found[-1])
            report(done, total)
        yield torch.cat(found)


def sample(prompts: Sequence[str], most: int) -> list[str]:
    """Evenly spaced prompts, all of them if there are no more than `most`."""
    count = min(len(prompts), most)
    return [prompts[int(index * len(prompts) / count)] for index in range(count)]


def _name(row: Conditioning, shape: Sequence[int]) -> str:
    """A name for one prompt's conditioning."""
    digest = hashlib.sha256(repr(tuple(shape)).encode())
    for tensor in _tensors(row):
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _tensors(row: Conditioning) -> Iterator[Tensor]:
    return (row.tensors[name] for name in sorted(row.tensors))
