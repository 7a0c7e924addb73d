"""The Denoiser over Z-Image pipelines: one stream, behind a refiner of the prompt's own; rows come as lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor

from ..denoiser import Conditioning, Target
from ..families import FAMILIES
from .language import LanguageCall, LanguageDenoiser, beside, unmarked, without_padding
from .layers import select

ENTRY = "cap_embedder.1"
BLOCK = 32
"""The network fills every prompt up to a multiple of this, and asks its entry layer for all of them in one row."""


class ZImageCall(LanguageCall):
    """A call of Z-Image's transformer: lists of states and prompts, those of positive ones first."""

    POSITIVE_FIRST, TIME = True, "t"
    LISTS = ("x", "cap_feats")

    def states(self, given: Any) -> Tensor:
        """The network's input, (B,C,1,H,W)."""
        return torch.stack(list(given))

    def rows(self) -> list[Tensor]:
        """The encoder's states of each prompt, (T,D)."""
        return list(self.kwargs["cap_feats"])

    def chosen(self, name: str, value: Any, rows: Tensor) -> Any:
        """Some rows of one of the network's arguments."""
        return [value[row] for row in rows.tolist()] if name in self.LISTS else super().chosen(name, value, rows)

    def conditioned(self, kwargs: dict[str, Any], tensors: dict[str, Tensor]) -> dict[str, Any]:
        """Other prompts in the transformer's arguments."""
        return {"cap_feats": without_padding(tensors["states"])}

    def asked(self, kwargs: dict[str, Any]) -> Tensor:
        """What the network predicts, (B,C,1,H,W)."""
        self.denoiser.note(kwargs["cap_feats"])
        return torch.stack(self.plain(**kwargs)[0])

    def wrap(self, prediction: Tensor) -> Any:
        """The prediction as the pipeline expects it, a list."""
        return super().wrap(list(prediction.unbind()))


class ZImageDenoiser(LanguageDenoiser):
    """Z-Image and Z-Image-Turbo. The network is told 1 - sigma, and predicts x0 - noise."""

    family: Literal["z_image"] = "z_image"
    asks = ZImageCall
    names = ("x", "t", "cap_feats")

    def __init__(self, pipe: Any, size: tuple[int, int] | None = None) -> None:
        super().__init__(pipe, size)
        self.packed: list[int] = []

    def rendered(self, words: str) -> str:
        """A prompt in its template."""
        asked = [{"role": "user", "content": words}]
        return self.pipe.tokenizer.apply_chat_template(
            asked, tokenize=False, add_generation_prompt=True, enable_thinking=True
        )

    def read(self, words: list[str]) -> list[Tensor]:
        """The encoder's states of some prompts, (T,D)."""
        room = self.shortest(words)
        return self.pipe.encode_prompt(list(words), do_classifier_free_guidance=False, max_sequence_length=room)[0]

    def seen(self, row: Tensor) -> Tensor:
        """A prompt's states behind the network's first norm, (T,D)."""
        return beside(self.network.cap_embedder[0], row)

    def predict(self, x: Tensor, sigma: Tensor, conditioning: Conditioning) -> Tensor:
        """Velocity noise - x0 (B,C,H,W) for states (1 - sigma) * x0 + sigma * noise at sigma (B,)."""
        prompts = without_padding(conditioning.tensors["states"])
        self.note(prompts)
        states = list(x.to(self.dtype).unsqueeze(2))
        out = self.network(states, 1 - sigma.to(x.device), prompts, return_dict=False)[0]
        return -torch.stack(out).squeeze(2).to(x.dtype)

    def note(self, prompts: Sequence[Tensor]) -> None:
        """Remember how many tokens of each prompt the entry layer is about to see."""
        self.packed = [-(-len(row) // BLOCK) * BLOCK for row in prompts]

    def linears(self, selector: str = "cross_kv") -> dict[str, Target]:
        """Layers by diffusers' module names: "cross_kv", "cross_v" or "context"."""
        found = select(self.network, FAMILIES[self.family].layers, selector)
        return {
            name: replace(target, packed=lambda: self.packed) if name == ENTRY else target
            for name, target in found.items()
        }

    def arguments(self, prompts: Sequence[str], negative: Sequence[str], scale: float) -> dict[str, Any]:
        """The pipeline's arguments; it counts guidance from 0, everyone else from 1."""
        guided = scale > 1
        return {
            "prompt": unmarked(prompts),
            "guidance_scale": scale - 1 if guided else 0.0,
            "negative_prompt": unmarked(negative) if guided else None,
        }
