"""Which erasers work on which rows of an evaluation, and how strongly; switching them on for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .decisions import Decision
from .errors import UnlearnError

if TYPE_CHECKING:
    from .guidance import Call, Eraser


@dataclass
class Worker:
    """One eraser in one sampling run: its decisions, and what a probe measured."""

    eraser: Eraser
    decisions: list[Decision] = field(default_factory=list)
    changes: dict[int, Tensor] = field(default_factory=dict)
    """What the adapter changes for a picture at this very step, where the probe has just measured it."""
    heard: bool = False

    @property
    def layers(self) -> int:
        """What tells adapters apart: a host may give one adapter's layers to several workers."""
        return id(self.eraser.adapter.lora.layers[0])

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


@dataclass
class Mixture:
    """Which erasers work on which of the host's rows, and how strongly.

    Several that are open for one row work in one evaluation, as adapters side by side: what each changes by itself,
    added up, brings one of the concepts back.

    Attributes:
        workers: one for each adapter.
        strengths: (workers, rows), 0 where the gate is closed.
        pictures: the picture of each row that an eraser may work on.
    """

    workers: list[Worker]
    strengths: Tensor
    pictures: dict[int, int]

    @classmethod
    def of(cls, workers: Sequence[Worker], call: Call) -> Mixture:
        """By what is decided so far. An adapter that is at work twice works as strongly as both."""
        places = {worker.layers: worker for worker in reversed(workers)}
        strengths, pictures = torch.zeros(len(places), len(call.conditioning)), dict[int, int]()
        for worker in workers:
            own = strengths[list(places).index(worker.layers)]
            sides = [call.positive]
            if worker.eraser.both_rows and call.negative is not None:
                sides.append(call.negative)
            for side in sides:
                for picture, row in enumerate(side.tolist()):
                    pictures[row] = picture
                    own[row] += worker.eraser.strength if worker.decisions[picture].open else 0.0
        return cls(list(places.values()), strengths, pictures)

    @cached_property
    def top(self) -> Tensor:
        """The strength of the mixture of each row, (rows,): the strongest of its erasers'."""
        if not len(self.strengths):
            return torch.zeros(self.strengths.shape[1])
        return self.strengths.gather(0, self.strengths.abs().argmax(0, keepdim=True))[0]

    def __getitem__(self, rows: Tensor) -> Mixture:
        return Mixture(self.workers, self.strengths[:, rows], {})

    def measured(self, row: int) -> Tensor | None:
        """What a probe found that a row's only eraser changes; None if there are several, or nothing was measured."""
        opened = [worker for worker, own in zip(self.workers, self.strengths, strict=True) if own[row] != 0]
        if len(opened) != 1 or opened[0].eraser.both_rows:
            return None
        return opened[0].changes.get(self.pictures[row])

    @contextmanager
    def adapted(self, wanted: Tensor) -> Iterator[None]:
        """Around an evaluation of these rows, with the erasers of those that are wanted (1, others 0) switched on."""
        with ExitStack() as stack:
            for worker, own in zip(self.workers, self.strengths, strict=True):
                scale = torch.where(self.top != 0, own / self.top, 0.0) * wanted
                if scale.any():
                    stack.enter_context(worker.adapted(scale))
            yield
