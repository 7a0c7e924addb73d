"""What an eraser depends on, as one short name: the words, the settings and the contents of the loaded model."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from types import CellType, CodeType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from ..lora_unlearn.adapter import FORMAT_VERSION
from ..lora_unlearn.erase import RECIPE

UNSET = ("model_sampling.", "text_projection.weight", "logit_scale")
"""Parts of names that do not count: what checkpoints often lack, so that ComfyUI leaves whatever the memory held."""
SAMPLE = 64
"""Values of each weight that count; patches count whole."""
DEEPEST = 8
"""How far into what a function holds we look: it may hold itself."""
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def fingerprint(model: Any, clip: Any, values: Mapping[str, Any]) -> str:
    """A name (32 hexadecimal digits) that changes with anything that would change a trained eraser.

    Args:
        model: the MODEL; its weights before any patch, its patches' contents and its noise schedule count.
        clip: the CLIP, likewise, and its skipped layers.
        values: concept and settings, plain values.
    """
    digest = hashlib.sha256(f"{RECIPE} {FORMAT_VERSION}".encode())
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


def _flat(value: Any, deepest: int = DEEPEST) -> Iterable[bytes]:
    """The contents of a patch, however nested: tensors, numbers, the host's weight adapters, functions."""
    if isinstance(value, Tensor):
        yield value.detach().float().cpu().contiguous().numpy().tobytes()
    elif isinstance(value, list | tuple | Mapping):
        for part in value.items() if isinstance(value, Mapping) else value:
            yield from _flat(part, deepest)
    elif hasattr(value, "weights"):
        yield type(value).__name__.encode()
        yield from _flat(value.weights, deepest)
    elif isinstance(value, nn.Module):
        yield _sampled(value.state_dict().items())
    elif callable(value):
        yield getattr(value, "__qualname__", type(value).__qualname__).encode()
        if deepest and not isinstance(value, type):
            yield from _flat(_held(value), deepest - 1)
    else:
        yield ADDRESS.sub("", repr(value)).encode()


def _held(function: Any) -> list[Any]:
    """What makes a function more than its name: its code, its defaults, and the values that it was made with."""
    if not hasattr(function, "__code__"):
        inner = [getattr(function, name, None) for name in ("__func__", "__self__", "func", "args", "keywords")]
        own = sorted(getattr(function, "__dict__", {}).items())
        return [*(part for part in inner if not isinstance(part, ModuleType)), *own]
    code, cells = function.__code__, function.__closure__ or ()
    constants = [part for part in code.co_consts if not isinstance(part, CodeType)]
    return [code.co_code, code.co_names, constants, function.__defaults__, [_content(cell) for cell in cells]]


def _content(cell: CellType) -> Any:
    """The value of a variable that a function took along; None while it has none."""
    try:
        return cell.cell_contents
    except ValueError:
        return None
