"""The Denoiser over Forge Neo's transformers, and the calls that the host makes of them: flow matching."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from modules import devices, processing, prompt_parser
from torch import Tensor, nn

from lora_unlearn.denoiser import Conditioning
from lora_unlearn.hosts.prompts import untagged
from lora_unlearn.hosts.text import new_vocabulary
from lora_unlearn.padding import by_length, padded
from lora_unlearn.vocabulary import Vocabulary

from . import model, neo
from .calls import UNetCall
from .denoiser import WebDenoiser
from .rope import differentiable

GUIDANCE = 3.5
"""What a network that is told a guidance scale is told while training."""
ENGINES = tuple(f"text_processing_engine_{name}" for name in ("t5", "gemma", "anima", "qwen"))
"""Where the host keeps what reads a prompt."""


def denoiser_of(sd_model: Any, size: tuple[int, int] | None = None) -> WebDenoiser:
    """The Denoiser over a loaded model.

    Raises:
        UnlearnError: if the family is not supported.
    """
    return WebDenoiser(sd_model, size) if model.kind_of(sd_model) is None else FlowDenoiser(sd_model, size)


class HostFlow:
    """The host's own noise levels for flow matching, with the shift that was set last."""

    def __init__(self, predictor: Any) -> None:
        self.predictor = predictor

    @property
    def first(self) -> float:
        """The highest noise level."""
        return float(self.predictor.sigmas[-1])

    def scaled(self, x: Tensor, sigma: Tensor) -> Tensor:
        """The network's input: x itself."""
        return x

    def timestep(self, sigma: Tensor) -> Tensor:
        """What the network is told of a noise level (B,)."""
        return self.predictor.timestep(sigma)

    def sigmas(self, steps: int) -> Tensor:
        """Evenly spaced levels of the host's table, the last one 0, (steps + 1,)."""
        table = self.predictor.sigmas.detach().float().cpu()
        places = [len(table) - 1 - int(index * len(table) / steps) for index in range(steps)]
        return torch.cat([table[places], torch.zeros(1)])


class FlowDenoiser(WebDenoiser):
    """A transformer of the host's. Weights are never changed.

    Its prompts are as `neo.Kind.parts` gives them; zeros fill the shorter ones.
    """

    def __init__(self, sd_model: Any, size: tuple[int, int] | None = None) -> None:
        super().__init__(sd_model, size)
        kind = model.kind_of(sd_model)
        assert kind is not None
        self.kind = kind

    def _schedule(self) -> HostFlow:
        return HostFlow(model.predictor_of(self.sd_model))

    def encode(self, prompts: Sequence[str]) -> Conditioning:
        """Rows as the host's own encoder makes them; Flux.1's have "pooled" (R,P), too."""
        with torch.inference_mode(False), torch.no_grad(), devices.autocast():
            found = self._found(prompts)
            self.ready = False  # the text encoder may have pushed the network out
            pooled = {"pooled": found["vector"].clone()} if isinstance(found, dict) else {}
            texts = found["crossattn"] if isinstance(found, dict) else found
            context = padded([text.reshape(-1, text.shape[-1]) for text in texts], neo.STEP)
            if self.kind.least > 1:  # the host's own zeros are enough
                context = context[:, : max(self.kind.least, *(text.shape[-2] for text in texts))]
            return Conditioning({**self.kind.parts(self._read(context), context), **pooled}, ragged=True)

    def _found(self, prompts: Sequence[str]) -> Any:
        """What the host's encoder makes of prompts."""
        rows = prompt_parser.SdConditioning(
            [untagged(prompt) for prompt in prompts],
            is_negative_prompt=True,  # a positive one takes the pictures that the user has given for reference
            width=self.size[1],
            height=self.size[0],
        )
        return self.sd_model.get_learned_conditioning(rows)

    def _read(self, context: Tensor) -> Tensor:
        """What the entry layer reads of contexts, where the layers before it lie; perhaps themselves."""
        enter = self.kind.entry(self.unet)
        if enter is None:
            return context
        if self.kind.layered:
            self.device, self.ready = model.move_to_device(self.sd_model), True
        place = next(enter.parameters()).device if isinstance(enter, nn.Module) else self.device
        return self.kind.read(self.unet, context.to(place, model.dtype_of(self.sd_model))).to(context.device)

    def vocabulary(self) -> Vocabulary | None:
        """The text encoder's words, for `suggest`."""
        engine: Any = next(getattr(self.sd_model, name) for name in ENGINES if hasattr(self.sd_model, name))
        encoder = engine.text_encoder
        tokenizer = engine.qwen_tokenizer if hasattr(engine, "qwen_tokenizer") else engine.tokenizer
        table = encoder.get_input_embeddings() if hasattr(encoder, "get_input_embeddings") else encoder.shared

        def ids(words: Sequence[str]) -> list[list[int]]:
            return tokenizer(list(words), add_special_tokens=False)["input_ids"]

        return new_vocabulary(encoder, table, tokenizer.get_vocab(), ids)

    def predict(self, x: Tensor, sigma: Tensor, conditioning: Conditioning) -> Tensor:
        """Velocity noise - x0 (B,C,H,W) for states (1 - sigma) * x0 + sigma * noise at noise levels sigma (B,)."""
        if not self.ready:
            self.device, self.ready = model.move_to_device(self.sd_model), True
        dtype = model.dtype_of(self.sd_model)
        states, time = x.to(self.device, dtype), self.schedule.timestep(sigma.to(self.device).float())
        if self.sd_model.is_wan:
            states = states.unsqueeze(2)
        tensors = conditioning.map(lambda tensor: tensor.to(self.device, dtype)).tensors
        context = tensors.get("states", tensors["text"])

        def ask(rows: Tensor, length: int) -> Tensor:
            more = {"y": tensors["pooled"][rows]} if "pooled" in tensors else {}
            if getattr(self.unet, "guidance_embed", False):
                more["guidance"] = torch.full((len(rows),), GUIDANCE, device=self.device, dtype=dtype)
            asked = context[rows, None, :length] if self.kind.nested else context[rows, :length]
            return self.unet(states[rows], time[rows], context=asked, transformer_options={}, **more)

        differentiable()
        with self._evaluating(), neo.no_references():
            found = by_length(context, ask, self.kind.least)
        return (found.squeeze(2) if self.sd_model.is_wan else found).to(x)

    def initial_noise(self, count: int, generator: torch.Generator) -> Tensor:
        """Gaussian states (count,C,H,W) at the first of `sigmas`; sides are even, as networks see patches of 2x2."""
        channels, factor = self.sd_model.forge_objects.vae.latent_channels, processing.opt_f
        height, width = (2 * (side // (2 * factor)) for side in self.size)
        return torch.randn((count, channels, height, width), generator=generator).to(self.device)


class FlowCall(UNetCall):
    """A call of a transformer.

    Args:
        plain, args, kwargs, rows: see `UNetCall`.
        network, kind: which transformer it is.
    """

    def __init__(
        self,
        plain: Callable[..., Tensor],
        args: tuple,
        kwargs: dict[str, Any],
        rows: Sequence[tuple[bool, int]],
        network: Any,
        kind: neo.Kind,
    ) -> None:
        self.network, self.kind = network, kind
        super().__init__(plain, args, kwargs, rows)

    def _prompts(self, context: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """No marks, and the prompts; some engines have one dimension more."""
        flat = context.squeeze(1) if context.ndim == 4 else context
        return flat[:, :0], self.kind.parts(self.kind.read(self.network, flat), flat)

    def evaluate(self, rows: Tensor, conditioning: Conditioning) -> Tensor:
        """The same states and noise levels, some rows, other conditionings, which zeros may fill."""
        own = self.kwargs["context"]
        context = conditioning.tensors.get("states", conditioning.tensors["text"]).to(own)

        def ask(chosen: Tensor, length: int) -> Tensor:
            asked = context[chosen, :length]
            return self._ask(rows[chosen], conditioning[chosen], asked.unsqueeze(1) if own.ndim == 4 else asked)

        return by_length(context, ask, self.kind.least)
