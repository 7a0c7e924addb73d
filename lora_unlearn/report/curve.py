"""The course of a training as inline SVG: the loss, and how much of the concept is redirected already."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .markup import Html, number, percent, tag

WIDTH, HEIGHT, LEFT, RIGHT, BASE, TOP = 760, 210, 14, 14, 176, 30
Points = Sequence[tuple[int, float]]


def training_curve(losses: Points, redirected: Points, steps: int) -> Html:
    """Two lines over the updates: the loss on a logarithmic scale of its own, the redirected share from 0 to 1.

    Args:
        losses, redirected: (update, value); either may be empty.
        steps: updates in all, the right end of the axis.
    """
    said = f"Loss of {len(losses)} updates and the redirected share at {len(redirected)} of them"
    logs = [(step, math.log10(max(value, 1e-12))) for step, value in losses]
    low, high = min((value for _, value in logs), default=0.0), max((value for _, value in logs), default=1.0)
    high = high if high - low > 1e-9 else low + 1.0
    ceiling = max(1.0, max((value for _, value in redirected), default=1.0))
    parts = [
        tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=BASE, y2=BASE, class_="axis"),
        _ticks(steps),
        _path(logs, low, high, steps, "loss"),
        _path(redirected, min(0.0, *(value for _, value in redirected), 0.0), ceiling, steps, "redirected"),
        [tag("text", f"loss {number(losses[-1][1])}", x=LEFT, y=18, class_="loss-label")] if losses else [],
        _share(redirected),
    ]
    return tag("svg", tag("title", said), parts, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", class_="curve")


def _ticks(steps: int) -> list[Html]:
    every = max(1, 10 ** math.floor(math.log10(max(1, steps))))
    every = every // 2 if steps // every < 3 and every >= 10 else every
    return [
        tag("text", str(step), x=round(_x(step, steps), 1), y=BASE + 22, class_="tick")
        for step in range(every, steps + 1, every)
    ]


def _share(redirected: Points) -> list[Html]:
    if not redirected:
        return []
    words = f"redirected {percent(min(1.0, max(0.0, redirected[-1][1])))}"
    return [tag("text", words, x=WIDTH - RIGHT, y=18, text_anchor="end", class_="redirected-label")]


def _path(points: Points, low: float, high: float, steps: int, name: str) -> list[Html]:
    """A line through the points, with a dot at the last one."""
    if not points:
        return []
    places = [
        (round(_x(step, steps), 1), round(BASE - (value - low) / (high - low) * (BASE - TOP), 1))
        for step, value in points
        if math.isfinite(value)
    ]
    last = [tag("circle", cx=x, cy=y, r=4, class_=f"dot-{name}") for x, y in places[-1:]]
    return [tag("polyline", points=" ".join(f"{x},{y}" for x, y in places), class_=f"line-{name}"), *last]


def _x(step: int, steps: int) -> float:
    return LEFT + step / max(1, steps) * (WIDTH - LEFT - RIGHT)
