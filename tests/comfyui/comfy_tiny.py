"""Tiny models with random weights, built from ComfyUI's own classes (import it once the host is on the path)."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, ClassVar

import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.supported_models as models
import torch
from comfy.ldm.flux.model import FluxParams
from torch import nn

WIDTH = 80
"""Of the demo's text encoder, which serves them all."""
UNET: dict[str, Any] = dict(
    image_size=32,
    in_channels=4,
    out_channels=4,
    model_channels=128,  # four channels in each of the 32 groups of a norm: with fewer, nothing is smooth
    num_res_blocks=[1, 1],
    channel_mult=[1, 2],
    transformer_depth=[1, 1],
    transformer_depth_output=[1, 1, 1, 1],
    transformer_depth_middle=1,
    use_spatial_transformer=True,
    legacy=False,
    use_temporal_attention=False,
    adm_in_channels=None,
    context_dim=WIDTH,
)


def _filled(network: nn.Module, seed: int = 0) -> nn.Module:
    """ComfyUI's layers leave their memory as it was: fill it."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in sorted([*network.named_parameters(), *network.named_buffers()]):
        with torch.no_grad():
            fan_in = value[0].numel() if value.ndim > 1 else 1
            drawn = torch.randn(value.shape, generator=generator) * 0.7 / fan_in**0.5
            value.copy_(drawn if value.ndim > 1 else torch.full(value.shape, float(not name.endswith("bias"))))
    network.requires_grad_(False)
    return network.eval()


def _patcher(config: Any) -> Any:
    config.set_inference_dtype(torch.float32, None)
    model = config.get_model({}, "", device=torch.device("cpu"))
    _filled(model.diffusion_model)
    device = comfy.model_management.get_torch_device()
    return comfy.model_patcher.ModelPatcher(model, load_device=device, offload_device=torch.device("cpu"))


class _SD2(models.SD20):
    unet_extra_config: ClassVar = dict(models.SD20.unet_extra_config, num_head_channels=16)

    def model_type(self, state_dict: dict, prefix: str = "") -> Any:
        return comfy.model_base.ModelType.V_PREDICTION


class _SDXL(models.SDXL):
    unet_extra_config: ClassVar = dict(num_heads=-1, num_head_channels=16)


def sd1() -> Any:
    """Epsilon."""
    return _patcher(models.SD15(dict(UNET, use_linear_in_transformer=False)))


def sd2() -> Any:
    """v-prediction, linear projections."""
    return _patcher(_SD2(dict(UNET, use_linear_in_transformer=True)))


def sdxl() -> Any:
    """With pooled text and sizes."""
    more = dict(num_res_blocks=[2, 2], transformer_depth=[1] * 4, transformer_depth_output=[1] * 6)
    more |= dict(use_linear_in_transformer=True, num_classes="sequential", adm_in_channels=WIDTH + 256 * 6)
    return _patcher(_SDXL(dict(UNET, **more)))


def sd3() -> Any:
    """Joint attention, fused q, k and v."""
    embedder = {"target": "torch.nn.Linear", "params": {"in_features": WIDTH, "out_features": 128}}
    config = dict(
        in_channels=16,
        out_channels=16,
        patch_size=2,
        depth=2,
        input_size=None,
        adm_in_channels=WIDTH,
        num_patches=64 * 64,
        pos_embed_max_size=64,
        context_embedder_config=embedder,
        qk_norm="rms",
        pos_embed_scaling_factor=None,
        x_block_self_attn_layers=[],
    )
    return _patcher(models.SD3(config))


def flux() -> Any:
    """Joint attention, distilled guidance."""
    config = dict(
        image_model="flux",
        guidance_embed=True,
        in_channels=16,
        out_channels=16,
        patch_size=2,
        vec_in_dim=WIDTH,
        context_in_dim=WIDTH,
        hidden_size=64,
        mlp_ratio=4.0,
        num_heads=2,
        depth=1,
        depth_single_blocks=1,
        axes_dim=[8, 12, 12],
        theta=10000,
        qkv_bias=True,
    )
    if "txt_ids_dims" in {field.name for field in fields(FluxParams)}:  # newer hosts
        config["txt_ids_dims"] = []
    return _patcher(models.Flux(config))
