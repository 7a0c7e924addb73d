"""A backward pass for the turning of queries and keys by their places, which Forge Neo's kernels come without."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

TURNS = ("apply_rope", "apply_rope1", "apply_rope_split_half", "apply_rope_split_half1")
"""Operators that take tensors and, last, 2x2 matrices F (...,2,2) for pairs of their values: y = F x."""


@cache
def differentiable() -> None:
    """Tell autograd once that the gradient of F x is F^T times that of y; what is drawn stays as it is."""
    if find_spec("comfy_kitchen") is None:
        return
    import comfy_kitchen  # type: ignore[import-not-found]  # noqa: F401 (it defines the operators)

    for name in TURNS:
        if hasattr(torch.ops.comfy_kitchen, name):
            torch.library.register_autograd(f"comfy_kitchen::{name}", _backward(name), setup_context=_keep)


def _keep(ctx: Any, inputs: tuple[Tensor, ...], output: Any) -> None:
    ctx.save_for_backward(inputs[-1])


def _backward(name: str) -> Callable[..., tuple[Tensor | None, ...]]:
    def turned_back(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (matrices,) = ctx.saved_tensors
        found = getattr(torch.ops.comfy_kitchen, name)(*gradients, matrices.transpose(-1, -2).contiguous())
        return (*found, None) if len(gradients) > 1 else (found, None)

    return turned_back
