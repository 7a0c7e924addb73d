"""Ways to make one adapter of several.

A `Merge` is a function `(parts) -> Lora` of adapters with their strengths s_k; dW_k = scale * up @ down, (out, in), is
what adapter k adds to a layer's weight. The methods are frozen dataclasses; their fields are what can be chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ..errors import UnlearnError
from ..lora import Lora
from ..options import unknown
from .dare import Dare
from .negmerge import NegMerge
from .soup import Soup
from .stack import Stack
from .ties import Ties

Merge = Callable[[Sequence[tuple[Lora, float]]], Lora]

MERGES: dict[str, Merge] = {"stack": Stack(), "soup": Soup(), "ties": Ties(), "dare": Dare(), "negmerge": NegMerge()}
"""Methods by name, with hyper-parameters as they come; the first is the default."""


def takes(method: str, option: str) -> bool:
    """Whether a method has a hyper-parameter of that name."""
    return hasattr(MERGES[method], option)


def merge_of(method: str, **options: float | None) -> Merge:
    """A method by name.

    Args:
        method: a name in `MERGES`.
        options: its hyper-parameters by name; None leaves one as it comes.

    Raises:
        UnlearnError: if there is no such method, it has no such hyper-parameter, or a value is not allowed.
    """
    if method not in MERGES:
        raise unknown("way of merging called", method, MERGES)
    given = {name: value for name, value in options.items() if value is not None}
    for name in given:
        if not takes(method, name):
            having = " and ".join(other for other in MERGES if takes(other, name)) or "no method"
            raise UnlearnError(f"{method} takes no {name}, {having} would; leave it out.")
    merge: Merge = replace(MERGES[method], **given)  # type: ignore[type-var]
    return merge
