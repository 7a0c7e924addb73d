"""What a training starts from, and what is the whole eraser where nothing is trained.

A start is a frozen dataclass, called with the scene; `moves` says what the optimizer does with its directions.
"""

from __future__ import annotations

from typing import ClassVar, Protocol

from ...lora import Lora
from ..scene import Scene
from .discriminant import Discriminant
from .edit import Edit
from .moves import Moves
from .random import Random
from .scaled import Scaled, Selective
from .slug import Slug
from .solved import Solved
from .speed import Speed
from .uce import Uce


class Start(Protocol):
    """A first adapter."""

    moves: ClassVar[Moves]

    def __call__(self, scene: Scene) -> Lora:
        """The adapter.

        Raises:
            UnlearnError: if one of the layers does not read the prompt, where directions come from its text.
        """
        ...


STARTS: dict[str, type[Start]] = {
    "solved": Solved, "selective": Selective, "scaled": Scaled, "random": Random, "edit": Edit,
    "discriminant": Discriminant, "uce": Uce, "speed": Speed, "slug": Slug,
}  # fmt: skip
"""Starts by name."""
FROM_TEXT = tuple(name for name in STARTS if name not in ("random", "slug"))
"""Those whose directions come from the text, so that they suit only layers that read it."""
