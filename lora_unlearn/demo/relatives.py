"""Relatives of the demo model: its U-Net trained on for another parametrisation, stored as a small difference.

A file holds, for every tensor of the U-Net, the difference from the demo model's in 8 bits with one scale for each
output row: a quarter of the size, and close enough to judge an erasure by.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..errors import UnlearnError
from ..files import read_safetensors, write_safetensors
from .checkpoint import load_demo, scheduler_for

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

LEVELS = 127


def save_relative(path: str | Path, unet: nn.Module, start: nn.Module, prediction: str) -> None:
    """Write what a trained U-Net differs in from the one it started from.

    Args:
        path: the `.safetensors` file.
        unet, start: of the same shapes.
        prediction: "v_prediction" or "flow".
    """
    tensors, before = dict[str, Tensor](), start.state_dict()
    for name, value in unet.state_dict().items():
        tensors |= change_of(name, value, before[name])
    write_safetensors(Path(path), tensors, {"format": "pt", "prediction_type": prediction})


def load_relative(path: str | Path) -> StableDiffusionPipeline:
    """A pipeline like the demo model's, with the U-Net and the scheduler of a relative: float32, on the CPU.

    Raises:
        UnlearnError: if the file can't be read, or is none of a relative.
    """
    tensors, metadata = read_safetensors(Path(path), check_finite=True)
    pipe = load_demo()
    state = pipe.unet.state_dict()
    if set(tensors) != {f"{name}.{part}" for name in state for part in ("change", "scale")}:
        raise UnlearnError(f"{path} holds no relative of this demo model; make it anew with the demo's recipe.")
    pipe.unet.load_state_dict({name: changed(tensors, name, value) for name, value in state.items()})
    pipe.scheduler = scheduler_for(metadata.get("prediction_type", "epsilon"))
    return pipe


def change_of(name: str, value: Tensor, before: Tensor) -> dict[str, Tensor]:
    """What a tensor differs in from one of its shape: `NAME.change` (rows,columns) in 8 bits, `NAME.scale` (rows,)."""
    change = (value.float() - before.float()).flatten(1) if value.ndim > 1 else value.float()[None] - before
    scale = change.abs().amax(dim=1, keepdim=True).clamp_min(1e-12) / LEVELS
    return {f"{name}.change": (change / scale).round().to(torch.int8), f"{name}.scale": scale.squeeze(1)}


def changed(tensors: dict[str, Tensor], name: str, before: Tensor) -> Tensor:
    """The tensor that `change_of` was given, nearly, from what it was compared with."""
    return before + (tensors[f"{name}.change"].float() * tensors[f"{name}.scale"][:, None]).reshape(before.shape)
