"""What a gate can decide by: every detector turns a view of some prompts into one score each.

A `View` shows prompts: their text for nothing, and what the network predicts for them only when a detector asks. It is
the same question in every place that asks it: while a gate is calibrated, at a step of a picture's own run
(`guidance`), and in pure noise before it (`look`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from . import gate
from .adapter import Adapter
from .denoiser import Conditioning


class View(Protocol):
    """B prompts, all seen at one moment: predictions are (B,C,H,W), each for the same states. Asking costs evaluations.

    Attributes:
        adapter: whose concept is looked for.
        asked: the prompts' conditioning.
    """

    adapter: Adapter
    asked: Conditioning

    @property
    def prompt(self) -> Tensor:
        """e(c), what the base model predicts for the prompts."""
        ...

    @property
    def concept(self) -> Tensor:
        """e(c_p), what it predicts for the concept's own prompt."""
        ...

    @property
    def empty(self) -> Tensor:
        """e(0), what it predicts for the empty prompt."""
        ...

    @property
    def change(self) -> Tensor:
        """D = e_lora(c) - e(c), what the adapter changes."""
        ...


Detector = Callable[[View], Tensor]


def text(view: View) -> Tensor:
    """The strongest response of a token; no evaluation."""
    return gate.text_score(view.asked, view.adapter.gate)


def kappa(view: View) -> Tensor:
    """Does the prompt pull where the concept pulls? The base model alone."""
    return gate.kappa(view.prompt, view.concept, view.empty)


def rho(view: View) -> Tensor:
    """Does the adapter change what it was trained to change?"""
    return gate.rho(view.change, view.concept, view.empty, view.adapter.settings.repulsion)


def both(view: View) -> Tensor:
    """The mean of kappa and rho."""
    return (kappa(view) + rho(view)) / 2


def raw(view: View) -> Tensor:
    """UnGuide's norm of the change."""
    return gate.raw(view.change)


DETECTORS: dict[str, Detector] = {"text": text, "kappa": kappa, "rho": rho, "both": both, "raw": raw}
"""By the name that a gate's `statistic` gives them."""
