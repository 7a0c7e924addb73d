"""The demo model as ComfyUI's own MODEL, CLIP and VAE, from the one file that every host reads."""

from __future__ import annotations

from functools import cache
from typing import Any

import comfy.model_detection
import comfy.model_management
import comfy.model_patcher
import comfy.sd
import comfy.sd1_clip
import comfy.supported_models
import comfy.supported_models_base
import torch
from torch import Tensor

from ..lora_unlearn.demo.checkpoint import WEIGHTS
from ..lora_unlearn.demo.ldm import TEXT_PREFIX, UNET_PREFIX, VAE_PREFIX
from ..lora_unlearn.demo.networks import TEXT, VAE
from ..lora_unlearn.files import read_safetensors

Tensors = dict[str, Tensor]


def load_demo() -> tuple[Any, Any, Any]:
    """(MODEL, CLIP, VAE), float32.

    Raises:
        UnlearnError: if the weights are missing or spoilt.
    """
    tensors, _ = read_safetensors(WEIGHTS, check_finite=True)
    return _model(tensors), _clip(tensors), _vae(tensors)


def _part(tensors: Tensors, prefix: str) -> Tensors:
    return {name[len(prefix) :]: value.float() for name, value in tensors.items() if name.startswith(prefix)}


def _model(tensors: Tensors) -> Any:
    found = comfy.model_detection.detect_unet_config(tensors, UNET_PREFIX)
    config = _config()(found)
    config.set_inference_dtype(torch.float32, None)
    offload = comfy.model_management.unet_offload_device()
    model = config.get_model(tensors, UNET_PREFIX, device=offload)
    model.load_model_weights({UNET_PREFIX + k: v for k, v in _part(tensors, UNET_PREFIX).items()}, UNET_PREFIX)
    return comfy.model_patcher.ModelPatcher(
        model.eval(), load_device=comfy.model_management.get_torch_device(), offload_device=offload
    )


@cache
def _config() -> type:
    """ComfyUI's description of Stable Diffusion 1, whose detected widths are the demo's."""
    return type("DemoModel", (comfy.supported_models.SD15,), {})


def _clip(tensors: Tensors) -> Any:
    target = comfy.supported_models_base.ClipTarget(comfy.sd1_clip.SD1Tokenizer, comfy.sd1_clip.SD1ClipModel)
    options = {"clip_l_model_config": TEXT, "dtype": torch.float32}
    clip = comfy.sd.CLIP(target, embedding_directory=None, model_options=options)
    clip.load_sd(_part(tensors, TEXT_PREFIX.removesuffix("text_model.")))
    return clip


def _vae(tensors: Tensors) -> Any:
    widths = VAE["block_out_channels"]
    layout = dict(
        double_z=True,
        z_channels=VAE["latent_channels"],
        resolution=VAE["sample_size"],
        in_channels=3,
        out_ch=3,
        ch=widths[0],
        ch_mult=[width // widths[0] for width in widths],
        num_res_blocks=VAE["layers_per_block"],
        attn_resolutions=[],
        dropout=0.0,
    )
    config = {"params": {"embed_dim": VAE["latent_channels"], "ddconfig": layout}}
    return comfy.sd.VAE(sd=_part(tensors, VAE_PREFIX), config=config, dtype=torch.float32)
