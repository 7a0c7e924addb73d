"""Prompts to conditionings with a diffusers pipeline's own text encoders: weights in brackets, any length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..denoiser import Conditioning


@torch.no_grad()
def encode_clip(pipe: Any, prompts: Sequence[str]) -> Conditioning:
    """SD1 and SD2: the last hidden state (or the one that the pipeline's clip_skip default names), (R,77,width)."""
    hidden, _ = pipe.encode_prompt(list(prompts), pipe.unet.device, 1, do_classifier_free_guidance=False)
    return Conditioning({"text": hidden})


@torch.no_grad()
def encode_xl(pipe: Any, prompts: Sequence[str], size: tuple[int, int]) -> Conditioning:
    """SDXL: both encoders' penultimate states (R,77,2048), pooled (R,1280) and size ids (R,6)."""
    hidden, _, pooled, _ = pipe.encode_prompt(list(prompts), device=pipe.unet.device, do_classifier_free_guidance=False)
    ids = torch.tensor([*size, 0, 0, *size], dtype=hidden.dtype, device=hidden.device)
    return Conditioning({"text": hidden, "pooled": pooled, "time_ids": ids.expand(len(prompts), 6)})
