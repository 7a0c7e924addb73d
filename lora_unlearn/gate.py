"""The gate: does this picture's prompt ask for the concept? Decided by direction, not by size, of predictions.

The probes measure on one latent of the picture's own run, with the host's predictions at that step:

* kappa, the cosine between this prompt's guidance e(c) - e(0) and the concept's e(c_p) - e(0): the base model
  alone says whether the prompt pulls where the concept pulls.
* rho, the matched filter <D, w> / |w|^2 with D = e_lora(c) - e_base(c), the adapter's change, and
  w = e(0) - e(c_p), the way out of the concept: does the adapter do to this prompt what it was trained to do?
* raw, the norm |D| that UnGuide averages over many runs (arXiv 2508.05755); kept for its own mode.

* text, the largest response of any token of the prompt, at one length for all, to a direction that separates the
  concept's tokens from all others: it needs no evaluation at all, and decides before the first step.

Scores of one kind are comparable between latents, sizes and parametrisations; raw norms are not.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, autocast

from .denoiser import Conditioning
from .errors import UnlearnError
from .padding import is_padding

MOST_NOISES = 8
"""States of noise in which a second look asks at most, for the prompts that seem to ask for the concept."""


@dataclass(frozen=True)
class Gate:
    """When and how to decide. Stored in the adapter's metadata.

    Two stages. The prompt's text score decides where it is clear: closed below `text_closed`, open from
    `text_open` up. Between them (everywhere, with the defaults) a probe of the network decides. A gate that was
    calibrated on text alone has both at its threshold and never probes.

    Attributes:
        statistic: what decides: "text", by a probe "kappa", "rho" or "both" (their mean), "look": kappa in pure noise.
        threshold: open at or above this score.
        step: when a probe is made, as a share of the run (0 is the first step).
        direction: of the text score: base64 of float32 values, one for each component of a token embedding.
        unit: the length at which the text score hears every token, so that brackets which weigh a word change nothing;
            0: each at its own, as before gates had one.
        text_closed, text_open: the band of text scores in which a probe is needed.
        false_open_rate: the rate that calibration guarantees for prompts like its negatives.
        negatives, positives: how many prompts calibrated it.
        mentions: negatives set aside because they score like the concept itself.
        true_open_rate, true_open_low, true_open_high: measured on the positives, with a 95 % interval.
        judged, judged_open: ordinary prompts that served for nothing else, and how many of them opened the gate.
        heard, heard_open: likewise, sentences with the concept.
        look: prompts that the text leaves closed open at or above this kappa in pure noise; None: nobody looks again.
        look_shape: (C,H,W) of that noise.
        look_noises: how many such noises are asked at most; the first version asked two.
        look_prompts: how many prompts set it.
        shared_by: with how many erasers of one list `false_open_rate` is shared: any of them opens that often at most.
            0: it is this gate's own.
    """

    statistic: str = "both"
    threshold: float = 0.5
    step: float = 0.07
    direction: str = ""
    unit: float = 0.0
    text_closed: float = float("-inf")
    text_open: float = float("inf")
    false_open_rate: float | None = None
    negatives: int = 0
    positives: int = 0
    mentions: tuple[str, ...] = ()
    true_open_rate: float | None = None
    true_open_low: float | None = None
    true_open_high: float | None = None
    judged: int = 0
    judged_open: int = 0
    heard: int = 0
    heard_open: int = 0
    look: float | None = None
    look_shape: tuple[int, ...] = ()
    look_noises: int = 2
    look_prompts: int = 0
    shared_by: int = 0

    @property
    def look_mode(self) -> Literal["text", "careful", "always"]:
        """Who decides, see `lora_unlearn.look`."""
        return "text" if self.look is None else "always" if self.statistic == "look" else "careful"

    @property
    def own_rate(self) -> float | None:
        """The bound that holds for this gate by itself; None where it is not calibrated, or shares one."""
        return None if self.shared_by > 1 else self.false_open_rate

    @property
    def probes(self) -> bool:
        """Whether some prompts are decided at a step of the picture's own run."""
        return self.statistic != "look" and self.text_closed < self.text_open

    @property
    def asks_network(self) -> bool:
        """Whether the text alone does not decide every prompt."""
        return self.probes or self.look is not None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the metadata; left out are infinite bounds, as JSON knows none, and what says nothing."""
        left_out: tuple[Any, ...] = (float("inf"), float("-inf"))
        values = {name: value for name, value in asdict(self).items() if value not in left_out}
        if self.look is None:  # earlier versions do not know these
            values = {name: value for name, value in values.items() if not name.startswith("look")}
        first = {"shared_by": 0, "unit": 0.0, "look_noises": 2}  # as in files without them
        return {name: value for name, value in values.items() if name not in first or value != first[name]}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Gate:
        """Read what `to_dict` wrote.

        Raises:
            UnlearnError: for unknown fields, which a newer version may have written.
        """
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise UnlearnError(f"The adapter's gate has unknown fields ({', '.join(sorted(unknown))}); update.")
        plain: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        return cls(**plain)


def kappa(prompt: Tensor, concept: Tensor, empty: Tensor) -> Tensor:
    """Cosine of e(c) - e(0) with e(c_p) - e(0), per row: (B,C,H,W) predictions to (B,) scores; 0 where e(c) = e(0)."""
    pull, direction = (prompt - empty).flatten(1).float(), (concept - empty).flatten(1).float()
    return torch.nn.functional.cosine_similarity(pull, direction, dim=1, eps=1e-8)


def rho(change: Tensor, concept: Tensor, reference: Tensor, gamma: float = 0.0) -> Tensor:
    """Matched filter of the adapter's change with the wanted, per row: (B,C,H,W) to (B,); near 1 on the concept."""
    wanted = (1 + gamma) * (reference - concept).flatten(1).float()
    return (change.flatten(1).float() * wanted).sum(1) / wanted.square().sum(1).clamp_min(1e-12)


def raw(change: Tensor) -> Tensor:
    """UnGuide's statistic: the norm of the adapter's change, per row, (B,)."""
    return change.flatten(1).float().norm(dim=1)


def text_score(prompt: Conditioning, gate: Gate) -> Tensor:
    """The largest response of any of a prompt's tokens to the gate's direction, per row, (B,); no evaluation.

    The direction is Fisher's discriminant of the concept's tokens and all others; 0 without one.

    Raises:
        UnlearnError: as `token_scores` does.
    """
    return text_score_of_each(prompt, [gate])[0]


def text_score_of_each(prompt: Conditioning, gates: Sequence[Gate]) -> Tensor:
    """As `text_score`, for several gates by one product of matrices: (gates, B).

    Raises:
        UnlearnError: as `token_scores` does.
    """
    text = prompt.read
    found = torch.zeros(len(gates), len(text), device=text.device)
    reading = [place for place, gate in enumerate(gates) if gate.direction]
    if reading:
        chosen = [gates[place] for place in reading]
        found[reading] = responses(text, chosen).amax(dim=2)
    return found


def token_scores(text: Tensor, gate: Gate) -> Tensor:
    """The response of every token c of texts (B,T,D) to the gate's direction d, (B,T): <c, d> * unit / |c|.

    Padding that a host sets to zero can't be the strongest token: it counts as the weakest of its row.

    Raises:
        UnlearnError: if the direction is damaged, of another width than the text, or the text is not finite.
    """
    return responses(text, [gate])[0]


def _direction(gate: Gate, width: int) -> Tensor:
    """What a gate reads by, (width,), in main memory.

    Raises:
        UnlearnError: if it is damaged, or of another width.
    """
    direction = decode_direction(gate.direction)
    if len(direction) != width:
        raise UnlearnError(
            f"The gate reads texts of width {len(direction)}, this model's have {width}; use the eraser with "
            "a model of its family, or train a new one."
        )
    return direction


def responses(text: Tensor, gates: Sequence[Gate]) -> Tensor:
    """The response of every token of texts (B,T,D) to each of some gates, see `token_scores`: (gates,B,T).

    Raises:
        UnlearnError: as `token_scores` does.
    """
    directions = torch.stack([_direction(gate, text.shape[-1]) for gate in gates]).to(text.device)
    units = torch.tensor([[gate.unit] for gate in gates], device=text.device)
    with autocast(text.device.type, enabled=False):  # a host's own would score in half precision
        tokens = text.float().flatten(0, 1)
        found = directions @ tokens.T
        if any(gate.unit for gate in gates):
            alike = units / tokens.norm(dim=1).clamp_min(1e-12)
            found = found * torch.where(units > 0, alike, 1.0)
    if not bool(torch.isfinite(found).all()):
        raise UnlearnError(
            "The text encoder returned values that are not finite, so no gate can decide; load it in float32, or take "
            "another checkpoint."
        )
    found, padding = found.view(-1, *text.shape[:2]), is_padding(text)
    weakest = found.masked_fill(padding, torch.inf).amin(dim=2, keepdim=True)
    return torch.where(padding & ~padding.all(dim=1, keepdim=True), weakest, found)


def encode_direction(direction: Tensor) -> str:
    """A vector as base64 of its float32 values, for the metadata."""
    return base64.b64encode(direction.detach().float().cpu().numpy().astype("<f4").tobytes()).decode("ascii")


def decode_direction(text: str) -> Tensor:
    """The inverse of `encode_direction`.

    Raises:
        UnlearnError: if the text is damaged.
    """
    try:
        values = np.frombuffer(base64.b64decode(text, validate=True), "<f4").copy()
    except (binascii.Error, ValueError) as error:
        raise UnlearnError(f"The gate's direction is damaged ({error}); train or export the eraser again.") from error
    return torch.from_numpy(values)
