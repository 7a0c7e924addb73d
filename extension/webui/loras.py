"""The host's own LoRAs: taken out of the model before a training, and forgotten when their file was rewritten."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from modules import shared
from torch import nn

from . import model

STALE = "rewritten by lora-unlearn"


def take_out(sd_model: Any) -> None:
    """Take the LoRAs of the last picture out of the weights; the next prompt that names them puts them in again."""
    networks = sys.modules.get("networks")
    if networks is None:
        return
    if hasattr(sd_model, "forge_objects_original"):
        networks.load_networks([], [], [])
    elif hasattr(networks, "network_apply_weights"):
        networks.load_networks([])
        with torch.no_grad():
            for module in _modules(sd_model):
                if hasattr(module, "network_layer_name"):
                    networks.network_apply_weights(module)


def file_of(name: str) -> Path | None:
    """The file that a LoRA's name in a prompt calls; None if the host knows none."""
    networks = sys.modules.get("networks")
    for table in ("available_networks", "available_network_aliases"):
        found = getattr(networks, table, {}).get(name)
        if found is not None:
            return Path(found.filename)
    return None


def forget(path: Path) -> None:
    """Make the host forget what it keeps in memory of a LoRA file, and list its files anew.

    The hosts compare names and strengths alone: a file that was rewritten would else go on as it was.
    """
    networks = sys.modules.get("networks")
    if networks is None:
        return
    clear = getattr(getattr(networks, "load_lora_state_dict", None), "cache_clear", None)
    if clear is not None:
        clear()
    getattr(networks, "networks_in_memory", {}).pop(path.stem, None)
    if hasattr(networks, "list_available_networks"):
        networks.list_available_networks()
    sd_model = getattr(shared, "sd_model", None)
    if sd_model is not None:
        _mark_stale(sd_model)


def _mark_stale(sd_model: Any) -> None:
    """Make what the weights hold differ from every wish, so that the next picture applies its LoRAs anew."""
    if hasattr(sd_model, "current_lora_hash"):
        sd_model.current_lora_hash = STALE
    objects = getattr(sd_model, "forge_objects", None)
    for part in (getattr(objects, "unet", None), getattr(getattr(objects, "clip", None), "patcher", None)):
        loader = getattr(getattr(part, "model", None), "lora_loader", None)
        if loader is not None:
            loader.loaded_hash = STALE
    for module in _modules(sd_model):
        if getattr(module, "network_current_names", ()):
            module.network_current_names = (STALE,)  # type: ignore[assignment]


def _modules(sd_model: Any) -> Iterator[nn.Module]:
    """Every module of the model that the host may have put a LoRA in."""
    if model.patcher_of(sd_model) is None and isinstance(sd_model, nn.Module):
        yield from sd_model.modules()
