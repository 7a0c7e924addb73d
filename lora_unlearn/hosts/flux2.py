"""The Denoiser over FLUX.2 Klein pipelines: three layers of the encoder side by side, always 512 tokens, no mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from ..denoiser import Conditioning
from .language import LanguageCall, LanguageDenoiser, unmarked, without_padding

HEARD_PADDING = 16
"""Of the padding behind a prompt, which has read it and which the network reads, this many tokens stand for all."""


class Flux2Call(LanguageCall):
    """A call of FLUX.2's transformer; under guidance one for the negative prompts follows."""

    ALTERNATES = True

    def rows(self) -> list[Tensor]:
        """The encoder's states of each prompt, (512,D)."""
        return list(self.kwargs["encoder_hidden_states"])

    def conditioned(self, kwargs: dict[str, Any], tensors: dict[str, Tensor]) -> dict[str, Any]:
        """Other prompts in the transformer's arguments."""
        states = torch.stack(without_padding(tensors["states"]))
        ids = self.denoiser.pipe._prepare_text_ids(states).to(states.device)
        return {"encoder_hidden_states": states, "txt_ids": ids}


class Flux2Denoiser(LanguageDenoiser):
    """FLUX.2 Klein. States are patches of 2x2, with four times the channels of the VAE's."""

    family: Literal["flux2"] = "flux2"
    asks = Flux2Call
    names = ("hidden_states", "encoder_hidden_states", "timestep", "img_ids", "txt_ids", "guidance")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C,H,W) of the states."""
        height, width = self.sides
        return self.network.config.in_channels, height // 2, width // 2

    def rendered(self, words: str) -> str:
        """A prompt in its template."""
        asked = [{"role": "user", "content": words}]
        return self.pipe.tokenizer.apply_chat_template(
            asked, tokenize=False, add_generation_prompt=True, enable_thinking=False
        )

    def read(self, words: list[str]) -> list[Tensor]:
        """The encoder's states of some prompts, padding included, (512,D)."""
        return list(self.pipe.encode_prompt(words)[0])

    def parts(self, row: Tensor) -> tuple[Tensor, Tensor]:
        """A prompt's words, (N,D), and the template and some of the padding behind them, (K,D)."""
        end = self.end(row)
        padding = torch.linspace(end + self.tail, len(row) - 1, HEARD_PADDING).long().clamp(max=len(row) - 1)
        return row[self.head : end], torch.cat([row[end : end + self.tail], row[padding.to(row.device)]])

    def end(self, row: Tensor) -> int:
        """Where a prompt's words end in its states (T,D), which come without token ids: where what follows is most like
        the template behind an empty prompt.
        """
        marks = self.marks.to(row.device)
        starts = torch.arange(self.head, len(row) - self.tail + 1, device=row.device)
        far = sum(
            (row[starts + place].float() - mark).square().sum(1) / mark.square().sum()
            for place, mark in enumerate(marks)
        )
        return int(starts[torch.as_tensor(far).argmin()])

    @property
    def marks(self) -> Tensor:
        """The states of the template behind an empty prompt, (tail,D)."""
        if self._marks is None:
            with torch.no_grad():
                self._marks = self.read([""])[0][self.head : self.head + self.tail].float()
        return self._marks

    _marks: Tensor | None = None

    def predict(self, x: Tensor, sigma: Tensor, conditioning: Conditioning) -> Tensor:
        """Velocity noise - x0 (B,C,H,W) for states (1 - sigma) * x0 + sigma * noise at sigma (B,)."""
        states = torch.stack(without_padding(conditioning.tensors["states"]))
        velocity = self.network(
            hidden_states=x.to(self.dtype).flatten(2).transpose(1, 2),
            timestep=sigma.to(x.device, self.dtype),
            encoder_hidden_states=states,
            txt_ids=self.pipe._prepare_text_ids(states).to(x.device),
            img_ids=self.pipe._prepare_latent_ids(x).to(x.device),
            guidance=None,
            return_dict=False,
        )[0]
        return velocity.transpose(1, 2).unflatten(2, x.shape[-2:]).to(x.dtype)

    def shift(self, steps: int) -> float:
        """The exponent of the schedule's shift, which the makers fitted to picture size and steps."""
        from diffusers.pipelines.flux2.pipeline_flux2_klein import compute_empirical_mu

        _, height, width = self.shape
        return compute_empirical_mu(image_seq_len=height * width, num_steps=steps)

    def arguments(self, prompts: Sequence[str], negative: Sequence[str], scale: float) -> dict[str, Any]:
        """The pipeline's arguments; it takes negative prompts only as states."""
        found: dict[str, Any] = {"prompt": unmarked(prompts), "guidance_scale": scale}
        if scale > 1 and any(negative) and not self.pipe.config.is_distilled:
            found["negative_prompt_embeds"] = self.pipe.encode_prompt(unmarked(negative))[0]
        return found
