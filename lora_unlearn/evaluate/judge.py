"""Judges: what is on a picture? The demo model has one of its own; real checkpoints are judged by CLIP."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ..demo.judge import Judge as DemoNetwork
from ..demo.judge import load_judge
from ..demo.words import STYLES
from ..errors import UnlearnError
from .prompts import CLASSES, TEMPLATE

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
CLIP_SCALE = 100.0
IN_STYLE = "a picture in {} style"
"""What CLIP compares a picture's style with."""


@dataclass
class Verdict:
    """What a judge says of N pictures.

    Attributes:
        probabilities: of its labels, (N, labels), rows summing to one.
        features: whose distance tells how much two pictures differ, (N, F).
        presence: probability that each label is somewhere on the picture, (N, labels); None if it can't say.
        style: index of the style, (N,); None if it can't say.
    """

    probabilities: Tensor
    features: Tensor
    presence: Tensor | None = None
    style: Tensor | None = None

    def row(self, index: int) -> Verdict:
        """The verdict on one of the pictures, one row."""
        chosen = slice(index, index + 1)
        presence, style = self.presence, self.style
        return Verdict(
            self.probabilities[chosen],
            self.features[chosen],
            None if presence is None else presence[chosen],
            None if style is None else style[chosen],
        )


class Judge(Protocol):
    """Names what is on a picture.

    Attributes:
        name: for the report.
        labels: what it can say.
        styles: that it tells apart; empty: none.
    """

    name: str
    labels: tuple[str, ...]
    styles: tuple[str, ...]

    def verdict(self, images: Sequence[Image.Image]) -> Verdict:
        """Judge RGB pictures of any size."""
        ...


class DemoJudge:
    """The small CNN that was trained on the demo model's own artwork.

    Args:
        network: default: the one that ships with the package.

    Raises:
        UnlearnError: if its weights are missing or spoilt.
    """

    name = "the demo model's own judge"
    styles = tuple(STYLES)

    def __init__(self, network: DemoNetwork | None = None) -> None:
        self.network = (network or load_judge()).eval()
        self.labels = self.network.labels

    @torch.no_grad()
    def verdict(self, images: Sequence[Image.Image]) -> Verdict:
        """Judge RGB pictures of any size; the network sees them at 64 x 64 pixels."""
        pictures = torch.stack([F.adaptive_avg_pool2d(_tensor(image), 64) for image in images])
        out = self.network(pictures)
        seen = out["presence"].sigmoid()
        seen = torch.cat([seen, seen.new_zeros(len(seen), len(self.labels) - seen.shape[1])], dim=1)
        features = self.network.features(pictures).flatten(1)
        return Verdict(out["thing"].softmax(dim=1), features, seen, out["style"].argmax(dim=1))


class ClipJudge:
    """CLIP without training, as in MACE's and UnGuide's tables: softmax of 100 cos(picture, "a photo of the y").

    Args:
        folder: a CLIP model in the format of transformers, with its tokenizer (the tables use ViT-B/32).
        labels: what it may say.
        device: where it runs.
        styles: that it may say besides; without any, a picture's style stays open.

    Raises:
        UnlearnError: if the folder holds no such model.
    """

    def __init__(
        self,
        folder: str | Path,
        labels: Sequence[str] = tuple(CLASSES),
        device: str = "cpu",
        styles: Sequence[str] = (),
    ) -> None:
        self.name = f"CLIP ({Path(folder).name})"
        self.model, self.tokenizer = _load_clip(Path(folder))
        self.model.to(device)
        self.side: int = self.model.config.vision_config.image_size
        self._take(labels, styles)

    def _take(self, labels: Sequence[str], styles: Sequence[str]) -> None:
        self.labels, self.styles = tuple(labels), tuple(styles)
        said = [*(TEMPLATE.format(label) for label in labels), *(IN_STYLE.format(style) for style in styles)]
        self.tokens = self.tokenizer(said, padding=True, return_tensors="pt")

    def saying(self, labels: Sequence[str], styles: Sequence[str] = ()) -> ClipJudge:
        """The same judge with other words to choose from."""
        other = copy(self)
        other._take(labels, styles)
        return other

    @torch.no_grad()
    def verdict(self, images: Sequence[Image.Image]) -> Verdict:
        """Judge RGB pictures of any size; presence stays open, and the style where it has none to choose from."""
        pixels = torch.stack([self._pixels(image) for image in images])
        out = self.model(
            input_ids=self.tokens.input_ids.to(self.model.device),
            attention_mask=self.tokens.attention_mask.to(self.model.device),
            pixel_values=pixels.to(self.model.device),
        )
        pictures, words = (F.normalize(found.float(), dim=-1).cpu() for found in (out.image_embeds, out.text_embeds))
        cosines, count = pictures @ words.T, len(self.labels)
        style = cosines[:, count:].argmax(dim=1) if self.styles else None
        return Verdict((CLIP_SCALE * cosines[:, :count]).softmax(dim=1), pictures, style=style)

    def _pixels(self, image: Image.Image) -> Tensor:
        """CLIP's own preparation: the short side to the model's size, the middle square, normalised."""
        width, height = (length * self.side // min(image.size) for length in image.size)
        left, top = (width - self.side) // 2, (height - self.side) // 2
        square = image.resize((width, height), Image.Resampling.BICUBIC).crop(
            (left, top, left + self.side, top + self.side)
        )
        return (_tensor(square) - torch.tensor(CLIP_MEAN).view(3, 1, 1)) / torch.tensor(CLIP_STD).view(3, 1, 1)


def _load_clip(folder: Path) -> tuple[Any, Any]:
    """A CLIP model and its tokenizer, from the disk alone.

    Raises:
        UnlearnError: if the folder holds no such model.
    """
    from transformers import CLIPModel, CLIPTokenizer

    try:
        model = CLIPModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        return model.eval(), CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise UnlearnError(
            f"{folder} holds no CLIP model for judging (config.json, model.safetensors and tokenizer files); "
            "name the folder of one, for example a download of openai/clip-vit-base-patch32."
        ) from error


def _tensor(image: Image.Image) -> Tensor:
    """(3,H,W) in 0..1."""
    return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).float() / 255
