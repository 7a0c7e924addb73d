"""Erasers in a diffusers pipeline: the network's forward is wrapped while a picture is made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..adapter import Adapter
from ..denoiser import Conditioning
from ..errors import UnlearnError
from ..guidance import Eraser, Guidance
from ..look import Look
from .calls import NetworkCall
from .diffusers import FlowDenoiser, UNetDenoiser, denoiser_for


@dataclass
class Run:
    """What happened in one pipeline call; filled while it runs.

    Attributes:
        guidance: the state machine of the latest call, with decisions and the count of evaluations.
    """

    guidance: Guidance | None = None


@contextmanager
def erasing(pipe: Any, erasers: Sequence[Eraser]) -> Iterator[Run]:
    """Within this block every call of the pipeline runs under the erasers; afterwards the pipeline is as before.

    Args:
        pipe: a pipeline that `denoiser_for` knows.
        erasers: adapters with strength and gate mode. All strengths 0 or an empty list attach nothing.

    Raises:
        UnlearnError: if an adapter belongs to another model family.
    """
    active = [eraser for eraser in erasers if eraser.strength != 0]
    run = Run()
    if not active:
        yield run
        return
    denoiser = denoiser_for(pipe)
    for eraser in active:
        check_family(eraser, denoiser.family)
    with ExitStack() as stack:
        for eraser in active:
            stack.enter_context(eraser.adapter.lora.attached(denoiser.linears(eraser.adapter.settings.selector)))
        stack.enter_context(_wrapped(pipe, denoiser, active, run))
        yield run


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
    network = denoiser.network
    plain, own = network.forward, network.__dict__.get("forward")
    clock, encoded, looking = Clock(), dict[str, Conditioning](), False

    def encode(prompts: list[str]) -> Conditioning:
        for prompt in prompts:
            if prompt not in encoded:
                encoded[prompt] = denoiser.encode([prompt])
        return Conditioning.cat(encoded[prompt] for prompt in prompts)

    seen = Look(denoiser, encode)

    def look(adapter: Adapter, asked: Conditioning) -> Tensor:
        nonlocal looking
        looking = True
        try:
            return seen(adapter, asked)
        finally:
            looking = False

    def forward(*args: Any, **kwargs: Any) -> Any:
        if looking:
            return plain(*args, **kwargs)
        call = denoiser.host_call(plain, args, kwargs)
        index = clock.read(pipe.scheduler.timesteps, call)
        if clock.fresh or run.guidance is None:
            run.guidance = Guidance(erasers, encode, len(pipe.scheduler.timesteps.unique_consecutive()), look)
        if index is None:
            run.guidance.evaluations = [spent + 1 for spent in run.guidance.evaluations]
            return plain(*args, **kwargs)
        return call.wrap(run.guidance.step(call, index))

    network.forward = forward
    try:
        yield
    finally:
        if own is None:
            del network.forward
        else:
            network.forward = own


class Clock:
    """Tells runs, steps and side calls apart by what the pipeline asks of its network.

    A run begins when the scheduler has new timesteps, a step when the network is told another timestep. A
    call for the same moment with other prompts is a side call: the negative prompt of Flux's true guidance,
    or SD3's evaluation without some layers.
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
        prompts = call.conditioning.tensors["text"]
        if self.prompts is not None and call.moment == self.moment:
            return self.index if torch.equal(prompts, self.prompts) else None
        self.moment, self.prompts = call.moment, prompts
        self.index += 1
        return self.index
