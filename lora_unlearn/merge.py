"""A LoRA merged into a checkpoint file for good: no gate, no way back, and no loader needs to know of it."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from .adapter import Adapter
from .errors import UnlearnError
from .files import read_safetensors
from .formats import TRANSFORMERS, kohya_name

PREFIX = "model.diffusion_model."
STEM = len(kohya_name("sdxl", ""))


def merged(checkpoint: str | Path, adapter: Adapter, strength: float = 1.0) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a single-file checkpoint with W + strength * scale * up @ down in place of W, and its metadata.

    Args:
        checkpoint: a file of Stable Diffusion 1, 2 or XL, or the demo model, in the original layout.
        adapter: made for that family.
        strength: 1 is the plain LoRA.

    Raises:
        UnlearnError: if the file can't be read, or holds no such layers.
    """
    if adapter.family in TRANSFORMERS:
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
        change = layer.scale * strength * (layer.up @ layer.down).detach()
        if key and tensors[key].numel() == change.numel():
            tensors[key] = (tensors[key].float() + change.reshape(tensors[key].shape)).to(tensors[key].dtype)
        else:
            missing += 1
    if missing:
        raise UnlearnError(
            f"{checkpoint} has no counterpart for {missing} of the eraser's {len(adapter.lora.names)} layers; name a "
            f"{adapter.family} checkpoint in the original layout."
        )
    return tensors, metadata
