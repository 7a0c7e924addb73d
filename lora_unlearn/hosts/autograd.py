"""Gradients through networks that a host loaded for inference alone.

Models that are loaded under inference mode are inference tensors, which autograd refuses to save. That is mended for
the time of one evaluation, without touching a value.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


def mode_of(network: nn.Module) -> torch.inference_mode:
    """The mode in which a host loaded a network, as a block: it has to be moved in it, too.

    `Module.to` puts new values into the parameters that there are. An inference tensor that gets its values outside of
    inference mode calls itself a normal one, and yet autograd can't take it; nor can its gradients be switched where a
    normal one gets them inside.
    """
    return torch.inference_mode(any(value.is_inference() for value in network.parameters()))


@contextmanager
def plain_tensors(network: nn.Module) -> Iterator[None]:
    """Within this block, inference tensors of a network are replaced by normal ones on the same memory."""
    saved = []
    try:
        for module in network.modules():
            places: tuple[dict[str, Any], ...] = (module._parameters, module._buffers)
            for place in places:
                for name, value in place.items():
                    if value is not None and value.is_inference() and not hasattr(value, "__tensor_flatten__"):
                        saved.append((place, name, value))
                        twin = _twin(value)
                        is_parameter = place is module._parameters
                        place[name] = nn.Parameter(twin, requires_grad=False) if is_parameter else twin
        yield
    finally:
        for place, name, value in saved:
            place[name] = value


def _twin(value: Tensor) -> Tensor:
    """A normal tensor on the memory of an inference tensor; a loader's own kind of tensor keeps what it says of itself.

    Tensors that are made of others (`__tensor_flatten__`) have no memory of their own, and layers unpack them first.
    """
    twin = torch.empty(0, dtype=value.dtype, device=value.device)
    twin = twin.set_(value.untyped_storage(), value.storage_offset(), value.size(), value.stride())
    if type(value) in (Tensor, nn.Parameter):
        return twin
    twin = twin.as_subclass(type(value))
    twin.__dict__.update(value.__dict__)
    return twin
