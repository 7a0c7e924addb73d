"""The Denoiser over the checkpoint that the web UI has loaded: SD1, SD2 and SDXL, by the host's own modules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from modules import devices, prompt_parser, shared
from torch import Tensor

from lora_unlearn.activations import private_copies
from lora_unlearn.denoiser import Conditioning, Target
from lora_unlearn.families import FAMILIES
from lora_unlearn.hosts.autograd import plain_tensors
from lora_unlearn.hosts.layers import choose
from lora_unlearn.hosts.prompts import untagged
from lora_unlearn.hosts.schedules import DiffusionSchedule
from lora_unlearn.hosts.text import new_vocabulary
from lora_unlearn.vocabulary import Vocabulary

from . import model

CHUNK = 32
"""Prompts that are encoded at once."""
POOLED = 1280
"""Width of SDXL's pooled text; what follows it in the vector are the size ids."""


class WebDenoiser:
    """The host's checkpoint. Weights are never changed.

    Args:
        sd_model: as `model.loaded` gives it.
        size: (height, width) of training pictures in pixels; default: the family's own.

    Raises:
        UnlearnError: if the family is not supported.
    """

    def __init__(self, sd_model: Any, size: tuple[int, int] | None = None) -> None:
        self.sd_model = sd_model
        self.family = model.family_of(sd_model)
        self.prediction_type = model.prediction_of(sd_model)
        self.clip_skip = model.clip_skip_of(sd_model)
        self.unet = model.unet_of(sd_model)
        self.schedule = self._schedule()
        known = FAMILIES[self.family]
        side = known.side * known.pixels
        self.size = size or (side, side)
        self.device = model.move_to_device(sd_model)
        self.sizes: Tensor | None = None
        self.ready = True

    def _schedule(self) -> Any:
        return DiffusionSchedule(model.alphas_cumprod(self.sd_model))

    def encode(self, prompts: Sequence[str]) -> Conditioning:
        """Rows as the host's own encoder makes them: "text" (R,T,D); for SDXL also "pooled" (R,P).

        As the host does before it encodes, tags like <lora:name:1> are taken out.
        """
        prompts = [untagged(prompt) for prompt in prompts]
        with torch.inference_mode(False), torch.no_grad(), devices.autocast():
            parts = [self._encode(prompts[start : start + CHUNK]) for start in range(0, len(prompts), CHUNK)]
            if len({part.tensors["text"].shape[1] for part in parts}) > 1:
                parts = [self._encode(prompts)]  # together they are brought to one length
        self.ready = False  # the text encoder may have pushed the U-Net out
        return Conditioning.cat(parts)

    def _encode(self, prompts: Sequence[str]) -> Conditioning:
        height, width = self.size
        if hasattr(self.sd_model, "set_clip_skip"):  # Forge takes the user's choice over with each picture alone
            self.sd_model.set_clip_skip(int(shared.opts.CLIP_stop_at_last_layers))
        rows = prompt_parser.SdConditioning(list(prompts), width=width, height=height)
        found = self.sd_model.get_learned_conditioning(rows)
        if not isinstance(found, dict):
            return Conditioning({"text": found.clone()})
        self.sizes = found["vector"][:1, POOLED:].clone()
        return Conditioning({"text": found["crossattn"].clone(), "pooled": found["vector"][:, :POOLED].clone()})

    def vocabulary(self) -> Vocabulary | None:
        """The words of the first text encoder, for `suggest`; None in a host that keeps it elsewhere."""
        try:
            reader, network, table = _reader_of(self.sd_model)
            return new_vocabulary(network, getattr(table, "wrapped", table), _ranks(reader), reader.tokenize)
        except AttributeError:
            return None

    def predict(self, x: Tensor, sigma: Tensor, conditioning: Conditioning) -> Tensor:
        """Native prediction (B,C,H,W) for states x at noise levels sigma (B,); with gradients where they are on."""
        if not self.ready:
            self.device, self.ready = model.move_to_device(self.sd_model), True
        dtype = model.dtype_of(self.sd_model)
        scaled = self.schedule.scaled(x, sigma).to(self.device, dtype)
        time = self.schedule.timestep(sigma).to(self.device)
        with self._evaluating():
            return self.unet(scaled, time, **self._conds(conditioning, dtype)).to(x)

    def _conds(self, conditioning: Conditioning, dtype: torch.dtype) -> dict[str, Tensor]:
        """The U-Net's arguments for a conditioning."""
        tensors = conditioning.map(lambda tensor: tensor.to(self.device, dtype)).tensors
        if "pooled" not in tensors:
            return {"context": tensors["text"]}
        if self.sizes is None:
            self.encode([""])
        sizes = self.sizes.to(tensors["pooled"]).expand(len(tensors["pooled"]), -1)  # type: ignore[union-attr]
        return {"context": tensors["text"], "y": torch.cat([tensors["pooled"], sizes], dim=1)}

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """The host's own precision; with gradients also tensors that autograd takes, and copies of what is changed."""
        with ExitStack() as stack:
            if torch.is_grad_enabled():
                stack.enter_context(torch.inference_mode(False))
                stack.enter_context(torch.enable_grad())
                stack.enter_context(plain_tensors(self.unet))
                if model.patcher_of(self.sd_model) is not None:
                    stack.enter_context(private_copies(self.unet))
            stack.enter_context(devices.autocast())
            yield

    def sigmas(self, steps: int) -> Tensor:
        """Noise levels of a run, (steps + 1,), the last one 0."""
        return self.schedule.sigmas(steps)

    def initial_noise(self, count: int, generator: torch.Generator) -> Tensor:
        """Gaussian states (count,C,H,W) at the first of `sigmas`."""
        shape = (count, self.unet.in_channels, self.size[0] // 8, self.size[1] // 8)
        return (torch.randn(shape, generator=generator) * self.schedule.first).to(self.device)

    def linears(self, selector: str = "cross_kv") -> dict[str, Target]:
        """Layers by diffusers' module names."""
        return choose(model.linears(self.sd_model), FAMILIES[self.family].layers, selector)


def _reader_of(sd_model: Any) -> tuple[Any, Any, Any]:
    """What turns words to tokens for the first text encoder, that encoder, and its input table."""
    engine = getattr(sd_model, "text_processing_engine", None) or getattr(sd_model, "text_processing_engine_l", None)
    if engine is not None:  # Forge's
        return engine, engine.text_encoder, engine.text_encoder.transformer.text_model.embeddings.token_embedding
    conditioner = getattr(sd_model, "conditioner", None)
    reader = sd_model.cond_stage_model if conditioner is None else conditioner.embedders[0]
    network = reader.wrapped
    if hasattr(network, "transformer"):
        return reader, network, network.transformer.text_model.embeddings.token_embedding
    return reader, network, network.model.token_embedding  # OpenCLIP's


def _ranks(reader: Any) -> dict[str, int]:
    """The tokens with their ids."""
    if hasattr(reader, "tokenizer"):
        return reader.tokenizer.get_vocab()
    from modules.sd_hijack_open_clip import tokenizer

    return tokenizer.encoder
