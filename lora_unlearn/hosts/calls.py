"""One call that a diffusers pipeline makes of its network, as the guidance wants to see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..denoiser import Conditioning
from ..errors import UnlearnError


class NetworkCall:
    """The base of every family's call (see `lora_unlearn.guidance.Call`).

    Args:
        plain: the network's own forward.
        names: of its first arguments; the first of all is the state.
        args, kwargs: what the pipeline passed.
        pipe: the pipeline, whose guidance says what the rows are.

    Raises:
        UnlearnError: if there is not one prompt for each state.
    """

    UNBATCHED: tuple[str, ...] = ()
    """Arguments that have no rows, however long they are."""
    ALTERNATES = False
    """Whether the negative prompts come in a call of their own, after that of the positive ones."""
    POSITIVE_FIRST = False
    """Whether rows of positive prompts stand before those of negative ones, where they share a call."""
    TIME = "timestep"
    """The argument that says at which moment."""

    def __init__(
        self, plain: Callable[..., Any], names: Sequence[str], args: tuple, kwargs: dict[str, Any], pipe: Any
    ) -> None:
        self.plain, self.as_tuple = plain, not kwargs.get("return_dict", True)
        self.kwargs = {**dict(zip(names, args, strict=False)), **kwargs, "return_dict": False}
        self.conditioning = self.prompts()
        states = self.states(self.kwargs[names[0]])
        self.count = len(states)
        if len(self.conditioning) != self.count:
            raise UnlearnError(
                f"The pipeline asks its network for {self.count} states with {len(self.conditioning)} prompts, so no "
                "eraser can tell whose is whose; give it as many of one as of the other."
            )
        self.perturbed = bool(getattr(pipe, "do_perturbed_attention_guidance", False))
        network = getattr(pipe, "unet", getattr(pipe, "transformer", None))
        self.cached = bool(getattr(network, "is_cache_enabled", False))
        guided = bool(getattr(pipe, "do_classifier_free_guidance", False)) and not self.ALTERNATES
        self.positive, self.negative = rows_of_prompts(states, guided, self.perturbed, self.POSITIVE_FIRST)

    @property
    def aside(self) -> bool:
        """Whether this is no step of the picture, but an evaluation for some other kind of guidance."""
        return False

    @property
    def moment(self) -> float:
        """The timestep that the network is told, in the pipeline's own unit."""
        given = torch.as_tensor(self.kwargs[self.TIME])
        return float(given if given.numel() == 1 else given.flatten()[0])

    def states(self, given: Any) -> Tensor:
        """The network's input, (B,...)."""
        return given

    def prompts(self) -> Conditioning:
        """The host's rows of prompts."""
        raise NotImplementedError

    def conditioned(self, kwargs: dict[str, Any], tensors: dict[str, Tensor]) -> dict[str, Any]:
        """The arguments in which other prompts differ, given those of the chosen rows."""
        raise NotImplementedError

    def base(self) -> Tensor:
        """The pipeline's own evaluation."""
        return self.asked(self.kwargs)

    def asked(self, kwargs: dict[str, Any]) -> Tensor:
        """What the network predicts, (B,...)."""
        return self.plain(**kwargs)[0]

    def chosen(self, name: str, value: Any, rows: Tensor) -> Any:
        """Some rows of one of the network's arguments."""
        return value if name in self.UNBATCHED else rows_of(value, rows, self.count)

    def evaluate(self, rows: Tensor, conditioning: Conditioning) -> Tensor:
        """The same states and moment, some rows, other conditionings.

        Raises:
            UnlearnError: where that would disturb what the pipeline does with its own rows.
        """
        if self.perturbed or self.cached:
            what = "perturbed-attention guidance" if self.perturbed else "a cache of its network (enable_cache)"
            raise UnlearnError(
                f"Beside {what} an eraser may not ask the network twice in a step; use it at strength 1 with a gate "
                "that decides before the first step, or switch that off."
            )
        kwargs = {name: self.chosen(name, value, rows) for name, value in self.kwargs.items()}
        return self.asked({**kwargs, **self.conditioned(kwargs, conditioning.tensors)})

    def wrap(self, prediction: Any) -> Any:
        """The prediction as the pipeline expects it."""
        if self.as_tuple:
            return (prediction,)
        from diffusers.models.modeling_outputs import Transformer2DModelOutput

        return Transformer2DModelOutput(sample=prediction)


def rows_of_prompts(
    states: Tensor, guided: bool, perturbed: bool, positive_first: bool = False
) -> tuple[Tensor, Tensor | None]:
    """Which rows are positive prompts' (P,), and the negative row of each (P,) or None.

    Guided pipelines evaluate the same states for the negative prompts, the positive ones and, with perturbed attention,
    the positive ones again. Rows that are not of this make come from elsewhere (another pipeline on the same network,
    pictures that are edited): then all of them count as positive, so none is left alone by mistake.

    Args:
        states: the network's input, (B,...).
        guided, perturbed: what the pipeline says of itself.
        positive_first: the positive ones before the negative, and no third group.
    """
    rows, groups = torch.arange(len(states)), 1 + guided + perturbed
    size = len(states) // groups
    if not guided or size * groups != len(states):
        return rows, None
    first, *others = states.split(size)
    if not all(torch.equal(first, part) for part in others):
        return rows, None
    one, other = rows.split([size, len(rows) - size])
    return (one, other) if positive_first else (other, one.repeat(2) if perturbed else one)


def rows_of(value: Any, rows: Tensor, count: int) -> Any:
    """The chosen rows of every tensor that has one row for each of `count`, however nested."""
    if isinstance(value, Tensor):
        return value[rows] if value.ndim and len(value) == count else value
    if isinstance(value, dict):
        return {name: rows_of(item, rows, count) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(rows_of(item, rows, count) for item in value)
    return value
