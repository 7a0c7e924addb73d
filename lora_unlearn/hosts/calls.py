"""One call that a diffusers pipeline makes of its network, as the guidance wants to see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..denoiser import Conditioning


class NetworkCall:
    """The base of `UNetCall` and `FlowCall` (see `lora_unlearn.guidance.Call`).

    Args:
        plain: the network's own forward.
        names: of its first arguments; the first of all is the state.
        args, kwargs: what the pipeline passed.
        guided: the rows are the negative prompts', then the positive ones'.
    """

    UNBATCHED: tuple[str, ...] = ()
    """Arguments that have no rows, however long they are."""

    def __init__(
        self, plain: Callable[..., Any], names: Sequence[str], args: tuple, kwargs: dict[str, Any], guided: bool
    ) -> None:
        self.plain, self.as_tuple = plain, not kwargs.get("return_dict", True)
        self.kwargs = {**dict(zip(names, args, strict=False)), **kwargs, "return_dict": False}
        self.count = len(self.kwargs[names[0]])
        rows = torch.arange(self.count)
        half = self.count // 2 if guided else 0
        self.positive, self.negative = rows[half:], rows[:half] if guided else None
        self.conditioning = Conditioning(self.prompts())

    @property
    def moment(self) -> float:
        """The timestep that the network is told, in the pipeline's own unit."""
        return float(torch.as_tensor(self.kwargs["timestep"]).flatten()[0])

    def prompts(self) -> dict[str, Tensor]:
        """The host's rows of prompts, by the names of `Conditioning`."""
        raise NotImplementedError

    def conditioned(self, kwargs: dict[str, Any], tensors: dict[str, Tensor]) -> dict[str, Any]:
        """The arguments in which other prompts differ, given those of the chosen rows."""
        raise NotImplementedError

    def base(self) -> Tensor:
        """The pipeline's own evaluation."""
        return self.plain(**self.kwargs)[0]

    def evaluate(self, rows: Tensor, conditioning: Conditioning) -> Tensor:
        """The same states and moment, some rows, other conditionings."""
        kwargs = {
            name: value if name in self.UNBATCHED else rows_of(value, rows, self.count)
            for name, value in self.kwargs.items()
        }
        return self.plain(**{**kwargs, **self.conditioned(kwargs, conditioning.tensors)})[0]

    def wrap(self, prediction: Tensor) -> Any:
        """The prediction as the pipeline expects it."""
        if self.as_tuple:
            return (prediction,)
        from diffusers.models.modeling_outputs import Transformer2DModelOutput

        return Transformer2DModelOutput(sample=prediction)


def rows_of(value: Any, rows: Tensor, count: int) -> Any:
    """The chosen rows of every tensor that has one row for each of `count`, however nested."""
    if isinstance(value, Tensor):
        return value[rows] if value.ndim and len(value) == count else value
    if isinstance(value, dict):
        return {name: rows_of(item, rows, count) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(rows_of(item, rows, count) for item in value)
    return value
