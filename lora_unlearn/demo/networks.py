"""The demo model's networks: Stable Diffusion 1's building blocks with tiny widths.

Every constructor returns a network with fresh random weights; `lora_unlearn.demo.checkpoint` fills them.
Needs the extra `diffusers`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

TOKENIZER = Path(__file__).parent / "tokenizer"
LATENT_SCALE = 0.18215
"""Latents are multiplied by this after encoding, as in Stable Diffusion 1."""

TEXT: dict[str, Any] = dict(
    vocab_size=49408,
    hidden_size=80,
    intermediate_size=256,
    num_hidden_layers=3,
    num_attention_heads=5,
    max_position_embeddings=77,
    hidden_act="quick_gelu",
    projection_dim=80,
    bos_token_id=49406,
    eos_token_id=49407,
)
UNET: dict[str, Any] = dict(
    sample_size=16,
    in_channels=4,
    out_channels=4,
    layers_per_block=2,
    block_out_channels=(64, 64, 128),
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    cross_attention_dim=TEXT["hidden_size"],
    attention_head_dim=8,
    norm_num_groups=32,
)
# 64 channels at full resolution: with 32, the 32 groups of every GroupNorm would hold one channel each and
# wash the picture's mean colour out just before the last convolution.
VAE: dict[str, Any] = dict(
    in_channels=3,
    out_channels=3,
    latent_channels=4,
    layers_per_block=1,
    block_out_channels=(64, 64, 64, 64),
    down_block_types=("DownEncoderBlock2D",) * 4,
    up_block_types=("UpDecoderBlock2D",) * 4,
    norm_num_groups=32,
    sample_size=128,
    scaling_factor=LATENT_SCALE,
)
SCHEDULE: dict[str, Any] = dict(
    num_train_timesteps=1000,
    beta_schedule="scaled_linear",
    beta_start=0.00085,
    beta_end=0.012,
)


def new_unet() -> UNet2DConditionModel:
    """A `UNet2DConditionModel` with random weights: (B,4,16,16) latents, (B,77,80) text."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(**UNET)


def new_vae() -> AutoencoderKL:
    """An `AutoencoderKL` with random weights: (B,3,128,128) pictures in -1..1, (B,4,16,16) latents."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(**VAE)


def new_text_encoder() -> CLIPTextModel:
    """A `CLIPTextModel` with random weights: (B,77) token ids to (B,77,80) hidden states."""
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(CLIPTextConfig(**TEXT))


def new_tokenizer() -> CLIPTokenizer:
    """CLIP's byte-pair tokenizer, from the vocabulary that ships with the package."""
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(str(TOKENIZER), pad_token="<|endoftext|>", model_max_length=77)
