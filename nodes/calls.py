"""One call that ComfyUI makes of its network, as the guidance wants to see it (`lora_unlearn.guidance.Call`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..lora_unlearn.denoiser import Conditioning
from ..lora_unlearn.hosts.calls import rows_of
from .reading import READ, conditioned, handed, states_of

NAMES = ("x", "t", "c_concat", "c_crossattn", "control", "transformer_options")
"""The first arguments of `BaseModel.apply_model`."""
OWN = ("attention_mask", "t5xxl_ids", "t5xxl_weights")
"""Arguments that belong to the host's own prompts, and to no others."""


class ApplyCall:
    """A call of `BaseModel.apply_model`: several conditions of the same pictures, one after the other.

    Args:
        apply: the host's own evaluation, which may be asked more than once.
        args, kwargs: what the host passed to it.
        positive: for each condition, whether it is a positive prompt's.
        family: of the model.
        counts: for each condition, how many of its tokens are no padding, see `reading.conditioned`.

    Attributes:
        conditioning: of the host's rows: "text" and what else `reading.conditioned` gives, "y" as the host hands it
            over (pooled text, then size ids), and "own", the row's number.
    """

    def __init__(
        self,
        apply: Any,
        args: tuple,
        kwargs: dict[str, Any],
        positive: Sequence[bool],
        family: str,
        counts: Sequence[int | None] = (),
    ) -> None:
        self.apply: Callable[..., Tensor] = apply
        self.base_model, self.family = apply.class_obj, family
        self.kwargs: dict[str, Any] = {**dict(zip(NAMES, args, strict=False)), **kwargs}
        self.options: dict[str, Any] = self.kwargs.pop("transformer_options")
        self.control = _copied(self.kwargs.pop("control", None))
        self.own_control = args[4] if len(args) > 4 else kwargs.get("control")
        self.count = len(self.kwargs["x"])
        self.pictures = self.count // len(positive)
        rows = torch.arange(self.count).view(len(positive), self.pictures)
        self.positive = rows[torch.tensor(positive)].flatten()
        others = rows[~torch.tensor(positive)]
        self.negative = others[0].repeat(sum(positive)) if len(others) else None
        self.conditioning = self._read([count for count in counts for _ in range(self.pictures)])

    def _read(self, counts: Sequence[int | None]) -> Conditioning:
        own = {"own": torch.arange(self.count)}
        if self.family in READ:
            found = conditioned(self.base_model, self.family, self.kwargs, counts)
            return Conditioning({**found.tensors, **own}, ragged=True)
        vector = {"y": self.kwargs["y"]} if isinstance(self.kwargs.get("y"), torch.Tensor) else {}
        return Conditioning({"text": self.kwargs["c_crossattn"], **vector, **own})

    def base(self) -> Tensor:
        """The host's own evaluation."""
        return self.apply(control=self.own_control, transformer_options=self.options, **self.kwargs)

    def evaluate(self, rows: Tensor, conditioning: Conditioning) -> Tensor:
        """The same states and noise levels, some rows, other conditionings."""
        kwargs = {name: rows_of(value, rows, self.count) for name, value in self.kwargs.items()}
        more = {"control": _copied(rows_of(self.control, rows, self.count)), "transformer_options": self._options(rows)}
        if "own" in conditioning.tensors:
            return self.apply(**more, **kwargs)
        with handed(self.base_model, self.family):
            return self.apply(**more, **_replaced(kwargs, conditioning))

    def _options(self, rows: Tensor) -> dict[str, Any]:
        """The host's options, saying which of its conditions the rows belong to."""
        chunks = (rows // self.pictures).unique_consecutive(return_counts=True)
        even = len(set(chunks[1].tolist())) == 1
        kept = chunks[0].tolist() if even else chunks[0].tolist()[:1]
        of_conditions = ("cond_or_uncond", "uuids")
        return {**self.options, **{name: [self.options[name][i] for i in kept] for name in of_conditions}}


def _replaced(kwargs: dict[str, Any], conditioning: Conditioning) -> dict[str, Any]:
    """The network's arguments with other prompts in them, all of one length."""
    kwargs = {name: value for name, value in kwargs.items() if name not in OWN}
    kwargs["c_crossattn"] = states_of(conditioning).to(kwargs["c_crossattn"])
    if "pooled" in conditioning.tensors:
        pooled = conditioning.tensors["pooled"].to(kwargs["y"])
        kwargs["y"] = torch.cat([pooled, kwargs["y"][:, pooled.shape[1] :]], dim=1)
    return kwargs


def _copied(control: dict[str, list] | None) -> dict[str, list] | None:
    """ControlNet's outputs in lists of their own: a network takes them out of the lists as it goes."""
    return control and {name: list(tensors) for name, tensors in control.items()}
