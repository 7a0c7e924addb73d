"""The Denoiser over a diffusers pipeline, by the class of its network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import UnlearnError
from .flow import FlowDenoiser, FluxDenoiser, SD3Denoiser
from .flux2 import Flux2Denoiser
from .krea2 import Krea2Denoiser
from .layers import inside, select
from .qwen_image import QwenImageDenoiser
from .unet import UNetDenoiser
from .z_image import ZImageDenoiser

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

__all__ = ["FlowDenoiser", "FluxDenoiser", "SD3Denoiser", "UNetDenoiser", "denoiser_for", "select"]

TRANSFORMERS: dict[str, type[FlowDenoiser]] = {
    "SD3Transformer2DModel": SD3Denoiser,
    "FluxTransformer2DModel": FluxDenoiser,
    "ZImageTransformer2DModel": ZImageDenoiser,
    "Flux2Transformer2DModel": Flux2Denoiser,
    "QwenImageTransformer2DModel": QwenImageDenoiser,
    "Krea2Transformer2DModel": Krea2Denoiser,
}
ELSEWHERE = ("Flux2Pipeline", "KV", "Edit", "Layered", "Omni")
"""In names of pipelines that ask the same networks with prompts of another make."""


def denoiser_for(pipe: DiffusionPipeline, size: tuple[int, int] | None = None) -> UNetDenoiser | FlowDenoiser:
    """Wrap a pipeline.

    Args:
        pipe: a text-to-image pipeline of Stable Diffusion 1, 2, XL or 3, Flux.1, FLUX.2 Klein, Z-Image, Qwen-Image or
            Krea 2.
        size: (height, width) of training pictures in pixels; default: the model's own.

    Raises:
        UnlearnError: naming the class of a pipeline that is not supported.
    """
    name = type(pipe).__name__
    network = type(inside(getattr(pipe, "transformer", None))).__name__
    if network in TRANSFORMERS and not any(word in name for word in ELSEWHERE):
        return TRANSFORMERS[network](pipe, size)
    if name.startswith("StableDiffusion") and hasattr(pipe, "unet") and hasattr(pipe, "tokenizer"):
        return UNetDenoiser(pipe, size)
    raise UnlearnError(
        f"A {name} cannot be used; erasing works on text-to-image pipelines of Stable Diffusion 1.x, 2.x, XL and 3.x, "
        "Flux.1, FLUX.2 Klein, Z-Image, Qwen-Image and Krea 2, and on Anima in ComfyUI."
    )
