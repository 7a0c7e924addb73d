"""Training an eraser inside a running node: the model loaded by the host, progress, interruption, the cache."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import comfy.model_management
import torch
from PIL import Image

from ..lora_unlearn import Adapter, Settings, UnlearnError, load_bank
from ..lora_unlearn.erase import fulfil, prompts_first
from ..lora_unlearn.errors import is_memory
from ..lora_unlearn.estimate import Estimate, Remaining, duration, gigabytes, lowered, measure, planned
from ..lora_unlearn.order import Order as CoreOrder
from ..lora_unlearn.order import Watch
from ..lora_unlearn.settings import for_family
from ..lora_unlearn.sketches import Sketcher, moments
from ..lora_unlearn.training.progress import Progress
from .cache import CACHE
from .denoiser import ComfyDenoiser
from .fingerprint import fingerprint
from .messages import show
from .stages import (
    CALIBRATING,
    COMPARING,
    DRAWING,
    LOOKING,
    READING,
    RECORDING,
    SKETCHING,
    SUGGESTING,
    TRAINING,
    Stages,
)

KEPT_EVERY = 5.0
"""Seconds after which an unfinished training is written to disk again."""
WORK: dict[str, float] = {
    READING: 1, RECORDING: 2, TRAINING: 4, SKETCHING: 1, CALIBRATING: 2, LOOKING: 2, SUGGESTING: 1, COMPARING: 0.5,
    DRAWING: 2,
}  # fmt: skip
"""How much of the work is thought to lie in each stage, where it has all of them."""


@dataclass(frozen=True)
class Order(CoreOrder):
    """What is to be trained.

    Attributes:
        size: (height, width) of training pictures in pixels; None: the model's own.
        keep_on_disk: whether the eraser is looked for and kept on disk.
        may_lower_batch: when memory is scarce, train with a smaller batch instead of refusing.
        sketch: draws the concept under an unfinished eraser, for the node to show on the way; None: nothing is drawn.
    """

    size: tuple[int, int] | None = None
    keep_on_disk: bool = True
    may_lower_batch: bool = False
    sketch: Callable[[Adapter], Image.Image] | None = field(default=None, compare=False)

    def fingerprint(self, model: Any, clip: Any) -> str:
        """The name under which the eraser is kept."""
        values = {"concept": asdict(self.concept), "settings": asdict(self.settings), "mode": self.mode}
        gate = asdict(self.promise)
        if gate["look"] == "text":
            del gate["look"]  # as fingerprints were before there was a choice
        return fingerprint(model, clip, {**values, **gate, "size": self.size})


def known_eraser(model: Any, clip: Any, order: Order) -> Adapter | None:
    """The eraser, if it was trained before."""
    check_parts(model, clip)
    return CACHE.get(order.fingerprint(model, clip), order.keep_on_disk)


def stages_of(order: Order, further: Sequence[str] = ()) -> Stages:
    """The stages of a training, and of what the node does with the eraser afterwards."""
    trained = order.settings.trains
    unused = {RECORDING: not order.settings.records, TRAINING: not trained, SKETCHING: not (trained and order.sketch)}
    unused |= {LOOKING: order.promise.look == "text"}
    unused |= {stage: stage not in further for stage in (SUGGESTING, COMPARING, DRAWING)}
    return Stages(f"Erasing {order.concept.name}", {name: work for name, work in WORK.items() if not unused.get(name)})


def train_eraser(model: Any, clip: Any, order: Order, stages: Stages | None = None) -> Adapter:
    """The eraser for a loaded model: kept from before, or trained now.

    Args:
        stages: of all that the node does; default: of the training alone.

    Raises:
        UnlearnError: if something is missing, the model is of no supported family, or the training changed nothing.
        InterruptProcessingException: if the user interrupted; what was trained so far is kept and gone on from.
    """
    check_parts(model, clip)
    key = order.fingerprint(model, clip)
    known = CACHE.get(key, order.keep_on_disk)
    if known is not None:
        show(f"Eraser for {order.concept.name}: kept from before, not trained again.")
        return known
    with stages or stages_of(order) as stages:
        with torch.inference_mode(False), torch.enable_grad(), _readable_shortage():
            adapter = _train(ComfyDenoiser(model, clip, order.size), key, order, stages)
        comfy.model_management.throw_exception_if_processing_interrupted()
    if adapter.partial:
        raise UnlearnError(
            f"The training redirected only {100 * (adapter.redirected or 0):.0f} % of {order.concept.name!r}: the "
            "model may not draw it at all; check that it does without the eraser, or train for more iterations."
        )
    CACHE.put(key, adapter, order.keep_on_disk)
    return adapter


def check_parts(model: Any, clip: Any) -> None:
    """Refuse what cannot be trained on, before any work.

    Raises:
        UnlearnError: saying what is missing.
    """
    if clip is None:
        raise UnlearnError(
            "There is no text encoder: connect CLIP from the checkpoint loader, or from a CLIP loader if the "
            "checkpoint holds none."
        )
    ComfyDenoiser(model, clip)


def _train(denoiser: ComfyDenoiser, key: str, order: Order, stages: Stages) -> Adapter:
    """Train; an interruption leaves what there is in the cache, as something to go on from."""
    show(f"{stages.subject}: loading the model")
    settings, expected = _planned(denoiser, order)
    shown, interrupted = _Shown(denoiser, order, expected, stages), comfy.model_management.processing_interrupted
    begun = CACHE.get_partial(key, order.keep_on_disk)
    unfinished, kept = list[Adapter](), time.monotonic()
    stages.then = stages.then if begun is None else "Run continues"

    def save(adapter: Adapter) -> None:
        nonlocal kept
        unfinished[:] = [adapter]
        if adapter.partial and order.keep_on_disk and time.monotonic() - kept >= KEPT_EVERY:
            CACHE.put(key, adapter)  # for whoever pulls the plug
            kept = time.monotonic()
        shown.sketcher(adapter)

    cancelled = False
    try:
        watch = Watch(shown.report, interrupted, shown.calibrating(), save)
        return fulfil(denoiser, order.fitted(settings), load_bank(denoiser.family), watch, begun)
    except comfy.model_management.InterruptProcessingException:
        cancelled = True
        raise
    finally:
        denoiser.encoded = lambda: None
        if order.settings.trains and unfinished and unfinished[0].partial and (cancelled or interrupted()):
            CACHE.put(key, unfinished[0], order.keep_on_disk)
            stages.then = "Run continues"


def _planned(denoiser: ComfyDenoiser, order: Order) -> tuple[Settings, Estimate]:
    """The settings to train with and what that will take; says so in the node.

    Raises:
        UnlearnError: if the memory does not suffice; it names the setting to lower.
    """
    settings, room = for_family(order.settings, denoiser.family), 0

    def free(needed: Estimate) -> int:
        nonlocal room
        room = denoiser.make_room(needed.memory)
        return room

    fitting, expected = planned(settings, lambda: measure(denoiser, settings), free, order.may_lower_batch)
    if settings.trains:
        denoiser.room = expected.memory
        text = f"Erasing {order.concept.name}: training takes {expected}; {gigabytes(room)} are free"
        text += lowered(settings, fitting)
        logging.info("lora-unlearn: %s", text)
        show(text)
    return fitting, expected


class _Shown:
    """What a node shows of its training: every report as a stage, and now and then what the eraser has come to."""

    def __init__(self, denoiser: ComfyDenoiser, order: Order, expected: Estimate, stages: Stages) -> None:
        self.denoiser, self.order, self.stages = denoiser, order, stages
        self.remaining, self.share = Remaining(expected), ""
        self.read, self.total = 0, prompts_first(denoiser.family, order.concept, order.settings)
        self.picture: Image.Image | None = None
        updates = order.settings.iterations if order.sketch else 0
        self.moments = sorted(moments(updates) - {updates})
        self.sketcher = Sketcher(self.draw, self.moments)
        denoiser.encoded = self.encoded

    def encoded(self) -> None:
        """A prompt was read that the training begins with."""
        self.read += 1
        self.stages.at(READING, self.read, self.total)

    def draw(self, adapter: Adapter) -> None:
        """Draw the concept under the eraser as it is, to be shown with the next move."""
        if self.order.sketch is None:
            return
        with (
            torch.inference_mode(),
            self.stages.within(SKETCHING, self.moments.index(adapter.iterations), len(self.moments)),
        ):
            self.picture = self.order.sketch(adapter)

    def report(self, progress: Progress) -> None:
        """Move on with recording or training."""
        self.denoiser.encoded = lambda: None
        self.stages.course.close(READING)
        self.denoiser.loaded = self.denoiser.loaded and self.picture is None  # drawing may have pushed the network out
        shown, self.picture = self.picture, None
        self.share = self.share if progress.redirected is None else f", {100 * progress.redirected:.0f} % redirected"
        left = f", at most {duration(self.remaining.after(progress))} of training left"
        self.stages.at(progress.stage, progress.step, progress.steps, self.share + left, shown)

    def calibrating(self) -> Callable[[int, int], None]:
        """Moves on with the calibration, which ends what came before it."""
        move = self.stages.passes(CALIBRATING, LOOKING)

        def report(done: int, total: int) -> None:
            self.denoiser.encoded = lambda: None
            self.stages.course.close(READING, RECORDING, TRAINING, SKETCHING)
            move(done, total)

        return report


class Shortage(comfy.model_management.OOM_EXCEPTION):
    """The host's own exception, by which it knows what to do, under the pack's name."""

    __module__, __qualname__ = "builtins", "lora-unlearn"


@contextmanager
def _readable_shortage() -> Iterator[None]:
    """Say what to lower when memory runs out; the host then unloads its models, as always."""
    try:
        yield
    except (comfy.model_management.OOM_EXCEPTION, RuntimeError, MemoryError) as error:
        if not is_memory(error):
            raise
        logging.debug("out of memory while training", exc_info=error)
        raise Shortage(
            "The memory does not suffice for this training: lower batch or size in Train Eraser, or switch offload on "
            "there, or use the preset quick, which trains nothing."
        ) from error
