"""Erasers in a diffusers pipeline: the network's forward is wrapped while a picture is made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..denoiser import Conditioning
from ..errors import UnlearnError
from ..guidance import Eraser, Guidance
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
def _wrapped(
    pipe: Any, denoiser: UNetDenoiser | FlowDenoiser, erasers: Sequence[Eraser], run: Run
) -> Iterator[None]:
    network = denoiser.network
    plain, own = network.forward, network.__dict__.get("forward")
    steps_seen: list[float] = []

    def forward(*args: Any, **kwargs: Any) -> Any:
        call = denoiser.host_call(plain, args, kwargs)
        moment = float(call.timestep.flatten()[0])
        steps = pipe.scheduler.timesteps
        if run.guidance is None or moment == float(steps[0]):
            run.guidance = Guidance(erasers, denoiser.encode, len(steps))
            steps_seen.clear()
        if not steps_seen or steps_seen[-1] != moment:
            steps_seen.append(moment)
        return call.wrap(run.guidance.step(call, len(steps_seen) - 1))

    network.forward = forward
    try:
        yield
    finally:
        if own is None:
            del network.forward
        else:
            network.forward = own
