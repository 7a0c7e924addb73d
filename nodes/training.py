"""Training an eraser inside a running node: the model loaded by the host, progress, interruption, the cache."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import comfy.model_management
import comfy.utils
import torch
from PIL import Image

from ..lora_unlearn import Adapter, Concept, Settings, UnlearnError, erase, load_bank
from ..lora_unlearn.erase import Mode
from ..lora_unlearn.errors import is_memory
from ..lora_unlearn.estimate import Estimate, Remaining, duration, gigabytes, lowered, measure, planned
from ..lora_unlearn.promise import USUAL, Promise
from ..lora_unlearn.settings import for_family
from ..lora_unlearn.sketches import Sketcher, moments
from ..lora_unlearn.train import Progress
from .cache import CACHE
from .denoiser import ComfyDenoiser
from .fingerprint import fingerprint
from .messages import show

KEPT_EVERY = 5.0
"""Seconds after which an unfinished training is written to disk again."""
SKETCH_SIDE = 256
"""How large a sketch of the concept is shown while a training runs, in pixels."""


@dataclass(frozen=True)
class Order:
    """What is to be trained.

    Attributes:
        concept: what to erase.
        mode: "instant", "fast" or "paper".
        settings: hyper-parameters.
        size: (height, width) of training pictures in pixels; None: the model's own.
        keep_on_disk: whether the eraser is looked for and kept on disk.
        may_lower_batch: when memory is scarce, train with a smaller batch instead of refusing.
        promise: of the gate.
        sketch: draws the concept under an unfinished eraser, for the node to show on the way; None: nothing is drawn.
    """

    concept: Concept
    mode: Mode
    settings: Settings
    size: tuple[int, int] | None = None
    keep_on_disk: bool = True
    may_lower_batch: bool = False
    promise: Promise = USUAL
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


def train_eraser(model: Any, clip: Any, order: Order) -> Adapter:
    """The eraser for a loaded model: kept from before, or trained now.

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
    with torch.inference_mode(False), torch.enable_grad(), _readable_shortage():
        adapter = _train(ComfyDenoiser(model, clip, order.size), key, order)
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


def _train(denoiser: ComfyDenoiser, key: str, order: Order) -> Adapter:
    """Train; an interruption leaves what there is in the cache, as something to go on from."""
    settings, expected = _planned(denoiser, order)
    bar, interrupted = _Bar(order, expected), comfy.model_management.processing_interrupted
    unfinished: list[Adapter] = []

    kept = time.monotonic()

    def save(adapter: Adapter) -> None:
        nonlocal kept
        unfinished[:] = [adapter]
        if adapter.partial and order.keep_on_disk and time.monotonic() - kept >= KEPT_EVERY:
            CACHE.put(key, adapter)  # for whoever pulls the plug
            kept = time.monotonic()
        bar.sketcher(adapter)

    def report(progress: Progress) -> None:
        denoiser.loaded = denoiser.loaded and bar.picture is None  # drawing may have pushed the network out
        bar.report(progress)

    try:
        return erase(
            denoiser,
            order.concept,
            load_bank(denoiser.family),
            order.mode,
            settings,
            report=report,
            stop=interrupted,
            resume=CACHE.get_partial(key) if order.keep_on_disk else None,
            save=save,
            promise=order.promise,
        )
    except comfy.model_management.InterruptProcessingException:
        bar.interrupted = True
        raise
    finally:
        if unfinished and unfinished[0].partial and (bar.interrupted or interrupted()):
            CACHE.put(key, unfinished[0], order.keep_on_disk)


def _planned(denoiser: ComfyDenoiser, order: Order) -> tuple[Settings, Estimate]:
    """The settings to train with and what that will take; says so in the node.

    Raises:
        UnlearnError: if the memory does not suffice; it names the setting to lower.
    """
    settings, mode, room = for_family(order.settings, denoiser.family), order.mode, 0

    def free(needed: Estimate) -> int:
        nonlocal room
        room = denoiser.make_room(needed.memory)
        return room

    fitting, expected = planned(settings, mode, lambda: measure(denoiser, settings), free, order.may_lower_batch)
    if mode != "instant":
        denoiser.room = expected.memory
        text = f"Erasing {order.concept.name}: {expected}; {gigabytes(room)} are free{lowered(settings, fitting)}"
        logging.info("lora-unlearn: %s", text)
        show(text)
    return fitting, expected


class _Bar:
    """The node's progress bar, over recording and training; the host may interrupt whenever it moves."""

    def __init__(self, order: Order, expected: Estimate) -> None:
        self.remaining = Remaining(expected)
        self.recording = order.settings.trajectory_steps if order.mode == "fast" else 0
        self.bar = comfy.utils.ProgressBar(self.recording + order.settings.iterations + 1)
        self.name, self.share = order.concept.name, ""
        self.interrupted = False
        self.picture: Image.Image | None = None
        updates = order.settings.iterations if order.sketch and order.mode != "instant" else 0
        self.sketch, self.sketcher = order.sketch, Sketcher(self.draw, moments(updates) - {updates})

    def draw(self, adapter: Adapter) -> None:
        """Draw the concept under the eraser as it is, to be shown with the next move."""
        with torch.inference_mode():
            self.picture = self.sketch(adapter) if self.sketch else None

    def report(self, progress: Progress) -> None:
        """Move on."""
        done = progress.step if progress.stage == "recording" else self.recording + progress.step
        shown, self.picture = self.picture, None
        self.bar.update_absolute(done, preview=shown and ("JPEG", shown, SKETCH_SIDE))
        self.share = self.share if progress.redirected is None else f", {100 * progress.redirected:.0f} % redirected"
        left = f"at most {duration(self.remaining.after(progress))} left"
        show(f"Erasing {self.name}: {progress.stage} {progress.step} of {progress.steps}{self.share}, {left}")


@contextmanager
def _readable_shortage() -> Iterator[None]:
    """Say what to lower when memory runs out; the host then unloads its models, as always."""
    try:
        yield
    except (comfy.model_management.OOM_EXCEPTION, RuntimeError, MemoryError) as error:
        if not is_memory(error):
            raise
        logging.debug("out of memory while training", exc_info=error)
        raise comfy.model_management.OOM_EXCEPTION(
            "The memory does not suffice for this training: lower batch or size in Train Eraser, or switch offload on "
            "there, or use the preset quick, which trains nothing."
        ) from error
