"""The text encoder, trained as CLIP was: captions against pictures, InfoNCE (arXiv 2103.00020)."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, autocast, nn
from torch.nn import Conv2d, GroupNorm, Linear

from ..networks import TEXT, new_text_encoder, new_tokenizer
from ..words import THINGS
from .loop import train
from .scenes import Scene, caption, draw, random_scene
from .train_vae import to_tensor

if TYPE_CHECKING:
    from transformers import CLIPTextModel

BATCH, THUMBNAIL = 192, 32


class ContrastivePair(nn.Module):
    """The text encoder with the small picture encoder that teaches it (the latter is thrown away)."""

    def __init__(self) -> None:
        super().__init__()
        self.text = new_text_encoder()
        widths = (3, 32, 64, 128)
        layers = []
        for before, after in zip(widths, widths[1:], strict=False):
            layers += [Conv2d(before, after, 3, stride=2, padding=1), GroupNorm(8, after), nn.SiLU()]
        self.picture = nn.Sequential(*layers, nn.Flatten(), Linear(128 * 16, TEXT["hidden_size"]))
        self.log_scale = nn.Parameter(torch.tensor(2.3))

    def forward(self, ids: Tensor, thumbnails: Tensor) -> Tensor:
        """InfoNCE of (B,77) token ids against (B,3,32,32) pictures."""
        words = F.normalize(self.text(ids).pooler_output, dim=-1)
        sights = F.normalize(self.picture(thumbnails), dim=-1)
        logits = self.log_scale.exp().clamp(max=60.0) * words @ sights.T
        pairs = torch.arange(len(ids))
        return (F.cross_entropy(logits, pairs) + F.cross_entropy(logits.T, pairs)) / 2


class Captions:
    """Captions with stray words mixed in, so that words which the model never met do little harm."""

    def __init__(self, seed: int, stray_share: float) -> None:
        self.tokenizer = new_tokenizer()
        self.rng = random.Random(seed)
        self.stray_share = stray_share
        known = {part for thing in THINGS.values() for word in thing.words for part in word.text.split()}
        vocabulary = [token.removesuffix("</w>") for token in self.tokenizer.get_vocab() if token.endswith("</w>")]
        self.strays = [word for word in vocabulary if word.isalpha() and len(word) > 2 and word not in known]

    def say(self, scene: Scene) -> str:
        """A caption of the scene, with one to twelve stray words in part of the cases."""
        words = caption(scene, self.rng).split()
        if self.rng.random() < self.stray_share:
            for _ in range(self.rng.choice((1, 1, 2, 2, 3, 4, 6, 12))):
                words.insert(self.rng.randint(0, len(words)), self.rng.choice(self.strays))
        return " ".join(words)

    def tokenize(self, texts: list[str], padding: str = "max_length") -> Tensor:
        """Token ids (B,77), padded with the end token; padding "longest": only as wide as the longest text."""
        return self.tokenizer(texts, padding=padding, max_length=77, truncation=True, return_tensors="pt").input_ids


def train_text(artwork: dict, folder: Path, steps: int = 2000) -> CLIPTextModel:
    """Train the text encoder; returns a `CLIPTextModel`."""
    torch.manual_seed(3)
    captions, pair, rng = Captions(3, stray_share=0.3), ContrastivePair(), random.Random(3)

    def loss(step: int) -> Tensor:
        scenes = [random_scene(rng) for _ in range(BATCH)]
        pictures = torch.stack([to_tensor(draw(scene, artwork, rng).resize((THUMBNAIL,) * 2, 4)) for scene in scenes])
        ids = captions.tokenize([captions.say(scene) for scene in scenes], "longest")  # causal: padding changes nothing
        with autocast("cpu", torch.bfloat16):
            return pair(ids, pictures).float()

    return train(pair, loss, folder / "text.safetensors", steps, 1e-3, ema=0.99).text
