"""What a gate makes of one prompt, before anything is drawn: open or closed, and which word made it so."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .adapter import Adapter
from .calibrate import text_scores
from .denoiser import Denoiser
from .errors import UnlearnError
from .look import decide_prompts

MOST_WORDS = 60
"""Words of a prompt that are tried one by one; of a longer prompt the first ones are."""


@dataclass(frozen=True)
class Tried:
    """A prompt that was tried.

    Attributes:
        open: whether the eraser would act.
        score, threshold: the gate's score and where it opens.
        by: "text", or "look" if the network was asked and decided.
        parts: the prompt in pieces, each with how much it moves the gate, 0 to 1; spaces and commas have 0.
    """

    open: bool
    score: float
    threshold: float
    parts: list[tuple[str, float]]
    by: str = "text"

    @property
    def word(self) -> str:
        """The word that moves the gate most; empty if none does."""
        text, share = max(self.parts, key=lambda part: part[1], default=("", 0.0))
        return text if share > 0 else ""

    def __str__(self) -> str:
        if not self.open:
            return "Stays closed: the picture will be the model's own, byte for byte."
        because = f' because of "{self.word}"' if self.word and self.by == "text" else ""
        if self.by == "look":
            because = " because the model begins to draw the concept"
        return f"Opens{because}: the concept will be erased."


def try_prompt(denoiser: Denoiser, adapter: Adapter, prompt: str) -> Tried:
    """Ask an eraser's gate about a prompt, and find the word that counts: the one without which the score falls most.

    Encodes the prompt once as it is and once without each of its words; a gate that takes a second look asks the
    network about the whole prompt.

    Raises:
        UnlearnError: if the gate decides while a picture is drawn, or was made for another kind of model.
    """
    gate = adapter.gate
    if not gate.direction or gate.probes:
        raise UnlearnError(
            "This eraser's gate looks at the picture while it is drawn, so a prompt can't be tried beforehand; draw it."
        )
    pieces = re.findall(r"[^\s,.;:!?()\[\]]+|[\s,.;:!?()\[\]]+", prompt)
    words = [i for i, piece in enumerate(pieces) if re.search(r"\w", piece)][:MOST_WORDS]
    without = ["".join(piece for j, piece in enumerate(pieces) if j != i) for i in words]
    score, *fallen = text_scores(denoiser, gate, [prompt, *without]).tolist()
    falls = {i: max(0.0, score - left) for i, left in zip(words, fallen, strict=True)}
    most = max(falls.values(), default=0.0)
    parts = [(piece, falls.get(i, 0.0) / most if most else 0.0) for i, piece in enumerate(pieces)]
    decision = decide_prompts(denoiser, adapter, [prompt])[0]
    return Tried(bool(decision.open), decision.score or 0.0, decision.threshold or 0.0, parts, decision.by)
