"""What a training takes, measured on two evaluations before it starts: memory, time, and a batch that fits.

Nothing here knows a host: how much memory is free, and where the sentences are shown, is the host's part.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .activations import memory, offloaded
from .denoiser import Denoiser
from .errors import UnlearnError
from .lora import Lora, new_lora
from .settings import Settings
from .training.method import Parts
from .training.progress import Progress
from .training.train import LOOKED

SPARE = 1.25
"""What the backward pass needs beside the activations that are kept for it, as a factor."""
OFFLOADED = 0.15
"""The share of a row's activations that is on the device at one time when they are kept in main memory."""
KEPT = 5
"""Tensors of the size of a state that are recorded with each state, itself included, with some room."""


@dataclass(frozen=True)
class Cost:
    """What one row of an evaluation takes on the machine at hand.

    Attributes:
        seconds: without gradients.
        update_seconds: with gradients, forward and backward.
        row_bytes: activations that are kept for the backward pass.
        fixed_bytes: what is kept however many rows there are: copies of weights that a host casts or moves.
        state_bytes: one state.
    """

    seconds: float
    update_seconds: float
    row_bytes: int
    fixed_bytes: int
    state_bytes: int


@dataclass(frozen=True)
class Estimate:
    """What a training will take at most.

    Attributes:
        recording_seconds, training_seconds: of its two stages.
        memory: bytes beside the loaded model.
    """

    recording_seconds: float
    training_seconds: float
    memory: int

    @property
    def seconds(self) -> float:
        """Of both stages."""
        return self.recording_seconds + self.training_seconds

    def __str__(self) -> str:
        return f"at most {duration(self.seconds)} and {gigabytes(self.memory)} of memory beside the model"


def measure(denoiser: Denoiser, settings: Settings) -> Cost:
    """Evaluate one row and then two with gradients, as a training would, and see what they take.

    The denoiser's weights and layers are afterwards as before. On a graphics card, which loads its kernels at their
    first use, the second time is what counts. Where so many rows do not fit, one is measured with its activations in
    main memory, where a tensor that is kept twice counts twice.
    """
    targets, empty = denoiser.linears(settings.selector), denoiser.encode([""])
    generator = torch.Generator().manual_seed(0)
    lora = new_lora(targets, settings.rank, 1.0, generator)
    x, sigma = denoiser.initial_noise(2, generator), denoiser.sigmas(2)[0]

    def predicted(rows: int) -> Tensor:
        return denoiser.predict(x[:rows], sigma.expand(rows).to(x.device), empty[[0] * rows])

    with torch.enable_grad(), lora.attached(targets), lora.rows(torch.ones(1)):
        try:
            return _measured(predicted, lora, x)
        except torch.cuda.OutOfMemoryError:
            pass  # and what did not fit is let go of
        return _measured_aside(predicted, lora, x)


def _measured(predicted: Callable[[int], Tensor], lora: Lora, x: Tensor) -> Cost:
    """From one row, which warms up, and two."""
    one = predicted(1)
    ready(one)
    two, forward = _forward(predicted, 2)
    first, second = kept(one), kept(two)  # both are still there, so what they share is the model's own
    shared = first.keys() & second.keys()
    alone, both = (sum(size for place, size in each.items() if place not in shared) for each in (first, second))
    row = max(0, both - alone)
    del one
    backward = _backward(two, lora)
    if x.device.type != "cpu":
        two, forward = _forward(predicted, 2)
        backward = _backward(two, lora)
    return Cost(forward / 2, (forward + backward) / 2, row, max(0, alone - row), x[:1].numel() * x.element_size())


def _measured_aside(predicted: Callable[[int], Tensor], lora: Lora, x: Tensor) -> Cost:
    """From one row whose activations go to main memory."""
    with offloaded() as moved:
        one, forward = _forward(predicted, 1)
        backward = _backward(one, lora)
    return Cost(forward, forward + backward, moved.bytes, 0, x[:1].numel() * x.element_size())


def _forward(predicted: Callable[[int], Tensor], rows: int) -> tuple[Tensor, float]:
    """A prediction, and its seconds."""
    started = time.perf_counter()
    result = predicted(rows)
    ready(result)
    return result, time.perf_counter() - started


def _backward(result: Tensor, lora: Lora) -> float:
    """Seconds of the way back to an adapter."""
    started = time.perf_counter()
    torch.autograd.backward(result.float().square().mean(), inputs=[layer.up for _, layer in lora.items()])
    ready(lora.layers[0].up.grad)  # type: ignore[arg-type]
    return time.perf_counter() - started


def ready(result: Tensor) -> None:
    """Wait until a device has really computed something."""
    result.detach().flatten()[:1].float().sum().item()


def kept(result: Tensor) -> dict[int, int]:
    """What autograd keeps to differentiate a result: bytes by the memory's address."""
    found, seen, waiting = dict[int, int](), set(), [result.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        waiting += [following for following, _ in node.next_functions]
        for tensor in saved(node):
            found |= memory(tensor)
    return found


def saved(node: object) -> Iterator[Tensor]:
    """The tensors that one step of the backward pass holds."""
    names = [name for name in dir(node) if name.startswith("_saved_") or name == "saved_tensors"]
    for value in (getattr(node, name) for name in names):
        yield from (part for part in (value if isinstance(value, list | tuple) else [value]) if torch.is_tensor(part))


def estimate(cost: Cost, settings: Settings) -> Estimate:
    """What a training takes at most; a method that trains nothing takes next to nothing."""
    if not settings.trains:
        return Estimate(0.0, 0.0, 0)
    recorded, plain, graded = Parts.of(settings).evaluations(settings)
    looked = settings.batch / LOOKED if settings.records else 0.0
    update = settings.batch * (graded * cost.update_seconds + plain * cost.seconds) + looked * cost.seconds
    row_bytes = cost.row_bytes * (OFFLOADED if settings.offload else 1)
    states = settings.trajectories * settings.trajectory_steps if settings.records else 0
    needed = SPARE * (cost.fixed_bytes + settings.batch * row_bytes) + KEPT * states * cost.state_bytes
    return Estimate(recorded * cost.seconds, settings.iterations * update, int(needed))


def that_fits(cost: Cost, settings: Settings, free: int) -> Settings:
    """The settings, with the largest batch up to theirs that fits into `free` bytes; with offloading if none does.

    Raises:
        UnlearnError: if not even one example at a time fits; it says what to lower.
    """
    for offload in sorted({settings.offload, True}):
        for batch in range(settings.batch, 0, -1):
            smaller = replace(settings, batch=batch, offload=offload)
            if estimate(cost, smaller).memory <= free:
                return smaller
    least = estimate(cost, replace(settings, batch=1, offload=True))
    raise UnlearnError(
        f"Training takes {gigabytes(least.memory)} of memory beside the model even with a batch of 1, and "
        f"{gigabytes(free)} are free; lower the size of the training pictures, or erase without training (instant "
        "mode, the preset quick)."
    )


def planned(
    settings: Settings,
    cost: Callable[[], Cost],
    free: Callable[[Estimate], int | None],
    may_change: bool = True,
) -> tuple[Settings, Estimate]:
    """The settings to train with, fitted to the memory that there is, and what that takes.

    Args:
        settings: as ordered.
        cost: measures an evaluation; not asked where nothing is trained.
        free: told what the training takes, says how many bytes it may have; None: that is not known.
        may_change: fit batch and offloading to the memory; False: refuse settings that do not fit.

    Raises:
        UnlearnError: if the memory does not suffice; it names what to lower.
    """
    if not settings.trains:
        return settings, Estimate(0.0, 0.0, 0)
    known = cost()
    room = free(estimate(known, settings))
    if room is not None and not may_change:
        check_memory(known, settings, room)
    fitting = settings if room is None else that_fits(known, settings, room)
    return fitting, estimate(known, fitting)


def lowered(ordered: Settings, fitting: Settings) -> str:
    """What `planned` changed, as the end of a sentence; empty if nothing."""
    batch = f"; batch lowered from {ordered.batch} to {fitting.batch}" if fitting.batch < ordered.batch else ""
    return batch + ("; activations in main memory" if fitting.offload and not ordered.offload else "")


def check_memory(cost: Cost, settings: Settings, free: int) -> None:
    """Refuse a training that does not fit into `free` bytes.

    Raises:
        UnlearnError: naming the setting to lower, and to what.
    """
    fitting = that_fits(cost, settings, free)
    if fitting != settings:
        needed = estimate(cost, settings).memory
        changes = [f"lower batch to {fitting.batch}"] if fitting.batch < settings.batch else []
        changes += ["turn offload on"] if fitting.offload and not settings.offload else []
        raise UnlearnError(
            f"Training with a batch of {settings.batch} takes {gigabytes(needed)} of memory beside the model, and "
            f"{gigabytes(free)} are free; {' and '.join(changes)}."
        )


def free_memory(denoiser: Denoiser) -> int | None:
    """Bytes that are free on the GPU the model is on; None where it is on none."""
    device = next(iter(denoiser.linears("cross_kv").values())).device
    if device.type != "cuda":
        return None
    idle = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info(device)[0] + idle)


class Remaining:
    """How long a running training will still take: estimated at first, then from the time that it really takes.

    Args:
        expected: the estimate.
        now: a clock, seconds.
    """

    def __init__(self, expected: Estimate, now: Callable[[], float] = time.monotonic) -> None:
        self.expected, self.now = expected, now
        self.start: tuple[float, float] | None = None

    def after(self, progress: Progress) -> float:
        """Seconds that are left at most; a training ends earlier when it has reached enough."""
        share, moment = self._share(progress), self.now()
        if self.start is None or share <= self.start[0]:
            self.start = (share, moment)
            return self.expected.seconds * (1 - share)
        return (moment - self.start[1]) * (1 - share) / (share - self.start[0])

    def _share(self, progress: Progress) -> float:
        """The share of all the work that is done, 0 to 1."""
        done, whole = progress.step / max(1, progress.steps), self.expected
        if progress.stage == "recording":
            seconds = whole.recording_seconds * done
        else:
            seconds = whole.recording_seconds + whole.training_seconds * done
        return min(1.0, seconds / max(1e-9, whole.seconds))


def duration(seconds: float) -> str:
    """Seconds in words: "5 s", "3 min", "1 h 10 min"."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def gigabytes(count: int) -> str:
    """Bytes in words: "0.1 GB", "12.3 GB"."""
    return f"{max(0.1, count / 2**30):.1f} GB"
