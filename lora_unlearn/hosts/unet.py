"""The Denoiser over Stable Diffusion 1, 2 and XL pipelines: epsilon, v, and flow-matching relatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..denoiser import Conditioning, PredictionType, Target
from ..errors import UnlearnError
from ..families import FAMILIES
from ..vocabulary import Vocabulary
from . import text
from .calls import NetworkCall
from .layers import select
from .schedules import DiffusionSchedule, FlowSchedule

WIDTHS = {768: "sd1", 1024: "sd2", 384: "language"}
"""By the width of a prompt's states; 384: the real text encoder in `benchmarks/relative`."""


class UNetDenoiser:
    """Stable Diffusion 1, 2 and XL.

    Args:
        pipe: the pipeline.
        size: (height, width) of training pictures in pixels; default: the model's own.
    """

    def __init__(self, pipe: Any, size: tuple[int, int] | None = None) -> None:
        self.pipe = pipe
        self.network: Any = pipe.unet
        self.xl = hasattr(pipe, "text_encoder_2")
        side = pipe.unet.config.sample_size * pipe.vae_scale_factor
        self.size = size or (side, side)
        width = pipe.unet.config.cross_attention_dim
        self.family = "sdxl" if self.xl else WIDTHS.get(width, "demo")
        self.device, self.dtype = pipe._execution_device, pipe.unet.dtype
        self.prediction_type, self.schedule = schedule_of(pipe.scheduler)

    def encode(self, prompts: Sequence[str]) -> Conditioning:
        """Rows: "text" (R,T,width); for SDXL also "pooled" (R,P)."""
        return text.encode(self.pipe, prompts)

    def predict(self, x: Tensor, sigma: Tensor, conditioning: Conditioning) -> Tensor:
        """Native prediction (B,C,H,W) for states x at noise levels sigma (B,)."""
        tensors = conditioning.tensors
        added = {"text_embeds": tensors["pooled"], "time_ids": self.size_ids(x)} if self.xl else None
        scaled = self.schedule.scaled(x, sigma).to(self.dtype)
        time = self.schedule.timestep(sigma).to(x.device)
        return self.network(
            scaled, time, encoder_hidden_states=tensors["text"], added_cond_kwargs=added, return_dict=False
        )[0].to(x.dtype)

    def size_ids(self, x: Tensor) -> Tensor:
        """SDXL's size ids (B,6): original size, no cropping, target size, those of the states themselves."""
        height, width = (side * self.pipe.vae_scale_factor for side in x.shape[-2:])
        ids = torch.tensor([height, width, 0, 0, height, width], dtype=self.dtype, device=x.device)
        return ids.expand(len(x), 6)

    def extent(self, prompts: Sequence[str]) -> tuple[int, int] | None:
        """See `text.extent`."""
        return text.extent(self.pipe, prompts)

    def arguments(self, prompts: Sequence[str], negative: Sequence[str], scale: float) -> dict[str, Any]:
        """What the pipeline is asked for these prompts, see `text.arguments`."""
        return text.arguments(self.pipe, prompts, negative, scale)

    def host_call(self, plain: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> UNetCall:
        """What the pipeline asks of its U-Net, as the guidance wants to see it."""
        names = ("sample", "timestep", "encoder_hidden_states")
        return UNetCall(plain, names, args, kwargs, self.pipe)

    def sigmas(self, steps: int) -> Tensor:
        """Noise levels of a run, (steps + 1,), the last one 0."""
        return self.schedule.sigmas(steps)

    def initial_noise(self, count: int, generator: torch.Generator) -> Tensor:
        """Gaussian states at the highest noise level, (count,C,H,W)."""
        factor = self.pipe.vae_scale_factor
        shape = (count, self.network.config.in_channels, self.size[0] // factor, self.size[1] // factor)
        return (torch.randn(shape, generator=generator) * self.schedule.first).to(self.device)

    def vocabulary(self) -> Vocabulary:
        """The text encoder's words, for `suggest`."""
        return text.vocabulary(self.pipe)

    def linears(self, selector: str = "cross_kv") -> dict[str, Target]:
        """Layers by diffusers' module names: "cross_kv", "cross_v" or "all_but_cross"."""
        return select(self.network, FAMILIES[self.family].layers, selector)


class UNetCall(NetworkCall):
    """A call of a U-Net. The size ids of SDXL belong to the picture, so they stay the host's."""

    def prompts(self) -> Conditioning:
        """The host's rows: "text", and "pooled" where the U-Net gets it."""
        added = self.kwargs.get("added_cond_kwargs") or {}
        pooled = {"pooled": added["text_embeds"]} if "text_embeds" in added else {}
        return Conditioning({"text": self.kwargs["encoder_hidden_states"], **pooled})

    def conditioned(self, kwargs: dict[str, Any], tensors: dict[str, Tensor]) -> dict[str, Any]:
        """Other prompts in the U-Net's arguments."""
        changed: dict[str, Any] = {"encoder_hidden_states": tensors["text"]}
        if "pooled" in tensors:
            changed["added_cond_kwargs"] = {**kwargs["added_cond_kwargs"], "text_embeds": tensors["pooled"]}
        return changed


def schedule_of(scheduler: Any) -> tuple[PredictionType, DiffusionSchedule | FlowSchedule]:
    """What the network of a U-Net pipeline predicts and at which noise levels, as its scheduler tells.

    Raises:
        UnlearnError: for a scheduler of another kind of model, such as EDM's.
    """
    name, kind = type(scheduler).__name__, scheduler.config.get("prediction_type")
    if kind == "flow_prediction" or (kind is None and name.startswith("FlowMatch")):
        return "flow", FlowSchedule(scheduler, lambda steps: {"num_inference_steps": steps})
    if kind in ("epsilon", "v_prediction") and hasattr(scheduler, "alphas_cumprod"):
        return kind, DiffusionSchedule(scheduler.alphas_cumprod)
    raise UnlearnError(
        f"Models that are sampled with {name} (prediction type {kind}) cannot be used; erasing works on epsilon, v and "
        "flow models with the schedulers of Stable Diffusion, such as EulerDiscreteScheduler."
    )
