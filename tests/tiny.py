"""Tiny random pipelines of every supported family, built from diffusers' own classes without any download."""

from __future__ import annotations

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
)

from lora_unlearn.demo.networks import SCHEDULE, new_tokenizer

SIZE = (32, 32)
"""Pictures of 32 pixels are latents of 16."""
WIDTH = 32


def new_pipeline(name):
    """A pipeline by name, always with the same random weights."""
    torch.manual_seed(0)
    pipe = BUILDERS[name]()
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval()
    pipe.set_progress_bar_config(disable=True)
    return pipe


def sd1():
    return StableDiffusionPipeline(
        **diffusion_parts(DDIMScheduler), tokenizer=new_tokenizer(), text_encoder=clip(CLIPTextModel),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


def sd2():
    return StableDiffusionPipeline(
        **diffusion_parts(DDIMScheduler, prediction_type="v_prediction"), tokenizer=open_clip_tokenizer(),
        text_encoder=clip(CLIPTextModel, hidden_act="gelu"),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


def sdxl(**schedule):
    return StableDiffusionXLPipeline(
        unet=UNet2DConditionModel(
            sample_size=16, block_out_channels=(WIDTH, WIDTH, 2 * WIDTH), layers_per_block=2, norm_num_groups=8,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            transformer_layers_per_block=(1, 1, 2), attention_head_dim=(4, 4, 8), cross_attention_dim=2 * WIDTH,
            use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + WIDTH,
        ),
        vae=vae(), scheduler=EulerDiscreteScheduler(**SCHEDULE, timestep_spacing="leading", steps_offset=1, **schedule),
        tokenizer=new_tokenizer(), tokenizer_2=open_clip_tokenizer(),
        text_encoder=clip(CLIPTextModel), text_encoder_2=clip(CLIPTextModelWithProjection),
    )  # fmt: skip


def sdxl_v():
    return sdxl(prediction_type="v_prediction")


def sd3(with_t5=True, **network):
    return StableDiffusion3Pipeline(
        transformer=SD3Transformer2DModel(
            sample_size=16, patch_size=2, in_channels=4, out_channels=4, num_layers=2, attention_head_dim=8,
            num_attention_heads=4, joint_attention_dim=2 * WIDTH, caption_projection_dim=WIDTH,
            pooled_projection_dim=2 * WIDTH, pos_embed_max_size=32, **network,
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0), vae=vae(shift_factor=0.1),
        tokenizer=new_tokenizer(), tokenizer_2=open_clip_tokenizer(), tokenizer_3=t5_tokenizer() if with_t5 else None,
        text_encoder=clip(CLIPTextModelWithProjection), text_encoder_2=clip(CLIPTextModelWithProjection),
        text_encoder_3=t5() if with_t5 else None,
    )  # fmt: skip


def sd35_without_t5():
    return sd3(with_t5=False, dual_attention_layers=(0,), qk_norm="rms_norm")


def flux(guidance_embeds=True):
    return FluxPipeline(
        transformer=FluxTransformer2DModel(
            patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16,
            num_attention_heads=2, joint_attention_dim=2 * WIDTH, pooled_projection_dim=WIDTH,
            guidance_embeds=guidance_embeds, axes_dims_rope=(4, 4, 8),
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True), vae=vae(shift_factor=0.1),
        tokenizer=new_tokenizer(), tokenizer_2=t5_tokenizer(), text_encoder=clip(CLIPTextModel), text_encoder_2=t5(),
    )  # fmt: skip


def schnell():
    return flux(guidance_embeds=False)


BUILDERS = {
    "sd1": sd1, "sd2": sd2, "sdxl": sdxl, "sdxl_v": sdxl_v, "sd3": sd3, "sd35_without_t5": sd35_without_t5,
    "flux": flux, "schnell": schnell,
}  # fmt: skip


def diffusion_parts(scheduler, **schedule):
    unet = UNet2DConditionModel(
        sample_size=16, block_out_channels=(WIDTH, 2 * WIDTH), layers_per_block=2, norm_num_groups=8,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=WIDTH, attention_head_dim=4,
    )  # fmt: skip
    noise = scheduler(**SCHEDULE, clip_sample=False, set_alpha_to_one=False, steps_offset=1, **schedule)
    return {"unet": unet, "vae": vae(), "scheduler": noise}


def vae(**config):
    return AutoencoderKL(
        in_channels=3, out_channels=3, latent_channels=4, block_out_channels=(WIDTH, WIDTH), norm_num_groups=8,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, **config,
    )  # fmt: skip


def clip(kind, **config):
    return kind(
        CLIPTextConfig(
            vocab_size=49408, hidden_size=WIDTH, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4,
            max_position_embeddings=77, projection_dim=WIDTH, bos_token_id=49406, eos_token_id=49407, **config,
        )
    )  # fmt: skip


def open_clip_tokenizer():
    tokenizer = new_tokenizer()
    tokenizer.pad_token = "!"
    return tokenizer


def t5():
    return T5EncoderModel(T5Config(vocab_size=64, d_model=2 * WIDTH, d_kv=8, d_ff=64, num_layers=2, num_heads=4))


def t5_tokenizer():
    """A letter is a token; T5's own marks and its end token."""
    letters = [(letter, -3.0) for letter in "\u2581abcdefghijklmnopqrstuvwxyz,.()[]:0123456789"]
    words = [("\u2581cat", -1.0), ("\u2581a", -1.0)]
    core = Tokenizer(models.Unigram([("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -9.0), *letters, *words], unk_id=2))
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
