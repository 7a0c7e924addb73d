"""The stream relative as a `ZImagePipeline`: one stream for prompt and picture behind a refiner of the prompt.

Its transformer and text encoder are of Z-Image's classes and small; the autoencoder is the demo's. The weights lie in
`tests/relatives`, and `benchmarks.stream.recipe` makes them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from lora_unlearn.demo.checkpoint import load_demo
from lora_unlearn.errors import UnlearnError
from lora_unlearn.files import read_safetensors, write_safetensors

if TYPE_CHECKING:
    from diffusers import ZImagePipeline
    from transformers import PreTrainedTokenizerFast

FOLDER = Path(__file__).parents[2] / "tests" / "relatives"
WEIGHTS, TOKENIZER, FIGURES = "stream.safetensors", "stream_tokenizer.json", "stream.json"
LENGTH, VOCABULARY, WIDTH = 32, 2500, 96
"""Tokens that the transformer fills prompts up to, words that the tokenizer knows, width of the text's states."""
SHIFT = 2.0
"""Of the sampler's noise levels: small latents, but a shape is decided early."""
START, END, PAD = "<|im_start|>", "<|im_end|>", "<|endoftext|>"
CHAT = (
    "{% for message in messages %}" + START + "{{ message['role'] + '\\n' + message['content'] }}" + END + "\\n"
    "{% endfor %}{% if add_generation_prompt %}" + START + "assistant\\n{% endif %}"
)
"""Qwen's template: what stands behind the prompt reads it too, and reaches the transformer."""
TRANSFORMER: dict[str, Any] = dict(
    in_channels=4,
    dim=128,
    n_layers=4,
    n_refiner_layers=1,
    n_heads=4,
    n_kv_heads=4,
    cap_feat_dim=WIDTH,
    axes_dims=[8, 12, 12],
    axes_lens=[1024, 64, 64],
)
TEXT: dict[str, Any] = dict(
    hidden_size=WIDTH,
    intermediate_size=256,
    num_hidden_layers=3,  # the pipeline reads the last but one
    num_attention_heads=4,
    num_key_value_heads=4,
    head_dim=24,
    max_position_embeddings=512,
    tie_word_embeddings=True,
)


class Networks(nn.Module):
    """What is trained: `transformer`, a `ZImageTransformer2DModel`, and `text_encoder`, a `Qwen3Model`."""

    def __init__(self) -> None:
        from diffusers import ZImageTransformer2DModel
        from transformers import Qwen3Config, Qwen3Model

        super().__init__()
        self.transformer = ZImageTransformer2DModel(**TRANSFORMER)
        self.text_encoder = Qwen3Model(Qwen3Config(vocab_size=VOCABULARY, **TEXT))


def load_tokenizer(folder: Path = FOLDER) -> PreTrainedTokenizerFast:
    """The tokenizer: byte-level pairs, as Qwen's."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_file=str(folder / TOKENIZER), pad_token=PAD, eos_token=END, padding_side="right", chat_template=CHAT
    )


def save_networks(path: Path, networks: nn.Module) -> None:
    """Write both networks in float16."""
    tensors = {name: value.half().contiguous() for name, value in networks.state_dict().items()}
    write_safetensors(path, tensors, {"format": "pt"})


def load_stream_relative(folder: Path = FOLDER) -> ZImagePipeline:
    """The pipeline: float32, on the CPU.

    Raises:
        UnlearnError: if the weights are missing or are none of this model.
    """
    tensors, _ = read_safetensors(folder / WEIGHTS, check_finite=True)
    networks = Networks()
    if {name: value.shape for name, value in networks.state_dict().items()} != _shapes(tensors):
        raise UnlearnError(f"{folder / WEIGHTS} is no stream relative; make it anew with benchmarks.stream.recipe.")
    networks.load_state_dict({name: value.float() for name, value in tensors.items()})
    return pipeline(networks, load_tokenizer(folder))


def pipeline(networks: Networks, tokenizer: PreTrainedTokenizerFast) -> ZImagePipeline:
    """A pipeline around these networks, with the demo's autoencoder."""
    from diffusers import FlowMatchEulerDiscreteScheduler, ZImagePipeline

    vae = load_demo().vae
    vae.register_to_config(shift_factor=0.0)
    networks.eval()
    return ZImagePipeline(
        FlowMatchEulerDiscreteScheduler(shift=SHIFT), vae, networks.text_encoder, tokenizer, networks.transformer
    )


def _shapes(tensors: dict[str, Tensor]) -> dict[str, Any]:
    return {name: value.shape for name, value in tensors.items()}
