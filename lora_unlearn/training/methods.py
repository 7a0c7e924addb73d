"""The methods: each a row of parts with its own hyper-parameters, and one line that says what it is.

A method of your own is one more row here, and one more file for each part that does not exist yet.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..options import chosen
from ..settings import Settings


@dataclass(frozen=True)
class Method:
    """A row.

    Attributes:
        about: what it does, in a line.
        origin: where the formula comes from.
        settings: its parts and hyper-parameters.
    """

    about: str
    origin: str
    settings: Settings


FAST = Settings()
INSTANT = Settings(down="edit", rank=32, iterations=0)
"""The closed form; its rank decides the file's size."""
PAPER = Settings(
    gamma=2.0,
    reference="empty",
    down="random",
    rank=1,
    scale=8.0,
    iterations=200,
    batch=1,
    learning_rate=3e-5,
    trajectory_steps=50,
    guidance_scale=9.0,
    selector="cross_kv",
    source=("own",),
)
PLAIN = replace(
    PAPER,
    gamma=1.0,
    scale=1.0,
    batch=4,
    learning_rate=1e-2,
    iterations=60,
    trajectory_steps=6,
    guidance_scale=3.0,
    rank=4,
    source=("recorded",),
    enough=1.0,
)
"""What published methods have in common here: random directions, keys and values, the empty prompt as reference, and a
sampling of the frozen model at a guidance scale of 3. Learning rates are those of the sweep in `docs/methods.md`."""

METHODS: dict[str, Method] = {
    "fast": Method("trains from the closed form until the concept is gone", "docs/experiments.md", FAST),
    "instant": Method("the closed form alone, from text, trains nothing: the default", "docs/methods.md", INSTANT),
    "firm": Method(
        "the closed form, turned further, for people who will try to get past it: what appears instead is less clear",
        "docs/evaluation.md",
        replace(INSTANT, gamma=2.0),
    ),
    "paper": Method("UnGuide as released, slow", "arXiv 2508.05755", PAPER),
    "esd": Method("guidance away from the concept", "arXiv 2303.07345", replace(PLAIN, objective="esd")),
    "leco": Method(
        "ESD's target along the adapter's own way",
        "github.com/p1atdev/LECO",
        replace(PLAIN, objective="leco", source=("own",), batch=1),
    ),
    "all_but_one": Method(
        "turns the guidance term alone, pins the empty prompt",
        "arXiv 2312.12807",
        replace(PLAIN, objective="surgical", terms=("goal", "pin")),
    ),
    "score_forgetting": Method(
        "the concept becomes its replacement, nothing is pushed",
        "arXiv 2409.11219",
        replace(PLAIN, objective="redirect", reference="nearest"),
    ),
    "restricted": Method(
        "forgetting and retaining gradients do not undo each other",
        "arXiv 2412.07808",
        replace(PLAIN, objective="esd", terms=("goal", "retain"), update="restricted", options={"retain.weight": 0.1}),
    ),
    "doco": Method(
        "a critic aligns the concept with its replacement, gradient surgery keeps the rest",
        "arXiv 2405.15304",
        replace(
            PLAIN,
            objective="redirect",
            reference="nearest",
            terms=("goal", "domain", "retain"),
            update="surgery",
        ),
    ),
    "adv_unlearn": Method(
        "is asked under attack, too, and retains",
        "arXiv 2405.15234",
        replace(
            PLAIN,
            objective="esd",
            source=("recorded", "adversarial"),
            terms=("goal", "retain"),
            options={"retain.weight": 0.1, "adversarial.radius": 0.1},
        ),
    ),
    "salun": Method(
        "only the most salient half of the weights moves, on noised pictures",
        "arXiv 2310.12508",
        replace(
            PLAIN,
            objective="redirect",
            reference="nearest",
            source=("noised",),
            terms=("goal", "retain"),
            update="saliency",
        ),
    ),
    "dampened": Method(
        "what answers other prompts is dampened in the end",
        "arXiv 2308.07707",
        replace(PLAIN, objective="esd", average="dampen"),
    ),
    "slug": Method(
        "one gradient of one layer, strength by search",
        "arXiv 2407.11867",
        replace(PLAIN, objective="esd", down="slug", iterations=0),
    ),
    "spm": Method(
        "rank 1, anchored on random texts",
        "arXiv 2312.16145",
        replace(
            PLAIN, objective="esd", rank=1, terms=("goal", "anchors"), iterations=240, options={"anchors.weight": 0.1}
        ),
    ),
    "loreun": Method(
        "what resists counts more", "arXiv 2507.22499", replace(PLAIN, objective="esd", source=("recorded", "hardest"))
    ),
    "debiased": Method(
        "high noise counts more", "arXiv 2310.08442", replace(PLAIN, objective="esd", source=("recorded", "debiased"))
    ),
    "min_snr": Method(
        "low noise counts less", "arXiv 2303.09556", replace(PLAIN, objective="esd", source=("recorded", "min_snr"))
    ),
    "ema": Method("keeps the average of its way", "arXiv 2310.13854", replace(PLAIN, objective="esd", average="ema")),
    "belay": Method("an average on a spring", "arXiv 2310.13854", replace(PLAIN, objective="esd", average="belay")),
    "orthogonal": Method(
        "directions avoid what other prompts say",
        "arXiv 2407.10223",
        replace(PLAIN, objective="esd", terms=("goal", "orthogonal")),
    ),
    "uce": Method(
        "the closed form on the concept's own token, trains nothing",
        "arXiv 2308.14761",
        replace(INSTANT, gamma=0.0, down="uce", selector="cross_kv"),
    ),
    "speed": Method(
        "the closed form in the null space of what must stay, trains nothing",
        "arXiv 2503.07392",
        replace(INSTANT, gamma=0.0, down="speed"),
    ),
    "robust": Method(
        "fast under attack, with restricted gradients and an average: a row of parts from four works",
        "arXiv 2405.15234, 2412.07808, 2310.13854",
        replace(FAST, source=("recorded", "adversarial"), terms=("goal", "retain"), update="restricted", average="ema"),
    ),
}
"""Methods by name, as `--method` and the nodes call them."""


def row(method: str, settings: Settings | None = None) -> Settings:
    """Settings for a method, with what it cannot be without: its source, and no updates where it has none.

    Raises:
        UnlearnError: if there is no such method.
    """
    own = chosen("method", method, METHODS).settings
    if settings is None:
        return own
    source = own.source if settings.source == FAST.source else settings.source
    return replace(settings, source=source, iterations=settings.iterations if own.trains else 0)
