"""What a training takes, told before it starts, and fitted to a graphics card's memory."""

from __future__ import annotations

from ..denoiser import Denoiser
from ..estimate import free_memory, lowered, measure, planned
from ..settings import Settings, for_family
from .console import say


def plan(denoiser: Denoiser, settings: Settings, may_change: bool) -> Settings:
    """The settings to train with; says what that takes.

    Args:
        may_change: fit batch and offloading to the memory; False: refuse settings that do not fit.

    Raises:
        UnlearnError: if the memory does not suffice; it names what to lower.
    """
    ordered = for_family(settings, denoiser.family)
    fitting, expected = planned(
        ordered, lambda: measure(denoiser, ordered), lambda needed: free_memory(denoiser), may_change
    )
    if settings.trains:
        say(f"The training takes {expected}{lowered(ordered, fitting)}.")
    return fitting
