"""One call that ComfyUI makes of its network, as the guidance wants to see it (`lora_unlearn.guidance.Call`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..lora_unlearn.denoiser import Conditioning
from ..lora_unlearn.hosts.calls import rows_of

NAMES = ("x", "t", "c_concat", "c_crossattn", "control", "transformer_options")
"""The first arguments of `BaseModel.apply_model`."""
TEXT_SHAPED = ("attention_mask",)
"""Arguments that belong to the host's own prompts, and to no others."""


class ApplyCall:
    """A call of `BaseModel.apply_model`: several conditions of the same pictures, one after the other.

    Args:
        apply: the host's own evaluation, which may be asked more than once.
        args, kwargs: what the host passed to it.
        positive: for each condition, whether it is a positive prompt's.

    Attributes:
        conditioning: of the host's rows: "text", and "y" as the host hands it over (pooled text, then size ids).
    """

    def __init__(
        self, apply: Callable[..., Tensor], args: tuple, kwargs: dict[str, Any], positive: Sequence[bool]
    ) -> None:
        self.apply = apply
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
        vector = {"y": self.kwargs["y"]} if isinstance(self.kwargs.get("y"), torch.Tensor) else {}
        self.conditioning = Conditioning({"text": self.kwargs["c_crossattn"], **vector})

    def base(self) -> Tensor:
        """The host's own evaluation."""
        return self.apply(control=self.own_control, transformer_options=self.options, **self.kwargs)

    def evaluate(self, rows: Tensor, conditioning: Conditioning) -> Tensor:
        """The same states and noise levels, some rows, other conditionings."""
        kwargs = {name: rows_of(value, rows, self.count) for name, value in self.kwargs.items()}
        own = conditioning.tensors["text"]
        control = _copied(rows_of(self.control, rows, self.count))
        kwargs["c_crossattn"] = own.to(kwargs["c_crossattn"])
        if "pooled" in conditioning.tensors:
            pooled = conditioning.tensors["pooled"].to(kwargs["y"])
            kwargs["y"] = torch.cat([pooled, kwargs["y"][:, pooled.shape[1] :]], dim=1)
            kwargs = {name: value for name, value in kwargs.items() if name not in TEXT_SHAPED}
        return self.apply(control=control, transformer_options=self._options(rows), **kwargs)

    def _options(self, rows: Tensor) -> dict[str, Any]:
        """The host's options, saying which of its conditions the rows belong to."""
        chunks = (rows // self.pictures).unique_consecutive(return_counts=True)
        even = len(set(chunks[1].tolist())) == 1
        kept = chunks[0].tolist() if even else chunks[0].tolist()[:1]
        of_conditions = ("cond_or_uncond", "uuids")
        return {**self.options, **{name: [self.options[name][i] for i in kept] for name in of_conditions}}


def _copied(control: dict[str, list] | None) -> dict[str, list] | None:
    """ControlNet's outputs in lists of their own: a network takes them out of the lists as it goes."""
    return control and {name: list(tensors) for name, tensors in control.items()}
