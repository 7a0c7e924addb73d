"""The Denoiser over a diffusers pipeline: SD1, SD2, SDXL (epsilon, v), SD3 and Flux (flow matching)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..denoiser import Conditioning, PredictionType, Target
from ..errors import UnlearnError
from . import text

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

SELECTORS = {
    "cross_kv": (".attn2.to_k", ".attn2.to_v"),
    "context_kv": (".add_k_proj", ".add_v_proj"),
}


def denoiser_for(pipe: DiffusionPipeline, size: tuple[int, int] | None = None) -> UNetDenoiser | FlowDenoiser:
    """Wrap a pipeline.

    Args:
        pipe: a Stable Diffusion 1, 2, XL, 3 or Flux text-to-image pipeline.
        size: (height, width) of training pictures in pixels; default: the model's own.

    Raises:
        UnlearnError: naming the class of a pipeline that is not supported.
    """
    name = type(pipe).__name__
    if name.startswith(("StableDiffusion3", "Flux")):
        return FlowDenoiser(pipe, size)
    if name.startswith("StableDiffusion") and hasattr(pipe, "unet"):
        return UNetDenoiser(pipe, size)
    raise UnlearnError(
        f"A {name} cannot be used; erasing works on Stable Diffusion 1.x, 2.x, XL, 3.x and Flux pipelines."
    )


class UNetDenoiser:
    """Stable Diffusion 1, 2 and XL."""

    def __init__(self, pipe: Any, size: tuple[int, int] | None = None) -> None:
        self.pipe = pipe
        self.network: nn.Module = pipe.unet
        self.xl = hasattr(pipe, "text_encoder_2")
        side = pipe.unet.config.sample_size * pipe.vae_scale_factor
        self.size = size or (side, side)
        width = pipe.unet.config.cross_attention_dim
        self.family = "sdxl" if self.xl else {768: "sd1", 1024: "sd2"}.get(width, "demo")
        self.prediction_type: PredictionType = pipe.scheduler.config.prediction_type
        signal = pipe.scheduler.alphas_cumprod.double()
        self.table = ((1 - signal) / signal).sqrt().float()
        self.device, self.dtype = pipe.unet.device, pipe.unet.dtype

    def encode(self, prompts: Sequence[str]) -> Conditioning:
        """Rows: "text" (R,T,width); for SDXL also "pooled" (R,P) and "time_ids" (R,6)."""
        return text.encode_xl(self.pipe, prompts, self.size) if self.xl else text.encode_clip(self.pipe, prompts)

    def predict(self, x: Tensor, sigma: Tensor, conditioning: Conditioning) -> Tensor:
        """Native prediction (epsilon or v) for states x0 + sigma * noise."""
        spread = sigma.to(x).view(-1, 1, 1, 1)
        scaled = (x / (spread**2 + 1).sqrt()).to(self.dtype)
        return self.call(scaled, self.timestep(sigma), conditioning).to(x.dtype)

    def call(self, scaled: Tensor, timestep: Tensor, conditioning: Conditioning) -> Tensor:
        """One evaluation of the U-Net on inputs that are scaled already."""
        tensors = conditioning.tensors
        added = {"text_embeds": tensors["pooled"], "time_ids": tensors["time_ids"]} if self.xl else None
        return self.network(scaled, timestep, encoder_hidden_states=tensors["text"], added_cond_kwargs=added).sample

    def host_call(self, plain: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> UNetCall:
        """What the pipeline asks of its U-Net, as the guidance wants to see it."""
        return UNetCall(self, plain, args, kwargs)

    def timestep(self, sigma: Tensor) -> Tensor:
        """The model's timestep for a noise level, interpolated between the table's logarithms."""
        logs, wanted = self.table.log(), sigma.detach().float().cpu().clamp_min(1e-6).log()
        low = torch.searchsorted(logs, wanted, right=True).sub(1).clamp(0, len(logs) - 2)
        share = ((wanted - logs[low]) / (logs[low + 1] - logs[low])).clamp(0, 1)
        return (low + share).to(self.device)

    def sigmas(self, steps: int) -> Tensor:
        """Noise levels at evenly spaced timesteps, the last one 0."""
        times = torch.linspace(len(self.table) - 1, 0, steps)
        low = times.floor().long().clamp(max=len(self.table) - 2)
        levels = self.table[low].log().lerp(self.table[low + 1].log(), times - low).exp()
        return torch.cat([levels, levels.new_zeros(1)])

    def initial_noise(self, count: int, generator: torch.Generator) -> Tensor:
        """Gaussian states at the highest noise level, (count,C,H/8,W/8)."""
        factor = self.pipe.vae_scale_factor
        shape = (count, self.network.config.in_channels, self.size[0] // factor, self.size[1] // factor)
        return (torch.randn(shape, generator=generator) * self.table[-1]).to(self.device)

    def linears(self, selector: str = "cross_kv") -> dict[str, Target]:
        """Layers by diffusers' module names: "cross_kv" or "all_but_cross" (UnGuide's set for nudity)."""
        return select(self.network, selector)


class UNetCall:
    """One call that a pipeline makes of its U-Net (see `lora_unlearn.guidance.Call`)."""

    def __init__(self, denoiser: UNetDenoiser, plain: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> None:
        self.plain, self.kwargs = plain, {**kwargs, "return_dict": False}
        names = ("sample", "timestep", "encoder_hidden_states")
        self.kwargs |= dict(zip(names, args, strict=False))
        self.as_tuple = not kwargs.get("return_dict", True)
        self.x: Tensor = self.kwargs["sample"]
        self.timestep = torch.as_tensor(self.kwargs["timestep"])
        added = self.kwargs.get("added_cond_kwargs") or {}
        extra = {"pooled": added["text_embeds"], "time_ids": added["time_ids"]} if denoiser.xl else {}
        self.conditioning = Conditioning({"text": self.kwargs["encoder_hidden_states"], **extra})
        rows = torch.arange(len(self.x))
        guided = denoiser.pipe.do_classifier_free_guidance
        half = len(self.x) // 2 if guided else 0
        self.positive, self.negative = rows[half:], rows[:half] if guided else None

    def base(self) -> Tensor:
        """The pipeline's own evaluation."""
        return self.plain(**self.kwargs)[0]

    def evaluate(self, rows: Tensor, conditioning: Conditioning) -> Tensor:
        """The same states and moment, some rows, other conditionings."""
        tensors = conditioning.tensors
        changed: dict[str, Any] = {"sample": self.x[rows], "encoder_hidden_states": tensors["text"]}
        if "pooled" in tensors:
            changed["added_cond_kwargs"] = {"text_embeds": tensors["pooled"], "time_ids": tensors["time_ids"]}
        if self.timestep.ndim and len(self.timestep) == len(self.x):
            changed["timestep"] = self.timestep[rows]
        return self.plain(**{**self.kwargs, **changed})[0]

    def wrap(self, prediction: Tensor) -> Any:
        """The prediction as the pipeline expects it."""
        if self.as_tuple:
            return (prediction,)
        from diffusers.models.unets.unet_2d_condition import UNet2DConditionOutput

        return UNet2DConditionOutput(sample=prediction)


def select(network: nn.Module, selector: str) -> dict[str, Target]:
    """Linear layers of a network chosen by a selector.

    Raises:
        UnlearnError: for an unknown selector, or one that finds nothing.
    """
    linears = {name: module for name, module in network.named_modules() if isinstance(module, nn.Linear)}
    if selector == "all_but_cross":
        chosen = [name for name in linears if "attn2" not in name and not name.startswith("time_embed")]
    elif selector in SELECTORS:
        chosen = [name for name in linears if name.endswith(SELECTORS[selector])]
    else:
        raise UnlearnError(f"Unknown layer selector {selector!r}; choose all_but_cross, {', '.join(SELECTORS)}.")
    if not chosen:
        raise UnlearnError(f"The model has no layers of the kind {selector!r}.")
    return {name: Target(linears[name]) for name in chosen}
