"""How the gradients of a method's terms become one update.

An update is a frozen dataclass; `begin` binds it to a training and hands out `(gradients) -> gradient`: for every term
a list with one tensor for each trained parameter, the first term being the one that erases.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Protocol

from torch import Tensor

from .restricted import Restricted
from .saliency import Saliency
from .surgery import Surgery
from .total import Total

Gradient = list[Tensor]
Combine = Callable[[list[Gradient]], Gradient]


class Update(Protocol):
    """A way to reconcile terms.

    Attributes:
        reconciles: whether it has no use without a term beside the erasing one.
    """

    reconciles: ClassVar[bool]

    def begin(self) -> Combine:
        """The way of one training."""
        ...


UPDATES: dict[str, type[Update]] = {
    "total": Total, "restricted": Restricted, "surgery": Surgery, "saliency": Saliency,
}  # fmt: skip
"""Updates by name."""
