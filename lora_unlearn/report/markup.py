"""HTML that cannot be forgotten to be escaped, and numbers as people read them."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence

from PIL import Image

LARGEST = 224
"""Sides of embedded pictures in pixels: twice what the page shows, for sharp screens."""
VOID = ("img", "meta", "link", "br")
SPACE = "\u202f"
"""A narrow space that does not break, between a number and its unit."""


class Html(str):
    """Text that is markup already."""


Part = str | Html | None | Sequence["Part"]


def flat(part: Part) -> Html:
    """Join parts, nested as they may be; plain text is escaped, None vanishes."""
    if part is None:
        return Html("")
    if isinstance(part, Html):
        return part
    if isinstance(part, str):
        return Html(html.escape(part))
    return Html("".join(flat(inner) for inner in part))


def tag(name: str, /, *parts: Part, **attributes: str | float | None) -> Html:
    """An element. Attributes: `class_` stands for class, other underscores for dashes; None leaves one out."""
    text = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{name}{text}>" if name in VOID else f"<{name}{text}>{flat(parts)}</{name}>")


def table(head: Sequence[Part], rows: Sequence[Sequence[Part]], class_: str | None = None) -> Html:
    """A table whose first column names its rows; it scrolls by itself on narrow screens."""
    body = [tag("tr", tag("th", row[0], scope="row"), [tag("td", cell) for cell in row[1:]]) for row in rows]
    top = tag("tr", [tag("th", cell, scope="col") for cell in head])
    return tag("div", tag("table", tag("thead", top), tag("tbody", body), class_=class_), class_="wide")


def picture(image: Image.Image, alt: str) -> Html:
    """A picture within the page, scaled down to at most LARGEST pixels."""
    small = image.convert("RGB")
    small.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    small.save(data, "JPEG", quality=90, subsampling=0)
    source = f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"
    return tag("img", src=source, alt=alt, width=small.width, height=small.height, loading="lazy")


def percent(share: float | None) -> str:
    """A share as percent: 100 and 0 are said only where they are exact."""
    if share is None:
        return "\u2013"
    value = 100 * share
    if share in (0, 1) or abs(value - round(value)) < 1e-9:
        return f"{round(value)}{SPACE}%"
    return f"{min(max(round(value, 1), 0.1), 99.9):.1f}{SPACE}%"


def span(interval: Sequence[float] | None) -> str:
    """An interval of shares."""
    if interval is None:
        return ""
    low, high = (f"{100 * bound:.1f}".removesuffix(".0") for bound in interval)
    return f"{low}\u2013{high}{SPACE}%"


def score(value: float | None) -> str:
    """A score from 0 to 1 with three decimals; 1 is said only where it is exact."""
    return "\u2013" if value is None else f"{value if value == 1 else min(value, 0.999):.3f}"


def number(value: float | None) -> str:
    """A number with three figures, thousands set apart."""
    if value is None:
        return "\u2013"
    if abs(value) >= 1000 or value == int(value):
        return f"{round(value):,}".replace(",", SPACE)
    return f"{value:.3g}"
