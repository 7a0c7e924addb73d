"""One call that the host makes of its U-Net, as the guidance wants to see it (`lora_unlearn.guidance.Call`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from lora_unlearn.denoiser import Conditioning
from lora_unlearn.hosts.calls import rows_of

from .denoiser import POOLED

NAMES = ("x", "timesteps", "context", "y", "control", "transformer_options")
"""The first arguments of the hosts' U-Nets."""
MARK = 1024
"""The extension ControlNet puts a token of plus or minus this before each prompt's own, to tell positive rows by it."""
Row = tuple[bool, int]
"""Whether a row is a positive prompt's, and which picture of the batch it belongs to."""


class UNetCall:
    """A call of the U-Net: rows of several prompts for the pictures of a batch.

    Args:
        plain: the U-Net's own forward, which may be asked more than once.
        args, kwargs: what the host passed to it.
        rows: what each row is.

    Attributes:
        pictures: the picture of each positive row.
        marks: ControlNet's token before each row's prompt (R,1,D); (R,0,D) where there is none.
    """

    def __init__(self, plain: Callable[..., Tensor], args: tuple, kwargs: dict[str, Any], rows: Sequence[Row]) -> None:
        self.plain, self.args, self.own = plain, args, kwargs
        self.kwargs = {**dict(zip(NAMES, args, strict=False)), **kwargs}
        self.count = len(rows)
        self.options = dict(self.kwargs.pop("transformer_options", None) or {})
        self.control = _copied(self.kwargs.pop("control", None))
        chosen = [row for row, (positive, _) in enumerate(rows) if positive]
        self.pictures = [rows[row][1] for row in chosen]
        negatives = {picture: row for row, (positive, picture) in enumerate(rows) if not positive}
        self.positive = torch.tensor(chosen, dtype=torch.long)
        complete = bool(negatives) and all(picture in negatives for picture in self.pictures)
        self.negative = torch.tensor([negatives[picture] for picture in self.pictures]) if complete else None
        self.marks, tensors = self._prompts(self.kwargs["context"])
        if self.kwargs.get("y") is not None:
            tensors["pooled"] = self.kwargs["y"][:, :POOLED]
        self.conditioning = Conditioning(tensors)

    def _prompts(self, context: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """ControlNet's marks, and the prompts as conditionings have them."""
        marks = context[:, :1]
        if bool((marks.abs() == MARK).all()):  # no word of the prompt: a gate may take it for the concept
            return marks, {"text": context[:, 1:]}
        return marks[:, :0], {"text": context}

    def base(self) -> Tensor:
        """The host's own evaluation."""
        return self.plain(*self.args, **self.own)

    def evaluate(self, rows: Tensor, conditioning: Conditioning) -> Tensor:
        """The same states and noise levels, some rows, other conditionings. Size ids stay the host's."""
        marks = self.marks[rows.to(self.marks.device)]
        return self._ask(rows, conditioning, torch.cat([marks, conditioning.tensors["text"].to(marks)], dim=1))

    def _ask(self, rows: Tensor, conditioning: Conditioning, context: Tensor) -> Tensor:
        kwargs = {name: rows_of(value, rows, self.count) for name, value in self.kwargs.items()}
        kwargs["context"] = context
        if "pooled" in conditioning.tensors:
            pooled = conditioning.tensors["pooled"].to(kwargs["y"])
            kwargs["y"] = torch.cat([pooled, kwargs["y"][:, pooled.shape[1] :]], dim=1)
        if self.control is not None:
            kwargs["control"] = _copied(rows_of(self.control, rows, self.count))
        if self.options:
            kwargs["transformer_options"] = self._options(rows)
        return self.plain(kwargs.pop("x"), kwargs.pop("timesteps"), **kwargs)  # transformers call these otherwise

    def _options(self, rows: Tensor) -> dict[str, Any]:
        """The host's options, saying of the chosen rows alone which are whose."""
        marks = self.options.get("cond_or_uncond")
        if not marks:
            return dict(self.options)
        pictures = self.count // len(marks)
        chunks, counts = (rows // pictures).unique_consecutive(return_counts=True)
        even = len(set(counts.tolist())) == 1
        kept = [marks[chunk] for chunk in (chunks.tolist() if even else chunks.tolist()[:1])]
        of_rows = [marks[row // pictures] for row in rows.tolist()]
        chosen = {
            "cond_or_uncond": kept,
            "cond_indices": [index for index, mark in enumerate(of_rows) if mark == 0],
            "uncond_indices": [index for index, mark in enumerate(of_rows) if mark != 0],
        }
        if isinstance(self.options.get("cond_mark"), Tensor):
            chosen["cond_mark"] = self.options["cond_mark"][rows]
        return {**self.options, **chosen}


def _copied(control: dict[str, list] | None) -> dict[str, list] | None:
    """ControlNet's outputs in lists of their own: a U-Net takes them out of the lists as it goes."""
    return control and {name: list(tensors) for name, tensors in control.items()}
