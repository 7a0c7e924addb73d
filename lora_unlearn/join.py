"""Several erasers in one ordinary LoRA: without a gate, because a file has at most one of those."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .adapter import KEY, Adapter
from .errors import UnlearnError
from .lora import Lora, LoraLayer


def joined(parts: Sequence[tuple[Adapter, float]]) -> tuple[Lora, dict[str, str]]:
    """One LoRA that adds what several erasers add, each times its strength; their ranks add up.

    Args:
        parts: finished erasers of one model family, with strengths; 1 is the eraser as trained.

    Returns:
        The LoRA, and metadata for its file: that of an ordinary LoRA.

    Raises:
        UnlearnError: if there are fewer than two, one is not finished, or their families differ.
    """
    check_parts([adapter for adapter, _ in parts])
    names = dict.fromkeys(name for adapter, _ in parts for name in adapter.lora.names)
    layers = [(dict(adapter.lora.items()), strength) for adapter, strength in parts]
    stacked = {name: _stacked([(own[name], s) for own, s in layers if name in own]) for name in names}
    lora = Lora(stacked).with_one_alpha()
    concept = ", ".join(adapter.concept.name for adapter, _ in parts)
    metadata = {name: text for name, text in parts[0][0].metadata().items() if name != KEY}
    metadata["modelspec.title"] = f"Erase {concept}"
    metadata["modelspec.description"] = f"Makes a model stop drawing {concept}; without a gate."
    metadata["ss_network_dim"] = metadata["ss_network_alpha"] = str(lora.rank)
    return lora, metadata


def check_parts(adapters: Sequence[Adapter]) -> None:
    """Refuse what cannot be joined.

    Raises:
        UnlearnError: as `joined` says.
    """
    if len(adapters) < 2:
        raise UnlearnError("There is nothing to merge: give at least two erasers.")
    families = sorted({adapter.family for adapter in adapters})
    if len(families) > 1:
        raise UnlearnError(
            f"These erasers were made for different model families ({', '.join(families)}); merge those of one family."
        )
    unfinished = [adapter.concept.name for adapter in adapters if adapter.partial]
    if unfinished:
        raise UnlearnError(
            f"The training of the eraser for {unfinished[0]!r} was not finished; run it to its end first."
        )


def _stacked(layers: Sequence[tuple[LoraLayer, float]]) -> LoraLayer:
    """One layer of several: their directions side by side, scales and strengths multiplied in."""
    down = torch.cat([layer.down.cpu() for layer, _ in layers])
    up = torch.cat([strength * layer.scale * layer.up.cpu() for layer, strength in layers], dim=1)
    return LoraLayer(down, up, 1.0)
