"""Whether erasers were made on the checkpoint that is loaded, told by its weights without any LoRA of a prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lora_unlearn import Eraser
from lora_unlearn.denoiser import Target, stored_hash
from lora_unlearn.describe import other_base
from lora_unlearn.families import FAMILIES
from lora_unlearn.hosts.layers import choose

from . import model


def others_told(sd_model: Any, found: Mapping[str, Target], erasers: Sequence[Eraser]) -> str:
    """What to know of erasers that were made on another checkpoint than the one that draws; else nothing.

    To be asked while the host samples, when LoRAs of the prompt are in place and those of the last job are not.

    Args:
        found: every linear layer of the network, by its canonical name.
    """
    own = own_hash(sd_model, choose(found, FAMILIES[model.family_of(sd_model)].layers, "cross_kv"))
    return other_base(erasers, own) if own else ""


def own_hash(sd_model: Any, chosen: Mapping[str, Target]) -> str:
    """The `base_hash` of the loaded checkpoint; "" where it can't be told: quantised, or under LoRAs in Forge."""
    patcher = model.patcher_of(sd_model)
    if getattr(patcher, "lora_patches", None) or getattr(patcher, "patches", None):
        return ""
    return stored_hash({name: _stored(target.linear) for name, target in chosen.items()}, chosen)


def _stored(linear: Any) -> Any:
    """A layer's own weight: A1111 keeps a copy of it while it is changed by LoRAs."""
    changed = bool(getattr(linear, "network_current_names", ()))
    return linear.network_weights_backup if changed else getattr(linear, "weight", None)
