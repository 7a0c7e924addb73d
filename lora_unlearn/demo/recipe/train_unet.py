"""The U-Net: latent diffusion (arXiv 2112.10752) on cached latents, conditioned on the frozen text encoder."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, autocast

from ..networks import LATENT_SCALE, SCHEDULE, new_unet
from ..words import THINGS, Thing
from .loop import train
from .scenes import draw, random_scene
from .train_text import Captions
from .train_vae import to_tensor

DROPOUT = 0.1
"""Share of captions replaced by the empty prompt, for classifier-free guidance."""


@torch.no_grad()
def encode_scenes(
    vae: Any, artwork: dict, count: int, seed: int = 5, things: Mapping[str, Thing] = THINGS
) -> tuple[list, Tensor]:
    """Draw `count` scenes and encode them once: (scenes, latents (N,4,16,16) of unit variance)."""
    rng = random.Random(seed)
    scenes, latents = [random_scene(rng, things=things) for _ in range(count)], []
    for start in range(0, count, 16):
        pictures = torch.stack([to_tensor(draw(scene, artwork, rng)) for scene in scenes[start : start + 16]])
        with autocast("cpu", torch.bfloat16):
            latents.append(vae.encode(pictures).latent_dist.mean.float() * LATENT_SCALE)
    return scenes, torch.cat(latents).contiguous()


def alphas_cumprod() -> Tensor:
    """The signal's share of the variance at each of the 1000 timesteps (scaled-linear schedule)."""
    start, end = SCHEDULE["beta_start"] ** 0.5, SCHEDULE["beta_end"] ** 0.5
    betas = torch.linspace(start, end, SCHEDULE["num_train_timesteps"]) ** 2
    return (1 - betas).cumprod(0)


def noised(latents: Tensor, prediction: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Noised latents, timesteps, targets and loss weights for "epsilon", "v_prediction" or "flow".

    Weights follow Min-SNR with gamma 5 (arXiv 2303.09556); flow matching draws logit-normal times.
    """
    noise, size = torch.randn_like(latents), len(latents)
    if prediction == "flow":
        sigma = torch.randn(size).sigmoid()
        spread = sigma.view(-1, 1, 1, 1)
        return (1 - spread) * latents + spread * noise, 1000 * sigma, noise - latents, torch.ones(size)
    steps = torch.randint(0, SCHEDULE["num_train_timesteps"], (size,))
    signal = alphas_cumprod()[steps]
    a, s = signal.sqrt().view(-1, 1, 1, 1), (1 - signal).sqrt().view(-1, 1, 1, 1)
    snr = signal / (1 - signal)
    if prediction == "v_prediction":
        return a * latents + s * noise, steps, a * noise - s * latents, snr.clamp(max=5) / (snr + 1)
    return a * latents + s * noise, steps, noise, snr.clamp(max=5) / snr


def train_unet(
    text: Any,
    scenes: list,
    latents: Tensor,
    path: Path,
    steps: int,
    prediction: str = "epsilon",
    batch: int = 64,
    learning_rate: float = 1e-3,
    start: Any = None,
) -> Any:
    """Train the U-Net (from the weights of `start`, if given) and return it with averaged weights."""
    from diffusers.models.attention_processor import AttnProcessor

    torch.manual_seed(6)
    captions, unet = Captions(6, stray_share=0.1), new_unet()
    unet.set_attn_processor(AttnProcessor())  # on a CPU, several times faster than the fused kernel at this size
    if start is not None:
        unet.load_state_dict(start.state_dict())
    text.requires_grad_(False)

    def loss(step: int) -> Tensor:
        chosen = torch.randint(0, len(scenes), (batch,))
        texts = ["" if captions.rng.random() < DROPOUT else captions.say(scenes[i]) for i in chosen.tolist()]
        x, timesteps, target, weight = noised(latents[chosen], prediction)
        with autocast("cpu", torch.bfloat16):
            with torch.no_grad():
                context = text(captions.tokenize(texts)).last_hidden_state
            predicted = unet(x, timesteps, context).sample
        return ((predicted.float() - target).square().mean(dim=(1, 2, 3)) * weight).mean()

    return train(unet, loss, path, steps, learning_rate, ema=0.9995)
