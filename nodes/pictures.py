"""Pictures between the host's IMAGE and Pillow, and what a node shows of itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from comfy_api.v0_0_2 import ui
from PIL import Image
from torch import Tensor

from .messages import told


def to_pillow(images: Tensor) -> list[Image.Image]:
    """An IMAGE (B,H,W,3) in 0..1 as RGB pictures, rounded as the host's Save Image does."""
    return [Image.fromarray((255.0 * image.cpu().numpy()).clip(0, 255).astype(np.uint8)) for image in images]


def to_image(picture: Image.Image) -> Tensor:
    """A picture as an IMAGE (1,H,W,3) in 0..1."""
    return torch.from_numpy(np.array(picture.convert("RGB"))).float()[None] / 255


def shown(node: Any, text: str, image: Tensor) -> dict[str, Any]:
    """What a node shows when it has run: lines of text and a picture."""
    return {**told(text), **ui.PreviewImage(image, cls=node).as_dict()}
