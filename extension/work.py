"""What jobs do with a lent checkpoint: calibrate, draw before and after, measure; training has its own file."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace

from lora_unlearn import Adapter, Eraser, Picture, Sampling, Settings, UnlearnError
from lora_unlearn.bounds import FALSE_OPEN_RATE
from lora_unlearn.concept import Concept
from lora_unlearn.denoiser import Denoiser
from lora_unlearn.describe import gate_promise
from lora_unlearn.erase import recalibrated
from lora_unlearn.estimate import Cost, estimate, measure
from lora_unlearn.families import FAMILIES
from lora_unlearn.hosts.sampling import check_family
from lora_unlearn.neighbours import neighbours
from lora_unlearn.settings import for_family

from .host import Host, Lent
from .library import Library
from .state import Board, Pair, Stage

NEIGHBOURS = 3
SHEET, PREVIEW = Sampling(steps=20, guidance_scale=7.0), Sampling(steps=12, guidance_scale=7.0)
HALF = 0.5
SIDES = (0, 1, HALF)
"""Strengths that the sheet shows, in the order in which they are drawn."""

End = dict[str, object]
"""What a job leaves in the state: a message, and a phase where it is not "done"."""


class Stopped(Exception):
    """The user stopped a job where it had nothing to keep."""


@dataclass
class Work:
    """A job's tools.

    Attributes:
        host, library, board: of the studio.
        costs: what an evaluation takes, by checkpoint, as far as it was measured.
        stop: set when the user asks for it.
    """

    host: Host
    library: Library
    board: Board
    costs: dict[str, Cost]
    stop: threading.Event = field(default_factory=threading.Event)

    def stopped(self) -> bool:
        """Whether the user wants an end, here or by the host's own button."""
        return self.stop.is_set() or self.host.interrupted()

    def step(self, stage: Stage, done: int, total: int, **changes: object) -> None:
        """Show a step on the page and in the host."""
        self.board.step(stage, done, total, **changes)
        self.host.progress(done, total, f"{self.board.state.job}: {stage}")

    def step_or_stop(self, stage: Stage, done: int, total: int) -> None:
        """The same, where a stop means that nothing more is to be done.

        Raises:
            Stopped: if one was asked for.
        """
        self.step(stage, done, total)
        if self.stopped():
            raise Stopped

    def cost(self, denoiser: Denoiser, settings: Settings) -> Cost:
        """What an evaluation of the checkpoint takes, measured once."""
        name = self.host.checkpoint()
        if name not in self.costs:
            self.step("measuring", 0, 1)
            self.costs[name] = measure(denoiser, settings)
        return self.costs[name]


def fitting(sampling: Sampling, denoiser: Denoiser) -> Sampling:
    """The way of sampling that suits a model."""
    return replace(sampling, guidance_scale=FAMILIES[denoiser.family].guidance_scale)


def compare(work: Work, lent: Lent, adapter: Adapter, pictures: int) -> None:
    """Draw the concept, its other words and its nearest neighbours, without and with the eraser.

    Where its gate opens also at half its strength, which many take for half an erasure. A stop ends the drawing and
    keeps what is on the sheet.
    """
    concept = adapter.concept
    also = [Concept(word, of=concept.of).probe for word in concept.also[:1]]
    prompts = [concept.probe, *also, *neighbours(lent.denoiser, adapter, NEIGHBOURS)] if pictures else []
    sampling, total, done = fitting(SHEET, lent.denoiser), len(SIDES) * len(prompts) * pictures, 0

    def draw(prompt: str, strength: float) -> list[Picture]:
        work.step_or_stop("drawing", done, total)
        erasers = [Eraser(adapter, strength)] if strength else []
        return lent.draw([prompt] * pictures, list(range(pictures)), sampling, erasers)

    try:
        for prompt in prompts:
            sides: dict[float, list[Picture]] = {}
            for strength in SIDES:
                if strength in (0, 1) or any(decision.open for found in sides[1] for decision in found.decisions):
                    sides[strength] = draw(prompt, strength)
                done += pictures
            pair = Pair(prompt, sides[0], sides[1], sides.get(HALF, []))
            work.board.put(pairs=(*work.board.state.pairs, pair))
    except Stopped:
        return


def calibrate(work: Work, name: str) -> End:
    """Measure an eraser's gate anew on the loaded checkpoint, keep it, and say what changed.

    Raises:
        UnlearnError: if the eraser is unfinished, or of another family.
    """
    adapter = work.library.load(name)
    if adapter.partial:
        raise UnlearnError(f"The training of {name!r} was not finished; press Resume first.")
    with work.host.lend(work.board.state.job) as lent:
        check_family(Eraser(adapter), lent.denoiser.family)
        work.step("calibrating", 0, 1)
        found = recalibrated(
            lent.denoiser,
            adapter,
            false_open_rate=adapter.gate.own_rate or FALSE_OPEN_RATE,
            report=lambda done, total: work.step_or_stop("calibrating", done, total),
        )
    path = work.library.path(name)
    found.save(path)
    work.host.changed(path)
    promise = gate_promise(found)[0].removeprefix("gate: ")
    message = f"The gate of {name!r} was measured anew on this checkpoint: it {promise}."
    return {"eraser": name, "adapter": found, "message": message}


def show(work: Work, name: str, pictures: int) -> End:
    """Draw before and after for an eraser of the library.

    Raises:
        UnlearnError: if it is of another family.
    """
    adapter = work.library.load(name)
    with work.host.lend(work.board.state.job) as lent:
        check_family(Eraser(adapter), lent.denoiser.family)
        work.board.put(eraser=name, adapter=adapter)
        compare(work, lent, adapter, pictures)
    return {"message": f"Before and after, with the eraser {name!r}."}


def gauge(work: Work, settings: Settings) -> End:
    """Measure what a training on the loaded checkpoint takes, and say so."""
    with work.host.lend(work.board.state.job) as lent:
        settings = for_family(settings, lent.denoiser.family)
        work.costs.pop(work.host.checkpoint(), None)
        found = estimate(work.cost(lent.denoiser, settings), settings)
    return {"message": f"Measured: such a training takes {found}."}
