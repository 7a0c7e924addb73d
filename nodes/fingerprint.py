"""What an eraser depends on, as one short name: the words, the settings and the contents of the loaded model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from ..lora_unlearn import __version__
from ..lora_unlearn.adapter import FORMAT_VERSION

UNSET = ("model_sampling.", "text_projection.weight", "logit_scale")
"""Parts of names that do not count: what checkpoints often lack, so that ComfyUI leaves whatever the memory held."""
SAMPLE = 64
"""Values of each weight that count; patches count whole."""


def fingerprint(model: Any, clip: Any, values: Mapping[str, Any]) -> str:
    """A name (32 hexadecimal digits) that changes with anything that would change a trained eraser.

    Args:
        model: the MODEL; its weights before any patch, its patches' contents and its noise schedule count.
        clip: the CLIP, likewise, and its skipped layers.
        values: concept and settings, plain values.
    """
    digest = hashlib.sha256(f"{__version__} {FORMAT_VERSION}".encode())
    digest.update(json.dumps(values, sort_keys=True).encode())
    digest.update(_weights(model))
    sampling = model.get_model_object("model_sampling")
    digest.update(" ".join(kind.__name__ for kind in type(sampling).__mro__).encode())
    digest.update(_sampled(sampling.state_dict().items()))
    digest.update(_weights(clip.patcher))
    digest.update(repr(clip.layer_idx).encode())
    return digest.hexdigest()[:32]


def _weights(patcher: Any) -> bytes:
    """A digest of a ModelPatcher's own weights, wherever they are, and of what is patched onto them."""
    stored = {name: backup.weight for name, backup in patcher.backup.items()}
    stored |= getattr(patcher, "backup_buffers", {})
    every = [*patcher.model.named_parameters(), *patcher.model.named_buffers()]
    own = {name: stored.get(name, value) for name, value in every if not any(part in name for part in UNSET)}
    digest = hashlib.sha256(_sampled(own.items()))
    for name, patches in sorted(patcher.patches.items()):
        digest.update(name.encode())
        for part in _flat(patches):
            digest.update(part)
    return digest.digest()


def _sampled(tensors: Iterable[tuple[str, Tensor]]) -> bytes:
    """A digest of names, kinds and some values, whichever of them are on which device; each device is read once."""
    digest, order, samples = hashlib.sha256(), list[Any](), dict[Any, list[Tensor]]()
    for name, whole in sorted(tensors, key=lambda item: item[0]):
        for value in _parts(whole):
            digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
            values = value.flatten()[:: max(1, value.numel() // SAMPLE)][:SAMPLE]
            samples.setdefault(value.device, []).append(values.float())
            order.append(value.device)
    read = {device: iter(torch.cat(parts).cpu().split([*map(len, parts)])) for device, parts in samples.items()}
    for device in order:
        digest.update(next(read[device]).numpy().tobytes())
    return digest.digest()


def _parts(value: Tensor) -> list[Tensor]:
    """The plain tensors in a weight: itself, or what a host's own kind of tensor is made of (values and scales)."""
    if hasattr(value, "__tensor_flatten__"):
        return [getattr(value, name).detach() for name in value.__tensor_flatten__()[0]]
    return [] if value.is_meta else [value.data.as_subclass(Tensor)]


def _flat(value: Any) -> Iterable[bytes]:
    """The contents of a patch, however nested: tensors, numbers, the host's weight adapters, functions by name."""
    if isinstance(value, Tensor):
        yield value.detach().float().cpu().contiguous().numpy().tobytes()
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _flat(part)
    elif hasattr(value, "weights"):
        yield type(value).__name__.encode()
        yield from _flat(value.weights)
    elif callable(value):
        yield getattr(value, "__qualname__", type(value).__name__).encode()
    else:
        yield repr(value).encode()
