"""The second look in ComfyUI: the core's, by the network that the host samples with at this moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from ..lora_unlearn import Adapter
from ..lora_unlearn.denoiser import Conditioning
from ..lora_unlearn.look import Look
from .denoiser import ComfyDenoiser


class HostLook:
    """`lora_unlearn.look.Look` from within a sampling run.

    Args:
        patcher: the MODEL that the host samples with.
        encode: looks up the conditionings that were encoded before.
        seen: what earlier runs have seen of the same MODEL.
    """

    def __init__(self, patcher: Any, encode: Callable[[list[str]], Conditioning], seen: dict[str, Tensor]) -> None:
        self.patcher, self.encode = patcher, encode
        denoiser = ComfyDenoiser(patcher)
        denoiser.loaded = True  # the host has brought it where it must be
        self.look = Look(denoiser, encode, seen)

    def __call__(self, adapter: Adapter, asked: Conditioning) -> Tensor:
        """The scores of the host's own prompts, (B,)."""
        pooled = self.encode([adapter.concept.probe]).tensors.get("pooled")
        tensors = {name: tensor for name, tensor in asked.tensors.items() if name not in ("own", "y")}
        if pooled is not None:  # what follows it in the host's vector are size ids, which the denoiser adds itself
            tensors["pooled"] = asked.tensors["y"][:, : pooled.shape[1]]
        with self._without_hooks():
            return self.look(adapter, Conditioning(tensors, asked.ragged))

    @contextmanager
    def _without_hooks(self) -> Iterator[None]:
        """Hooked weights belong to the host's conditions: they are off meanwhile, and back afterwards."""
        before = self.patcher.current_hooks
        try:
            yield
        finally:
            self.patcher.apply_hooks(hooks=before)
