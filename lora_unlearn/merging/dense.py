"""From low-rank layers to what they change, element by element, and back to a low rank."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..errors import UnlearnError
from ..lora import Lora, LoraLayer

KEPT = 0.999
"""Share of a layer's squared Frobenius norm that a rank chosen by itself keeps, where the cap allows."""
ROOM = 32
"""Cap of such a rank, or the sum of the parts' ranks if that is more: picking element by element makes full ranks."""
Parts = Sequence[tuple[Lora, float]]
"""Adapters of one model with their strengths s_k; 1 is the adapter as trained."""
Rule = Callable[[Tensor], Tensor]
"""From one layer's changes s_k dW_k, (parts, out, in), to the merged one, (out, in)."""


@torch.no_grad()
def layerwise(parts: Parts, rule: Rule, rank: int | None) -> Lora:
    """One adapter whose layers change what a rule makes of the parts' changes; layers that change nothing are left out.

    Args:
        parts: a layer that one of them lacks counts as zero there.
        rule: for each layer, in the order of their first appearance.
        rank: of every layer; None: as `low_rank` says, at most `ROOM` or the sum of the parts' ranks.

    Raises:
        UnlearnError: if nothing is left, or the rank is below 1.
    """
    owns = [(dict(lora.items()), strength) for lora, strength in parts]
    layers = {}
    for name in dict.fromkeys(name for lora, _ in parts for name in lora.names):
        change = rule(torch.stack(_changes([(own.get(name), strength) for own, strength in owns])))
        if change.any():
            ranks = sum(own[name].rank for own, _ in owns if name in own)
            layers[name] = low_rank(change, rank, max(ROOM, ranks))
    if not layers:
        raise UnlearnError("These erasers cancel each other: nothing is left to write; choose another method.")
    return Lora(layers)


def low_rank(change: Tensor, rank: int | None, most: int) -> LoraLayer:
    """The nearest layer of a rank (Eckart and Young, 1936) to a change (out, in), its norm shared by up and down.

    Args:
        change: dW.
        rank: number of directions; None: as few as keep `KEPT` of the squared norm, at most `most`.
        most: the cap of a rank that nobody chose.

    Raises:
        UnlearnError: if the rank is below 1.
    """
    if rank is not None and rank < 1:
        raise UnlearnError(f"The rank is {rank}; give a whole number from 1 up, or none.")
    up, values, down = torch.linalg.svd(change, full_matrices=False)
    energy = values.square().cumsum(0)
    fewest = int((energy < KEPT * energy[-1]).sum()) + 1
    rank = min(rank or min(fewest, most), len(values))
    root = values[:rank].sqrt()
    return LoraLayer(root[:, None] * down[:rank], up[:, :rank] * root, 1.0)


def _changes(layers: Sequence[tuple[LoraLayer | None, float]]) -> list[Tensor]:
    """strength * scale * up @ down of one layer in each part, all (out, in)."""
    found = [None if own is None else (s * own.scale * own.up @ own.down).cpu() for own, s in layers]
    shape = next(change.shape for change in found if change is not None)
    return [torch.zeros(shape) if change is None else change for change in found]


def check_density(density: float) -> None:
    """Refuse a share that is none.

    Raises:
        UnlearnError: naming it.
    """
    if not 0 < density <= 1:
        raise UnlearnError(f"The density is {density:g}; it is the share that is kept, above 0 and at most 1.")
