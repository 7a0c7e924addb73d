"""A graphics card that is none: its tensors lie in main memory, and torch refuses to mix them with others.

So what would fail on a card fails without one: a state on the wrong device, a weight that was fetched from where it no
longer lies. It computes what the CPU computes. `switch_on()` makes the device "card" known to this process.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

aten = torch.ops.aten
ACROSS = {aten._to_copy.default, aten.copy_.default, aten.index.Tensor, aten.index_put.default, aten.index_put_.default}
"""What may be given tensors of both devices: copies, and indices, which CUDA fetches by itself."""


class Module:
    """What torch asks a device's module for."""

    def is_available(self) -> bool:
        return True

    def is_initialized(self) -> bool:
        return True

    def _is_in_bad_fork(self) -> bool:
        return False

    def current_device(self) -> int:
        return 0

    def device_count(self) -> int:
        return 1

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.float16, torch.bfloat16]

    def manual_seed_all(self, seed: int) -> None:
        """There is no generator of its own."""


class OnCard(Tensor):
    """A tensor on the card, around one in main memory."""

    own: Tensor

    @staticmethod
    def __new__(cls: type[OnCard], own: Tensor) -> OnCard:
        with torch.inference_mode(False):  # wrappers of inference tensors can't be detached
            self = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
                cls, own.shape, strides=own.stride(), storage_offset=own.storage_offset(), dtype=own.dtype,
                device=torch.device("card", 0),
            )  # fmt: skip
        self.own = own
        return self

    def tolist(self) -> Any:
        """As any tensor's."""
        return self.own.tolist()

    def untyped_storage(self) -> Any:
        """Where its values really are."""
        return self.own.untyped_storage()

    def __repr__(self, **options: Any) -> str:
        return f"OnCard({self.own!r})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


class Card(TorchDispatchMode):
    """Sees to what is asked for on the card by its name."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        leaves = tree_leaves((args, kwargs))
        if any(isinstance(part, OnCard) or (isinstance(part, torch.device) and is_card(part)) for part in leaves):
            return run(func, args, kwargs)
        return func(*args, **kwargs)


def is_card(device: torch.device) -> bool:
    """Whether it is this one."""
    return device.type == "card"


def inside(value: Any) -> Any:
    """The tensor in main memory; anything else as it is, the device's name too."""
    if isinstance(value, OnCard):
        return value.own
    return torch.device("cpu") if isinstance(value, torch.device) and is_card(value) else value


def run(func: Any, args: Any, kwargs: Any) -> Any:
    """An operation in main memory, its result on the card if that is asked for, or what it is made of lies there.

    Raises:
        RuntimeError: where torch would for a card: tensors of two devices.
    """
    if func is aten._has_compatible_shallow_copy_type.default:
        return isinstance(args[0], OnCard) == isinstance(args[1], OnCard)
    leaves = tree_leaves((args, kwargs))
    tensors = [part for part in leaves if isinstance(part, Tensor)]
    device = next((part for part in leaves if isinstance(part, torch.device)), None)
    device = args[1].device if func is aten.to.other else device
    moves = func in ACROSS or func.overloadpacket is aten.to
    if not moves and len({isinstance(part, OnCard) for part in tensors if part.dim()}) > 1:
        shapes = [f"{tuple(part.shape)} on {part.device}" for part in tensors]
        raise RuntimeError(f"Expected all tensors to be on the same device, but {func} got {', '.join(shapes)}.")
    there = is_card(device) if device is not None else any(isinstance(part, OnCard) for part in tensors)
    if func is aten.copy_.default:
        inside(args[0]).copy_(inside(args[1]))
        return args[0]
    found = func(
        *tree_map(inside, args),
        **{**tree_map(inside, kwargs), **({"pin_memory": False} if there and "pin_memory" in kwargs else {})},
    )
    given = {id(part.own): part for part in tensors if isinstance(part, OnCard)}

    def outside(value: Any) -> Any:
        if not isinstance(value, Tensor) or isinstance(value, OnCard) or not there:
            return value
        return given[id(value)] if func._schema.is_mutable and id(value) in given else OnCard(value)

    return tree_map(outside, found)


def switch_on() -> torch.device:
    """Make the device known, for good; returns it."""
    backend_registration._setup_privateuseone_for_python_backend("card", Module())  # type: ignore[attr-defined]
    torch.__future__.set_swap_module_params_on_conversion(True)
    library = torch.library.Library("aten", "IMPL")
    LIBRARIES.append(library)
    library.impl("empty_strided", _empty_strided, "PrivateUse1")
    library.impl("empty.memory_format", _empty, "PrivateUse1")
    library.impl("_copy_from", _copy_from, "PrivateUse1")
    Card().__enter__()
    return torch.device("card", 0)


LIBRARIES: list[Any] = []
"""They hold for as long as they live."""


def _empty_strided(size: Any, stride: Any, dtype: Any = None, **options: Any) -> Tensor:
    return OnCard(torch.empty_strided(size, stride, dtype=dtype))


def _empty(size: Any, dtype: Any = None, **options: Any) -> Tensor:
    return OnCard(torch.empty(size, dtype=dtype))


def _copy_from(source: Tensor, target: Tensor, non_blocking: bool = False) -> Tensor:
    inside(target).copy_(inside(source))
    return target
