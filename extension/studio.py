"""What the pages of one host share: trainings, what is drawn and measured with erasers, and words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from lora_unlearn import Adapter, Concept, Eraser, UnlearnError
from lora_unlearn.denoiser import Denoiser
from lora_unlearn.errors import is_memory
from lora_unlearn.estimate import Cost, Estimate, estimate
from lora_unlearn.hosts.sampling import check_family
from lora_unlearn.promise import USUAL, Promise
from lora_unlearn.suggest import Suggestion, suggest
from lora_unlearn.tried import Tried, try_prompt

from . import training, work
from .host import Host
from .jobs import Jobs
from .orders import Order, check_pictures, continued, fields_of

UNREAD = "The memory is too small to read words with this model; free some of it."
LONGEST_PROMPT = 4000
"""Characters of a prompt that is tried."""


class Studio(Jobs):
    """What the pages of one host share: the job in progress, what it has shown so far, and the library.

    Attributes:
        orders: what was asked for, by the eraser's name, as long as the program runs.
    """

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self.orders: dict[str, Order] = {}
        self._named: tuple[object, list[Suggestion]] = (None, [])

    def erase(self, order: Order) -> str:
        """Begin a training; returns the name that the eraser will have.

        Raises:
            UnlearnError: if another job is under way.
        """
        self.check_free()
        name = self.library.free_name(order.concept.name)
        order = replace(order, concept=replace(order.concept, avoid=self.library.erased(order.concept)))
        self.orders[name] = order
        self._train(order, name, None)
        return name

    def resume(
        self, name: str | None = None, previews: bool = True, pictures: int = 2, promise: Promise | None = None
    ) -> str:
        """Go on with an unfinished eraser, by default with the latest; returns its name.

        Args:
            name: of the eraser.
            previews, pictures: as in `Order`.
            promise: of its gate; default: as the training was begun, as far as that is known.

        Raises:
            UnlearnError: if there is none, it is finished, another job is under way, or `pictures` is no number for a
                sheet.
        """
        self.check_free()
        pictures = check_pictures(pictures)
        waiting = self.library.unfinished()
        if not name and not waiting:
            raise UnlearnError("There is no unfinished training to go on with; type a concept and press Erase.")
        name = name or waiting[0]
        begun = self.library.load(name)
        if not begun.partial:
            raise UnlearnError(f"The eraser {name!r} is finished already; there is nothing to resume.")
        known = self.orders[name].promise if name in self.orders else USUAL
        order = continued(begun, previews, pictures, promise or known)
        self._train(order, name, begun)
        return name

    def _train(self, order: Order, name: str, begun: Adapter | None) -> None:
        """Begin a training, or go on with one."""
        title = f"Erasing {order.concept.name}"
        self._start(title, name, lambda job: training.train(job, order, name, begun), fields=fields_of(order))

    def calibrate(self, name: str | None) -> None:
        """Measure an eraser's gate anew on the loaded checkpoint.

        Raises:
            UnlearnError: if it is not there, or another job is under way.
        """
        own = self.library.name(self.library.existing(name))
        self._start(f"Calibrating {own}", own, lambda job: work.calibrate(job, own))

    def show(self, name: str | None, pictures: int = 2) -> None:
        """Draw before and after for an eraser.

        Raises:
            UnlearnError: if it is not there, or another job is under way.
        """
        own = self.library.name(self.library.existing(name))
        self._start(f"Drawing with {own}", own, lambda job: work.show(job, own, pictures))

    def gauge(self, order: Order) -> None:
        """Measure what a training takes on this machine.

        Raises:
            UnlearnError: if another job is under way.
        """
        self._start("Measuring", "", lambda job: work.gauge(job, order.settings))

    def estimate(self, order: Order) -> Estimate | None:
        """What a training will take at most; None while the checkpoint was not measured."""
        cost = self.costs.get(self.host.checkpoint())
        if not order.settings.trains:
            cost = Cost(0, 0, 0, 0, 0)
        return None if cost is None else estimate(cost, order.settings)

    def suggest(self, concept: Concept, count: int = 12) -> list[Suggestion]:
        """Words that the checkpoint reads like the concept's; lets go of the model as soon as a job wants it.

        Raises:
            UnlearnError: if a job has the model, or the model names no words.
        """
        asked = (self.host.checkpoint(), concept, count)
        if self._named[0] != asked:
            with self._reading(f"Reading {concept.name}") as denoiser:
                found = suggest(denoiser, concept, count, lambda done, total: self.check_unused())
            self._named = asked, found
        return self._named[1]

    def try_prompt(self, name: str | None, prompt: str) -> Tried:
        """What an eraser's gate makes of a prompt.

        Raises:
            UnlearnError: if that can't be told, or a job has the model.
        """
        if not prompt.strip():
            raise UnlearnError("The prompt is empty; type what you would draw.")
        if len(prompt) > LONGEST_PROMPT:
            raise UnlearnError(f"A prompt may have {LONGEST_PROMPT} characters at most; shorten it.")
        adapter = self.library.load(name)
        if adapter.partial:
            raise UnlearnError(f"The training of {name!r} was not finished; press Resume first.")
        with self._reading("Trying a prompt") as denoiser:
            check_family(Eraser(adapter), denoiser.family)
            return try_prompt(denoiser, adapter, prompt)

    @contextmanager
    def _reading(self, title: str) -> Iterator[Denoiser]:
        """The checkpoint for a moment, to read words with it."""
        self.check_unused()
        try:
            with self.host.lend(title, reading=True) as lent:
                self.check_unused()
                yield lent.denoiser
        except (MemoryError, RuntimeError) as error:
            if not is_memory(error):
                raise
            raise UnlearnError(UNREAD) from error

    def check_unused(self) -> None:
        """Refuse while a job has the model.

        Raises:
            UnlearnError: saying which.
        """
        if self.state.running:
            raise UnlearnError(f"{self.state.job} is under way and has the model; ask again when it has ended.")
