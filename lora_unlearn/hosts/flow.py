"""The Denoiser over Stable Diffusion 3 and Flux pipelines: flow matching, prompt and picture in one attention."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from ..denoiser import Conditioning, PredictionType, Target
from ..families import FAMILIES
from ..vocabulary import Vocabulary
from . import text
from .calls import NetworkCall
from .layers import select
from .schedules import FlowSchedule, shift_exponent


class FlowCall(NetworkCall):
    """A call of a joint-attention transformer."""

    UNBATCHED = ("img_ids", "txt_ids")

    @property
    def aside(self) -> bool:
        """SD3's evaluation without some layers."""
        return self.kwargs.get("skip_layers") is not None

    def prompts(self) -> Conditioning:
        """The host's rows: "text" and "pooled"."""
        return Conditioning({"text": self.kwargs["encoder_hidden_states"], "pooled": self.kwargs["pooled_projections"]})

    def conditioned(self, kwargs: dict[str, Any], tensors: dict[str, Tensor]) -> dict[str, Any]:
        """Other prompts in the transformer's arguments; they may be of another length."""
        changed: dict[str, Any] = {"encoder_hidden_states": tensors["text"], "pooled_projections": tensors["pooled"]}
        if kwargs.get("txt_ids") is not None:
            changed["txt_ids"] = kwargs["txt_ids"].new_zeros(tensors["text"].shape[1], 3)
        return changed


class FluxCall(FlowCall):
    """A call of Flux's transformer; under true guidance one for the negative prompts follows."""

    ALTERNATES = True


class FlowDenoiser:
    """What Stable Diffusion 3 and Flux share.

    Args:
        pipe: the pipeline.
        size: (height, width) of training pictures in pixels; default: the model's own.
    """

    family: str
    prediction_type: PredictionType = "flow"
    call: type[FlowCall] = FlowCall

    def __init__(self, pipe: Any, size: tuple[int, int] | None = None) -> None:
        self.pipe = pipe
        self.network: Any = pipe.transformer
        side = getattr(pipe, "default_sample_size", FAMILIES[self.family].side) * pipe.vae_scale_factor
        self.size = size or (side, side)
        self.device, self.dtype = pipe._execution_device, pipe.transformer.dtype
        self.schedule = FlowSchedule(pipe.scheduler, self.timestep_options)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C,H,W) of the states."""
        return self.pipe.vae.config.latent_channels, *self.sides

    @property
    def sides(self) -> tuple[int, int]:
        """(H,W) of the latents, even, as the networks see patches of 2x2."""
        height, width = (2 * (side // (2 * self.pipe.vae_scale_factor)) for side in self.size)
        return height, width

    def timestep_options(self, steps: int) -> dict[str, Any]:
        """What the pipeline passes to its scheduler."""
        raise NotImplementedError

    def encode(self, prompts: Sequence[str]) -> Conditioning:
        """Rows: "text" (R,T,D) and "pooled" (R,P)."""
        return text.encode(self.pipe, prompts)

    def predict(self, x: Tensor, sigma: Tensor, conditioning: Conditioning) -> Tensor:
        """Velocity noise - x0 (B,C,H,W) for states (1 - sigma) * x0 + sigma * noise at sigma (B,)."""
        tensors = conditioning.tensors
        return self.network(
            hidden_states=x.to(self.dtype),
            timestep=self.schedule.timestep(sigma).to(x.device),
            encoder_hidden_states=tensors["text"],
            pooled_projections=tensors["pooled"],
            return_dict=False,
        )[0].to(x.dtype)

    def extent(self, prompts: Sequence[str]) -> tuple[int, int] | None:
        """See `text.extent`."""
        return text.extent(self.pipe, prompts)

    def arguments(self, prompts: Sequence[str], negative: Sequence[str], scale: float) -> dict[str, Any]:
        """What the pipeline is asked for these prompts, see `text.arguments`."""
        return text.arguments(self.pipe, prompts, negative, scale)

    def host_call(self, plain: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> NetworkCall:
        """What the pipeline asks of its transformer, as the guidance wants to see it."""
        names = ("hidden_states", "encoder_hidden_states", "pooled_projections", "timestep", "img_ids", "txt_ids")
        return self.call(plain, names, args, kwargs, self.pipe)

    def sigmas(self, steps: int) -> Tensor:
        """The shifted noise levels of a run, (steps + 1,), the last one 0."""
        return self.schedule.sigmas(steps)

    def initial_noise(self, count: int, generator: torch.Generator) -> Tensor:
        """Gaussian states at sigma 1, (count,C,H,W)."""
        return torch.randn((count, *self.shape), generator=generator).to(self.device)

    def vocabulary(self) -> Vocabulary:
        """The text encoder's words, for `suggest`."""
        return text.vocabulary(self.pipe)

    def linears(self, selector: str = "cross_kv") -> dict[str, Target]:
        """Layers by diffusers' module names: "cross_kv", "cross_v", "context" or "all_but_cross"."""
        return select(self.network, FAMILIES[self.family].layers, selector)


class SD3Denoiser(FlowDenoiser):
    """Stable Diffusion 3 and 3.5."""

    family: Literal["sd3"] = "sd3"

    def timestep_options(self, steps: int) -> dict[str, Any]:
        """The number of steps, and the shift where it depends on the picture's size."""
        _, height, width = self.shape
        config, patch = self.pipe.scheduler.config, self.network.config.patch_size
        if not config.get("use_dynamic_shifting"):
            return {"num_inference_steps": steps}
        tokens = (height // patch) * (width // patch)
        return {"num_inference_steps": steps, "mu": shift_exponent(config, tokens)}


class FluxDenoiser(FlowDenoiser):
    """Flux.1: the network sees packed 2x2 patches, and may be told a guidance scale instead of being guided.

    Attributes:
        guidance_scale: what a guidance-distilled network is told while training.
    """

    family: Literal["flux"] = "flux"
    call = FluxCall
    guidance_scale = 3.5

    def timestep_options(self, steps: int) -> dict[str, Any]:
        """Evenly spaced levels, and the shift for the picture's size."""
        _, height, width = self.shape
        config = self.pipe.scheduler.config
        sigmas = [1 - index / steps for index in range(steps)]
        return {"sigmas": sigmas, "mu": shift_exponent(config, (height // 2) * (width // 2))}

    def predict(self, x: Tensor, sigma: Tensor, conditioning: Conditioning) -> Tensor:
        """Velocity noise - x0 (B,C,H,W) for states (1 - sigma) * x0 + sigma * noise at sigma (B,)."""
        tensors, (count, channels, height, width) = conditioning.tensors, x.shape
        packed = self.pipe._pack_latents(x.to(self.dtype), count, channels, height, width)
        ids = self.pipe._prepare_latent_image_ids(count, height // 2, width // 2, x.device, self.dtype)
        told = torch.full((count,), self.guidance_scale, device=x.device)
        velocity = self.network(
            hidden_states=packed,
            timestep=sigma.to(x.device),
            img_ids=ids,
            txt_ids=ids.new_zeros(tensors["text"].shape[1], 3),
            encoder_hidden_states=tensors["text"],
            pooled_projections=tensors["pooled"],
            guidance=told if self.network.config.guidance_embeds else None,
            return_dict=False,
        )[0]
        factor = self.pipe.vae_scale_factor
        return self.pipe._unpack_latents(velocity, height * factor, width * factor, factor).to(x.dtype)
