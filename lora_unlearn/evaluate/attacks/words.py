"""The words that a search may use."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from ...concept import Concept
from ...vocabulary import Vocabulary

MOST = 20_000
"""The most frequent ones."""


@dataclass(frozen=True)
class Words:
    """Words of one token each, with the encoder's table's row of each, (N,E)."""

    names: list[str]
    rows: Tensor

    @classmethod
    def without(cls, concept: Concept, vocabulary: Vocabulary) -> Words:
        """The most frequent whole words of a vocabulary, without the concept's own."""
        names = [word for word in vocabulary.words[:MOST] if not concept.named_in(word)]
        return cls(names, vocabulary.embed(names))

    def similarity(self, rows: Tensor) -> Tensor:
        """Cosines of some rows (M,E) with those of all words, (M,N)."""
        return F.normalize(rows.to(self.rows), dim=-1) @ F.normalize(self.rows, dim=-1).T

    def nearest(self, free: Tensor) -> list[int]:
        """For each vector (M,E) the word with the most similar row."""
        found: list[int] = self.similarity(free).argmax(-1).tolist()
        return found
