"""The hyper-parameters of a training."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Settings:
    """Hyper-parameters of a training; the defaults are the measured best of `docs/experiments.md`.

    Attributes:
        objective: a name in `OBJECTIVES`.
        gamma: strength of negative guidance in the target; "redirect" knows none.
        reference: what takes the concept's place where the user names nothing: "nearest" (the nearest thing that the
            model draws and that is not the concept, see `lora_unlearn.replacement`) or "empty" (the empty prompt).
        down: where the down matrices come from: "selective" (random among those that answer the concept's tokens and
            hardly any others, in units of the model's own tokens and outputs, and trained as well), "scaled" (the same,
            but any), "solved" (the closed form as a start, in the same units, trained as well), "random" (as UnGuide,
            trained as well), "edit" (the closed form's directions, fixed, and its up matrices as a start) or
            "discriminant" (one direction, fixed).
        rank: number of directions ("discriminant" has one); of the closed form at most so many, as few as keep its
            effect.
        scale: factor of the residual for random directions (UnGuide's alpha).
        iterations, batch, learning_rate: updates with Adam at most, states in each, step size.
        trajectories, trajectory_steps, guidance_scale: of the recorded states.
        enough: stop when the matched filter on held-out states has reached this at two checks running (1: the target is
            met exactly).
        selector: which layers, see `Denoiser.linears`; by default the values of the prompt's attention.
        offload: keep what the backward pass needs in main memory instead of the graphics card's: slower, for cards that
            cannot hold it.
        seed: of every random draw.
    """

    objective: str = "unguide"
    gamma: float = 0.5
    reference: str = "nearest"
    down: str = "solved"
    rank: int = 8
    scale: float = 1.0
    iterations: int = 60
    batch: int = 4
    learning_rate: float = 5e-2
    trajectories: int = 8
    trajectory_steps: int = 6
    guidance_scale: float = 4.0
    enough: float = 0.98
    selector: str = "cross_v"
    offload: bool = False
    seed: int = 0

    @property
    def repulsion(self) -> float:
        """The gamma that the objective really uses."""
        return 0.0 if self.objective == "redirect" else self.gamma


THOROUGH = Settings(iterations=120, batch=8, learning_rate=2.5e-2, trajectory_steps=12)
"""Several times the evaluations of the defaults, for concepts that resist."""
INSTANT = Settings(objective="unguide", gamma=0.5, down="edit", rank=32, iterations=0)
"""Settings of the closed form; its rank decides the file's size."""


def for_family(settings: Settings, family: str) -> Settings:
    """Settings that fit a model family.

    In SD3 and Flux the joint attention's keys and values see hidden states, so directions that come from text
    belong to the one layer that reads the embeddings; Flux is guidance-distilled and is sampled without guidance.
    """
    if family in ("sd3", "flux") and settings.selector in ("cross_v", "cross_kv") and settings.down != "random":
        settings = replace(settings, selector="context")
    return replace(settings, guidance_scale=1.0) if family == "flux" else settings
