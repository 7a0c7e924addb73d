"""Whether erasers were made on the checkpoint that a MODEL carries, told by its weights before any patch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..lora_unlearn import Eraser
from ..lora_unlearn.denoiser import stored_hash
from ..lora_unlearn.describe import other_base
from ..lora_unlearn.families import FAMILIES
from ..lora_unlearn.hosts.layers import choose
from .families import family_of, linears


def others_told(model: Any, erasers: Sequence[Eraser]) -> str:
    """What to know of erasers that were made on another checkpoint than a MODEL's; else nothing.

    Nothing is said where it can't be told at no cost: of quantised weights, and under a LoRA on the same layers, with
    which an eraser may have been trained.
    """
    own = own_hash(model)
    return other_base(erasers, own) if own else ""


def own_hash(model: Any) -> str:
    """A MODEL's `base_hash` before patches; "" where it is not known."""
    family = family_of(model)
    chosen = choose(linears(model, family), FAMILIES[family].layers, "cross_kv")
    keys = {module: f"{name}.weight" for name, module in model.model.named_modules()}
    if any(keys[target.linear] in model.patches for target in chosen.values()):
        return ""
    found = {}
    for name, target in chosen.items():
        backup = model.backup.get(keys[target.linear])  # of another MODEL's patches on the same network
        found[name] = target.linear.weight if backup is None else backup.weight
    return stored_hash(found, chosen)
