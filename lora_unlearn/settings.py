"""The hyper-parameters of a training."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Settings:
    """Hyper-parameters of a training; the defaults are the measured best of `docs/experiments.md`.

    Attributes:
        objective: a name in `OBJECTIVES`.
        gamma: strength of negative guidance in the target.
        down: where the down matrices come from: "discriminant" (one direction, fixed), "edit" (the closed
            form's directions, fixed, and its up matrices as a start) or "random" (as UnGuide).
        rank: number of directions ("discriminant" has one).
        scale: factor of the residual for random directions (UnGuide's alpha).
        iterations, batch, learning_rate: updates with Adam, states in each, step size.
        trajectories, trajectory_steps, guidance_scale: of the recorded states.
        enough: stop when the matched filter on held-out states reaches this (1: the target is met exactly).
        selector: which layers, see `Denoiser.linears`; by default the values of the prompt's attention, which erase as
            well as keys and values ("cross_kv") of half the rank do, in a file of the same size.
        offload: keep what the backward pass needs in main memory instead of the graphics card's: slower, for cards that
            cannot hold it.
        seed: of every random draw.
    """

    objective: str = "unguide"
    gamma: float = 1.0
    down: str = "edit"
    rank: int = 4
    scale: float = 1.0
    iterations: int = 30
    batch: int = 4
    learning_rate: float = 4e-3
    trajectories: int = 8
    trajectory_steps: int = 6
    guidance_scale: float = 4.0
    enough: float = 0.98
    selector: str = "cross_v"
    offload: bool = False
    seed: int = 0


THOROUGH = Settings(iterations=60, batch=16, learning_rate=2e-3, trajectory_steps=20)
"""Six times the evaluations of the defaults, for concepts that resist."""
INSTANT = Settings(iterations=0)
"""Settings of the closed form; its rank decides the file's size."""


def for_family(settings: Settings, family: str) -> Settings:
    """Settings that fit a model family.

    In SD3 and Flux the joint attention's keys and values see hidden states, so directions that come from text
    belong to the one layer that reads the embeddings; Flux is guidance-distilled and is sampled without guidance.
    """
    if family in ("sd3", "flux") and settings.selector in ("cross_v", "cross_kv") and settings.down != "random":
        settings = replace(settings, selector="context")
    return replace(settings, guidance_scale=1.0) if family == "flux" else settings
