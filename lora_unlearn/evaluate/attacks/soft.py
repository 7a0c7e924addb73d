"""Prompts some of whose tokens are vectors: what an embedding file, or a search along gradients, hands the encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...denoiser import Conditioning
from ...errors import UnlearnError
from ...families import FAMILIES
from .victim import Victim

WITH_ONE_ENCODER = ("sd1", "sd2", "demo", "language")


@dataclass(frozen=True)
class Layout:
    """Where the free tokens stand: between two lists of token ids."""

    before: list[int]
    after: list[int]


class Soft:
    """A text encoder that takes vectors in some places.

    Raises:
        UnlearnError: if the model's prompts are not read by one text encoder alone.
    """

    def __init__(self, victim: Victim) -> None:
        check_soft(victim.denoiser.family)
        pipe: Any = victim.denoiser.pipe  # type: ignore[attr-defined]
        self.tokenizer, self.encoder = pipe.tokenizer, pipe.text_encoder
        self.table = self.encoder.get_input_embeddings()

    def ids(self, text: str) -> list[int]:
        """Token ids of a text, without start and end."""
        return list(self.tokenizer(text, add_special_tokens=False, verbose=False).input_ids)

    def rows(self, text: str) -> Tensor:
        """The table's rows of a text's tokens, (tokens, E)."""
        return self.table.weight[self.ids(text)].detach().float()

    def instead_of(self, prompt: str, words: Sequence[str]) -> Layout:
        """Free tokens in the place of the first of some words in a prompt; behind it where it has none of them."""
        whole = self.ids(prompt)
        for own in sorted((self.ids(word) for word in words), key=len, reverse=True):
            for start in range(len(whole) - len(own) + 1):
                if whole[start : start + len(own)] == own:
                    return Layout(whole[:start], whole[start + len(own) :])
        return Layout(whole, [])

    def before(self, prompt: str) -> Layout:
        """Free tokens in front of a prompt."""
        return Layout([], self.ids(prompt))

    def encode(self, layout: Layout, free: Tensor) -> Conditioning:
        """One row, with gradients for the free tokens (tokens, E)."""
        room = self.tokenizer.model_max_length
        own = [*layout.before, *[self.tokenizer.eos_token_id - 2] * len(free), *layout.after][: room - 2]
        ids = [self.tokenizer.bos_token_id, *own, self.tokenizer.eos_token_id]
        ids += [self.tokenizer.pad_token_id] * (room - len(ids))
        first = 1 + len(layout.before)

        def put(module: Any, given: Any, rows: Tensor) -> Tensor:
            parts = rows[:, :first], free[None].to(rows), rows[:, first + len(free) :]
            return torch.cat(parts, dim=1)

        hook = self.table.register_forward_hook(put)
        try:
            return Conditioning({"text": self.encoder(torch.tensor([ids], device=self.table.weight.device))[0]})
        finally:
            hook.remove()


def check_soft(family: str) -> None:
    """Refuse a model whose prompts are not read by one text encoder.

    Raises:
        UnlearnError: naming the family.
    """
    if family not in WITH_ONE_ENCODER:
        known = ", ".join(FAMILIES[name].title for name in WITH_ONE_ENCODER)
        raise UnlearnError(
            f"This attack moves the vectors of a single text encoder ({known}), which {FAMILIES[family].title} "
            "does not have; take an attack on words, such as ringabell."
        )
