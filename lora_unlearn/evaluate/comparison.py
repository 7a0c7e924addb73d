"""Two erasers of one concept, measured on the same prompts and seeds: what differs, and by how much at least."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ..adapter import Adapter
from ..bounds import clopper_pearson
from ..errors import UnlearnError
from .counting import Counted, counted, label
from .erasure import SETS
from .prompts import UNRELATED, WITH_CONCEPT
from .protocols import Measured
from .record import Evaluation, Shot
from .scores import CONFIDENCE, bootstrap, harmonic, mean

Pairs = list[list[tuple[float, float]]]
"""For each prompt the values of both erasers on every picture."""


def check_comparable(first: Adapter, second: Adapter) -> None:
    """Refuse two erasers that no picture can compare.

    Raises:
        UnlearnError: if they are for different concepts, or were made on different models.
    """
    one, other = first.concept.name, second.concept.name
    if one.lower() != other.lower():
        raise UnlearnError(
            f"The erasers are for different concepts ({one!r} and {other!r}); compare two for the same, or measure "
            "each by itself."
        )
    if first.base_hash != second.base_hash:
        raise UnlearnError(
            f"The erasers for {one!r} were made on different models; calibrate both on the one that is to draw, or "
            "name two of the same model."
        )


def compare(first: Mapping[str, Measured], second: Mapping[str, Measured]) -> list[dict[str, Any]]:
    """A row for every share that both were measured by: of the first, of the second, and the difference.

    Only pictures of the same prompt and seed count. Intervals of differences: the wider of the paired bootstrap over
    prompts and an exact one over pictures (`paired_interval`); that of H: bootstrap.
    """
    rows = []
    for name in [name for name in first if name in second]:
        one, other = first[name], second[name]
        if name == "unguide" and one.evaluation and other.evaluation:
            rows += _unguide(one.evaluation, other.evaluation)
        else:
            rows += _shares(name, one.figures, other.figures)
    return rows


def _unguide(first: Evaluation, second: Evaluation) -> list[dict[str, Any]]:
    """Acc_e, Acc_s, Acc_g, H, gates and bytes."""
    among = first.protocol.labels

    def right(evaluation: Evaluation) -> Callable[[Shot], float]:
        return lambda shot: float(label(shot.gated, evaluation, among) == shot.prompt.wanted)

    def of(value: Callable[[Evaluation], Callable[[Shot], float]], *kinds: Any) -> Pairs:
        return pairs(*(counted(found.of(*kinds), value(found)) for found in (first, second)))

    sets = {name: of(right, kind) for name, kind in SETS.items()}
    rows = [row("unguide", name, found) for name, found in sets.items()]
    opened = {"gate opened, asked": WITH_CONCEPT, "gate opened, unrelated": UNRELATED}
    rows += [
        row("unguide", n, of(lambda _: lambda s: float(bool(s.decision.open)), *kinds)) for n, kinds in opened.items()
    ]
    rows.append(row("unguide", "identical, unrelated", of(lambda _: lambda s: float(s.gated.identical), *UNRELATED)))
    return [*([_harmonic(list(sets.values()))] if all(sets.values()) else []), *(found for found in rows if found)]


def _harmonic(sets: Sequence[Pairs]) -> dict[str, Any]:
    """H of both, over prompts that are drawn again for both at once."""
    one, other = (harmonic(*(_mean(found, side) for found in sets)) for side in (0, 1))

    def difference(*drawn: Any) -> float:
        first, second = (harmonic(*(float(of[:, side].mean()) for of in drawn)) for side in (0, 1))
        return second - first

    interval = bootstrap(sets, difference)
    return {"protocol": "unguide", "figure": "h", "first": one, "second": other, "difference": other - one,
            "interval": interval, "pictures": sum(len(of) for found in sets for of in found)}  # fmt: skip


def _shares(name: str, first: Any, second: Any) -> list[dict[str, Any]]:
    """A row for every share that both trees of figures hold, but those without an eraser, which are the same."""
    found = [row(name, words, pairs(one, second_)) for words, one, second_ in _leaves(first, second)]
    return [row for row in found if row]


def _leaves(first: Any, second: Any, words: str = "") -> Iterator[tuple[str, Counted, Counted]]:
    if isinstance(first, Counted) and isinstance(second, Counted):
        yield words, first, second
    elif isinstance(first, dict) and isinstance(second, dict):
        for key in [key for key in first if key in second and key != "base"]:
            said = words if key == "gated" else f"{words} {WORDS.get(key, key.replace('_', ' '))}".strip()
            yield from _leaves(first[key], second[key], said)


WORDS = {"exported": "(plain LoRA)"}


def pairs(first: Counted, second: Counted) -> Pairs:
    """The values of both on the same pictures, by prompt."""
    found: dict[str, list[tuple[float, float]]] = {}
    for (text, seed), value in first.values_of.items():
        if (text, seed) in second.values_of:
            found.setdefault(text, []).append((value, second.values_of[text, seed]))
    return list(found.values())


def row(protocol: str, figure: str, found: Pairs) -> dict[str, Any] | None:
    """A figure of both with their difference; None without a picture that both have."""
    if not found:
        return None
    one, other = _mean(found, 0), _mean(found, 1)
    return {"protocol": protocol, "figure": figure, "first": one, "second": other, "difference": other - one,
            "interval": paired_interval(found), "pictures": sum(map(len, found))}  # fmt: skip


def paired_interval(found: Pairs, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Interval of the second mean minus the first: bootstrap over prompts; for shares the wider of that and exact.

    The exact one bounds by Clopper and Pearson how often only the one, and only the other, is 1, at half the error
    each: the difference is that of the two. It keeps its width where no picture differs.
    """
    low, high = bootstrap([found], lambda drawn: float((drawn[:, 1] - drawn[:, 0]).mean()), confidence=confidence)
    values = [pair for of_prompt in found for pair in of_prompt]
    if any(value not in (0, 1) for pair in values for value in pair):
        return low, high
    lost, won = (sum(pair == only for pair in values) for only in ((1, 0), (0, 1)))
    (lost_low, lost_high), (won_low, won_high) = (
        clopper_pearson(count, len(values), (1 + confidence) / 2) for count in (lost, won)
    )
    return min(low, won_low - lost_high), max(high, won_high - lost_low)


def _mean(found: Pairs, side: int) -> float:
    value = mean([[pair[side] for pair in of_prompt] for of_prompt in found])
    assert value is not None
    return value
