"""Same-seed pictures above one another: one card for a prompt, one row for each way of drawing it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from .markup import Html, picture, tag


@dataclass
class Card:
    """A prompt with rows of pictures, column by column from the same seed; the first row is the unchanged model."""

    caption: str
    rows: Sequence[tuple[str, Sequence[Image.Image]]]

    @property
    def columns(self) -> int:
        """The number of seeds."""
        return max((len(images) for _, images in self.rows), default=0)


def cards(entries: Sequence[Card], large: bool = False) -> Html:
    """Cards side by side; `large`: each over the whole width."""
    shown = [entry for entry in entries if entry.columns]
    single = all(entry.columns == 1 for entry in shown)
    return tag("div", [_card(entry, large) for entry in shown], class_="cards single" if single else "cards")


def _card(entry: Card, large: bool) -> Html:
    first = [image.tobytes() for image in entry.rows[0][1]]
    cells: list[Html] = []
    for index, (name, images) in enumerate(entry.rows):
        cells.append(tag("span", name))
        for column, image in enumerate(images):
            same = index > 0 and image.tobytes() == first[column]
            alt = f"{entry.caption}, {name}{', identical' if same else ''}"
            cells.append(tag("div", picture(image, alt), class_="same" if same else None))
        cells += [tag("div")] * (entry.columns - len(images))
    rows = tag("div", cells, class_="rows", style=f"--columns:{entry.columns}")
    return tag("figure", tag("figcaption", entry.caption), rows, class_="card large" if large else "card")


def key() -> Html:
    """What the mark on identical pictures means."""
    mark = tag("span", class_="key same")
    return tag("p", mark, " byte for byte the picture that the model draws without the eraser.", class_="note")
