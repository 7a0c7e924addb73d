"""Weights that are not simply there: packed or scaled by their loader, patched at each call, lent by the host.

And kernels that autograd does not know.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import comfy.model_management
import comfy.ops
import torch
from torch import Tensor, nn

from ..lora_unlearn.denoiser import Target, is_plain


@dataclass(frozen=True)
class AppliedTarget(Target):
    """A layer whose weight is known by what it does: GGUF, 4 bits, scaled fp8, patches that come at each call."""

    device: Any = None

    @property
    def weight(self) -> Tensor:
        """The slice of the weight as the layer applies it, (out, in), in float32."""
        linear: Any = self.linear
        rows = torch.cat([torch.eye(linear.in_features), torch.zeros(1, linear.in_features)]).to(self.device)
        before = getattr(linear, "comfy_force_cast_weights", False)
        linear.comfy_force_cast_weights = True  # newer hosts would round the input as they round the weight
        try:
            with torch.no_grad():
                out = linear(rows).float()
        finally:
            linear.comfy_force_cast_weights = before
        return (out[:-1] - out[-1:]).T[self.rows]


def applied(model: Any, targets: dict[str, Target]) -> dict[str, Target]:
    """Layers of a loaded MODEL; those whose parameter is not the weight that they apply are asked for it."""
    keys = {module: f"{name}.weight" for name, module in model.model.named_modules()}

    def place(target: Target) -> Target:
        own, key = target.linear.weight, keys[target.linear]
        patched_later = key in model.patches and key not in model.backup
        plain = is_plain(own) and not patched_later
        return target if plain else AppliedTarget(target.linear, target.rows, target.packed, model.load_device)

    return {name: place(target) for name, target in targets.items()}


def is_linear(module: nn.Module | None) -> bool:
    """Whether it is a linear layer; those that newer hosts quantise are of a class of their own."""
    return hasattr(module, "in_features") and hasattr(module, "out_features")


def is_dynamic(model: Any) -> bool:
    """Whether the host pages the weights in and out while the network runs (DynamicVRAM)."""
    return bool(getattr(model, "is_dynamic", bool)())


def lent(model: Any) -> bool:
    """Whether layers get their weights in memory that the host may use again before a backward pass."""
    buffers = hasattr(comfy.model_management, "get_cast_buffer")
    return is_dynamic(model) or (buffers and model.model.model_lowvram)


def stage_again(model: Any) -> None:
    """Have weights that the host paged in while it sampled, which autograd refuses to keep, paged in anew."""
    for module in model.model.modules():
        paged = getattr(module, "_v_weight", None)
        if paged is not None and paged.is_inference():
            module._v_signature = None


WITHOUT_BACKWARD = ("rms_rope_split_half",)
"""Kernels that newer hosts call although they are told of a training, and that have no backward pass."""


@contextmanager
def differentiable() -> Iterator[None]:
    """Within this block, where gradients are on, such kernels are the same in plain operations."""
    kernels = getattr(getattr(comfy, "quant_ops", None), "ck", None) if torch.is_grad_enabled() else None
    names = [name for name in WITHOUT_BACKWARD if hasattr(kernels, name)]
    before = {name: getattr(kernels, name) for name in names}
    for name in names:
        setattr(kernels, name, getattr(import_module("comfy_kitchen.backends.eager.rope"), name))
    try:
        yield
    finally:
        for name, own in before.items():
            setattr(kernels, name, own)
