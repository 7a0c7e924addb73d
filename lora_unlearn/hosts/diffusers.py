"""The Denoiser over a diffusers pipeline, by the class of its network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import UnlearnError
from .flow import FlowDenoiser, FluxDenoiser, SD3Denoiser
from .layers import inside, select
from .unet import UNetDenoiser
from .z_image import ZImageDenoiser

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

__all__ = ["FlowDenoiser", "FluxDenoiser", "SD3Denoiser", "UNetDenoiser", "denoiser_for", "select"]

TRANSFORMERS: dict[str, type[FlowDenoiser]] = {
    "SD3Transformer2DModel": SD3Denoiser,
    "FluxTransformer2DModel": FluxDenoiser,
    "ZImageTransformer2DModel": ZImageDenoiser,
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
    network = type(inside(getattr(pipe, "transformer", None))).__name__
    if network in TRANSFORMERS:
        return TRANSFORMERS[network](pipe, size)
    if name.startswith("StableDiffusion") and hasattr(pipe, "unet") and hasattr(pipe, "tokenizer"):
        return UNetDenoiser(pipe, size)
    raise UnlearnError(
        f"A {name} cannot be used; erasing works on Stable Diffusion 1.x, 2.x, XL, 3.x and Flux pipelines."
    )
