"""A technique for eval-unlearn: the model with erasers on, as its run files name them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple, get_args

import torch
from PIL import Image

from ..commands.models import check_finite, find_device, open_eraser, usual_guidance
from ..errors import UnlearnError
from ..guidance import Mode
from ..hosts.attached import attach
from ..hosts.checkpoints import load_pipeline, usual_dtype
from ..hosts.diffusers import denoiser_for


@dataclass(frozen=True)
class TechniqueConfig:
    """What a run file says of the technique; other keys, such as `erase_concept`, are for the evaluator itself.

    Attributes:
        checkpoint: a diffusers folder, a safetensors file, or "demo".
        adapter: the file of an eraser, or several, each FILE or FILE:STRENGTH; none: the model by itself, to compare.
        strength: of each; default: what stands behind the file's name, else 1, which erases.
        gate: "auto" asks each eraser's gate, "on" and "off" do not.
        device, dtype: where and in what the model runs; default: a GPU in half precision where there is one.
        guidance_scale: default: the model family's own.
        batch: pictures that are drawn at once.
        seed: of the first prompt of a call where the evaluator names none, as its command does; None: at random.
    """

    checkpoint: str = ""
    adapter: str | Sequence[str] = ()
    strength: float | None = None
    gate: Mode = "auto"
    device: str | None = None
    dtype: str | None = None
    num_inference_steps: int = 50
    guidance_scale: float | None = None
    batch: int = 8
    seed: int | None = None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TechniqueConfig:
        """Take what is known.

        Raises:
            UnlearnError: for a value that can't be meant.
        """
        config = cls(**{field.name: data[field.name] for field in fields(cls) if field.name in data})
        for name, wanted in WANTED.items():
            value = getattr(config, name)
            if not wanted.fine(value):
                raise UnlearnError(f'The technique lora_unlearn got {value!r} as "{name}"; write {wanted.words}.')
        return config

    @property
    def adapters(self) -> list[str]:
        """The erasers' files."""
        return list(self.adapter) if isinstance(self.adapter, list | tuple) else [self.adapter]  # type: ignore[list-item]


class Wanted(NamedTuple):
    """What a key's value must be, and how that is said."""

    fine: Callable[[Any], bool]
    words: str


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(value: Any) -> bool:
    return _number(value) and isinstance(value, int)


WANTED = {
    "checkpoint": Wanted(lambda value: isinstance(value, str) and value != "", 'a folder, a file, or "demo"'),
    "strength": Wanted(lambda value: value is None or _number(value), "a number; 1 erases"),
    "gate": Wanted(lambda value: value in get_args(Mode), '"auto", "on" or "off"'),
    "dtype": Wanted(lambda value: value in (None, "float32", "float16", "bfloat16"), "float32, float16 or bfloat16"),
    "num_inference_steps": Wanted(lambda value: _whole(value) and value > 0, "a whole number from 1 up"),
    "guidance_scale": Wanted(lambda value: value is None or _number(value), "a number; 1 is no guidance"),
    "batch": Wanted(lambda value: _whole(value) and value > 0, "a whole number from 1 up"),
    "seed": Wanted(lambda value: value is None or _whole(value), "a whole number"),
}


class LoraUnlearnTechnique:
    """Erasers behind their gates, for eval-unlearn (and eval-learn, as it was called).

    Args:
        config: the technique's part of a run file, see `TechniqueConfig`.

    Attributes:
        pipe: the pipeline, whose every call is erased.

    Raises:
        UnlearnError: if the model or an eraser can't be used.
    """

    def __init__(self, **config: Any) -> None:
        self.config = TechniqueConfig.from_dict(config)
        self.pipe = _open_pipeline(self.config)
        denoiser = denoiser_for(self.pipe)
        scale = self.config.guidance_scale
        self.guidance_scale = usual_guidance(denoiser) if scale is None else scale
        erasers = [open_eraser(name, denoiser, self.config.gate) for name in self.config.adapters]
        if self.config.strength is not None:
            erasers = [replace(eraser, strength=self.config.strength) for eraser in erasers]
        self.handle = attach(self.pipe, *erasers) if erasers else None

    def generate(self, prompts: Sequence[str], seed: int | None = None, **kwargs: Any) -> list[Image.Image]:
        """One picture for each prompt, with the pipeline's own way of reading it: no weights in brackets, 77 tokens.

        Args:
            prompts: any number of them.
            seed: of the first picture; each further one gets the next, as with eval-unlearn's own techniques.
            kwargs: `num_inference_steps`, `guidance_scale` and whatever else the pipeline takes.
        """
        options: dict[str, Any] = {"num_inference_steps": self.config.num_inference_steps}
        options |= {"guidance_scale": self.guidance_scale, **kwargs}
        first, images = self.config.seed if seed is None else seed, list[Image.Image]()
        for start in range(0, len(prompts), self.config.batch):
            chunk = list(prompts[start : start + self.config.batch])
            if first is not None:
                seeds = range(first + start, first + start + len(chunk))
                options["generator"] = [torch.Generator().manual_seed(one) for one in seeds]
            images += self.pipe(prompt=chunk, **options).images
        return images


def _open_pipeline(config: TechniqueConfig) -> Any:
    device = find_device(config.device)
    dtype = getattr(torch, config.dtype) if config.dtype else usual_dtype(config.checkpoint, device)
    pipe = load_pipeline(config.checkpoint, device, dtype)
    check_finite(pipe, config.checkpoint)
    pipe.set_progress_bar_config(disable=True)
    return pipe
