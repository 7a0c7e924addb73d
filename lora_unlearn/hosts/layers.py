"""Which linear layers of a network LoRA may sit in, by name, whatever others have put around or in place of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ..denoiser import Target
from ..errors import UnlearnError

AROUND = ("base_layer", "_orig_mod")
"""What is inside: PEFT's name in a layer that carries the user's LoRA, torch's in a module that was compiled."""
FUSED = {
    "to_qkv": ("to_q", "to_k", "to_v"),
    "to_kv": ("to_k", "to_v"),
    "to_added_qkv": ("add_q_proj", "add_k_proj", "add_v_proj"),
}
"""One layer in place of several, after `fuse_qkv_projections`; its output's rows are theirs, in this order."""
PLAIN = (torch.float32, torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.float8_e5m2)


@dataclass(frozen=True)
class AppliedTarget(Target):
    """A layer whose parameter is not the weight that it applies: packed by a quantiser, or kept elsewhere."""

    dtype: torch.dtype = torch.float32

    @property
    def weight(self) -> Tensor:
        """The slice of the weight, (out, in): an offloading hook's own, else what the layer makes of the identity."""
        linear: Any = self.linear
        if hasattr(linear, "_hf_hook") and linear.weight.is_meta:
            from accelerate.utils import align_module_device

            with align_module_device(linear):
                return linear.weight.detach().clone()[self.rows]
        width = linear.in_features
        asked = torch.cat([torch.eye(width), torch.zeros(1, width)]).to(self.device, self.dtype)
        with torch.no_grad():
            out = linear(asked).float()
        return (out[:-1] - out[-1:]).T[self.rows]


def inside(module: Any) -> Any:
    """The module itself, without what compilers and other adapters have put around it."""
    for name in AROUND:
        if isinstance(module, nn.Module) and name in module._modules:
            return inside(module._modules[name])
    return module


def linears(network: nn.Module) -> dict[str, Target]:
    """All linear layers of a network by the names that they have without a user's LoRA, compilation or fusion."""
    found: dict[str, Target] = {}
    _collect(network, "", getattr(network, "dtype", torch.float32), found)
    return found


def _collect(module: nn.Module, path: str, dtype: torch.dtype, found: dict[str, Target]) -> None:
    module = inside(module)
    if hasattr(module, "in_features") and hasattr(module, "out_features"):
        linear: Any = module  # quantisers have classes of their own
        weight: Any = getattr(linear, "weight", None)
        plain = type(weight) in (Tensor, nn.Parameter) and weight.dtype in PLAIN and not weight.is_meta
        found[path] = Target(linear) if plain else AppliedTarget(linear, dtype=dtype)
        return
    for name, child in module.named_children():
        _collect(child, f"{path}.{name}" if path else name, dtype, found)
    for name, parts in FUSED.items():
        fused = found.pop(f"{path}.{name}", None)
        if fused is not None and _is_fused(module):
            _take_apart(fused, [f"{path}.{part}" for part in parts], found)


def _is_fused(attention: Any) -> bool:
    """Whether an attention asks its fused layer; the older kind keeps layer and mark when its network is unfused."""
    marked = bool(getattr(attention, "fused_projections", False))
    return marked and (hasattr(attention, "unfuse_projections") or "Fused" in type(attention.processor).__name__)


def _take_apart(fused: Target, names: list[str], found: dict[str, Target]) -> None:
    """Name the rows of a fused layer; the layers that it stands for may still be there, but nothing asks them."""
    even, start = fused.linear.out_features // len(names), 0
    for name in names:
        end = start + (found[name].linear.out_features if name in found else even)
        found[name] = replace(fused, rows=slice(start, end))
        start = end


def select(network: nn.Module, selectors: Mapping[str, Callable[[str], bool]], selector: str) -> dict[str, Target]:
    """Linear layers of a network by their module names.

    Args:
        network: a diffusers network.
        selectors: what the family offers: for each selector, which names it takes.
        selector: one of them.

    Raises:
        UnlearnError: for an unknown selector, or one that finds nothing.
    """
    return choose(linears(network), selectors, selector)


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
