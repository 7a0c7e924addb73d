"""Low-rank residuals on live linear layers: attached without touching a weight, switched per batch row.

Attaching replaces the `forward` of the layer *instance* and puts it back on detach. While all row scales
are zero, the layer's own forward runs and nothing else.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .denoiser import Target
from .errors import UnlearnError


class LoraLayer(nn.Module):
    """down (rank, in), up (out, rank) and a scale: adds scale * (x @ down.T) @ up.T (arXiv 2106.09685).

    Both lie where up does: directions often come from texts, which hosts keep elsewhere than weights.
    """

    def __init__(self, down: Tensor, up: Tensor, scale: float) -> None:
        super().__init__()
        self.down = nn.Parameter(down.detach().clone().to(up.device, torch.float32))
        self.up = nn.Parameter(up.detach().clone().float())
        self.scale = float(scale)

    @property
    def rank(self) -> int:
        """Number of directions."""
        return self.down.shape[0]

    @property
    def alpha(self) -> float:
        """kohya's alpha: scale * rank."""
        return self.scale * self.rank

    def forward(self, x: Tensor) -> Tensor:
        """The residual for inputs (..., in), in the dtype and on the device of x, wherever the layer's weight lies."""
        low = F.linear(x.float(), self.down.to(x.device))
        return (self.scale * F.linear(low, self.up.to(x.device))).to(x.dtype)


class Lora(nn.Module):
    """Layers by canonical module name (dots and all)."""

    awake: ClassVar[set[int]] = set()
    """The ids of all that are switched on now, on whatever network: while there is none, no layer need look for one."""

    def __init__(self, layers: Mapping[str, LoraLayer]) -> None:
        super().__init__()
        self.names = list(layers)
        self.layers = nn.ModuleList(layers.values())
        self.row_scale: Tensor | None = None
        self.heard = False
        """Set by every residual that is added: whoever switches rows on can tell whether the network asked for it."""

    def items(self) -> Iterator[tuple[str, LoraLayer]]:
        """Names with their layers."""
        return zip(self.names, self.layers, strict=True)  # type: ignore[arg-type]

    @property
    def rank(self) -> int:
        """The largest rank of its layers."""
        return max(layer.rank for _, layer in self.items())

    def with_one_alpha(self) -> Lora:
        """The same residuals with one alpha in all layers, its largest rank, and the rest of each scale in up.

        diffusers reads kohya's files rightly only so: where alphas differ it gives all layers the commonest one.
        Where they do not differ this is the adapter itself.
        """
        if len({layer.alpha for _, layer in self.items()}) <= 1:
            return self
        alpha = self.rank
        scales = {name: alpha / layer.rank for name, layer in self.items()}
        return Lora(
            {name: LoraLayer(own.down, own.up * (own.scale / scales[name]), scales[name]) for name, own in self.items()}
        )

    @torch.no_grad()
    def round_to_half(self) -> None:
        """Round all values to float16, as they are stored: memory and file then give the same pictures."""
        for parameter in self.parameters():
            parameter.copy_(parameter.half())

    @contextmanager
    def rows(self, scale: Tensor | None) -> Iterator[None]:
        """Within this block, row i of every batch gets scale[i] of the residual (one value: all rows); None: off."""
        before = self.row_scale
        self._switch(scale)
        try:
            yield
        finally:
            self._switch(before)

    def _switch(self, scale: Tensor | None) -> None:
        self.row_scale = scale
        (Lora.awake.discard if scale is None else Lora.awake.add)(id(self))

    def attach(self, targets: Mapping[str, Target]) -> Attachment:
        """Attach to live layers, inactive until `rows` is entered; the caller detaches.

        Raises:
            UnlearnError: if a layer is missing or has another shape; then nothing was attached.
        """
        check_targets(self, targets)
        attachment = Attachment()
        for name, layer in self.items():
            layer.to(targets[name].device)
            forward = _Forward.on(targets[name].linear)
            residual = _Residual(self, layer, targets[name])
            forward.residuals.append(residual)
            attachment.places.append((forward, residual))
        return attachment

    @contextmanager
    def attached(self, targets: Mapping[str, Target]) -> Iterator[Lora]:
        """Within this block the adapter is attached; afterwards the layers are exactly as before.

        Raises:
            UnlearnError: as `attach` does.
        """
        attachment = self.attach(targets)
        try:
            yield self
        finally:
            attachment.detach()


class Attachment:
    """An adapter's place on live layers. Attachments to the same layers may be taken off in any order."""

    def __init__(self) -> None:
        self.places: list[tuple[_Forward, _Residual]] = []

    def detach(self) -> None:
        """Give the layers their own forward back; a second time does nothing."""
        while self.places:
            forward, residual = self.places.pop()
            forward.take_off(residual)


class _Residual:
    """What one adapter adds to one layer."""

    def __init__(self, lora: Lora, layer: LoraLayer, target: Target) -> None:
        self.lora, self.layer, self.target = lora, layer, target

    def add(self, base: Tensor, x: Tensor) -> Tensor:
        """The layer's result with the residual for the rows that are switched on.

        Raises:
            UnlearnError: if the batch has other rows than those that were switched.
        """
        if self.lora.row_scale is None:
            return base
        self.lora.heard = True
        scale = _unpacked(self.lora.row_scale, self.target)
        if len(scale) not in (1, len(x)):
            raise UnlearnError(
                f"Another extension gives the network {len(x)} prompts for {len(scale)} rows (attention couple does), "
                "so erasers cannot tell whose is whose; take one of the two off."
            )
        residual = self.layer(x) * scale.to(x).view(-1, *[1] * (x.ndim - 1))
        if self.target.rows == slice(None):
            return base + residual
        out = base.clone()
        out[..., self.target.rows] += residual
        return out


class _Forward:
    """Stands in for a layer's forward: its own result, and the residuals of all adapters whose rows are switched on.

    One for all adapters of a layer, however many: those that are silent cost a glance each, and nothing while all are.
    """

    def __init__(self, linear: nn.Linear) -> None:
        self.linear = linear
        self.own = linear.__dict__.get("forward")
        self.plain: Callable[..., Tensor] = linear.forward
        self.residuals: list[_Residual] = []
        linear.forward = self  # type: ignore[method-assign,assignment]

    @classmethod
    def on(cls, linear: nn.Linear) -> _Forward:
        """The one that a layer has, or a new one over whatever stands in for the layer's forward now."""
        top = linear.__dict__.get("forward")
        return top if isinstance(top, cls) else cls(linear)

    def __call__(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        out = self.plain(x, *args, **kwargs)
        if Lora.awake:
            for residual in self.residuals:
                if residual.lora.row_scale is not None:
                    out = residual.add(out, x)
        return out

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """A copy of the network is a network without the adapter."""
        return copy.deepcopy(self.plain, memo)

    def take_off(self, residual: _Residual) -> None:
        """Drop a residual; without any, put the layer's forward back, or go silent under what was put over it since."""
        self.residuals.remove(residual)
        linear = self.linear
        while isinstance(top := linear.__dict__.get("forward"), _Forward) and not top.residuals:
            if top.own is None:
                del linear.forward
            else:
                linear.forward = top.own  # type: ignore[method-assign]


def _unpacked(rows: Tensor, target: Target) -> Tensor:
    """A scale for each row of a layer's input, where several may belong to one prompt."""
    counts = target.packed() if target.packed and len(rows) > 1 else []
    return rows.repeat_interleave(torch.tensor(counts, device=rows.device)) if len(counts) == len(rows) else rows


def check_targets(lora: Lora, targets: Mapping[str, Target]) -> None:
    """Compare names and shapes with a model's layers, all at once.

    Raises:
        UnlearnError: naming how many layers do not fit, and the first of them.
    """
    wrong = [
        f"{name} {(layer.up.shape[0], layer.down.shape[1])}"
        for name, layer in lora.items()
        if name not in targets or targets[name].shape != (layer.up.shape[0], layer.down.shape[1])
    ]
    if wrong:
        raise UnlearnError(
            f"{len(wrong)} of the adapter's {len(lora.names)} layers have no counterpart in this model "
            f"(first: {wrong[0]}); use the adapter with the model family that it was trained on."
        )


def new_lora(
    targets: Mapping[str, Target], rank: int, scale: float, generator: torch.Generator, down: Tensor | None = None
) -> Lora:
    """A fresh adapter with up = 0: random down ~ N(0, 1/rank) as in UnGuide, or the given (rank, in) rows.

    Args:
        targets: layers to cover.
        rank: number of directions.
        scale: factor of the residual (UnGuide's alpha; kohya's alpha divided by rank).
        generator: source of the random directions.
        down: directions shared by all layers, instead of random ones; all layers must have that input width.
    """
    layers = {}
    for name, target in targets.items():
        out, width = target.shape
        rows = torch.randn(rank, width, generator=generator) / rank**0.5 if down is None else down
        device = target.device
        layers[name] = LoraLayer(rows.to(device), torch.zeros(out, rows.shape[0], device=device), scale)
    return Lora(layers)
