"""The hyper-parameters of a training, and the names of the parts that make up its method."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from .concept import Concept
from .families import FAMILIES
from .options import option

GAMMA, GAMMA_ALONE = 0.5, 1.0
"""The usual gamma, and what it is for styles and attributes, which nothing replaces (`docs/experiments.md`)."""


@dataclass(frozen=True)
class Settings:
    """A method's parts by name, and its hyper-parameters; the defaults are those of *fast* (`docs/experiments.md`).

    Numbers declare their bounds and what they do by `option`: command line, nodes and pages read them here.

    Attributes:
        objective: what the adapter learns, a name in `lora_unlearn.training.objectives.OBJECTIVES`.
        reference: what takes the concept's place where the user names nothing: "nearest" (the nearest thing that the
            model draws and that is not the concept, see `lora_unlearn.replacement`) or "empty" (the empty prompt).
        down: what the training starts from, a name in `lora_unlearn.training.starts.STARTS`.
        selector: which layers, see `Denoiser.linears`; by default the values of the prompt's attention.
        source: where states come from, a name in `lora_unlearn.training.sources.SOURCES`, and wrappers around it.
        terms: of the loss, names in `lora_unlearn.training.terms.TERMS`; the first erases.
        update: how their gradients become one, a name in `lora_unlearn.training.updates.UPDATES`.
        average: what is kept of the way, a name in `lora_unlearn.training.averages.AVERAGES`.
        options: the parts' own hyper-parameters where they are not the default, by "part.name".
    """

    objective: str = "unguide"
    gamma: float = option(
        GAMMA,
        0,
        10,
        "How far to push away from the concept in the target; 0 only replaces, as redirect always does; 0.5, the "
        "usual, is 1 for styles and attributes, which nothing replaces",
    )
    reference: str = "nearest"
    down: str = "solved"
    rank: int = option(8, 1, 128, "Directions in each layer at most; they decide the file's size", most=4096)
    scale: float = option(1.0, 0.01, 64, "Factor of the residual for random directions (UnGuide's alpha)")
    iterations: int = option(60, 1, 5000, "Updates at most", most=10**9)
    batch: int = option(4, 1, 64, "States in each update; the first thing to lower when memory runs out", most=10**9)
    learning_rate: float = option(5e-2, 1e-6, 1, "Step size of Adam")
    trajectories: int = option(8, 1, 64, "Pictures whose way from noise is recorded")
    trajectory_steps: int = option(6, 1, 100, "States on each of those ways")
    guidance_scale: float = option(4.0, 1, 20, "Guidance (CFG) of those ways; Flux, FLUX.2 and Z-Image always take 1")
    enough: float = option(
        0.98, 0.1, 1, "Stop early once two looks running find this share of the change made", most=100
    )
    selector: str = "cross_v"
    offload: bool = option(
        False, None, None, "Keep what the backward pass needs in main memory: slower, for small graphics cards"
    )
    seed: int = option(0, 0, 2**63 - 1, "Of every random draw")
    source: tuple[str, ...] = ("recorded",)
    terms: tuple[str, ...] = ("goal",)
    update: str = "total"
    average: str = "last"
    options: dict[str, float] = field(default_factory=dict)

    @property
    def repulsion(self) -> float:
        """The gamma that the objective really uses."""
        return 0.0 if self.objective == "redirect" else self.gamma

    @property
    def trains(self) -> bool:
        """Whether there are updates; otherwise the start is the whole eraser."""
        return self.iterations > 0

    @property
    def records(self) -> bool:
        """Whether states are made before the first update."""
        return self.trains and self.source[:1] != ("own",)


def for_family(settings: Settings, family: str) -> Settings:
    """Settings that fit a model family.

    Where attention's keys and values see hidden states, as in Flux, directions that come from text belong to the one
    layer that reads the embeddings; models that are distilled for it are sampled without guidance.
    """
    known = FAMILIES[family]
    if "context" in known.layers and settings.selector in ("cross_v", "cross_kv") and settings.down != "random":
        settings = replace(settings, selector="context")
    return settings if known.guided else replace(settings, guidance_scale=1.0)


def for_concept(settings: Settings, concept: Concept, begun: Settings | None = None) -> Settings:
    """Settings that fit a concept: the usual gamma is `GAMMA_ALONE` for a style or an attribute that nothing replaces.

    The reference of those is the same sentence without them, which often shows them still.

    Args:
        begun: of a training that goes on; what began with `GAMMA` keeps it.
    """
    usual = settings.reference == "nearest" and settings.gamma == GAMMA and (begun is None or begun.gamma != GAMMA)
    alone = concept.is_manner and not concept.replace_with.strip()
    return replace(settings, gamma=GAMMA_ALONE) if alone and usual else settings
