"""Which input directions the adapter listens to: the choice of the LoRA's down matrix from text alone.

A random direction responds to every token alike; one that is chosen to be large on the concept's tokens
and near zero on everything else makes the plain LoRA selective before any gate.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from .denoiser import Conditioning, Denoiser
from .errors import UnlearnError

RIDGE = 0.2
"""Of the gate's direction and of selective ones, see `docs/language.md`."""
QUIET = 1e-6
"""Components that count less than this share of the mean one are not heard at all."""
KEPT_EFFECT = 0.95
"""The share of the closed form's effect on the concept's tokens that its directions must keep."""


def tokens(conditioning: Conditioning) -> Tensor:
    """All token embeddings of all rows, (rows * tokens, width), in float32."""
    return conditioning.tensors["text"].flatten(0, 1).float()


def whole(conditioning: Conditioning) -> Conditioning:
    """Texts with the template's tokens that have read them, for what must hide a concept wherever it is written."""
    parts = [conditioning.tensors[name] for name in ("text", "after") if name in conditioning.tensors]
    return Conditioning({"text": torch.cat(parts, dim=1)})


def heard(denoiser: Denoiser, width: int) -> Tensor:
    """How much a model makes of each component of a token, (width,), 1 on average.

    The norms of the columns of the layers that read the prompt. Of two text encoders side by side one may be loud and
    hardly used: measured by this and not by its own size it chooses neither directions nor what the gate hears.
    """
    for selector in ("context", "cross_kv"):
        try:
            weights = [target.weight for target in denoiser.linears(selector).values() if target.shape[1] == width]
        except UnlearnError:  # this family has no such layers
            continue
        if weights:
            return loudness(weights)
    return torch.ones(width)


def loudness(weights: Iterable[Tensor]) -> Tensor:
    """The root of the sum of squares of each column of weights (out, width), 1 on average: (width,)."""
    found = torch.stack([weight.detach().float().square().sum(0).cpu() for weight in weights]).sum(0).sqrt()
    return found / found.mean().clamp_min(1e-12)


def louder(conditioning: Conditioning, scale: Tensor) -> Conditioning:
    """Texts with each component scaled."""
    text = conditioning.tensors["text"]
    return Conditioning({"text": text.float() * scale.to(text.device)})


def token_edit(
    target: Conditioning,
    reference: Conditioning,
    keep: Conditioning,
    empty: Conditioning,
    gamma: float = 0.0,
    keep_weight: float = 1.0,
    ridge: float = 1e-3,
) -> Tensor:
    """The linear map M that moves the concept's tokens to the reference's and leaves all others where they are.

    M minimises mean |c M - (1 + gamma)(c_ref - c)|^2 over the target's tokens + keep_weight * mean |c M|^2 over the
    kept prompts' tokens + a strong term for the empty prompt's, + ridge: M = (S_t + w S_k + w_0 S_0 + mu)^-1 T^T D.
    In the manner of SPEED (arXiv 2503.07392) and UCE, for all tokens of a prompt instead of the subject's.

    Args:
        target, reference: rows that belong together; a single reference row serves all.
        keep: prompts that must not change.
        empty: the empty prompt, one row; its tokens are pinned.
        gamma: negative guidance, UnGuide's target in the space of embeddings: c_ref - gamma * (c - c_ref).
        keep_weight: weight of the kept prompts.
        ridge: relative to the mean energy of the concept's tokens.

    Returns:
        M, (width, width): a token c becomes c + c M.
    """
    text, other = target.tensors["text"].float(), reference.tensors["text"].float()
    shift = (1 + gamma) * (other - text).flatten(0, 1)
    source = text.flatten(0, 1)
    energy = (source.T @ source) / len(source)
    width = source.shape[1]
    kept, blank = tokens(keep), tokens(empty)
    penalty = keep_weight * (kept.T @ kept) / len(kept) + 100.0 * (blank.T @ blank) / len(blank)
    level = ridge * energy.diagonal().mean()
    system = energy + penalty + level * torch.eye(width, device=source.device)
    return torch.linalg.solve(system.double(), ((source.T @ shift) / len(source)).double()).float()


def factors(edit: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Best rank-r factors of an edit: down (rank, width) with unit rows and `rest` (rank, width): M = down.T @ rest."""
    left, values, right = torch.linalg.svd(edit, full_matrices=False)
    return left[:, :rank].T.contiguous(), values[:rank, None] * right[:rank]


def enough_factors(edit: Tensor, rank: int, text: Tensor, weights: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Factors of as few directions as keep `KEPT_EFFECT` of the edit's effect, at most `rank`; see `factors`.

    The effect is what the layers make of the edited tokens: |X M W^T|^2, summed over all weights W.

    Args:
        text: the concept's tokens X, (tokens, width).
        weights: of the layers, each (out, width).
    """
    metric = sum((weight.T @ weight).to(text) for weight in weights)
    wanted = text @ edit
    whole = (wanted @ metric * wanted).sum().clamp_min(1e-12)
    down, rest = factors(edit, rank)
    for count in range(1, len(down)):
        lost = wanted - (text @ down[:count].T) @ rest[:count]
        if (lost @ metric * lost).sum() <= (1 - KEPT_EFFECT) * whole:
            return down[:count].contiguous(), rest[:count]
    return down, rest


class Anywhere:
    """Random directions of a size at which tokens of the concept's own size get a root mean square answer of about 1.

    Args:
        text: the concept's tokens, (tokens, width).
    """

    def __init__(self, text: Tensor) -> None:
        self.width, self.level = text.shape[1], float(text.square().mean().sqrt())

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Some directions, (count, width)."""
        return torch.randn(count, self.width, generator=generator) / (self.level * self.width**0.5)


class Selective:
    """Random directions that answer the concept's tokens with a root mean square of 1, and other tokens hardly at all.

    Mixtures of the concept's tokens X, whitened by the kept tokens: (S_k + ridge)^-1 X^T z with z ~ N(0, 1), the many
    ways of Fisher's direction to look at a concept. Tokens are taken as the layers hear them.

    Args:
        text: the concept's tokens, (tokens, width).
        keep: those of prompts that must not change, (others, width).
        scale: how much each component counts, (width,), see `loudness`.
    """

    def __init__(self, text: Tensor, keep: Tensor, scale: Tensor) -> None:
        self.text, scale = text, scale.to(text)
        heard_keep = keep[keep.abs().sum(1) != 0] * scale
        spread = heard_keep.T @ heard_keep / max(1, len(heard_keep))
        spread = spread + RIDGE * spread.diagonal().mean() * torch.eye(len(spread), device=spread.device)
        self.look = torch.linalg.solve(spread, (text * scale).T).T * scale

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Some directions, (count, width)."""
        down = torch.randn(count, len(self.text), generator=generator).to(self.look) @ self.look
        return down / (self.text @ down.T).square().mean(0).sqrt().clamp_min(1e-12)[:, None]


def discriminant(target: Conditioning, keep: Conditioning, empty: Conditioning, ridge: float = RIDGE) -> Tensor:
    """Fisher's direction between the concept's tokens and all others, (1, width), unit mean response.

    A = (S_keep + ridge)^-1 (mu_target - mu_keep), with the empty prompt's tokens among the kept ones.
    """
    others = Moments().add(keep).add(empty)
    return fisher(Moments().add(target), others, ridge)[None]


class Moments:
    """The number, the sum (width,) and the sum of outer products (width, width) of token embeddings, batch by batch.

    Tokens that are exactly zero are padding, and left out.
    """

    def __init__(self) -> None:
        self.count = 0.0
        self.total: Tensor | float = 0.0
        self.outer: Tensor | float = 0.0

    def add(self, conditioning: Conditioning, weight: float = 1.0) -> Moments:
        """Take the tokens of some rows in, each counting `weight` times; returns itself."""
        found = tokens(conditioning)
        found = found[found.abs().sum(1) != 0]
        self.count += weight * len(found)
        self.total = self.total + weight * found.sum(0)
        self.outer = self.outer + weight * (found.T @ found)
        return self

    @property
    def mean(self) -> Tensor:
        """The mean token, (width,)."""
        return torch.as_tensor(self.total) / max(1.0, self.count)

    @property
    def covariance(self) -> Tensor:
        """About the mean, (width, width)."""
        return torch.as_tensor(self.outer) / max(1.0, self.count) - torch.outer(self.mean, self.mean)


def fisher(target: Moments, others: Moments, ridge: float = RIDGE, scale: Tensor | None = None) -> Tensor:
    """Fisher's direction, (width,): what tells target tokens from others, in units of the target's own spread.

    Args:
        ridge: relative to the mean variance of the others' components.
        scale: how much each component counts, (width,), see `heard`; default: all the same.

    Raises:
        UnlearnError: if an embedding is not finite.
    """
    spread = others.covariance
    scale = torch.ones(len(spread)) if scale is None else scale
    scale = scale.to(spread)
    spread = scale[:, None] * spread * scale
    spread = spread + ridge * spread.diagonal().mean() * torch.eye(len(spread), device=spread.device)
    if not bool(torch.isfinite(spread).all() and torch.isfinite(target.mean).all()):
        raise UnlearnError(
            "The text encoder returns values that are not finite; load it in float32, or take another checkpoint."
        )
    direction = scale * torch.linalg.solve(spread, scale * (target.mean - others.mean))
    return direction / (direction @ target.covariance @ direction).clamp_min(1e-12).sqrt()
