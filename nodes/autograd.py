"""Gradients through networks that ComfyUI loaded for inference alone.

Models that a node loads are inference tensors, which autograd refuses to save; and some networks add in place to
tensors that were saved. Both are mended for the time of one evaluation, without touching a value.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def plain_tensors(network: nn.Module) -> Iterator[None]:
    """Within this block, inference tensors of a network are replaced by normal ones on the same memory."""
    saved = []
    try:
        for module in network.modules():
            for place in (module._parameters, module._buffers):
                for name, value in place.items():
                    if value is not None and value.is_inference():
                        saved.append((place, name, value))
                        twin = _twin(value)
                        is_parameter = place is module._parameters
                        place[name] = nn.Parameter(twin, requires_grad=False) if is_parameter else twin
        yield
    finally:
        for place, name, value in saved:
            place[name] = value


def _twin(value: Tensor) -> Tensor:
    """A normal tensor on the memory of an inference tensor."""
    twin = torch.empty(0, dtype=value.dtype, device=value.device)
    return twin.set_(value.untyped_storage(), value.storage_offset(), value.size(), value.stride())


@contextmanager
def private_copies(network: nn.Module) -> Iterator[None]:
    """Within this block autograd saves copies of activations, so that the network may change them in place."""
    weights = {t.untyped_storage().data_ptr() for t in [*network.parameters(), *network.buffers()]}

    def pack(tensor: Tensor) -> Tensor:
        shared = isinstance(tensor, nn.Parameter) or tensor.untyped_storage().data_ptr() in weights
        return tensor if shared else tensor.clone()

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield
