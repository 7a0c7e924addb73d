"""Sums over the token embeddings of many prompts, which all erasers on one model share but for a few prompts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .denoiser import CHUNK, Conditioning, Denoiser
from .padding import is_padding, unpadded

WAITING = 2**24
"""Values of tokens (64 MiB) that `Moments` keeps before it sums their outer products."""
PARTS = 4
"""Blocks of columns in which outer products are summed: five eighths of the products, and still large ones."""
TOTALS = 8
"""Sets of prompts whose sums are kept."""


def tokens(conditioning: Conditioning) -> Tensor:
    """All token embeddings of all rows, (rows * tokens, width), in float32."""
    return conditioning.tensors["text"].flatten(0, 1).float()


def outer(text: Tensor) -> Tensor:
    """The sum of outer products of tokens (tokens, width): X^T X, (width, width), of whose halves one is computed."""
    width = text.shape[1]
    found = text.new_empty(width, width)
    for start in range(0, width, step := -(-width // PARTS)):
        rows, rest = slice(start, start + step), slice(start, None)
        found[rows, rest] = text[:, rows].T @ text[:, rest]
        found[rest, rows] = found[rows, rest].T.clone()
    return found


class Moments:
    """The number, the sum (width,) and the sum of outer products (width, width) of token embeddings, batch by batch.

    Tokens that have read the words (`Conditioning.read`) count; those that are zero are padding. Outer products are
    summed when they are asked for, or when many tokens wait: few need none to say how they answer one direction.
    """

    def __init__(self) -> None:
        self.count = 0.0
        self.total: Tensor | float = 0.0
        self.summed: Tensor | float = 0.0
        self.waiting: list[tuple[float, Tensor]] = []

    def add(self, conditioning: Conditioning, weight: float = 1.0) -> Moments:
        """Take the tokens of some rows in, each counting `weight` times (-1: take them out); returns itself."""
        found = unpadded(conditioning.read.flatten(0, 1).float())
        self.count += weight * len(found)
        self.total = self.total + weight * found.sum(0)
        self.waiting.append((weight, found))
        if sum(text.numel() for _, text in self.waiting) > WAITING:
            self._sum_up()
        return self

    def copy(self) -> Moments:
        """The same, to be added to."""
        found = Moments()
        found.count, found.total, found.summed = self.count, self.total, self.outer
        return found

    def _sum_up(self) -> None:
        for weight in dict.fromkeys(weight for weight, _ in self.waiting):
            texts = torch.cat([text for own, text in self.waiting if own == weight])
            self.summed = self.summed + weight * outer(texts)
        self.waiting = []

    @property
    def outer(self) -> Tensor:
        """The sum of outer products, (width, width)."""
        self._sum_up()
        return torch.as_tensor(self.summed)

    @property
    def mean(self) -> Tensor:
        """The mean token, (width,)."""
        return torch.as_tensor(self.total) / max(1.0, self.count)

    @property
    def size(self) -> float:
        """The root mean square of the tokens' lengths."""
        squares = torch.as_tensor(self.summed).diagonal().sum() if isinstance(self.summed, Tensor) else torch.zeros(())
        squares = squares + sum(weight * text.square().sum() for weight, text in self.waiting)
        return float(squares / max(1.0, self.count)) ** 0.5

    @property
    def covariance(self) -> Tensor:
        """About the mean, (width, width)."""
        return self.outer / max(1.0, self.count) - torch.outer(self.mean, self.mean)

    def variance(self, direction: Tensor) -> Tensor:
        """Of the tokens' answers to a direction (width,), a scalar."""
        if isinstance(self.summed, Tensor):
            return direction @ self.covariance @ direction
        squares = sum(
            weight * (text @ direction - self.mean @ direction).square().sum() for weight, text in self.waiting
        )
        return torch.as_tensor(squares) / max(1.0, self.count)


def summed(
    denoiser: Denoiser,
    prompts: Sequence[str],
    count: Callable[[int], None] = lambda more: None,
    encoded: Conditioning | None = None,
) -> Moments:
    """The moments of all tokens of some prompts; by what a denoiser that remembers has summed before.

    Args:
        count: hears how many more prompts are done.
        encoded: the prompts, where they are encoded already.
    """
    totals: Totals | None = getattr(denoiser, "totals", None)
    if totals is not None:
        return totals.of(denoiser, prompts, count)
    return add(denoiser, prompts, Moments(), count) if encoded is None else Moments().add(encoded)


def add(
    denoiser: Denoiser,
    prompts: Sequence[str],
    found: Moments,
    count: Callable[[int], None] = lambda more: None,
    weight: float = 1.0,
) -> Moments:
    """Add the tokens of prompts, encoded batch by batch, to what was found, with a weight; returns it."""
    for start in range(0, len(prompts), CHUNK):
        chunk = prompts[start : start + CHUNK]
        found.add(denoiser.encode(chunk), weight)
        count(len(chunk))
    return found


def means(denoiser: Denoiser, prompts: Sequence[str]) -> Tensor:
    """The mean token of each prompt, (len(prompts), width), zero padding left out; known ones as in `summed`."""
    totals: Totals | None = getattr(denoiser, "totals", None)
    known: dict[str, Tensor] = {} if totals is None else totals.means
    new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in known]
    for start in range(0, len(new), CHUNK):
        states = denoiser.encode(new[start : start + CHUNK]).tensors["text"].float()
        read = ~is_padding(states)[..., None]
        found = (states * read).sum(1) / read.sum(1).clamp_min(1)
        known |= zip(new[start : start + CHUNK], found, strict=True)
    return torch.stack([known[prompt] for prompt in prompts])


class Totals:
    """The moments of sets of prompts: of one that is nearly like an earlier one, by the prompts in which they differ.

    So each of a hundred concepts leaves its own prompts out of the same thousands at the cost of those alone.
    """

    def __init__(self) -> None:
        self.known: list[tuple[Counter[str], Moments]] = []
        self.means: dict[str, Tensor] = {}

    def of(self, denoiser: Denoiser, prompts: Sequence[str], count: Callable[[int], None]) -> Moments:
        """The moments of prompts, see `summed`."""
        wanted = Counter(prompts)
        own, nearest = min(self.known, key=lambda pair: _apart(pair[0], wanted), default=(Counter[str](), Moments()))
        if _apart(own, wanted) > len(prompts) // 4:
            found = add(denoiser, prompts, Moments(), count)
            self.known = [*self.known[1 - TOTALS :], (wanted, found)]
            return found.copy()
        found = nearest.copy()
        add(denoiser, list((wanted - own).elements()), found)
        add(denoiser, list((own - wanted).elements()), found, weight=-1.0)
        count(len(prompts))
        return found


def _apart(one: Counter[str], other: Counter[str]) -> int:
    """How many prompts are in one of two sets alone."""
    return (one - other).total() + (other - one).total()
