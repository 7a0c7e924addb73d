"""Tiny models of the families of 2026 with tiny language models before them, built from ComfyUI's own classes.

Tokenizers are the host's own, and so is what the families make of tokens: templates, taps, adapters. Import it once the
host is on the path.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import comfy.sd
import comfy.supported_models as models
import comfy.supported_models_base
import torch
from comfy import sd1_clip
from comfy.text_encoders import llama
from comfy_tiny import _filled, _patcher

WIDTH = 96
"""Of a language model's states."""
LANGUAGE: dict[str, Any] = dict(hidden_size=WIDTH, intermediate_size=32, num_attention_heads=2, num_key_value_heads=1)
LOUD = 100.0
"""How much larger than drawn a language model's input table is."""
TAPS = {"flux2": [0, 1, 2], "krea2": list(range(12))}
"""Which layers' states a family takes, where it takes several."""
TEXT = {
    "z_image": ("z_image", "ZImage", "qwen3_4b"),
    "anima": ("anima", "Anima", "qwen3_06b"),
    "flux2": ("flux", "Klein", "qwen3_4b"),
    "qwen_image": ("qwen_image", "QwenImage", "qwen25_7b"),
    "krea2": ("krea2", "Krea2", "qwen3vl_4b"),
}
"""Module of `comfy.text_encoders`, how its classes begin, and the name of the language model in it."""


def z_image(**more: Any) -> Any:
    """One stream behind a refiner of the prompt; text behind a norm."""
    config = dict(image_model="lumina2", patch_size=2, in_channels=16, dim=256, cap_feat_dim=WIDTH, n_layers=1)
    config |= dict(n_refiner_layers=2, n_heads=8, n_kv_heads=8, axes_dims=[8, 12, 12], axes_lens=[64, 64, 64])
    config |= dict(rope_theta=256.0, ffn_dim_multiplier=8 / 3, z_image_modulation=True, time_scale=1000.0, qk_norm=True)
    return _patcher(models.ZImage({**config, "pad_tokens_multiple": 32, **more}))


def flux2() -> Any:
    """Joint attention without a pooled vector; three layers' states side by side."""
    config = dict(image_model="flux2", guidance_embed=False, in_channels=128, out_channels=128, patch_size=1)
    config |= dict(vec_in_dim=None, context_in_dim=3 * WIDTH, hidden_size=64, mlp_ratio=3.0, num_heads=2, depth=1)
    config |= dict(depth_single_blocks=1, axes_dim=[8, 8, 8, 8], theta=2000, qkv_bias=False, txt_ids_dims=[3])
    config |= dict(global_modulation=True, mlp_silu_act=True, ops_bias=False, default_ref_method="index")
    return _patcher(models.Flux2({**config, "ref_index_scale": 10.0}))


def qwen_image(**more: Any) -> Any:
    """Joint attention; text behind a norm; latents of five dimensions."""
    config = dict(image_model="qwen_image", in_channels=64, num_layers=2, attention_head_dim=16, num_attention_heads=2)
    return _patcher(models.QwenImage({**config, "joint_attention_dim": WIDTH, "axes_dims_rope": (4, 6, 6), **more}))


def krea2() -> Any:
    """One stream; twelve layers' states that a network of its own makes one of."""
    config = dict(image_model="krea2", features=64, channels=16, patch=2, layers=2, heads=4, kvheads=2, txtlayers=12)
    return _patcher(models.Krea2({**config, "txtdim": WIDTH, "txtheads": 2, "txtkvheads": 2}))


def anima() -> Any:
    """Cross-attention to an adapter's states."""
    import comfy.ldm.anima.model as host

    config = dict(image_model="anima", max_img_h=240, max_img_w=240, max_frames=128, in_channels=16, out_channels=16)
    config |= dict(patch_spatial=2, patch_temporal=1, model_channels=64, crossattn_emb_channels=WIDTH, num_blocks=2)
    config |= dict(num_heads=2, pos_emb_cls="rope3d", use_adaln_lora=True, adaln_lora_dim=16)
    make, sizes = host.LLMAdapter, dict(source_dim=WIDTH, target_dim=WIDTH, model_dim=WIDTH, num_layers=2, num_heads=2)
    host.LLMAdapter = lambda **given: make(**{**given, **sizes})
    try:
        model = _patcher(models.Anima(config))
        _loud(model.model.diffusion_model.llm_adapter)
        return model
    finally:
        host.LLMAdapter = make


def text_encoder(family: str) -> Any:
    """A CLIP as the host builds it for a family, around a language model of a few layers."""
    place, begins, name = TEXT[family]
    taps = TAPS.get(family)
    config = {**LANGUAGE, "num_hidden_layers": len(taps) + 1 if taps else 2}

    class Language(sd1_clip.SDClipModel):
        def __init__(self, device: Any = "cpu", dtype: Any = None, model_options: Any = None) -> None:
            super().__init__(
                device=device,
                dtype=dtype,
                layer=taps or "last",
                textmodel_json_config=dict(config),
                special_tokens={"pad": 151643},
                layer_norm_hidden_state=False,
                model_class=llama.Qwen3_4B,
                enable_attention_masks=True,
                return_attention_masks=True,
                model_options=model_options or {},
            )

    module = import_module(f"comfy.text_encoders.{place}")
    make = module.klein_te() if family == "flux2" else getattr(module, f"{begins}TEModel")
    target = comfy.supported_models_base.ClipTarget(getattr(module, f"{begins}Tokenizer"), make)
    options = {f"{name}_class": Language, "dtype": torch.float32}
    clip = comfy.sd.CLIP(target, model_options=options)
    _loud(_filled(clip.cond_stage_model, 1))
    return clip


def _loud(network: Any) -> Any:
    """A network whose words say more than what stands around them, as trained ones' do."""
    for module in network.modules():
        if isinstance(module, torch.nn.Embedding):
            module.weight *= LOUD
    return network
