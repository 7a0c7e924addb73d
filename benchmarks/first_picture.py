"""The README's first picture: `python -m benchmarks.first_picture --picture docs/before-after.png`.

Six prompts with the same seeds on the demo model, without and with an eraser of cats, by the defaults.
"""

from __future__ import annotations

import torch

from benchmarks import common
from lora_unlearn import Concept, Eraser, denoiser_for, erase, generate, load_bank
from lora_unlearn.demo.checkpoint import load_demo
from lora_unlearn.report.sheet import sheet

PROMPTS = {
    "cat": "a photo of a cat",
    "a kitty, flat sticker": "a kitty, flat sticker",
    "a feline on pink": "a feline on a pink background, ink drawing",
    "tiger": "a tiger on a green background",
    "dog": "a dog",
    "a house on blue": "a house on a blue background",
}
"""Captions with their prompts; the last three do not ask for a cat."""


def main() -> None:
    """Erase, draw, write."""
    options = common.options(__doc__ or "", picture="docs/before-after.png", mode="")
    pipe = load_demo()
    with torch.enable_grad():
        eraser = Eraser(erase(denoiser_for(pipe), Concept("cat"), load_bank("demo"), options.mode))
    rows = []
    for label, erasers in (("before", []), ("after", [eraser])):
        pictures = generate(pipe, list(PROMPTS.values()), range(len(PROMPTS)), common.SAMPLING, erasers)
        rows.append((label, [picture.image for picture in pictures]))
    sheet(rows, list(PROMPTS)).save(options.picture)
    print(f"{options.picture}: drawn instead of a cat: {eraser.adapter.instead}")


if __name__ == "__main__":
    main()
