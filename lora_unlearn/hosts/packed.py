"""What Qwen-Image and Krea 2 share: patches of 2x2 in a row, and a mask that tells prompts from padding."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..denoiser import Conditioning
from .language import LanguageCall, LanguageDenoiser, without_padding


class PackedCall(LanguageCall):
    """A call for one side of the guidance; one for the negative prompts follows."""

    ALTERNATES = True
    MASK: str

    def rows(self) -> list[Tensor]:
        """The encoder's states of each prompt, (T,...)."""
        return masked(self.kwargs["encoder_hidden_states"], self.kwargs.get(self.MASK))

    def conditioned(self, kwargs: dict[str, Any], tensors: dict[str, Tensor]) -> dict[str, Any]:
        """Other prompts in the transformer's arguments; they may be of another length."""
        states, mask = together(tensors["states"])
        return {"encoder_hidden_states": states, self.MASK: mask}


class PackedDenoiser(LanguageDenoiser):
    """The base of the two."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C,H,W) of the states."""
        return self.network.config.in_channels // 4, *self.sides

    def predict(self, x: Tensor, sigma: Tensor, conditioning: Conditioning) -> Tensor:
        """Velocity noise - x0 (B,C,H,W) for states (1 - sigma) * x0 + sigma * noise at sigma (B,)."""
        states, mask = together(conditioning.tensors["states"])
        velocity = self.network(
            hidden_states=packed(x.to(self.dtype)),
            timestep=sigma.to(x.device, self.dtype),
            encoder_hidden_states=states,
            return_dict=False,
            **self.placed(states, mask, len(x), x.shape[-2] // 2, x.shape[-1] // 2),
        )[0]
        return unpacked(velocity, *x.shape[-2:]).to(x.dtype)

    def placed(self, states: Tensor, mask: Tensor | None, count: int, height: int, width: int) -> dict[str, Any]:
        """The network's further arguments.

        Args:
            states, mask: of the prompts, see `together`.
            count: of the pictures.
            height, width: in patches.
        """
        raise NotImplementedError


def masked(states: Tensor, mask: Tensor | None) -> list[Tensor]:
    """The tokens (R,T,...) of each row that a mask (R,T) leaves; without a mask all of them."""
    return list(states) if mask is None else [row[own.bool()] for row, own in zip(states, mask, strict=True)]


def together(states: Tensor) -> tuple[Tensor, Tensor | None]:
    """Prompts (R,T,...) as short as they may be, and the mask of their tokens (R,T); None where all of them count."""
    rows = without_padding(states)
    lengths = torch.tensor([len(row) for row in rows], device=states.device)
    longest = int(lengths.max())
    mask = torch.arange(longest, device=states.device) < lengths[:, None]
    return pad_sequence(rows, batch_first=True), None if bool(mask.all()) else mask


def packed(x: Tensor) -> Tensor:
    """States (B,C,H,W) as patches in a row, (B, H/2 * W/2, 4C)."""
    count, channels, height, width = x.shape
    patches = x.view(count, channels, height // 2, 2, width // 2, 2).permute(0, 2, 4, 1, 3, 5)
    return patches.reshape(count, height * width // 4, 4 * channels)


def unpacked(patches: Tensor, height: int, width: int) -> Tensor:
    """The inverse of `packed`."""
    count, _, channels = patches.shape
    x = patches.view(count, height // 2, width // 2, channels // 4, 2, 2).permute(0, 3, 1, 4, 2, 5)
    return x.reshape(count, channels // 4, height, width)
