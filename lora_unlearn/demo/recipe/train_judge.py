"""The judge's training: renders of scenes, of other artwork, and of spoilt pictures."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, autocast

from ..judge import Judge
from ..words import STYLES, THINGS, Thing
from .artwork import read_icons, render
from .loop import train
from .scenes import Scene, draw, random_scene
from .train_vae import to_tensor

BATCH = 64
OTHERS = (
    "banana grapes watermelon cheese-wedge hamburger pizza doughnut birthday-cake soccer-ball basketball trophy drum "
    "trumpet telephone television laptop camera light-bulb closed-book envelope pencil scissors key hammer umbrella "
    "cloud snowman crescent-moon sun fire droplet mushroom cactus snail butterfly honeybee octopus crab turtle "
    "elephant pig cow panda monkey bicycle locomotive tractor tent crown glasses eyes clown-face ghost alien robot"
).split()
"""Artwork that the model never sees: the judge must not take it for one of the 22 objects."""


def other_artwork(node_modules: Path, names: Sequence[str] = OTHERS) -> dict:
    """`{(style, name): RGBA image}` of artwork that stands for none of the objects."""
    icons = {style: read_icons(node_modules, package) for style, package in STYLES.items()}
    return {
        (style, name): render(sets, name)
        for style, sets in icons.items()
        for name in names
        if name in sets["icons"] or name in sets.get("aliases", {})
    }


def sample(
    artwork: dict, others: dict, rng: random.Random, things: Mapping[str, Thing] = THINGS
) -> tuple[Tensor, int, Tensor, int]:
    """One picture (3,64,64) in 0..1 with its label, presence vector and style (-1: does not count)."""
    scene = random_scene(rng, 0.2, things)
    presence = torch.tensor([float(thing in scene.things) for thing in things])
    label = list(things).index(scene.things[0]) if len(scene.things) == 1 else -1
    style = list(STYLES).index(scene.style)
    picture = _picture(scene, artwork, rng)
    kind = rng.random()
    if kind < 0.12:
        style_name, name = rng.choice(list(others))
        odd = Scene(("other",), (name,), style_name, scene.colour)
        return _picture(odd, others, rng), len(things), torch.zeros(len(things)), list(STYLES).index(style_name)
    if kind < 0.15:
        blank = to_tensor(draw(Scene((), (), scene.style, scene.colour), artwork, rng).resize((64, 64), 4)) / 2 + 0.5
        return _spoil(blank, rng, 0.3), len(things), torch.zeros(len(things)), -1
    return picture, label, presence, style


def train_judge(
    artwork: dict,
    others: dict,
    folder: Path,
    steps: int = 1500,
    things: Mapping[str, Thing] = THINGS,
    start: Judge | None = None,
) -> Judge:
    """Train the judge on fresh renders, blurred and noised at random.

    Args:
        start: a judge of other things; its picture features are where this one begins.
    """
    torch.manual_seed(4)
    judge, rng = Judge(things), random.Random(4)
    if start is not None:
        judge.body.load_state_dict(start.body.state_dict())

    def loss(step: int) -> Tensor:
        pictures, labels, presence, styles = batch(artwork, others, rng, BATCH, things)
        judge.train()
        with autocast("cpu", torch.bfloat16):
            out = judge(pictures)
        out = {name: value.float() for name, value in out.items()}
        named = F.cross_entropy(out["thing"], labels, ignore_index=-1, label_smoothing=0.02)
        seen = F.binary_cross_entropy_with_logits(out["presence"], presence)
        return named + 3 * seen + 0.5 * F.cross_entropy(out["style"], styles, ignore_index=-1)

    return train(judge, loss, folder / "judge.safetensors", steps, 2e-3, ema=0.99)


def batch(
    artwork: dict, others: dict, rng: random.Random, size: int, things: Mapping[str, Thing] = THINGS
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`size` samples stacked."""
    pictures, labels, presence, styles = zip(*(sample(artwork, others, rng, things) for _ in range(size)), strict=True)
    return torch.stack(pictures), torch.tensor(labels), torch.stack(presence), torch.tensor(styles)


def _picture(scene: Scene, artwork: dict, rng: random.Random) -> Tensor:
    return _spoil(to_tensor(draw(scene, artwork, rng).resize((64, 64), 4)) / 2 + 0.5, rng, 0.06)


def _spoil(picture: Tensor, rng: random.Random, noise: float) -> Tensor:
    """Blur, noise and a slight change of colour: what a small VAE and U-Net do to a picture."""
    if rng.random() < 0.5:
        small = rng.choice((20, 24, 32, 40, 48))
        soft = F.interpolate(F.adaptive_avg_pool2d(picture[None], small), (64, 64), mode="bilinear")[0]
        picture = soft
    if rng.random() < 0.3:
        waves = F.interpolate(torch.randn(1, 3, 8, 8), (64, 64), mode="bilinear")[0]
        picture = picture + noise * waves
    if rng.random() < 0.3:
        picture = picture + noise * rng.random() * torch.randn_like(picture)
    return (picture * rng.uniform(0.9, 1.1) + rng.uniform(-0.05, 0.05)).clamp(0, 1)
