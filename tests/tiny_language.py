"""Tiny random pipelines of the families with a language model, built from the libraries' own classes."""

from __future__ import annotations

from functools import cache

import diffusers
import tiny
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3Model

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


BUILDERS = {"z_image": z_image}


def new_pipeline(name):
    """A pipeline by name, always with the same random weights."""
    torch.manual_seed(0)
    pipe = BUILDERS[name]()
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval()
    pipe.set_progress_bar_config(disable=True)
    return pipe
