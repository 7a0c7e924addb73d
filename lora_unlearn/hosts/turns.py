"""Parts of a model that take turns on a card which is too small for all of them at once."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

ROOM = 0.6
"""The share of a card's free memory that weights may take, so that a picture or an update finds room beside them."""


def placed(pipe: Any, device: torch.device) -> Any:
    """A pipeline on a device: all of it, or on a card that is too small for that, its parts in turn."""
    if device.type == "cuda" and find_spec("accelerate") and crowded(pipe, torch.cuda.mem_get_info(device)[0]):
        take_turns(pipe, device)
        return pipe
    return pipe.to(device)


def crowded(pipe: Any, free: float) -> bool:
    """Whether a pipeline's weights leave too little of so many bytes."""
    weights = (parameter for group in groups(pipe) for part in group for parameter in part.parameters())
    return sum(weight.numel() * weight.element_size() for weight in weights) > ROOM * free


def in_turns(pipe: Any) -> bool:
    """Whether a pipeline's parts take turns."""
    return any(hasattr(part, "_hf_hook") for group in groups(pipe) for part in group)


def take_turns(pipe: Any, device: torch.device) -> None:
    """Bring to a card, when a part is asked, that part alone: the text encoders, the network, or the VAE.

    As diffusers' `enable_model_cpu_offload`, but in any order: an erasure reads prompts, asks the network, and reads
    again. The pipeline's weights must be in main memory.
    """
    from accelerate.hooks import ModelHook, add_hook_to_module
    from accelerate.utils import send_to_device

    class Turn(ModelHook):
        """Before a part is asked, the others make room and it is brought in."""

        def __init__(self, others: Sequence[nn.Module]) -> None:
            self.others, self.execution_device = others, device

        def pre_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
            for other in self.others:
                bring(other, torch.device("cpu"))
            bring(module, device)
            return send_to_device(args, device), send_to_device(kwargs, device)

    sharing = groups(pipe)
    for own in sharing:
        others = [part for group in sharing if group is not own for part in group]
        for part in own:
            add_hook_to_module(part, Turn(others))


def bring(part: nn.Module, device: torch.device) -> None:
    """Move a part between main memory and the one card, unless it is there ("cuda" may be meant for "cuda:0")."""
    first = next(part.parameters(), None)
    if first is not None and first.device.type != device.type:
        part.to(device)


def groups(pipe: Any) -> list[list[nn.Module]]:
    """A pipeline's parts that are needed together: the text encoders; every other one by itself."""
    parts = {name: part for name, part in pipe.components.items() if isinstance(part, nn.Module)}
    readers = [part for name, part in parts.items() if name.startswith("text_encoder")]
    return [readers, *([part] for name, part in parts.items() if not name.startswith("text_encoder"))]
