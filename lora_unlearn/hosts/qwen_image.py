"""The Denoiser over Qwen-Image pipelines: prompt and picture in one attention, each with projections of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from torch import Tensor

from .language import beside, unmarked
from .packed import PackedCall, PackedDenoiser, masked


class QwenImageCall(PackedCall):
    """A call of Qwen-Image's transformer."""

    MASK = "encoder_hidden_states_mask"


class QwenImageDenoiser(PackedDenoiser):
    """Qwen-Image."""

    family: Literal["qwen_image"] = "qwen_image"
    asks = QwenImageCall
    names = ("hidden_states", "encoder_hidden_states", "encoder_hidden_states_mask", "timestep", "img_shapes")

    def rendered(self, words: str) -> str:
        """A prompt in its template."""
        return self.pipe.prompt_template_encode.format(words)

    def read(self, words: list[str]) -> list[Tensor]:
        """The encoder's states of some prompts, (T,D)."""
        return masked(*self.pipe.encode_prompt(words))

    def seen(self, row: Tensor) -> Tensor:
        """A prompt's states behind the network's first norm, (T,D)."""
        return beside(self.network.txt_norm, row)

    def placed(self, states: Tensor, mask: Tensor | None, count: int, height: int, width: int) -> dict[str, Any]:
        """The mask of the prompts, and the pictures' shapes."""
        return {"encoder_hidden_states_mask": mask, "img_shapes": [[(1, height, width)]] * count}

    def arguments(self, prompts: Sequence[str], negative: Sequence[str], scale: float) -> dict[str, Any]:
        """The pipeline's arguments; where nothing is negative its makers take a space."""
        found: dict[str, Any] = {"prompt": unmarked(prompts), "true_cfg_scale": scale}
        return found | ({"negative_prompt": [one or " " for one in unmarked(negative)]} if scale > 1 else {})
