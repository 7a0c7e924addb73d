"""The model families that erasing knows: one row each, with all that differs between them and is no host's matter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

Selector = Callable[[str], bool]
"""Which of a network's linear layers, by canonical name (diffusers' module names), belong to a set."""


def _ends(*ends: str) -> Selector:
    return lambda name: name.endswith(ends)


def _is(layer: str) -> Selector:
    return lambda name: name == layer


def _joint(entry: str) -> dict[str, Selector]:
    """Sets of a network where prompt and picture meet in one attention, each with projections of its own.

    Args:
        entry: the layer that reads the text encoder's states.
    """
    prompt = (entry, "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")
    return {
        "cross_kv": _ends(".add_k_proj", ".add_v_proj"),
        "cross_v": _ends(".add_v_proj"),
        "context": _is(entry),
        "all_but_cross": lambda name: (
            not name.endswith(prompt) and not name.startswith(("time_text_embed", "time_guidance_embed"))
        ),
    }


def _before(refiner: str, entry: str) -> dict[str, Selector]:
    """Sets of a network with one stream for both: only what prompts pass before they meet the picture.

    Keys and values of the stream itself move the picture's tokens as well, and a network that is trained there
    collapses (Z-Erase, arXiv 2603.25074).
    """
    return {
        "cross_kv": lambda name: name.startswith(refiner) and name.endswith((".to_k", ".to_v")),
        "cross_v": lambda name: name.startswith(refiner) and name.endswith(".to_v"),
        "context": _is(entry),
    }


CROSS: dict[str, Selector] = {
    "cross_kv": _ends(".attn2.to_k", ".attn2.to_v"),
    "cross_v": _ends(".attn2.to_v"),
    "all_but_cross": lambda name: "attn2" not in name and not name.startswith(("time_embed", "add_embed")),
}
"""The prompt's keys and values in a cross-attention; and UnGuide's set for nudity."""
JOINT = _joint("context_embedder")


@dataclass(frozen=True)
class Family:
    """What is known of a family of models.

    Attributes:
        title: how people call it.
        side: height and width of the latents that it was made for.
        layers: the sets of layers that it offers to LoRA, by name. "cross_kv" and "cross_v": the prompt's own keys and
            values, or values alone. "context", where attention sees hidden states: the one layer that reads the
            encoder's states, and the place of the closed form. "all_but_cross": what does not serve the prompt alone.
        guidance_scale: that its pictures are usually drawn with.
        architecture: in modelspec's words.
        base_version: in kohya's words.
        unet: whether its network is a U-Net; otherwise a transformer.
        pooled: whether the network also gets a pooled vector of the prompt.
        pixels: how many of them a latent's row or column stands for.
    """

    title: str
    side: int
    layers: Mapping[str, Selector]
    guidance_scale: float
    architecture: str = ""
    base_version: str = ""
    unet: bool = False
    pooled: bool = False
    pixels: int = 8

    @property
    def guided(self) -> bool:
        """Whether pictures are drawn with guidance as a rule; others are told a scale, or distilled to need none."""
        return self.guidance_scale > 1


FAMILIES: dict[str, Family] = {
    "sd1": Family("Stable Diffusion 1.x", 64, CROSS, 7.0, "stable-diffusion-v1", "sd_v1", unet=True),
    "sd2": Family("Stable Diffusion 2.x", 64, CROSS, 7.0, "stable-diffusion-v2-512", "sd_v2", unet=True),
    "sdxl": Family(
        "Stable Diffusion XL", 128, CROSS, 7.0, "stable-diffusion-xl-v1-base", "sdxl_base_v1-0", unet=True, pooled=True
    ),
    "sd3": Family("Stable Diffusion 3.x", 128, JOINT, 7.0, "stable-diffusion-3-medium", "sd3", pooled=True),
    "flux": Family("Flux.1", 128, JOINT, 1.0, "flux-1-dev", "flux1", pooled=True),
    "flux2": Family("FLUX.2", 64, JOINT, 1.0, "flux-2", "flux2", pixels=16),
    "z_image": Family("Z-Image", 128, _before("context_refiner.", "cap_embedder.1"), 1.0, "z-image", "zimage"),
    "qwen_image": Family("Qwen-Image", 128, _joint("txt_in"), 4.0, "qwen-image", "qwen_image"),
    "krea2": Family("Krea 2", 128, _before("text_fusion.refiner_blocks.", "txt_in.linear_1"), 5.5, "krea-2", "krea2"),
    "anima": Family("Anima", 128, CROSS, 4.5, "anima", "anima"),
    "demo": Family("the demo model", 16, CROSS, 5.0, unet=True),
    "language": Family("the demo's relative with a real text encoder", 16, CROSS, 5.0, unet=True),
}
"""By the name that files carry. "context" is there exactly where the closed form belongs to the entry layer."""
