"""Which of many prompts reads most like another one, as the model's own text encoder has it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ...denoiser import Conditioning
from ...look import CHUNK
from .victim import Victim


def states(victim: Victim, prompts: Sequence[str]) -> Tensor:
    """The text encoder's states of prompts, one long vector each: (N, tokens * width)."""
    found = [flat(victim.denoiser.encode(prompts[i : i + CHUNK])) for i in range(0, len(prompts), CHUNK)]
    return torch.cat(found)


def flat(asked: Conditioning) -> Tensor:
    """The text of rows as one vector each."""
    return asked.tensors["text"].detach().flatten(1).float()


def nearness(victim: Victim, prompts: Sequence[str], wanted: Tensor) -> Tensor:
    """Cosines of prompts with a wanted state (tokens * width), both from the empty prompt's: (N,)."""
    empty = states(victim, [""])
    return F.cosine_similarity(states(victim, prompts) - empty, wanted[None] - empty, dim=1)


def nearest_shut(victim: Victim, prompts: Sequence[str], prompt: str) -> str:
    """The prompt that reads most like another one, of those that leave the gate shut; of all if none does."""
    near = nearness(victim, prompts, states(victim, [prompt])[0]).cpu()
    shut = torch.tensor(victim.shut(prompts))
    return prompts[int((near + 10.0 * shut).argmax())]
