"""One sampling run under erasers: probe, decide, then either the host's own result or the mixture.

E = E_base + s * g * (E_lora - E_base) on the positive rows, before the host combines rows in its own way
(arXiv 2508.05755, with s = 1 - w). Whatever the host does with its rows afterwards stays the host's.
With s = 1 the mixture is the adapter's own prediction, and the host's one evaluation makes it. Of several erasers
that are open for one row E_lora is the prediction with all of them, each in proportion to its strength.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import torch
from torch import Tensor

from .adapter import Adapter
from .decisions import Decision, Looking, decide_each
from .denoiser import Conditioning
from .detectors import DETECTORS
from .mixture import Mixture, Worker

Mode = Literal["auto", "on", "off"]
STRONGEST = 3.0
"""The highest strength that an interface offers."""
STRENGTH = (
    "0 draws as without the eraser, 1 erases; at 0.5 much of the concept stays. Above 1 steers further away. Anything "
    "but 0 and 1 makes an erased picture take half as long again."
)
"""What the strength does, in the words of every interface; `docs/results.md` has the figures."""


@dataclass
class Eraser:
    """An adapter at work.

    Attributes:
        strength: s: 0 off, 1 the plain LoRA, 2 UnGuide's w = -1.
        mode: "auto" asks the gate, "on" and "off" do not.
        both_rows: mix the negative rows too, as UnGuide does; by default they stay the base model's, so that a
            concept in the negative prompt is neither seen by the gate nor turned round.
    """

    adapter: Adapter
    strength: float = 1.0
    mode: Mode = "auto"
    both_rows: bool = False


class Call(Protocol):
    """One evaluation that the host is about to make, as its adapter hands it over.

    Attributes:
        conditioning: what the host's rows are conditioned on.
        positive: indices of the rows of positive prompts (one a picture).
        negative: the negative row of each of those, or None without classifier-free guidance.
    """

    conditioning: Conditioning
    positive: Tensor
    negative: Tensor | None

    def base(self) -> Tensor:
        """The host's own evaluation of all its rows."""
        ...

    def evaluate(self, rows: Tensor, conditioning: Conditioning) -> Tensor:
        """Evaluate the host's inputs of some rows under other conditionings, one for each."""
        ...


def asked_for(erasers: Sequence[Eraser]) -> list[str]:
    """The prompts that gates compare with, which a host must have encoded: none where the text alone decides."""
    asking = [e.adapter for e in erasers if e.mode == "auto" and e.strength != 0 and e.adapter.gate.asks_network]
    return list(dict.fromkeys(text for adapter in asking for text in (adapter.concept.probe, "")))


def same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors of any make have the same values."""
    alike = (one.shape, one.dtype, one.device) == (other.shape, other.dtype, other.device)
    return alike and torch.equal(one, other)


class Guidance:
    """The state of one sampling run.

    Args:
        erasers: the adapters, attached to the host's model by the caller.
        encode: the host's encoder, asked only when a gate probes.
        steps: network steps of the run.
        look: the host's second look (`lora_unlearn.look.Look`), for gates that take one.

    Attributes:
        workers: all erasers; `awake` are those whose gate is not closed for every picture.
        evaluations: network evaluations (rows) spent on each picture so far.
        extra: how many of them the host would not have made by itself.
    """

    def __init__(
        self,
        erasers: Sequence[Eraser],
        encode: Callable[[list[str]], Conditioning],
        steps: int,
        look: Looking | None = None,
    ) -> None:
        self.encode, self.look = encode, look
        self.workers = [Worker(eraser) for eraser in erasers if eraser.strength != 0]
        self.awake: list[Worker] = []
        self.steps = steps
        self.text: Tensor | None = None
        self.evaluations: list[float] = []
        self.extra: list[int] = []

    def decisions(self, picture: int) -> list[Decision]:
        """What was decided for one picture, eraser by eraser."""
        return [worker.decisions[picture] for worker in self.workers]

    @torch.no_grad()
    def step(self, call: Call, index: int) -> Tensor:
        """The prediction for the host's rows at step `index` (0 is the first).

        While all gates are closed this is the tensor that `call.base()` returned, untouched. Where the positive
        prompts are others than at the step before, gates decide anew.

        Raises:
            UnlearnError: if the network does not use an adapter whose gate is open.
        """
        asked = call.conditioning.tensors["text"][call.positive]  # a copy, so changes in place are seen, too
        if self.text is None or not same(asked, self.text):
            self.text = asked
            self._begin(call)
        self._count(call)
        if not self.awake:
            return call.base()
        probing = [worker for worker in self.awake if self._must_probe(worker, index)]
        mixture = Mixture.of(self.awake, call)
        inside = mixture.top == 1 if not probing else torch.zeros_like(mixture.top, dtype=torch.bool)
        with mixture.adapted(inside.float()):
            base = call.base()  # with the erasers switched on for the rows that it can make by itself
        for worker in probing:
            self._probe(worker, call, base)
        if probing:
            self._wake()
            mixture = Mixture.of(self.awake, call)
        return self._mix(base, call, mixture, (mixture.top != 0) & ~inside)

    def _begin(self, call: Call) -> None:
        """Decide what can be decided before the first step: by mode, by the prompt's text, or by a second look."""
        count, asking = len(call.positive), [worker for worker in self.workers if worker.eraser.mode == "auto"]
        for worker in self.workers:
            worker.changes = {}
            worker.decisions = [Decision(worker.eraser.mode == "on", by="mode") for _ in range(count)]
        decided = decide_each([w.eraser.adapter for w in asking], call.conditioning[call.positive], self.look)
        for worker, decisions in zip(asking, decided, strict=True):
            worker.decisions = decisions
        self._wake()

    def _wake(self) -> None:
        """Note whose gates are open or undecided for some picture: the others take no part in any step."""
        self.awake = [w for w in self.workers if any(decision.open is not False for decision in w.decisions)]

    def _must_probe(self, worker: Worker, index: int) -> bool:
        undecided = any(decision.open is None for decision in worker.decisions)
        return undecided and index >= round(worker.eraser.adapter.gate.step * self.steps)

    def _count(self, call: Call) -> None:
        """Note the host's own evaluation of each picture's rows."""
        pictures = len(call.positive)
        self.evaluations = (self.evaluations + [0.0] * pictures)[:pictures]
        self.extra = (self.extra + [0] * pictures)[:pictures]
        self.evaluations = [count + len(call.conditioning) / pictures for count in self.evaluations]

    def _extra(self, call: Call, rows: Tensor, pictures: list[int], conditioning: Conditioning) -> Tensor:
        for picture in pictures:
            self.evaluations[picture] += 1
            self.extra[picture] += 1
        return call.evaluate(rows, conditioning)

    def _probe(self, worker: Worker, call: Call, base: Tensor) -> None:
        waiting = [i for i, decision in enumerate(worker.decisions) if decision.open is None]
        gate = worker.eraser.adapter.gate
        view = _StepView(self, worker, call, base, waiting)
        scores = DETECTORS[gate.statistic](view)
        if "change" in vars(view):
            worker.changes = dict(zip(waiting, view.change, strict=True))
        for i, score in zip(waiting, scores.tolist(), strict=True):
            worker.decisions[i] = Decision(score >= gate.threshold, score, gate.threshold, "probe")

    def _mix(self, base: Tensor, call: Call, mixture: Mixture, wanted: Tensor) -> Tensor:
        """Add to some of the host's rows what the erasers change: as just measured by a probe, else evaluated."""
        mixed = base.clone() if wanted.any() else base
        known = {
            row: change for row in wanted.nonzero()[:, 0].tolist() if (change := mixture.measured(row)) is not None
        }
        for row, change in known.items():
            mixed[row] += mixture.top[row] * change
            wanted[row] = False
        rows = wanted.nonzero()[:, 0]
        if len(rows):
            with mixture[rows].adapted(torch.ones(len(rows))):
                pictures = [mixture.pictures[row] for row in rows.tolist()]
                change = self._extra(call, rows, pictures, call.conditioning[rows]) - base[rows]
            mixed[rows] += mixture.top[rows].to(change).view(-1, *[1] * (change.ndim - 1)) * change
        for worker in self.awake:
            worker.changes = {}
        return mixed


class _StepView:
    """Undecided pictures at a step of their own run, as detectors see them (`detectors.View`)."""

    def __init__(self, guidance: Guidance, worker: Worker, call: Call, base: Tensor, waiting: list[int]) -> None:
        self.guidance, self.worker, self.call, self.base, self.waiting = guidance, worker, call, base, waiting
        self.adapter = worker.eraser.adapter
        self.rows = call.positive[waiting]
        self.asked = call.conditioning[self.rows]
        self.prompt = base[self.rows]

    @cached_property
    def concept(self) -> Tensor:
        return self._of(self.adapter.concept.probe)

    @cached_property
    def empty(self) -> Tensor:
        """By the host's own negative row where that is the empty prompt's."""
        if self.call.negative is not None:
            negative = self.call.negative[self.waiting]
            text, blank = (c.tensors["text"] for c in (self.call.conditioning[negative], self.guidance.encode([""])))
            if text.shape[1:] == blank.shape[1:] and bool((text == blank).all()):
                return self.base[negative]
        return self._of("")

    @cached_property
    def change(self) -> Tensor:
        with self.worker.adapted(torch.ones(len(self.rows))):
            return self.guidance._extra(self.call, self.rows, self.waiting, self.asked) - self.prompt

    def _of(self, prompt: str) -> Tensor:
        """What the network predicts for the pictures under another prompt."""
        rows = self.guidance.encode([prompt])[torch.zeros(len(self.rows), dtype=torch.long)]
        return self.guidance._extra(self.call, self.rows, self.waiting, rows)
