"""Which input directions the adapter listens to: the choice of the LoRA's down matrix from text alone.

A random direction responds to every token alike; one that is chosen to be large on the concept's tokens
and near zero on everything else makes the plain LoRA selective before any gate.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from .denoiser import Conditioning, Denoiser, once
from .errors import UnlearnError
from .moments import Moments, outer, tokens
from .padding import unpadded
from .pairs import paired

RIDGE = 0.2
"""Of the gate's direction and of selective ones, see `docs/language.md`."""
QUIET = 1e-6
"""Components that count less than this share of the mean one are not heard at all."""
KEPT_EFFECT = 0.95
"""The share of the closed form's effect on the concept's tokens that its directions must keep."""
WIDE, SPARE, ROUNDS = 512, 8, 8
"""From which width up an edit's factors are found by power iterations, with how many directions to spare, how many."""


def said(conditioning: Conditioning) -> Tensor:
    """As `tokens`, without padding that is zero."""
    return unpadded(tokens(conditioning))


def whole(conditioning: Conditioning, names: Sequence[str] = ("text", "after")) -> Conditioning:
    """Texts with the template's tokens that have read them, for what must hide a concept wherever it is written.

    "before" is for the empty prompt's tokens alone, which must stay where they are: the very first token of a language
    model is its attention sink, so large that it would set the scale of everything else.
    """
    parts = [conditioning.tensors[name] for name in names if name in conditioning.tensors]
    return Conditioning({"text": torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]})


def heard(denoiser: Denoiser, width: int) -> Tensor:
    """How much a model makes of each component of a token, (width,), 1 on average.

    The norms of the columns of the layers that read the prompt. Of two text encoders side by side one may be loud and
    hardly used: measured by this and not by its own size it chooses neither directions nor what the gate hears.
    """
    return once(denoiser, f"heard {width}", lambda: _heard(denoiser, width))


def _heard(denoiser: Denoiser, width: int) -> Tensor:
    for selector in ("context", "cross_kv"):  # keys and values behind an entry layer may happen to be as wide
        try:
            weights = [target.weight for target in denoiser.linears(selector).values() if target.shape[1] == width]
        except UnlearnError:  # this family has no such layers
            continue
        if weights:
            return loudness(torch.stack([weight.detach().float().square().sum(0).cpu() for weight in weights]).sum(0))
    return torch.ones(width)


def loudness(squares: Tensor) -> Tensor:
    """The root of the sums of squares of the weights' columns, (width,), 1 on average: (width,)."""
    found = squares.sqrt()
    return found / found.mean().clamp_min(1e-12)


def gram(weights: Iterable[Tensor]) -> Tensor:
    """sum W^T W over weights (out, width), (width, width) in main memory: |x W^T|^2, summed, is x gram x^T."""
    return torch.stack([outer(weight.detach().float()).cpu() for weight in weights]).sum(0)


def louder(conditioning: Conditioning, scale: Tensor) -> Conditioning:
    """Texts with each component scaled."""
    text = conditioning.tensors["text"]
    return Conditioning({"text": text.float() * scale.to(text.device)})


def energy(text: Tensor) -> Tensor:
    """The mean outer product of tokens (tokens, width): (width, width)."""
    return outer(text) / len(text)


def token_edit(
    target: Conditioning,
    reference: Conditioning,
    kept: Tensor,
    empty: Conditioning,
    gamma: float = 0.0,
    keep_weight: float = 1.0,
    ridge: float = 1e-3,
) -> tuple[Tensor, Tensor]:
    """The linear map M that moves the concept's tokens to the reference's and leaves all others where they are.

    M minimises mean |c M - (1 + gamma)(c_ref - c)|^2 over the target's tokens + keep_weight * mean |c M|^2 over the
    kept prompts' tokens + a strong term for the empty prompt's, + ridge: M = (S_t + w S_k + w_0 S_0 + mu)^-1 T^T D.
    In the manner of SPEED (arXiv 2503.07392) and UCE, for all tokens of a prompt instead of the subject's.

    Args:
        target, reference: rows that belong together; a single reference row serves all.
        kept: S_k, the `energy` of prompts that must not change: the same for all concepts that leave the same alone.
        empty: the empty prompt, one row; its tokens are pinned.
        gamma: negative guidance, UnGuide's target in the space of embeddings: c_ref - gamma * (c - c_ref).
        keep_weight: weight of the kept prompts.
        ridge: relative to the mean energy of the concept's tokens.

    Returns:
        M, (width, width): a token c becomes c + c M; and S_t, the energy of the target's tokens.
    """
    source, other = paired(target, reference)
    shift = (1 + gamma) * (other - source)
    own, width = energy(source), source.shape[1]
    level = ridge * own.diagonal().mean()
    system = own + keep_weight * kept.to(own) + 100.0 * energy(said(empty))
    system = (system + level * torch.eye(width, device=source.device)).double()
    return positive_solve(system, (source.T @ shift / len(source)).double()).float(), own


def positive_solve(system: Tensor, wanted: Tensor) -> Tensor:
    """The solution of a symmetric system that the ridge makes positive; by elimination where rounding unmakes it."""
    root, failed = torch.linalg.cholesky_ex(system)
    return torch.linalg.solve(system, wanted) if failed else torch.cholesky_solve(wanted, root)


def factors(edit: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Best rank-r factors of an edit: down (rank, width) with unit rows and `rest` (rank, width): M = down.T @ rest.

    Wide edits by block power iterations, 8 times faster there and as good: what they may mix up are directions that
    are worth the same.
    """
    start = torch.eye(edit.shape[1], device=edit.device)
    if len(edit) > WIDE and rank + SPARE < len(edit):
        start = torch.randn(edit.shape[1], rank + SPARE, generator=torch.Generator().manual_seed(0)).to(edit)
        for _ in range(ROUNDS):
            start = torch.linalg.qr(edit.T @ torch.linalg.qr(edit @ start).Q).Q
    left, values, right = torch.linalg.svd(edit @ start, full_matrices=False)
    return left[:, :rank].T.contiguous(), values[:rank, None] * (right[:rank] @ start.T)


def enough_factors(edit: Tensor, rank: int, own: Tensor, metric: Tensor) -> tuple[Tensor, Tensor]:
    """Factors of as few directions as keep `KEPT_EFFECT` of the edit's effect, at most `rank`; see `factors`.

    The effect is what the layers make of the edited tokens: |X M W^T|^2, summed over all weights W, which is
    tr(M^T S M G). For the first k factors M_k, what is lost is tr((M - M_k)^T S (M - M_k) G).

    Args:
        own: S, the energy of the concept's tokens, (width, width).
        metric: G, the `gram` of the layers' weights, (width, width).
    """
    down, rest = factors(edit, rank)
    metric = metric.to(edit)
    moved = own @ edit @ metric
    whole = (edit * moved).sum().clamp_min(1e-12)
    shared = ((down @ moved) * rest).sum(1).double().cumsum(0)
    kept = ((down @ own @ down.T) * (rest @ metric @ rest.T)).double().cumsum(0).cumsum(1).diagonal()
    enough = (whole - 2 * shared + kept <= (1 - KEPT_EFFECT) * whole).nonzero()
    count = int(enough[0]) + 1 if len(enough) else len(down)
    return down[:count].contiguous(), rest[:count]


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
        heard_keep = unpadded(keep) * scale
        spread = outer(heard_keep) / max(1, len(heard_keep))
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
    return direction / target.variance(direction).clamp_min(1e-12).sqrt()
