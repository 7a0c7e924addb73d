"""A denoiser that reads every prompt once: for many erasers on one model, whose gates are set on the same thousands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .denoiser import Conditioning, Denoiser
from .moments import Totals

ROOM = 2 * 2**30
"""Bytes of main memory that read prompts may take; what does not fit is read again."""


class RememberingDenoiser:
    """Hands on everything to another denoiser, and keeps what it has encoded, row by row, in main memory.

    A row is kept as it came; prompts that were read in one call have one length, and rows of another length are read
    anew, since padding is the encoder's own.

    Attributes:
        totals: sums over the prompts' tokens, for `lora_unlearn.moments.summed`.
        made: what stays the same for all erasers, for `lora_unlearn.denoiser.once`.
    """

    def __init__(self, denoiser: Denoiser, room: int = ROOM) -> None:
        self.denoiser, self.left = denoiser, room
        self.device = torch.device("cpu")
        self.known: dict[str, Conditioning] = {}
        self.totals, self.made = Totals(), dict[str, Tensor]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.denoiser, name)

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> Conditioning:
        """As the denoiser's: what is not known is read, together."""
        new = list(dict.fromkeys(prompt for prompt in prompts if prompt not in self.known))
        fresh = self.denoiser.encode(new) if new else None
        here = fresh.map(Tensor.cpu) if fresh else None
        rows = {prompt: here[place : place + 1] for place, prompt in enumerate(new)} if here else {}
        found = [rows[prompt] if prompt in rows else self.known[prompt] for prompt in prompts]
        shapes = {tuple(tensor.shape for tensor in row.tensors.values()) for row in found}
        if len(shapes) > 1 and not found[0].ragged:  # lengths differ: only the encoder knows how it pads
            return self.denoiser.encode(prompts)
        for prompt, row in rows.items():
            self._keep(prompt, row)
        if fresh is not None:
            self.device = next(iter(fresh.tensors.values())).device
            if new == list(prompts):
                return fresh
        return Conditioning.cat(row.map(lambda tensor: tensor.to(self.device)) for row in found)

    def _keep(self, prompt: str, row: Conditioning) -> None:
        size = sum(tensor.numel() * tensor.element_size() for tensor in row.tensors.values())
        if size <= self.left:
            self.known[prompt] = row
            self.left -= size
