"""Canonical names (diffusers' module names) for the linear layers of a U-Net in the original layout.

They are read off the modules themselves, so any number of levels and layers will do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from lora_unlearn.denoiser import Target

RENAMED = {"emb_layers.1": "time_emb_proj"}
"""Linear layers of a residual block that the two layouts call by different names; those of attentions agree."""


def linears(unet: Any) -> dict[str, Target]:
    """Every linear layer of a U-Net's blocks, by its canonical name."""
    found = {}
    for block, name in blocks(unet):
        for inner, module in block.named_modules():
            if is_linear(module):
                found[f"{name}.{RENAMED.get(inner, inner)}"] = Target(module)
    return found


def blocks(unet: Any) -> Iterator[tuple[nn.Module, str]]:
    """The residual blocks and attentions of a U-Net with their canonical names."""
    yield from _way(list(unet.input_blocks)[1:], "down_blocks")
    counts = {"resnets": 0, "attentions": 0}
    for module in unet.middle_block:
        kind = "attentions" if is_attention(module) else "resnets"
        yield module, f"mid_block.{kind}.{counts[kind]}"
        counts[kind] += 1
    yield from _way(list(unet.output_blocks), "up_blocks")


def _way(steps: list[Any], way: str) -> Iterator[tuple[nn.Module, str]]:
    """One way through the U-Net: a level ends with a module that changes the resolution."""
    level = layer = 0
    for step in steps:
        resizes = False
        for module in step:
            if is_attention(module):
                yield module, f"{way}.{level}.attentions.{layer}"
            elif hasattr(module, "in_layers"):
                yield module, f"{way}.{level}.resnets.{layer}"
            else:
                resizes = True
        level, layer = (level + 1, 0) if resizes else (level, layer + 1)


def is_linear(module: Any) -> bool:
    """Whether a module is a linear layer with a plain weight; Forge has a class of its own for them."""
    weight = getattr(module, "weight", None)
    return hasattr(module, "in_features") and getattr(weight, "shape", ()) == (module.out_features, module.in_features)


def is_attention(module: Any) -> bool:
    """Whether a module is a stack of transformer blocks."""
    return hasattr(module, "transformer_blocks")
