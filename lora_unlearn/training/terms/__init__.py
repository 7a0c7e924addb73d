"""What a training minimises: terms that are added up, or reconciled by the method's update.

A term is a frozen dataclass whose fields are its hyper-parameters. `begin` binds it to a training and hands out
`(lora, states) -> Tensor`, the loss on some states; what it has to remember lives there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from ...lora import Lora
from ..scene import Scene
from ..states import States
from .anchors import Anchors
from .domain import Domain
from .goal import Goal
from .orthogonal import Orthogonal
from .pin import Pin
from .retain import Retain

Loss = Callable[[Lora, States], Tensor]


class Term(Protocol):
    """A summand of the loss."""

    def begin(self, scene: Scene) -> Loss:
        """The loss of one training."""
        ...

    def evaluations(self) -> tuple[int, int]:
        """What one state of an update costs: evaluations without gradients, and with."""
        ...


TERMS: dict[str, type[Term]] = {
    "goal": Goal, "pin": Pin, "retain": Retain, "anchors": Anchors, "domain": Domain, "orthogonal": Orthogonal,
}  # fmt: skip
"""Terms by name; the first of a method is what erases, the others hold what must stay."""
