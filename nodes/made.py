"""What was decided for each picture, kept by what the sampler made of it.

A read-out may come much later than the run: the host keeps latents, takes them apart, and runs a sampler several times
before the node behind it. So a picture's latent is asked for by its values.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..lora_unlearn import Decision

REMEMBERED = 4096
"""Pictures of one MODEL; the oldest go first."""


@dataclass(frozen=True)
class Made:
    """One picture.

    Attributes:
        decisions: for each positive condition, eraser by eraser.
        evaluations: of the network, for this picture.
        extra: how many of them erasing added.
    """

    decisions: list[list[Decision]]
    evaluations: float
    extra: float


class Pictures:
    """The pictures that were sampled with one MODEL.

    Attributes:
        latest: those of the latest run; None before the first.
    """

    def __init__(self) -> None:
        self.latest: list[Made] | None = None
        self.known: OrderedDict[bytes, Made] = OrderedDict()

    def keep(self, samples: Any, pictures: list[Made]) -> None:
        """Remember what a run has made, `samples` (B,...)."""
        self.latest = pictures
        self.known |= dict(zip(names(samples), pictures, strict=False))
        while len(self.known) > REMEMBERED:
            self.known.popitem(last=False)

    def of(self, samples: Any) -> list[Made] | None:
        """The pictures in a latent (B,...); None if one of them was not made by this MODEL, or was changed since."""
        found = [self.known.get(name) for name in names(samples)]
        return [each for each in found if each] if found and all(found) else None


def names(samples: Any) -> list[bytes]:
    """A name for each picture of a latent, by its values; none for a host's own kinds of tensor.

    In half precision, in which some hosts keep what the sampler gives in single.
    """
    if not isinstance(samples, Tensor) or samples.is_nested:
        return []
    return [hashlib.sha256(picture.numpy().tobytes()).digest() for picture in samples.detach().to("cpu", torch.half)]
