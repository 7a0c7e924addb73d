"""What a host must offer: encode prompts, predict, say where LoRA may sit. Everything else is ours.

States follow one convention in every host: x = x0 + sigma * noise for epsilon and v models (Karras et al.,
arXiv 2206.00364), x = (1 - sigma) * x0 + sigma * noise for flow matching. Predictions stay native (epsilon,
v or velocity): every mixture that this project forms has weights that sum to one, so it means the same in
each of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from .errors import UnlearnError

PredictionType = Literal["epsilon", "v_prediction", "flow"]
CHUNK = 32
"""Prompts that are encoded at once."""
PLAIN = (torch.float32, torch.bfloat16, torch.float16)
"""Formats of weights that are what they are, without a quantiser's scales."""


class Conditioning:
    """Encoded prompts: named tensors whose first dimension runs over the rows (one row, one prompt).

    "text" (R,T,D) is what the layers see that read the prompt. Where a template stands around every prompt "text" has
    the words alone, and "after" (R,K,D) the template's tokens behind them, which have read the words; a host may give
    those in front as "before" (R,K,D). What the network itself is given has a name of its own.

    Args:
        tensors: by name.
        ragged: tokens that are zero are padding to the network, too, so rows of several lengths may stand together.
    """

    def __init__(self, tensors: Mapping[str, Tensor], ragged: bool = False) -> None:
        self.tensors, self.ragged = dict(tensors), ragged

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))

    def __getitem__(self, rows: slice | Tensor | Sequence[int]) -> Conditioning:
        return self.map(lambda tensor: tensor[rows])

    @property
    def read(self) -> Tensor:
        """All tokens that have read the words, (R,T+K,D): the text and, where there is one, the template behind it."""
        text, after = self.tensors["text"], self.tensors.get("after")
        return text if after is None else torch.cat([text, after], dim=1)

    @property
    def given(self) -> Tensor:
        """What the network is given: "states" (R,T,...) where it has layers before its entry, else the text (R,T,D)."""
        return self.tensors.get("states", self.tensors["text"])

    def giving(self, given: Tensor) -> Conditioning:
        """A copy whose rows give the network something else, like `given`; what is read of them stays."""
        return Conditioning({**self.tensors, "states" if "states" in self.tensors else "text": given}, self.ragged)

    def map(self, change: Callable[[Tensor], Tensor]) -> Conditioning:
        """A copy with every tensor changed."""
        return Conditioning({name: change(tensor) for name, tensor in self.tensors.items()}, self.ragged)

    def reading(self, text: Tensor) -> Conditioning:
        """A copy whose rows have other texts (R,T,D), for methods and attacks that move tokens by themselves.

        Raises:
            UnlearnError: where the network is given something else, and reads the text from that.
        """
        if "states" in self.tensors:
            raise UnlearnError(
                "This moves tokens on their way into the network, which is not possible with models whose text encoder "
                "is a language model; choose another method or attack."
            )
        return Conditioning({**self.tensors, "text": text}, self.ragged)

    @staticmethod
    def cat(parts: Iterable[Conditioning]) -> Conditioning:
        """Rows of several conditionings one after the other; all must have the same tensors and, where they are not
        ragged, the same lengths.
        """
        parts = list(parts)
        join = _padded if parts[0].ragged else torch.cat
        tensors = {name: join([part.tensors[name] for part in parts]) for name in parts[0].tensors}
        return Conditioning(tensors, parts[0].ragged)


def _padded(tensors: Sequence[Tensor]) -> Tensor:
    """Rows one after the other, (R,T,...), with zeros up to the longest T."""
    longest = max(tensor.shape[1] for tensor in tensors)
    spare = [tensor.new_zeros(len(tensor), longest - tensor.shape[1], *tensor.shape[2:]) for tensor in tensors]
    return torch.cat([torch.cat(pair, dim=1) for pair in zip(tensors, spare, strict=True)])


@dataclass(frozen=True)
class Target:
    """A place where LoRA may sit: a linear layer and, where a host fuses q, k and v, the rows of its output.

    Attributes:
        packed: where the tokens of all prompts come one behind the other, (tokens, in): how many of them each prompt
            has in the call at hand.
    """

    linear: nn.Linear
    rows: slice = field(default_factory=lambda: slice(None))
    packed: Callable[[], Sequence[int]] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(out features of the slice, in features)."""
        return len(range(*self.rows.indices(self.linear.out_features))), self.linear.in_features

    @property
    def weight(self) -> Tensor:
        """The slice of the layer's weight, (out, in)."""
        return self.linear.weight[self.rows]

    @property
    def device(self) -> torch.device:
        """Where a residual is kept: beside the weight; in main memory where the weight is not there ("meta")."""
        own = getattr(self.linear, "weight", None)
        if not isinstance(own, Tensor):
            own = next(self.linear.buffers(), None)  # where packed weights may be
        return torch.device("cpu") if own is None or own.is_meta else own.device


class Denoiser(Protocol):
    """A text-conditioned diffusion model as the core sees it.

    A host in which users choose the layer that CLIP's states are read from says so in `clip_skip`, see `clip_skip_of`.
    """

    family: str
    prediction_type: PredictionType

    def encode(self, prompts: Sequence[str]) -> Conditioning:
        """Encode prompts, one row each, in order."""
        ...

    def predict(self, x: Tensor, sigma: Tensor, conditioning: Conditioning) -> Tensor:
        """Native prediction for states x (B,C,H,W) at noise levels sigma (B,), one conditioning row each."""
        ...

    def sigmas(self, steps: int) -> Tensor:
        """The descending noise levels of a sampling run, (steps + 1,), the last one 0."""
        ...

    def initial_noise(self, count: int, generator: torch.Generator) -> Tensor:
        """Starting states (count,C,H,W) at the first of `sigmas`."""
        ...

    def linears(self, selector: str = "cross_kv") -> dict[str, Target]:
        """Canonical module names with the layers where LoRA may sit."""
        ...


def clip_skip_of(denoiser: Denoiser) -> int:
    """Which of CLIP's layers prompts are read from, counted from the last; 0: the model's own."""
    return int(getattr(denoiser, "clip_skip", 0))


def once(denoiser: Denoiser, name: str, make: Callable[[], Tensor]) -> Tensor:
    """What stays the same on a model: made once by a denoiser that remembers (`lora_unlearn.remembered`), else now."""
    made: dict[str, Tensor] | None = getattr(denoiser, "made", None)
    if made is None:
        return make()
    if name not in made:
        made[name] = make()
    return made[name]


def derivative(x: Tensor, sigma: Tensor, prediction: Tensor, prediction_type: PredictionType) -> Tensor:
    """dx/dsigma of the probability-flow ODE, the direction of an Euler step.

    For v models the network's input is x / sqrt(sigma^2 + 1) and
    denoised = x / (sigma^2 + 1) - v * sigma / sqrt(sigma^2 + 1) (arXiv 2202.00512).

    Args:
        x: states (B,C,H,W).
        sigma: noise levels (B,), above zero.
        prediction: native prediction, same shape as x.
    """
    if prediction_type in ("epsilon", "flow"):
        return prediction
    spread = sigma.view(-1, *[1] * (x.ndim - 1))
    denoised = x / (spread**2 + 1) - prediction * spread / (spread**2 + 1).sqrt()
    return (x - denoised) / spread


def from_denoised(x: Tensor, sigma: Tensor, denoised: Tensor, prediction_type: PredictionType) -> Tensor:
    """The native prediction, for hosts whose network hands out the denoised state: (B,C,H,W), sigma (B,) above zero."""
    spread = sigma.view(-1, *[1] * (x.ndim - 1))
    if prediction_type in ("epsilon", "flow"):
        return (x - denoised) / spread
    return (x / (spread**2 + 1) - denoised) * (spread**2 + 1).sqrt() / spread


def base_hash(denoiser: Denoiser) -> str:
    """A short stable name for the base weights: the same in every host, whatever dtype it keeps them in.

    It hashes the canonical names of the cross-attention layers with a sample of their values, rounded to float16 and
    then to bfloat16: so a file in float32 is the same in float16, and one in float16 is the same in bfloat16. Only a
    host that reads a float32 file straight into bfloat16 may round a value to its other neighbour.
    """
    return weights_hash({name: target.weight for name, target in denoiser.linears("cross_kv").items()})


def stored_hash(stored: Mapping[str, Any], layers: Mapping[str, Target]) -> str:
    """The `base_hash` of what a host keeps as the weights of these layers, all rows of each; "" where one is quantised.

    For hosts that keep weights apart while LoRAs are patched in.
    """
    if not all(is_plain(kept) for kept in stored.values()):
        return ""
    return weights_hash({name: stored[name][target.rows] for name, target in layers.items()})


def is_plain(weight: Any) -> bool:
    """Whether what a host keeps as a layer's weight is that weight: of no quantiser's class or format."""
    return type(weight) in (Tensor, nn.Parameter) and weight.dtype in PLAIN


def weights_hash(weights: Mapping[str, Tensor]) -> str:
    """The `base_hash` of these weights (out, in), by the canonical names of their layers."""
    digest = hashlib.sha256()
    for name, weight in sorted(weights.items()):
        weight = weight.detach()
        sample = weight.flatten()[:: max(1, weight.numel() // 64)][:64].float().cpu()
        digest.update(f"{name}:{tuple(weight.shape)}:".encode())
        digest.update(sample.half().to(torch.bfloat16).view(torch.int16).numpy().tobytes())
    return digest.hexdigest()[:16]
