"""What one process does with a list of concepts: it claims what it makes, and takes up what a killed one has left."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..adapter import Adapter
from ..bank import load_bank, read_bank
from ..bounds import FALSE_OPEN_RATE
from ..checks import check_rate
from ..claims import claimed
from ..concept import Concept
from ..describe import percent
from ..erase import Begun, begin, finish
from ..errors import UnlearnError
from ..files import file_name
from ..gate import Gate
from ..keep import unfinished_beside
from ..order import Order
from ..promise import Promise
from ..settings import Settings
from ..together import TOGETHER_RATE, bounded_together
from ..written import Written, called, check_replaceable
from .console import bars, say
from .erase import calibrating, erase_to
from .launched import processes
from .manifest import Manifest, facts, gate_facts
from .models import read_own
from .signals import graceful

ROUNDING = 1e-4
"""How far thresholds of one and the same gate may be apart, read in batches of another make."""
GROUP = 16
"""Erasers without a training that are made at once, so that their gates read the bank's prompts together."""


@dataclass
class Work:
    """What one process does with a list.

    Attributes:
        problems: a sentence for each concept that could not be done.
        begun: when the command began, in seconds since the epoch, as files are dated.
    """

    args: argparse.Namespace
    settings: Settings
    denoiser: Any
    folder: Path
    manifest: Manifest
    concepts: Sequence[Concept]
    problems: list[str]
    begun: float

    def make_all(self) -> bool:
        """All erasers that no other process makes, then those that one has left; False after an interruption."""
        size = 1 if self.settings.trains else min(GROUP, math.ceil(len(self.concepts) / processes()))
        left: list[Concept] = []
        for start in range(0, len(self.concepts), size):
            with ExitStack() as claims:
                group = self.concepts[start : start + size]
                mine = [c for c in group if claims.enter_context(claimed(self.claim(c)))]
                left += [concept for concept in group if concept not in mine]
                if not self.make(mine):
                    return False
        for concept in left:
            with claimed(self.claim(concept), wait=True):
                if not self.make([concept]):
                    return False
        return True

    def make(self, concepts: Sequence[Concept]) -> bool:
        """Erasers for concepts that are claimed, where there are none; False after an interruption."""
        new = list[Order]()
        for concept in concepts:
            line = f"{self.concepts.index(concept) + 1} of {len(self.concepts)}: {called(concept)}"
            try:
                if self.is_there(concept):
                    say(f"{line}, there already")
                    self.manifest.note_all([(concept, {"file": self.manifest.file(concept)})], more=True)
                else:
                    say(line)
                    new.append(self.order(concept))
            except UnlearnError as error:
                self.failed(concept, error)
        if not self.settings.trains:
            return self.solve(new)
        return all(self.train(order) for order in new)

    def claim(self, concept: Concept) -> Path:
        """The file by which a process claims a concept."""
        return self.folder / f".{file_name(called(concept))}.claim"

    def out(self, concept: Concept) -> Path:
        """The eraser's file."""
        return self.manifest.place(concept)

    def is_there(self, concept: Concept) -> bool:
        """Whether a concept's eraser is finished; one that is to be replaced is where a process of this run made it."""
        out = self.out(concept)
        if not out.exists() or (self.args.overwrite and out.stat().st_mtime < self.begun):
            return False
        return same(Adapter.load(out), concept, self.args.mode)

    def order(self, concept: Concept) -> Order:
        """What is to be made, if it can be.

        Raises:
            UnlearnError: saying why not.
        """
        wanted = Written("eraser", called(concept), self.denoiser.family)
        check_replaceable(self.out(concept), wanted, self.args.overwrite)
        rate = self.args.false_open_rate or FALSE_OPEN_RATE
        promise = Promise(tuple(read_own(self.args.bank, concept)), rate, self.args.look)
        check_rate(promise, self.denoiser.family, concept)
        return Order(concept, self.args.mode, self.settings, promise)

    def failed(self, concept: Concept, error: UnlearnError) -> None:
        """Tell of an eraser that could not be made."""
        self.problems.append(f"{called(concept)}: {error}")
        self.manifest.note(concept, problem=str(error))

    def train(self, order: Order) -> bool:
        """One eraser, trained or gone on with; False after an interruption."""
        concept = order.concept
        out, started = self.out(concept), time.perf_counter()
        begun = unfinished_beside(out)
        try:
            resumed = Adapter.load(begun) if begun.exists() and not self.args.overwrite else None
            adapter = erase_to(out, self.denoiser, order, resumed, "repeat the command")
        except UnlearnError as error:
            self.failed(concept, error)
            return True
        if adapter is not None:
            self.manifest.note(concept, **facts(self.manifest.file(concept), adapter, time.perf_counter() - started))
        return adapter is not None

    def solve(self, orders: Sequence[Order]) -> bool:
        """Erasers that need no training, together; False after an interruption, which leaves none of them."""
        bank, begun, started = load_bank(self.denoiser.family), list[Begun](), time.perf_counter()
        try:
            with bars() as shown, graceful() as stop:
                for order in orders:
                    if stop():
                        raise KeyboardInterrupt
                    try:
                        begun.append(begin(self.denoiser, order, bank))
                    except UnlearnError as error:
                        self.failed(order.concept, error)
                if begun:
                    finish(begun, calibrating(shown, stop))
        except KeyboardInterrupt:
            say("Interrupted; repeat the command to go on.")
            return False
        seconds = (time.perf_counter() - started) / max(1, len(begun))
        made = [(own.adapter, self.out(own.adapter.concept)) for own in begun]
        for adapter, out in made:
            adapter.save(out)
        files = self.manifest.file
        self.manifest.note_all([(own.concept, facts(files(own.concept), own, seconds)) for own, _ in made])
        return True

    def finished(self) -> dict[Concept, Adapter]:
        """The list's erasers that are there for this family, and decide by the text alone."""
        found = {}
        for concept in self.concepts:
            with suppress(UnlearnError):  # told of already: a file of somebody else in its place
                if self.is_there(concept):
                    found[concept] = Adapter.load(self.out(concept))
        family = self.denoiser.family
        return {c: own for c, own in found.items() if own.family == family and not own.gate.asks_network}

    def bound_together(self) -> bool:
        """Give the gates of all that are there one bound, unless they have it; False after an interruption.

        Gates that ask the network keep their own bound.
        """
        erasers = {} if self.args.bound == "each" else self.finished()
        if len(erasers) < 2:
            return True
        wanted = len(erasers), self.args.false_open_rate or TOGETHER_RATE
        if all((eraser.gate.shared_by, eraser.gate.false_open_rate) == wanted for eraser in erasers.values()):
            return True
        promise = Promise(tuple(read_bank(self.args.bank)) if self.args.bank else (), wanted[1])
        bank, adapters = load_bank(self.denoiser.family), list(erasers.values())
        try:
            with bars() as shown, graceful() as stop:
                found = bounded_together(self.denoiser, adapters, bank, promise, calibrating(shown, stop))
        except KeyboardInterrupt:
            say("Interrupted before the erasers had one bound together; repeat the command to go on.")
            return False
        for (concept, eraser), gate in zip(erasers.items(), found.gates, strict=True):
            if not alike(gate, eraser.gate):
                replace(eraser, gate=gate).save(self.out(concept))
        told = [(c, gate_facts(gate)) for c, gate in zip(erasers, found.gates, strict=True)]
        self.manifest.note_all(told, more=True)
        say(
            f"Together the {wanted[0]} erasers work by mistake for at most {percent(wanted[1])} of ordinary prompts "
            f"(--bound each bounds each by itself). Of {found.judged} prompts that served for nothing else "
            f"{found.judged_open} opened one, and {found.judged_like} more that read like a concept."
        )
        return True


def same(adapter: Adapter, concept: Concept, mode: str) -> bool:
    """Whether an eraser is the finished one of a line, whatever else stood in the list when it was made."""
    return (
        not adapter.partial
        and adapter.mode == mode
        and replace(adapter.concept, avoid=()) == replace(concept, avoid=())
    )


def alike(one: Gate, other: Gate) -> bool:
    """Whether two gates promise and decide the same, but for rounding."""
    promises = [(gate.shared_by, gate.false_open_rate) for gate in (one, other)]
    return promises[0] == promises[1] and abs(one.threshold - other.threshold) < ROUNDING
