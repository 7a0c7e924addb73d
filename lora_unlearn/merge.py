"""A LoRA merged into a checkpoint file for good: no gate, no way back, and no loader needs to know of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from .adapter import Adapter
from .errors import UnlearnError
from .families import FAMILIES
from .files import read_safetensors
from .formats import kohya_name
from .lora import LoraLayer

PREFIX = "model.diffusion_model."
STEM = len(kohya_name("sdxl", ""))
TITLE = "modelspec.title"
PLAIN = ("weight", "bias")
"""A layer's tensors where its weight is what the layer applies; more of them hold scales or zero points."""


def merged(checkpoint: str | Path, adapter: Adapter, strength: float = 1.0) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a single-file checkpoint with W + strength * scale * up @ down in place of W, and its metadata.

    Args:
        checkpoint: a file of Stable Diffusion 1, 2 or XL, or the demo model, in the original layout.
        adapter: made for that family.
        strength: 1 is the plain LoRA.

    Raises:
        UnlearnError: if the file can't be read, or holds no such layers.
    """
    if not FAMILIES[adapter.family].unet:
        raise UnlearnError(
            f"Merging into {adapter.family} files is not possible; export for diffusers and merge there with fuse_lora."
        )
    tensors, metadata = read_safetensors(checkpoint)
    keys = {
        key[len(PREFIX) : -len(".weight")].replace(".", "_"): key
        for key in tensors
        if key.startswith(PREFIX) and key.endswith(".weight")
    }
    missing = 0
    for name, layer in adapter.lora.items():
        key = keys.get(kohya_name("sdxl", name)[STEM:], "")  # the original names, which all these families share
        if key and _fits(tensors[key], layer):
            _check_plain(checkpoint, key, tensors)
            tensors[key] = _added(checkpoint, key, tensors[key], layer, strength)
        else:
            missing += 1
    if missing:
        raise UnlearnError(
            f"{checkpoint} has no counterpart for {missing} of the eraser's {len(adapter.lora.names)} layers; name a "
            f"{adapter.family} checkpoint in the original layout."
        )
    return tensors, _renamed(metadata, adapter.concept.name)


def _fits(weight: Tensor, layer: LoraLayer) -> bool:
    """Whether a weight, of a linear layer or of a convolution of one pixel, has the layer's shape."""
    shape = (len(layer.up), layer.down.shape[1])
    return tuple(weight.shape[:2]) == shape and weight.numel() == shape[0] * shape[1]


def _check_plain(checkpoint: str | Path, key: str, names: Iterable[str]) -> None:
    """Refuse a weight that is only a part of what its layer applies.

    Raises:
        UnlearnError: naming its companion.
    """
    stem = key.removesuffix("weight")
    beside = [name for name in names if name.startswith(stem) and name.removeprefix(stem) not in PLAIN]
    if beside:
        raise UnlearnError(
            f"{checkpoint} is quantised: beside {key} there is {beside[0]}, so nothing can be added to it; merge into "
            "the model in half or full precision."
        )


def _added(checkpoint: str | Path, key: str, weight: Tensor, layer: LoraLayer, strength: float) -> Tensor:
    """A weight with the residual in it, in its own type.

    Raises:
        UnlearnError: if that type is none of real numbers, or can't hold the sum.
    """
    if not weight.is_floating_point():
        raise UnlearnError(
            f"{key} of {checkpoint} is quantised ({weight.dtype}); merge into the model in half precision."
        )
    change = layer.scale * strength * (layer.up @ layer.down).detach()
    found = (weight.float() + change.reshape(weight.shape)).to(weight.dtype)
    if not bool(torch.isfinite(found.float()).all()):
        raise UnlearnError(f"{key} of {checkpoint} can't hold the sum in {weight.dtype}; use a lower --strength.")
    return found


def _renamed(metadata: Mapping[str, str], concept: str) -> dict[str, str]:
    """The checkpoint's metadata without its hashes, which are no longer true, and with a title of its own."""
    kept = {name: text for name, text in metadata.items() if "hash" not in name.lower()}
    if TITLE in kept:
        kept[TITLE] = f"{kept[TITLE]} without {concept}"
    return kept
