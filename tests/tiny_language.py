"""Tiny random pipelines of the families with a language model, built from the libraries' own classes."""

from __future__ import annotations

from functools import cache

import diffusers
import tiny
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3Model,
    Qwen3VLConfig,
    Qwen3VLModel,
)

from lora_unlearn.bank import load_bank

WIDTH = 32
MARKS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>")
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}"
)
"""Qwen3's template, as far as pictures need it."""


@cache
def words():
    """What stands in the bank and in templates, letter by letter and word by word, behind a space or not."""
    splitter = pre_tokenizers.ByteLevel(add_prefix_space=False)
    texts = [*load_bank("z_image"), "user system assistant\n\n\n", *(f"a photo of a {word}" for word in ("cat", "dog"))]
    found = {piece for text in texts for piece, _ in splitter.pre_tokenize_str(f"{text} {text}")}
    return sorted(found | set(pre_tokenizers.ByteLevel.alphabet()))


def tokenizer():
    """A word is a token, with a mark for the space in front of it, as in Qwen's vocabulary."""
    core = Tokenizer(models.WordLevel({word: rank for rank, word in enumerate(words())}, unk_token="!"))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([AddedToken(mark, special=True, normalized=False) for mark in MARKS])
    made = PreTrainedTokenizerFast(tokenizer_object=core, pad_token=MARKS[0], eos_token=MARKS[2], padding_side="right")
    made.chat_template = CHAT
    return made


def qwen3(made, kind=Qwen3Model, layers=4):
    return loud(
        kind(
            Qwen3Config(
                vocab_size=len(made), hidden_size=WIDTH, intermediate_size=64, num_hidden_layers=layers,
                num_attention_heads=4, num_key_value_heads=2, head_dim=8, initializer_range=0.1,
            )
        )
    )  # fmt: skip


def loud(encoder):
    """The encoder with words that are further apart than chance would have them."""
    torch.nn.init.normal_(encoder.get_input_embeddings().weight, std=1.0)
    return encoder


def z_image():
    made = tokenizer()
    transformer = diffusers.ZImageTransformer2DModel(
        in_channels=4, dim=32, n_layers=2, n_refiner_layers=1, n_heads=2, n_kv_heads=2, cap_feat_dim=WIDTH,
        axes_dims=[4, 6, 6], axes_lens=[1024, 64, 64],
    )  # fmt: skip
    torch.nn.init.normal_(transformer.cap_pad_token, std=0.2)
    torch.nn.init.normal_(transformer.x_pad_token, std=0.2)
    return diffusers.ZImagePipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0), vae=tiny.vae(shift_factor=0.1),
        text_encoder=qwen3(made), tokenizer=made, transformer=transformer,
    )  # fmt: skip


def z_image_base():
    pipe = z_image()
    pipe.scheduler = diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    return pipe


def flux2(is_distilled=False):
    made = tokenizer()
    return diffusers.Flux2KleinPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=diffusers.AutoencoderKLFlux2(
            in_channels=3, out_channels=3, latent_channels=4, block_out_channels=(WIDTH, WIDTH), norm_num_groups=8,
            down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        ),
        text_encoder=qwen3(made, Qwen3ForCausalLM, layers=28), tokenizer=made,
        transformer=diffusers.Flux2Transformer2DModel(
            in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
            joint_attention_dim=3 * WIDTH, timestep_guidance_channels=16, axes_dims_rope=(4, 4, 4, 4),
            guidance_embeds=False,
        ),
        is_distilled=is_distilled,
    )  # fmt: skip


def qwen_image():
    made = tokenizer()
    encoder = Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(
            text_config=dict(
                vocab_size=len(made), hidden_size=WIDTH, intermediate_size=64, num_hidden_layers=3,
                num_attention_heads=4, num_key_value_heads=2, initializer_range=0.1,
                rope_scaling={"type": "mrope", "mrope_section": [1, 1, 2]},
            ),
            vision_config=dict(
                depth=1, hidden_size=16, num_heads=2, intermediate_size=16, out_hidden_size=WIDTH,
                fullatt_block_indexes=[0],
            ),
        )
    )  # fmt: skip
    pipe = diffusers.QwenImagePipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True), vae=qwen_vae(),
        text_encoder=loud(encoder), tokenizer=made,
        transformer=diffusers.QwenImageTransformer2DModel(
            patch_size=2, in_channels=16, out_channels=4, num_layers=2, attention_head_dim=16, num_attention_heads=2,
            joint_attention_dim=WIDTH, axes_dims_rope=(4, 6, 6),
        ),
    )  # fmt: skip
    pipe.prompt_template_encode_start_idx = len(made(pipe.prompt_template_encode.split("{}")[0]).input_ids)
    return pipe


def krea2(is_distilled=False):
    made = tokenizer()
    encoder = Qwen3VLModel(
        Qwen3VLConfig(
            text_config=dict(
                vocab_size=len(made), hidden_size=WIDTH, intermediate_size=64, num_hidden_layers=4, head_dim=8,
                num_attention_heads=4, num_key_value_heads=2, initializer_range=0.1,
                rope_scaling={"rope_type": "default", "mrope_section": [1, 1, 2]},
            ),
            vision_config=dict(
                depth=1, hidden_size=16, num_heads=2, intermediate_size=16, out_hidden_size=WIDTH,
                deepstack_visual_indexes=[0],
            ),
        )
    )  # fmt: skip
    pipe = diffusers.Krea2Pipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, max_image_seq_len=6400),
        vae=qwen_vae(), text_encoder=loud(encoder), tokenizer=made, text_encoder_select_layers=(1, 2, 4),
        transformer=diffusers.Krea2Transformer2DModel(
            in_channels=16, num_layers=2, attention_head_dim=16, num_attention_heads=2, num_key_value_heads=1,
            intermediate_size=32, timestep_embed_dim=16, text_hidden_dim=WIDTH, num_text_layers=3,
            text_num_attention_heads=2, text_num_key_value_heads=2, text_intermediate_size=32,
            num_layerwise_text_blocks=1, num_refiner_text_blocks=1, axes_dims_rope=(4, 6, 6),
        ),
        is_distilled=is_distilled,
    )  # fmt: skip
    for block in pipe.transformer.transformer_blocks:  # so that pictures depend on prompts
        block.attn.to_v.weight.data *= 8
    pipe.prompt_template_encode_start_idx = len(made(pipe.prompt_template_encode_prefix).input_ids)
    return pipe


def qwen_vae():
    return diffusers.AutoencoderKLQwenImage(
        base_dim=8, z_dim=4, dim_mult=[1, 2], num_res_blocks=1, temperal_downsample=[False],
        latents_mean=[0.0] * 4, latents_std=[1.0] * 4,
    )  # fmt: skip


BUILDERS = {"z_image": z_image, "z_image_base": z_image_base, "flux2": flux2, "qwen_image": qwen_image, "krea2": krea2}


def new_pipeline(name):
    """A pipeline by name, always with the same random weights."""
    torch.manual_seed(0)
    pipe = BUILDERS[name]()
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval()
    pipe.set_progress_bar_config(disable=True)
    return pipe
