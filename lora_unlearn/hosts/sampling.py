"""Erasers in a diffusers pipeline: calls of its network go through the guidance while a picture is made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import Any
from weakref import WeakSet

from torch import Tensor, nn

from ..adapter import Adapter
from ..denoiser import Conditioning
from ..errors import UnlearnError
from ..guidance import Eraser, Guidance, same
from ..look import Look
from ..lora import Lora
from .calls import NetworkCall
from .diffusers import FlowDenoiser, UNetDenoiser, denoiser_for
from .layers import inside


@dataclass
class Run:
    """What happened in one pipeline call; filled while it runs.

    Attributes:
        guidance: the state machine of the latest call, with decisions and the count of evaluations.
        block: what takes the erasers off again, where they outlive a `with` block (`attach`). The network holds this
            object, so they stay on for as long as it lives.
    """

    guidance: Guidance | None = None
    block: ExitStack | None = None


@contextmanager
def erasing(pipe: Any, erasers: Sequence[Eraser]) -> Iterator[Run]:
    """Within this block every call of the pipeline runs under the erasers; afterwards the pipeline is as before.

    Other pipelines with the same network run under them, too; a copy of the pipeline made in the block does not.

    Args:
        pipe: a pipeline that `denoiser_for` knows.
        erasers: adapters with strength and gate mode. All strengths 0 or an empty list attach nothing.

    Raises:
        UnlearnError: if an adapter belongs to another model family, or the network is in such a block already.
    """
    active = [_own(eraser) for eraser in erasers if eraser.strength != 0]
    run = Run()
    if not active:
        yield run
        return
    denoiser = denoiser_for(pipe)
    for eraser in active:
        check_family(eraser, denoiser.family)
    linears = cache(denoiser.linears)  # a hundred erasers sit on the same layers
    with ExitStack() as stack:
        stack.enter_context(_alone(denoiser.network))
        for eraser in active:
            stack.enter_context(eraser.adapter.lora.attached(linears(eraser.adapter.settings.selector)))
            eraser.adapter.lora.to(denoiser.device)  # weights may lie elsewhere, waiting for their turn
        stack.enter_context(_wrapped(pipe, denoiser, active, run))
        yield run


def _own(eraser: Eraser) -> Eraser:
    """The eraser with rows to switch of its own: the same layers may be at work on another network at the same time."""
    lora = Lora(dict(eraser.adapter.lora.items()))
    return replace(eraser, adapter=replace(eraser.adapter, lora=lora))


BUSY: WeakSet[nn.Module] = WeakSet()
"""The networks that run under erasers now."""


@contextmanager
def _alone(network: Any) -> Iterator[None]:
    """Refuse a second block on a network, whose calls the two would take for each other's."""
    network = inside(network)
    if network in BUSY:
        raise UnlearnError(
            "The network of this pipeline already runs under erasers; leave that block or detach them first, or give "
            "all erasers at once."
        )
    BUSY.add(network)
    try:
        yield
    finally:
        BUSY.discard(network)


def check_family(eraser: Eraser, family: str) -> None:
    """Refuse an adapter of another family.

    Raises:
        UnlearnError: naming both families.
    """
    adapter = eraser.adapter
    if adapter.family != family:
        raise UnlearnError(
            f"The eraser for {adapter.concept.name!r} was made for {adapter.family}, the loaded model is {family}; "
            "use it with a model of its family or train a new one."
        )


@contextmanager
def _wrapped(pipe: Any, denoiser: UNetDenoiser | FlowDenoiser, erasers: Sequence[Eraser], run: Run) -> Iterator[None]:
    network, own = denoiser.network, denoiser.network._compiled_call_impl
    plain = own or network._call_impl
    clock, encoded, looking = Clock(), dict[str, Conditioning](), False

    def encode(prompts: list[str]) -> Conditioning:
        for prompt in prompts:
            if prompt not in encoded:
                encoded[prompt] = denoiser.encode([prompt])
        return Conditioning.cat(encoded[prompt] for prompt in prompts)

    seen = Look(denoiser, encode)

    def look(adapter: Adapter, asked: Conditioning) -> Tensor:
        nonlocal looking
        if getattr(network, "is_cache_enabled", False):
            raise UnlearnError(
                f"The gate of the eraser for {adapter.concept.name!r} asks the network, which has a cache on "
                "(enable_cache); switch it off, or calibrate the eraser again to decide from the text alone."
            )
        looking = True
        try:
            return seen(adapter, asked)
        finally:
            looking = False

    def follow() -> None:
        """Where the pipeline was moved or cast since the last run, what is remembered is of no use any more."""
        nonlocal seen
        place = pipe._execution_device, network.dtype
        if place != (denoiser.device, denoiser.dtype):
            denoiser.device, denoiser.dtype = place
            encoded.clear()
            seen = Look(denoiser, encode)

    def forward(*args: Any, **kwargs: Any) -> Any:
        if looking:
            return plain(*args, **kwargs)
        call = denoiser.host_call(plain, args, kwargs)
        index = clock.read(pipe.scheduler.timesteps, call)
        if clock.fresh or run.guidance is None:
            follow()
            run.guidance = Guidance(erasers, encode, len(pipe.scheduler.timesteps.unique_consecutive()), look)
        if index is None:
            run.guidance.evaluations = [spent + 1 for spent in run.guidance.evaluations]
            return plain(*args, **kwargs)
        return call.wrap(run.guidance.step(call, index))

    # torch asks this first of all, so whoever wraps `forward` within a run (offloading does after each) is below it
    network._compiled_call_impl = forward
    try:
        yield
    finally:
        if own is None:
            del network._compiled_call_impl
        else:
            network._compiled_call_impl = own


class Clock:
    """Tells runs, steps and side calls apart by what the pipeline asks of its network.

    A run begins when the scheduler has new timesteps, a step when the network is told another timestep. Side calls are
    SD3's evaluation without some layers and, for the same moment, Flux's for the negative prompts of true guidance.
    """

    def __init__(self) -> None:
        self.timesteps: Tensor | None = None
        self.moment = 0.0
        self.prompts: Tensor | None = None
        self.index = -1
        self.fresh = False

    def read(self, timesteps: Tensor, call: NetworkCall) -> int | None:
        """The index of the call's step, 0 for the first; None for a side call.

        Args:
            timesteps: the scheduler's own tensor, a new one for every run.
            call: what the pipeline asks.
        """
        self.fresh = timesteps is not self.timesteps
        if self.fresh:
            self.timesteps, self.prompts, self.index = timesteps, None, -1
        if call.aside:
            return None
        prompts, moment = call.conditioning.tensors["text"], call.moment
        if self.prompts is not None and moment == self.moment:
            return self.index if not call.ALTERNATES or same(prompts, self.prompts) else None
        self.moment, self.prompts = moment, prompts
        self.index += 1
        return self.index
