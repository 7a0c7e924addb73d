"""Which linear layers of a network LoRA may sit in, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import nn

from ..denoiser import Target
from ..errors import UnlearnError


def select(network: nn.Module, selectors: Mapping[str, Callable[[str], bool]], selector: str) -> dict[str, Target]:
    """Linear layers of a network by their module names.

    Args:
        network: a diffusers network.
        selectors: what the family offers: for each selector, which names it takes.
        selector: one of them.

    Raises:
        UnlearnError: for an unknown selector, or one that finds nothing.
    """
    linears = {name: Target(module) for name, module in network.named_modules() if isinstance(module, nn.Linear)}
    return choose(linears, selectors, selector)


def choose(
    linears: Mapping[str, Target], selectors: Mapping[str, Callable[[str], bool]], selector: str
) -> dict[str, Target]:
    """Of all a network's linear layers, by canonical name, those that a selector takes.

    Raises:
        UnlearnError: for an unknown selector, or one that finds nothing.
    """
    if selector not in selectors:
        raise UnlearnError(f"Unknown layer selector {selector!r}; this model offers {', '.join(selectors)}.")
    chosen = {name: target for name, target in linears.items() if selectors[selector](name)}
    if not chosen:
        raise UnlearnError(f"The model has no layers of the kind {selector!r}; choose one of {', '.join(selectors)}.")
    return chosen
