"""Charts as inline SVG and as bars of plain elements; colours come from the page's style."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from .markup import Html, number, percent, tag

WIDTH, HEIGHT, LEFT, BASE, TOP = 760, 230, 22, 196, 26
BINS = 48
Place = Callable[[float], float]


def histogram(concept: Sequence[float], unrelated: Sequence[float], threshold: float | None) -> Html:
    """The gate's scores of both kinds of prompts, each kind as shares of itself, with the threshold.

    Args:
        concept, unrelated: scores; at least one of them is not empty.
        threshold: drawn as a line where there is one.
    """
    values = [*concept, *unrelated, *([] if threshold is None else [threshold])]
    low, high = min(values), max(values)
    margin = (high - low) * 0.04 or 0.5
    low, high = low - margin, high + margin

    def place(value: float) -> float:
        return LEFT + (value - low) / (high - low) * (WIDTH - 2 * LEFT)

    counted = {"unrelated": _shares(unrelated, low, high), "concept": _shares(concept, low, high)}
    tallest = max(max(shares) for shares in counted.values())
    bars = [_bars(name, shares, tallest) for name, shares in counted.items()]
    said = f"Scores of {len(concept)} pictures with the concept and {len(unrelated)} without"
    return tag(
        "svg", tag("title", said), bars, _axis(low, high, place), _line(threshold, place),
        viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", class_="histogram",
    )  # fmt: skip


def _shares(values: Sequence[float], low: float, high: float) -> list[float]:
    counts = [0.0] * BINS
    for value in values:
        counts[min(int((value - low) / (high - low) * BINS), BINS - 1)] += 1
    return [count / max(len(values), 1) for count in counts]


def _bars(name: str, shares: Sequence[float], tallest: float) -> list[Html]:
    step = (WIDTH - 2 * LEFT) / BINS
    return [
        tag(
            "rect", x=round(LEFT + i * step + 0.5, 1), y=round(BASE - height, 1), width=round(step - 1, 1),
            height=round(height, 1), rx=1.5, class_=f"bar-{name}",
        )
        for i, share in enumerate(shares)
        if (height := max(share / tallest * (BASE - TOP), 2.0 if share else 0.0)) > 0
    ]  # fmt: skip


def _axis(low: float, high: float, place: Place) -> list[Html]:
    step = 10 ** math.floor(math.log10(high - low))
    step = next(step / part for part in (1, 2, 5, 10) if (high - low) / (step / part) >= 4)
    ticks = [step * i for i in range(math.ceil(low / step), math.floor(high / step) + 1)]
    return [
        tag("line", x1=LEFT, x2=WIDTH - LEFT, y1=BASE, y2=BASE, class_="axis"),
        *(tag("text", number(round(tick, 10)), x=round(place(tick), 1), y=BASE + 20, class_="tick") for tick in ticks),
    ]


def _line(threshold: float | None, place: Place) -> list[Html]:
    if threshold is None:
        return []
    x = round(place(threshold), 1)
    anchor, gap = ("end", -6) if x > WIDTH * 0.7 else ("start", 6)
    return [
        tag("line", x1=x, x2=x, y1=8, y2=BASE, class_="threshold"),
        tag("text", f"opens from {number(threshold)}", x=x + gap, y=18, text_anchor=anchor, class_="threshold-label"),
    ]


def bars(shares: Mapping[str, float], most: int = 8) -> Html:
    """Named shares as horizontal bars, the largest first."""
    ordered = sorted(shares.items(), key=lambda item: -item[1])[:most]
    rows = [
        [
            tag("span", name, class_="bar-name"),
            tag("span", tag("span", style=f"width:{100 * share:.1f}%"), class_="bar-track"),
            tag("span", percent(share), class_="bar-value"),
        ]
        for name, share in ordered
    ]
    return tag("div", rows, class_="bars")
