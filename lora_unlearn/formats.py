"""Names and shapes of LoRA files in other programs: kohya's keys, PEFT's folders, diffusers' state dicts.

Canonical names are diffusers' module names, dots and all; every function here starts or ends with them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .anima import canonical, original
from .errors import UnlearnError
from .families import FAMILIES
from .files import read_safetensors, write_safetensors, write_text
from .lora import Lora, LoraLayer
from .strict import read_json

KOHYA_PARTS = {"lora_A.weight": "lora_down.weight", "lora_B.weight": "lora_up.weight", "alpha": "alpha"}
PEFT_PREFIX = "base_model.model."
ANIMA_PREFIX = "diffusion_model."
PEFT_CONFIG, PEFT_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PEFT_STARTS = (None, True, False, "gaussian", "eva", "orthogonal")
"""PEFT's ways to initialise that leave the base model's weights alone; others' files mean nothing without theirs."""
PEFT_SPECIAL = (
    "use_dora", "use_rslora", "use_qalora", "fan_in_fan_out", "lora_bias", "layer_replication", "megatron_config",
    "alora_invocation_tokens", "trainable_token_indices", "arrow_config",
)  # fmt: skip
"""PEFT's options that make something else of the same tensors."""
LARGEST_HALF, LARGEST_ALPHA = 65504.0, 1e6

_SGM_BLOCK = re.compile(r"(down|up)_blocks\.(\d+)\.(resnets|attentions)\.(\d+)\.")
_SGM_NAMES = (
    ("mid_block.attentions.0.", "middle_block.1."),
    ("mid_block.resnets.0.", "middle_block.0."),
    ("mid_block.resnets.1.", "middle_block.2."),
    ("time_emb_proj", "emb_layers.1"),
    ("time_embedding.linear_1", "time_embed.0"),
    ("time_embedding.linear_2", "time_embed.2"),
    ("add_embedding.linear_1", "label_emb.0.0"),
    ("add_embedding.linear_2", "label_emb.0.2"),
)


def kohya_name(family: str, module: str) -> str:
    """The stem of a module's kohya keys, which ".lora_down.weight", ".lora_up.weight" and ".alpha" follow.

    Diffusers' names for Stable Diffusion 1 and 2, the original ones for XL (both as kohya's own trainer writes
    them), and OneTrainer's for SD3 and Flux, which ComfyUI reads, but diffusers in part only: see `to_stock`.

    Args:
        family: as in `Adapter.family`.
        module: canonical name.
    """
    prefix = "lora_unet_" if FAMILIES[family].unet else "lora_transformer_"
    return prefix + (_sgm_name(module) if family == "sdxl" else module).replace(".", "_")


def _sgm_name(module: str) -> str:
    """A module of SDXL's U-Net, two layers a block, in the original code's names."""

    def number(found: re.Match[str]) -> str:
        way, block, kind, layer = found.groups()
        index = 3 * int(block) + int(layer) + (way == "down")
        return f"{'input' if way == 'down' else 'output'}_blocks.{index}.{int(kind == 'attentions')}."

    module = _SGM_BLOCK.sub(number, module)
    for own, sgm in _SGM_NAMES:
        module = module.replace(own, sgm)
    return module


def to_stock(lora: Lora, family: str) -> dict[str, Tensor]:
    """The tensors that every stock loader takes as an ordinary LoRA, float16.

    kohya's for U-Nets: <stem>.lora_down.weight (r,in), .lora_up.weight (out,r) and .alpha (), which is one for all;
    those of `to_diffusers` for transformers, where diffusers, ComfyUI and Forge agree on nothing else, Anima's by the
    names of its own code.

    Raises:
        UnlearnError: if a value is not finite, or too large for float16.
    """
    if not FAMILIES[family].unet:
        rename = to_anima if family == "anima" else str
        return {rename(key): _half(key, tensor) for key, tensor in to_diffusers(lora, family).items()}
    tensors = {}
    for name, layer in lora.with_one_alpha().items():
        stem = kohya_name(family, name)
        tensors[f"{stem}.lora_down.weight"] = _half(name, _stored(layer.down))
        tensors[f"{stem}.lora_up.weight"] = _half(name, _stored(layer.up))
        tensors[f"{stem}.alpha"] = torch.tensor(layer.alpha)
    return tensors


def to_anima(key: str) -> str:
    """A key of `to_diffusers` as Anima's loaders know it, those of diffusers and ComfyUI."""
    module, lora, rest = key.removeprefix("transformer.").partition(".lora_")
    return f"{ANIMA_PREFIX}{original(module)}{lora}{rest}"


def from_anima(key: str) -> str:
    """The inverse of `to_anima`; other keys stay as they are."""
    module, lora, rest = key.partition(".lora_")
    return f"transformer.{canonical(module[len(ANIMA_PREFIX) :])}{lora}{rest}" if key.startswith(ANIMA_PREFIX) else key


def from_stock(tensors: Mapping[str, Tensor], names: Sequence[str], family: str) -> Lora:
    """The inverse of `to_stock`.

    Args:
        tensors: of a file.
        names: the canonical names in it, which kohya's keys don't tell.
        family: of its base model.

    Raises:
        UnlearnError: if tensors are missing, too many, or don't go together.
    """
    renamed = {from_anima(key) if family == "anima" else key: tensor for key, tensor in tensors.items()}
    for name in names if FAMILIES[family].unet else ():
        stem = kohya_name(family, name)
        for own, stock in KOHYA_PARTS.items():
            if f"{stem}.{stock}" in renamed:
                renamed[f"unet.{name}.{own}"] = renamed.pop(f"{stem}.{stock}")
    lora = from_diffusers(renamed)
    if set(lora.names) != set(names):
        missing = sorted(set(lora.names) ^ set(names))
        raise UnlearnError(f"The file lacks tensors for {len(missing)} layers (first: {missing[0]}); export it again.")
    return lora


def to_diffusers(lora: Lora, family: str) -> dict[str, Tensor]:
    """A state dict for `pipe.load_lora_weights` and, for most transformers, for ComfyUI and Forge as well.

    Returns:
        "<network>.<module>.lora_A.weight" (r,in) and ".lora_B.weight" (out,r), float32, the scale multiplied in.
    """
    network = "unet" if FAMILIES[family].unet else "transformer"
    tensors = {}
    for name, layer in lora.items():
        tensors[f"{network}.{name}.lora_A.weight"] = _stored(layer.down)
        tensors[f"{network}.{name}.lora_B.weight"] = _stored(layer.up * layer.scale)
    return tensors


def from_diffusers(tensors: Mapping[str, Tensor]) -> Lora:
    """The inverse of `to_diffusers`; an alpha beside a pair of tensors counts.

    Raises:
        UnlearnError: if a tensor is no part of a U-Net's or transformer's LoRA, or lacks its partner.
    """
    return _paired(tensors, ("unet.", "transformer."), lambda name, rank: tensors.get(name + ".alpha", rank))


def to_peft(lora: Lora) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """PEFT's configuration (`LoraConfig` as plain values) and its state dict, float32."""
    ranks = {name: layer.rank for name, layer in lora.items()}
    alphas = {name: layer.alpha for name, layer in lora.items()}
    rank, alpha = max(ranks.values()), max(alphas.values())
    config = {
        "peft_type": "LORA", "r": rank, "lora_alpha": alpha, "target_modules": lora.names, "bias": "none",
        "rank_pattern": {name: own for name, own in ranks.items() if own != rank},
        "alpha_pattern": {name: own for name, own in alphas.items() if own != alpha},
        "inference_mode": True,
    }  # fmt: skip
    tensors = {}
    for name, layer in lora.items():
        tensors[f"{PEFT_PREFIX}{name}.lora_A.weight"] = _stored(layer.down)
        tensors[f"{PEFT_PREFIX}{name}.lora_B.weight"] = _stored(layer.up)
    return config, tensors


def from_peft(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Lora:
    """The inverse of `to_peft`.

    Raises:
        UnlearnError: if a tensor is no plain LoRA's, or lacks its partner.
    """
    kind, start = config.get("peft_type"), config.get("init_lora_weights")
    special = [name for name in PEFT_SPECIAL if config.get(name)]
    if start not in PEFT_STARTS:
        special.append(f"begun by {str(start)[:40]}, which changes the base model as well")
    if kind != "LORA" or special:
        reason = ", ".join([str(kind)[:40], *special])
        raise UnlearnError(f"This PEFT adapter is no plain LoRA ({reason}); convert it to one that is.")
    alphas, usual = config.get("alpha_pattern") or {}, config.get("lora_alpha")
    if not isinstance(alphas, dict):
        raise UnlearnError("The alpha_pattern of this PEFT adapter is no table; export the adapter again.")
    return _paired(tensors, (PEFT_PREFIX,), lambda name, rank: _of_pattern(alphas, name, usual))


def _of_pattern(values: Mapping[str, Any], name: str, usual: Any) -> Any:
    """A module's value in one of PEFT's tables, whose keys are patterns for whole names or for their ends.

    Raises:
        UnlearnError: for a key that is no pattern.
    """
    module = name.removeprefix(PEFT_PREFIX)
    for key, value in values.items():
        try:
            if re.match(rf"(.*\.)?({key})$", module):
                return value
        except (re.error, OverflowError, RecursionError) as error:
            raise UnlearnError(f"PEFT's pattern {key[:40]!r} is none ({error}); export the adapter again.") from error
    return usual


def save_peft(lora: Lora, folder: str | Path, metadata: Mapping[str, str] | None = None) -> Path:
    """Write a folder for `PeftModel.from_pretrained`, with metadata for its tensors' file; returns it.

    Raises:
        UnlearnError: if it cannot be written.
    """
    folder = Path(folder)
    config, tensors = to_peft(lora)
    write_safetensors(folder / PEFT_WEIGHTS, tensors, metadata or {"format": "pt"})
    write_text(folder / PEFT_CONFIG, json.dumps(config, indent=2))
    return folder


def load_peft(folder: str | Path) -> Lora:
    """Read a folder that PEFT or `save_peft` wrote.

    Raises:
        UnlearnError: if files are missing or damaged, or hold another kind of adapter.
    """
    folder = Path(folder)
    tensors, _ = read_safetensors(folder / PEFT_WEIGHTS, check_finite=True)
    try:
        config = read_json((folder / PEFT_CONFIG).read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise ValueError("no table of options")
    except (OSError, ValueError) as error:
        raise UnlearnError(f"{folder / PEFT_CONFIG} cannot be read ({error}); export the adapter again.") from error
    return from_peft(config, tensors)


def _stored(tensor: Tensor) -> Tensor:
    return tensor.detach().float().cpu().contiguous()


def _half(name: str, tensor: Tensor) -> Tensor:
    if not bool((tensor.abs() <= LARGEST_HALF).all()):
        raise UnlearnError(f"{name} has values that half precision cannot hold; train with a lower learning rate.")
    return tensor.half()


def _paired(
    tensors: Mapping[str, Tensor], prefixes: tuple[str, ...], alpha: Callable[[str, int], Tensor | float]
) -> Lora:
    """Layers from "<prefix><module>.lora_A.weight" and its partner; `alpha` maps (name with prefix, rank)."""
    layers, used = {}, set()
    for key, down in tensors.items():
        name, found, _ = key.partition(".lora_A.weight")
        prefix = next((prefix for prefix in prefixes if name.startswith(prefix)), None)
        up = tensors.get(f"{name}.lora_B.weight")
        if found and prefix and up is not None and down.ndim == up.ndim == 2 and up.shape[1] == len(down) > 0:
            _check_values(name, down, up)
            scale = _number(f"{name}.alpha", alpha(name, len(down))) / len(down)
            layers[name[len(prefix) :]] = LoraLayer(down, up, scale)
            used |= {key, f"{name}.lora_B.weight", f"{name}.alpha"}
    strange = sorted(set(tensors) - used)
    if strange or not layers:
        raise UnlearnError(
            f"{len(strange)} of {len(tensors)} tensors are no part of a LoRA for a denoiser (first: "
            f"{(strange or ['none'])[0][:200]}); use a file for a U-Net or transformer alone."
        )
    return Lora(layers)


def _check_values(name: str, *tensors: Tensor) -> None:
    """Refuse weights that are no real numbers, or larger than an eraser's file can hold."""
    for tensor in tensors:
        if not tensor.is_floating_point():
            raise UnlearnError(f"The weights of {name} are {tensor.dtype}; use a file in half or full precision.")
        if not bool((tensor.float().abs() <= LARGEST_HALF).all()):
            raise UnlearnError(f"{name} has values that half precision cannot hold; make the file anew.")


def _number(name: str, value: Any) -> float:
    """One finite number of a sensible size, from a tensor or a table."""
    if isinstance(value, Tensor):
        whole = value.numel() == 1 and not value.is_complex()
        value = float(value.reshape(()).double()) if whole else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST_ALPHA:
        raise UnlearnError(f"{name} is no number up to {LARGEST_ALPHA:.0f}; export the file again.")
    return float(value)
