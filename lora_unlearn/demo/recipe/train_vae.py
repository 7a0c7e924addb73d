"""The VAE: pictures to 8 times smaller latents and back."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, autocast, nn
from torch.nn import Conv2d

from ..networks import LATENT_SCALE, new_vae
from .loop import train
from .scenes import draw, random_scene

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

CROP, BATCH = 96, 7
COLOUR_WEIGHT = 4.0
"""Weight of the squared errors of 8-pixel means."""


class Probed(nn.Module):
    """The autoencoder with a linear reader of mean colours from its latents (thrown away afterwards).

    The reader gives the encoder a direct reason to keep colour: through the decoder alone the red-green axis
    is a saddle point that a short training does not leave.
    """

    def __init__(self) -> None:
        super().__init__()
        self.vae = new_vae()
        self.reader = Conv2d(4, 3, 1)
        with torch.no_grad():
            self.vae.quant_conv.bias[4:] = -6.0

    def forward(self, pictures: Tensor) -> Tensor:
        """L1 + L1 of the gradients + squared error of 8-pixel means, decoded and read + a tiny KL term."""
        posterior = self.vae.encode(pictures).latent_dist
        decoded = self.vae.decode(posterior.sample()).sample.float()
        colours = F.avg_pool2d(pictures, 8)
        fine = F.l1_loss(decoded, pictures) + _gradient_l1(decoded, pictures)
        coarse = F.mse_loss(F.avg_pool2d(decoded, 8), colours) + F.mse_loss(
            self.reader(posterior.mean).float(), colours
        )
        return fine + COLOUR_WEIGHT * coarse + 1e-6 * posterior.kl().mean()


def train_vae(artwork: dict, folder: Path, steps: int = 1200) -> AutoencoderKL:
    """Train the autoencoder on crops and return it, standardised.

    The logarithm of the posterior's variance starts at -6: with torch's default the unit noise drowns the
    mean and nothing is learned.
    """
    torch.manual_seed(1)
    rng, probed = random.Random(1), Probed()

    def loss(step: int) -> Tensor:
        pictures = torch.stack([_crop(draw(random_scene(rng), artwork, rng), rng) for _ in range(BATCH)])
        with autocast("cpu", torch.bfloat16):
            return probed(pictures)

    train(probed, loss, folder / "vae.safetensors", steps, 2e-3, ema=0.99)
    return standardise(probed.vae, artwork)


def polish_decoder(vae: AutoencoderKL, artwork: dict, folder: Path, steps: int = 2000) -> AutoencoderKL:
    """Train the decoder further with the encoder frozen: pictures get sharper, latents stay what they are."""
    torch.manual_seed(7)
    rng = random.Random(7)
    for part in (vae.encoder, vae.quant_conv):
        part.requires_grad_(False)

    def loss(step: int) -> Tensor:
        pictures = torch.stack([_crop(draw(random_scene(rng), artwork, rng), rng) for _ in range(BATCH)])
        with autocast("cpu", torch.bfloat16):
            with torch.no_grad():
                latents = vae.encode(pictures).latent_dist.mean
            decoded = vae.decode(latents).sample.float()
        return F.l1_loss(decoded, pictures) + _gradient_l1(decoded, pictures)

    return train(vae, loss, folder / "decoder.safetensors", steps, 1e-3, ema=0.99)


@torch.no_grad()
def standardise(vae: AutoencoderKL, artwork: dict) -> AutoencoderKL:
    """Fold a scale and shift into the 1x1 convolutions so that latents times 0.18215 have unit variance."""
    rng = random.Random(2)
    pictures = torch.stack([to_tensor(draw(random_scene(rng), artwork, rng)) for _ in range(64)])
    latents = vae.encode(pictures).latent_dist.mean
    shift, scale = latents.mean(dim=(0, 2, 3)), 1.0 / (latents.std() * LATENT_SCALE)
    into, out = vae.quant_conv, vae.post_quant_conv
    out.bias += out.weight[:, :, 0, 0] @ shift
    out.weight /= scale
    into.bias[:4] = (into.bias[:4] - shift) * scale
    into.weight[:4] *= scale
    into.bias[4:] += 2 * scale.log()
    return vae


def to_tensor(picture: Image.Image) -> Tensor:
    """An RGB picture as (3,H,W) in -1..1."""
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 127.5 - 1.0


def _crop(picture: Image.Image, rng: random.Random) -> Tensor:
    left, top = rng.randint(0, picture.width - CROP), rng.randint(0, picture.height - CROP)
    return to_tensor(picture.crop((left, top, left + CROP, top + CROP)))


def _gradient_l1(a: Tensor, b: Tensor) -> Tensor:
    return F.l1_loss(a.diff(dim=-1), b.diff(dim=-1)) + F.l1_loss(a.diff(dim=-2), b.diff(dim=-2))
