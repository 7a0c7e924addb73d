"""The pictures of ComfyUI's templates: `python -m benchmarks.thumbnails`, by the defaults, on the demo model.

What each template shows there, drawn by diffusers: without the eraser and with it, from the same seeds. Those of
Flux and Stable Diffusion XL are the demo's as well, as their notes say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch
from PIL import Image, ImageOps

from benchmarks import common
from lora_unlearn import Concept, Eraser, denoiser_for, erase, generate, load_bank
from lora_unlearn.demo.checkpoint import load_demo
from lora_unlearn.report.sheet import PAPER, sheet

SAMPLING = replace(common.SAMPLING, steps=20, sampler="euler")
SIDE, EDGE, SEED = 448, 4, 3
PAIRS = {
    "a-folder-of-erasers": ("a flat sticker of a cat", "a flat sticker of a flower", "a flat sticker of a house"),
    "before-after-with-neighbours": ("a photo of a cat", "a photo of a dog", "a photo of a star"),
    "calibrate-for-my-checkpoint": ("a photo of a cat", "a photo of a tiger"),
    "erase-concept-one-node": ("a photo of a cat", "a photo of a dog"),
    "flux-erase-concept": ("an ink drawing of a cat", "an ink drawing of a bird"),
    "sdxl-erase-concept": ("a pastel cartoon of a cat", "a pastel cartoon of a horse"),
    "several-concepts": ("a photo of a cat", "a photo of a flower", "a photo of a house"),
    "train-and-export": ("a photo of a cat", "a photo of a kitty"),
}
"""By template: prompts that are drawn without the erasers and with them."""
STACK = {"cat 0, flower 1": (0.0, 1.0), "0.5, 1": (0.5, 1.0), "1, 1": (1.0, 1.0)}
"""Strengths of the two erasers in *Eraser Stack*."""


def main() -> None:
    """Erase, draw, write."""
    options = common.options(__doc__ or "", folder="workflows")
    pipe = load_demo()
    with torch.enable_grad():
        made = [erase(denoiser_for(pipe), Concept(name), load_bank("demo")) for name in ("cat", "flower")]
    print({adapter.concept.name: adapter.instead for adapter in made})

    def rows(prompts: Sequence[str], ways: Iterable[Sequence[float]]) -> list[tuple[str, list[Image.Image]]]:
        """A row for each prompt, a column for each choice of strengths."""
        erasers = [[Eraser(*pair) for pair in zip(made, strengths, strict=True)] for strengths in ways]
        columns = [generate(pipe, prompts, [SEED] * len(prompts), SAMPLING, some) for some in erasers]
        return [(prompt, [column[i].image for column in columns]) for i, prompt in enumerate(prompts)]

    for name, prompts in PAIRS.items():
        write(f"{options.folder}/{name}.jpg", sheet(rows(prompts, ((0.0, 0.0), (1.0, 1.0))), ("before", "after")))
    page = sheet(rows(("a photo of a cat", "a photo of a flower"), STACK.values()), list(STACK))
    write(f"{options.folder}/strength-and-toggle-stack.jpg", page)


def write(path: str, page: Image.Image) -> None:
    """A square thumbnail."""
    inner = SIDE - 2 * EDGE
    fitted = page if max(page.size) <= inner else ImageOps.contain(page, (inner, inner), Image.Resampling.LANCZOS)
    square = Image.new("RGB", (SIDE, SIDE), PAPER)
    square.paste(fitted, ((SIDE - fitted.width) // 2, (SIDE - fitted.height) // 2))
    square.save(path, quality=90)


if __name__ == "__main__":
    main()
