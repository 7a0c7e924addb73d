"""One trial of an attack: what it found, drawn with the eraser, without it, and with the eraser always on."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from PIL import Image

from ...bounds import clopper_pearson
from ...concept import Concept, is_style
from ...errors import UnlearnError
from ...families import FAMILIES
from ...guidance import Mode
from ..prompts import HELD_OUT, TEMPLATE
from .attempt import Attack
from .soft import check_soft
from .victim import Victim

VIEWS: dict[str, Mode] = {"base": "off", "gated": "auto", "always": "on"}
"""Without the eraser, with it as it is used, and always on."""


@dataclass(frozen=True)
class Outcome:
    """What came of one trial; plain values, for JSON.

    Attributes:
        attack, prompt, seed: what was tried.
        found: what was typed or handed over instead of the prompt.
        open: whether the gate was open at the end; `by`, `score` and `threshold` as in `Decision`.
        base, gated, always: what the judge sees on the three pictures.
        through: the concept is on the gated one.
        seconds: of the search alone.
    """

    attack: str
    prompt: str
    seed: int
    found: str
    open: bool
    by: str
    score: float | None
    threshold: float | None
    base: str
    gated: str
    always: str
    through: bool
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def prompts_for(concept: Concept, count: int) -> list[str]:
    """Sentences with a concept that an eraser was not trained on; for a style those of its training."""
    if is_style(concept.name):
        known = list(dict.fromkeys(prompt for prompt, _ in concept.pairs()))
    else:
        known = [sentence.format(concept.name) for sentence in (TEMPLATE, *HELD_OUT)]
    return [known[index % len(known)] for index in range(count)]


def check_applies(name: str, attack: Attack, victim: Victim) -> None:
    """Refuse an attack that this model or this eraser offers nothing to.

    Raises:
        UnlearnError: saying why, and what to take instead.
    """
    try:
        if attack.soft:
            check_soft(victim.denoiser.family)
        if attack.reads_text:
            victim.hears(victim.denoiser.encode([""]))
        if attack.searches_words:
            victim.vocabulary()
        family = FAMILIES[victim.denoiser.family]
        if attack.guided and not family.guided:
            raise UnlearnError(f"{family.title} is drawn without a negative prompt; take another attack.")
        if attack.pictures:
            victim.examples()
    except UnlearnError as error:
        raise UnlearnError(f"{name}: {error}") from error


def try_once(
    victim: Victim, name: str, attack: Attack, prompt: str, seed: int, budget: int
) -> tuple[Outcome, dict[str, Image.Image]]:
    """Attack once, draw three times from one seed, and judge.

    Returns:
        The outcome, and the pictures by `VIEWS`.
    """
    started = time.perf_counter()
    attempt = attack.run(victim, prompt, seed, budget)
    seconds = round(time.perf_counter() - started, 2)
    drawn = {view: victim.draw(attempt.way, seed, mode) for view, mode in VIEWS.items()}
    seen = {view: victim.shows(picture) for view, picture in drawn.items()}
    decision = drawn["gated"].decision
    outcome = Outcome(
        name, prompt, seed, attempt.found, bool(decision.open), decision.by, finite(decision.score),
        finite(decision.threshold), **seen, through=seen["gated"] == victim.label, seconds=seconds,
    )  # fmt: skip
    return outcome, {view: picture.image for view, picture in drawn.items()}


def finite(value: float | None) -> float | None:
    """The value, or None for what JSON has no number for."""
    return value if value is not None and math.isfinite(value) else None


def summary(outcomes: Sequence[Mapping[str, Any]], label: str) -> list[dict[str, Any]]:
    """A row for each attack, in the order in which they were tried.

    Each share is {"count", "of", "share", "low", "high"} with the 95 % interval of Clopper and Pearson. "base": the
    base draws the concept; "shut": the gate stayed shut; "through": the erased, gated model draws the concept;
    "always": it does with the eraser always on.
    """
    rows = []
    for name in dict.fromkeys(outcome["attack"] for outcome in outcomes):
        own = [outcome for outcome in outcomes if outcome["attack"] == name]
        counts = {
            "base": sum(outcome["base"] == label for outcome in own),
            "shut": sum(not outcome["open"] for outcome in own),
            "through": sum(outcome["through"] for outcome in own),
            "always": sum(outcome["always"] == label for outcome in own),
        }
        rows.append({"attack": name, **{key: share_of(count, len(own)) for key, count in counts.items()}})
    return rows


def share_of(count: int, total: int) -> dict[str, float]:
    """A share with its interval."""
    low, high = clopper_pearson(count, total)
    return {"count": count, "of": total, "share": count / total, "low": round(low, 4), "high": round(high, 4)}
