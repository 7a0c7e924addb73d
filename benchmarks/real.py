"""Pipelines of real models' sizes with random weights, and the tests' small tokenizers; nothing is downloaded.

Each is the tests' tiny pipeline of that family (`tests/tiny.py`, `tests/tiny_language.py`) around networks of the
published sizes: Stable Diffusion 3 medium with T5-XXL, Flux.1 dev, FLUX.2 Klein 4B, and the one size of the others, but
that Krea 2 is given three layers of its text encoder instead of twelve, and vision towers are the tests' small ones.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

sys.path.append(str(Path(__file__).parents[1] / "tests"))

CLIP_L = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
CLIP_G = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20}
T5_XXL = {"d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64, "vocab_size": 32128,
          "feed_forward_proj": "gated-gelu"}  # fmt: skip
QWEN3_4B = {"hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36, "num_attention_heads": 32,
            "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936}  # fmt: skip
QWEN25_7B = {"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28,
             "num_key_value_heads": 4, "vocab_size": 152064,
             "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]}}  # fmt: skip
QWEN3VL_4B = QWEN3_4B | {"rope_scaling": {"rope_type": "default", "mrope_section": [24, 20, 20]}}
UNET = {
    "sample_size": 64,
    "block_out_channels": (320, 640, 1280, 1280),
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
    "norm_num_groups": 32,
}
XL_UNET = {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
    "norm_num_groups": 32,
}
VAE = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "norm_num_groups": 32,
}
WIDE_VAE = VAE | {"latent_channels": 16, "shift_factor": 0.1}
QWEN_VAE = {"base_dim": 96, "z_dim": 16, "dim_mult": [1, 2, 4, 4], "num_res_blocks": 2,
            "temperal_downsample": [False, True, True], "latents_mean": [0.0] * 16,
            "latents_std": [1.0] * 16}  # fmt: skip
SD3 = {"sample_size": 128, "in_channels": 16, "out_channels": 16, "num_layers": 24, "attention_head_dim": 64,
       "num_attention_heads": 24, "joint_attention_dim": 4096, "caption_projection_dim": 1536,
       "pooled_projection_dim": 2048, "pos_embed_max_size": 192}  # fmt: skip
FLUX = {"in_channels": 64, "num_layers": 19, "num_single_layers": 38, "attention_head_dim": 128,
        "num_attention_heads": 24, "joint_attention_dim": 4096, "pooled_projection_dim": 768,
        "axes_dims_rope": (16, 56, 56)}  # fmt: skip
FLUX2_4B = {"in_channels": 128, "num_layers": 5, "num_single_layers": 20, "attention_head_dim": 128,
            "num_attention_heads": 24, "joint_attention_dim": 7680, "timestep_guidance_channels": 256,
            "axes_dims_rope": (32, 32, 32, 32)}  # fmt: skip
Z_IMAGE = {"in_channels": 16, "dim": 3840, "n_layers": 30, "n_refiner_layers": 2, "n_heads": 30, "n_kv_heads": 30,
           "cap_feat_dim": 2560, "axes_dims": [32, 48, 48], "axes_lens": [1024, 512, 512]}  # fmt: skip
QWEN_IMAGE = {"in_channels": 64, "out_channels": 16, "num_layers": 60, "attention_head_dim": 128,
              "num_attention_heads": 24, "joint_attention_dim": 3584, "axes_dims_rope": (16, 56, 56)}  # fmt: skip
KREA2 = {"in_channels": 64, "num_layers": 28, "attention_head_dim": 128, "num_attention_heads": 48,
         "num_key_value_heads": 12, "intermediate_size": 16384, "timestep_embed_dim": 256, "text_hidden_dim": 2560,
         "num_text_layers": 3, "text_num_attention_heads": 20, "text_num_key_value_heads": 20,
         "text_intermediate_size": 6912, "num_layerwise_text_blocks": 2, "num_refiner_text_blocks": 2,
         "axes_dims_rope": (32, 48, 48)}  # fmt: skip
FLUX2_VAE = VAE | {"latent_channels": 32}
CLIP_L_TEXT, CLIP_G_TEXT = CLIP_L | {"projection_dim": 768}, CLIP_G | {"projection_dim": 1280}

SIZES: dict[str, dict[str, dict[str, Any]]] = {
    "sd1": {"unet": UNET, "vae": VAE, "text_encoder": CLIP_L},
    "sdxl": {"unet": XL_UNET, "vae": VAE, "text_encoder": CLIP_L, "text_encoder_2": CLIP_G_TEXT},
    "sd3": {"transformer": SD3, "vae": WIDE_VAE, "text_encoder": CLIP_L_TEXT, "text_encoder_2": CLIP_G_TEXT,
            "text_encoder_3": T5_XXL},
    "flux": {"transformer": FLUX, "vae": WIDE_VAE, "text_encoder": CLIP_L, "text_encoder_2": T5_XXL},
    "flux2": {"transformer": FLUX2_4B, "vae": FLUX2_VAE, "text_encoder": QWEN3_4B},
    "z_image": {"transformer": Z_IMAGE, "vae": WIDE_VAE, "text_encoder": QWEN3_4B},
    "qwen_image": {"transformer": QWEN_IMAGE, "vae": QWEN_VAE, "text_encoder": {"text_config": QWEN25_7B}},
    "krea2": {"transformer": KREA2, "vae": QWEN_VAE, "text_encoder": {"text_config": QWEN3VL_4B}},
}  # fmt: skip
"""What differs from the tests' tiny pipeline of that family, by part."""
DERIVED = ("layer_types", "is_gated_act", "dense_act_fn", "initializer_range")
"""What configurations say of themselves, going by the small numbers."""
FLAGS = ("is_distilled", "text_encoder_select_layers")
"""What pipelines are told beside their parts."""


def new_pipeline(size: str, device: torch.device, dtype: torch.dtype, tiny: bool = False) -> Any:
    """A pipeline with random weights on a device, which are made there.

    Args:
        size: one of `SIZES`.
        tiny: the tests' own instead.
    """
    import tiny as diffusion
    import tiny_language as language

    small = (diffusion if size in diffusion.BUILDERS else language).new_pipeline(size)
    if tiny:
        return small.to(device, dtype)
    parts = {name: grown(small.components[name], more, device, dtype) for name, more in SIZES[size].items()}
    flags = {name: small.config[name] for name in FLAGS if name in small.config}
    extra = {"requires_safety_checker": False} if size == "sd1" else {}
    pipe = type(small)(**{**small.components, **parts}, **flags, **extra)
    if hasattr(small, "prompt_template_encode_start_idx"):
        pipe.prompt_template_encode_start_idx = small.prompt_template_encode_start_idx
    pipe.set_progress_bar_config(disable=True)
    return pipe


def grown(part: Any, more: dict[str, Any], device: torch.device, dtype: torch.dtype) -> Any:
    """A network of a part's class and configuration, but for what differs."""
    usual = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            if hasattr(part.config, "to_dict"):
                made = type(part)(type(part.config)(**_merged(part.config.to_dict(), more)))
            else:
                made = type(part).from_config({**part.config, **more})
    finally:
        torch.set_default_dtype(usual)
    return made.to(device, dtype).eval()


def _merged(config: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """A configuration with some of it replaced, nested parts within."""
    deeper = {name: _merged(config[name], value) for name, value in more.items() if name == "text_config"}
    return {name: value for name, value in {**config, **more, **deeper}.items() if name not in DERIVED}
