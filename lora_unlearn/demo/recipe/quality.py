"""How good a freshly made demo model is: the judge on renders that it never met, and the model by the judge."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch

from ...evaluate.prompts import CLASSES, TEMPLATE
from ...hosts.generate import Sampling, generate
from ..checkpoint import load_pipeline
from ..judge import Judge, load_judge
from ..words import THINGS, Thing
from .train_judge import batch

RENDERS, PICTURES = 1000, 4
SAMPLING = Sampling(steps=30, guidance_scale=5.0, batch=32)


def say_quality(checkpoint: Path, judge: Path, artwork: dict, others: dict, say: Callable[[str], None] = print) -> None:
    """Say the shares that are right: of fresh renders, of objects and of synonyms (`PICTURES` of each word)."""
    eyes, pipe = load_judge(judge), load_pipeline(checkpoint)
    say(f"judge: {share_of_renders(eyes, artwork, others):.1%} of {RENDERS} fresh renders named right")
    words = {"objects": [(thing, thing) for thing in THINGS]}
    words["synonyms"] = [(word, name) for name, synonyms in CLASSES.items() for word in synonyms]
    for group, pairs in words.items():
        prompts = [TEMPLATE.format(word) for word, _ in pairs for _ in range(PICTURES)]
        pictures = generate(pipe, prompts, range(len(prompts)), SAMPLING)
        pixels = np.stack([np.asarray(picture.image) for picture in pictures])
        seen = named(eyes, torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255)
        right = [
            label == name for label, (_, name) in zip(seen, (p for p in pairs for _ in range(PICTURES)), strict=True)
        ]
        say(f"model: {sum(right) / len(right):.1%} of {len(right)} pictures of {group} judged right")


def share_of_renders(judge: Judge, artwork: dict, others: dict, things: Mapping[str, Thing] = THINGS) -> float:
    """How often the judge names a fresh render of one thing, or of something it knows not, right."""
    torch.manual_seed(99)
    pictures, labels, _, _ = batch(artwork, others, random.Random(99), RENDERS, things)
    seen = named(judge, pictures)
    right = [judge.labels[label] == name for label, name in zip(labels.tolist(), seen, strict=True) if label >= 0]
    return sum(right) / len(right)


@torch.no_grad()
def named(judge: Judge, pictures: torch.Tensor) -> list[str]:
    """What the judge sees on pictures (B,3,H,W) in 0..1."""
    return [judge.labels[i] for part in pictures.split(64) for i in judge(part)["thing"].argmax(1).tolist()]
