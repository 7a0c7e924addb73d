"""The Denoiser over Krea 2 pipelines: twelve layers of the encoder, fused by the network before one stream begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from .language import beside, unmarked
from .packed import PackedCall, PackedDenoiser, masked
from .schedules import shift_exponent

DISTILLED_SHIFT = 1.15


class Krea2Call(PackedCall):
    """A call of Krea 2's transformer."""

    MASK = "encoder_attention_mask"

    def conditioned(self, kwargs: dict[str, Any], tensors: dict[str, Tensor]) -> dict[str, Any]:
        """Other prompts in the transformer's arguments; their tokens all stand at the origin."""
        changed = super().conditioned(kwargs, tensors)
        pictures = kwargs["position_ids"][-kwargs["hidden_states"].shape[1] :]
        prompts = pictures.new_zeros(changed["encoder_hidden_states"].shape[1], pictures.shape[1])
        return changed | {"position_ids": torch.cat([prompts, pictures])}


class Krea2Denoiser(PackedDenoiser):
    """Krea 2, Raw and Turbo."""

    family: Literal["krea2"] = "krea2"
    asks = Krea2Call
    names = ("hidden_states", "encoder_hidden_states", "timestep", "position_ids", "encoder_attention_mask")

    def rendered(self, words: str) -> str:
        """A prompt in its template."""
        return self.pipe.prompt_template_encode_prefix + words + self.pipe.prompt_template_encode_suffix

    def read(self, words: list[str]) -> list[Tensor]:
        """The encoder's states of some prompts, (T,layers,D)."""
        return masked(*self.pipe.encode_prompt(words, max_sequence_length=self.shortest(words)))

    def seen(self, row: Tensor) -> Tensor:
        """A prompt's states, fused and refined, behind the norm of the entry, (T,D)."""
        fused = beside(self.network.text_fusion, row[None])[0]
        return beside(self.network.txt_in.norm, fused)

    def placed(self, states: Tensor, mask: Tensor | None, count: int, height: int, width: int) -> dict[str, Any]:
        """The mask of the prompts, and where patches lie."""
        places = self.pipe.prepare_position_ids(states.shape[1], height, width, states.device)
        return {"encoder_attention_mask": mask, "position_ids": places}

    def shift(self, steps: int) -> float:
        """The exponent of the schedule's shift."""
        if self.pipe.config.is_distilled:
            return DISTILLED_SHIFT
        _, height, width = self.shape
        config = {"max_image_seq_len": 6400, **self.pipe.scheduler.config}
        return shift_exponent(config, height * width // 4)

    def arguments(self, prompts: Sequence[str], negative: Sequence[str], scale: float) -> dict[str, Any]:
        """The pipeline's arguments; it counts guidance from 0, everyone else from 1."""
        found: dict[str, Any] = {"prompt": unmarked(prompts), "guidance_scale": max(0.0, scale - 1)}
        return found | ({"negative_prompt": unmarked(negative)} if scale > 1 else {})
