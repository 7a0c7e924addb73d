"""The backward pass through a host's network: what autograd keeps for it, and at what scale gradients travel.

A training through a whole network keeps many times what sampling needs. Graphics cards that cannot hold it may
leave it in main memory (activation offloading): slower by two copies, in exchange for hardly more than sampling takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor, nn

LOSS_SCALE = 2.0**12
"""A mean over a latent's values leaves each a gradient near 1e-6, too small for float16; a power of two is exact."""
_OFFLOADED: ContextVar[bool] = ContextVar("offloaded", default=False)


def scaled_backward(loss: Tensor, parameters: Sequence[nn.Parameter]) -> None:
    """Gradients of a loss for float32 parameters, sent through the network at `LOSS_SCALE` (arXiv 1710.03740)."""
    torch.autograd.backward(loss * LOSS_SCALE, inputs=list(parameters))
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad /= LOSS_SCALE


@dataclass
class Moved:
    """How many bytes went to main memory."""

    bytes: int = 0


@contextmanager
def offloaded() -> Iterator[Moved]:
    """Within this block autograd keeps activations as copies in main memory; weights stay where they are."""
    token, moved = _OFFLOADED.set(True), Moved()

    def pack(tensor: Tensor) -> Tensor | tuple[torch.device, Tensor]:
        if _is_weight(tensor):
            return tensor
        moved.bytes += tensor.numel() * tensor.element_size()
        return tensor.device, _copied(tensor)

    try:
        with torch.autograd.graph.saved_tensors_hooks(pack, _back):
            yield moved
    finally:
        _OFFLOADED.reset(token)


def _copied(tensor: Tensor) -> Tensor:
    if hasattr(tensor, "__tensor_flatten__"):
        return tensor.to("cpu", copy=True)
    return torch.empty_like(tensor, device="cpu").copy_(tensor)


def _back(kept: Tensor | tuple[torch.device, Tensor]) -> Tensor:
    return kept if isinstance(kept, Tensor) else kept[1].to(kept[0])


def _is_weight(tensor: Tensor) -> bool:
    """Whether it is a parameter or a view of one."""
    return isinstance(tensor, nn.Parameter) or isinstance(tensor._base, nn.Parameter)


def memory(tensor: Tensor) -> dict[int, int]:
    """Bytes by address of the memory behind a tensor; a quantised one may be made of several (`__tensor_flatten__`)."""
    if hasattr(tensor, "__tensor_flatten__"):
        parts = [getattr(tensor, name) for name in tensor.__tensor_flatten__()[0]]
        return {place: size for part in parts for place, size in memory(part).items()}
    storage = tensor.untyped_storage()
    return {storage.data_ptr(): storage.nbytes()}


@contextmanager
def private_copies(network: nn.Module) -> Iterator[None]:
    """Within this block autograd saves copies of activations, so that the network may change them in place.

    Within `offloaded` it leaves that to it.
    """
    if _OFFLOADED.get():
        yield
        return
    weights = {place for t in [*network.parameters(), *network.buffers()] for place in memory(t)}

    def pack(tensor: Tensor) -> Tensor:
        shared = isinstance(tensor, nn.Parameter) or not weights.isdisjoint(memory(tensor))
        return tensor if shared else tensor.clone()

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield
