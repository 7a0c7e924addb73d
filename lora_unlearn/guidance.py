"""One sampling run under erasers: probe, decide, then either the host's own result or the mixture.

E = E_base + s * g * (E_lora - E_base) on the positive rows, before the host combines rows in its own way
(arXiv 2508.05755, with s = 1 - w). Whatever the host does with its rows afterwards stays the host's.
With s = 1 the mixture is the adapter's own prediction, and the host's one evaluation makes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Protocol

import torch
from torch import Tensor

from .adapter import Adapter
from .decisions import Decision, Looking, decide
from .denoiser import Conditioning
from .detectors import DETECTORS
from .errors import UnlearnError

Mode = Literal["auto", "on", "off"]
STRONGEST = 3.0
"""The highest strength that an interface offers."""
STRENGTH = (
    "0 draws as without the eraser, 1 erases; at 0.5 much of the concept stays. Above 1 steers further away. Anything "
    "but 0 and 1 makes an erased picture take half as long again, as does each of two erasers that it opens."
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


@dataclass
class _Worker:
    eraser: Eraser
    decisions: list[Decision] = field(default_factory=list)
    changes: dict[int, Tensor] = field(default_factory=dict)
    """What the adapter changes for a picture at this very step, where the probe has just measured it."""
    heard: bool = False

    @contextmanager
    def adapted(self, scale: Tensor) -> Iterator[None]:
        """Around an evaluation with the adapter switched on for rows.

        Raises:
            UnlearnError: if the network never asked for the adapter's residual; later in a run a cache may stand in.
        """
        adapter = self.eraser.adapter
        adapter.lora.heard = False
        with adapter.lora.rows(scale):
            yield
        self.heard = self.heard or adapter.lora.heard
        if not self.heard:
            raise UnlearnError(
                f"The network went round the eraser for {adapter.concept.name!r}, so the concept would be drawn; "
                "switch off what replaces or caches the network's attention layers."
            )


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
        self.workers = [_Worker(eraser) for eraser in erasers if eraser.strength != 0]
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
            for worker in self.workers:
                self._begin(worker, call)
        probing = [worker for worker in self.workers if self._must_probe(worker, index)]
        alone = self._alone(call) if not probing else torch.zeros(len(call.conditioning), dtype=torch.bool)
        base = self._base(call, alone)
        for worker in probing:
            self._probe(worker, call, base)
        return self._mix(base, call, alone)

    def _begin(self, worker: _Worker, call: Call) -> None:
        """Decide what can be decided before the first step: by mode, by the prompt's text, or by a second look."""
        count, worker.changes = len(call.positive), {}
        if worker.eraser.mode != "auto":
            is_open = worker.eraser.mode == "on"
            worker.decisions = [Decision(is_open, by="mode") for _ in range(count)]
            return
        worker.decisions = decide(worker.eraser.adapter, call.conditioning[call.positive], self.look)

    def _must_probe(self, worker: _Worker, index: int) -> bool:
        undecided = any(decision.open is None for decision in worker.decisions)
        return undecided and index >= round(worker.eraser.adapter.gate.step * self.steps)

    def _alone(self, call: Call) -> Tensor:
        """Which of the host's rows have one open eraser at strength 1: the host's own evaluation makes theirs."""
        count = torch.zeros(len(call.conditioning))
        for worker in self.workers:
            for rows, _ in self._open_rows(worker, call):
                count[rows] += 1 if worker.eraser.strength == 1 else 2
        return count == 1

    def _base(self, call: Call, alone: Tensor) -> Tensor:
        """The host's evaluation, with each eraser switched on for the rows that are its alone."""
        pictures = len(call.positive)
        self.evaluations = (self.evaluations + [0.0] * pictures)[:pictures]
        self.extra = (self.extra + [0] * pictures)[:pictures]
        self.evaluations = [count + len(call.conditioning) / pictures for count in self.evaluations]
        with ExitStack() as stack:
            for worker in self.workers:
                scale = torch.zeros(len(alone))
                for rows, _ in self._open_rows(worker, call):
                    scale[rows] = alone[rows].float()
                if scale.any():
                    stack.enter_context(worker.adapted(scale))
            return call.base()

    def _extra(self, call: Call, rows: Tensor, pictures: list[int], conditioning: Conditioning) -> Tensor:
        for picture in pictures:
            self.evaluations[picture] += 1
            self.extra[picture] += 1
        return call.evaluate(rows, conditioning)

    def _probe(self, worker: _Worker, call: Call, base: Tensor) -> None:
        waiting = [i for i, decision in enumerate(worker.decisions) if decision.open is None]
        gate = worker.eraser.adapter.gate
        view = _StepView(self, worker, call, base, waiting)
        scores = DETECTORS[gate.statistic](view)
        if "change" in vars(view):
            worker.changes = dict(zip(waiting, view.change, strict=True))
        for i, score in zip(waiting, scores.tolist(), strict=True):
            worker.decisions[i] = Decision(score >= gate.threshold, score, gate.threshold, "probe")

    def _mix(self, base: Tensor, call: Call, alone: Tensor) -> Tensor:
        mixed = base
        for worker in self.workers:
            for rows, pictures in self._open_rows(worker, call, ~alone):
                if all(picture in worker.changes for picture in pictures) and not worker.eraser.both_rows:
                    change = torch.stack([worker.changes[picture] for picture in pictures])
                else:
                    with worker.adapted(torch.ones(len(rows))):
                        change = self._extra(call, rows, pictures, call.conditioning[rows]) - base[rows]
                mixed = mixed.clone() if mixed is base else mixed
                mixed[rows] += worker.eraser.strength * change
            worker.changes = {}
        return mixed

    def _open_rows(self, worker: _Worker, call: Call, wanted: Tensor | None = None) -> list[tuple[Tensor, list[int]]]:
        """The host's rows that an eraser is open for, with their pictures; of all rows, or of those `wanted`."""
        sides = (
            [call.positive] if call.negative is None or not worker.eraser.both_rows else [call.positive, call.negative]
        )
        opened = [i for i, decision in enumerate(worker.decisions) if decision.open]
        groups = []
        for side in sides:
            pictures = [i for i in opened if wanted is None or wanted[side[i]]]
            groups += [(side[pictures], pictures)] if pictures else []
        return groups


class _StepView:
    """Undecided pictures at a step of their own run, as detectors see them (`detectors.View`)."""

    def __init__(self, guidance: Guidance, worker: _Worker, call: Call, base: Tensor, waiting: list[int]) -> None:
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
