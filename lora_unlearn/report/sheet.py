"""Contact sheets as one picture: labelled rows, one column a seed."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

PAPER, INK, SOFT = (251, 250, 247), (29, 28, 26), (107, 104, 96)
GAP, LINE = 6, 18
LETTER = 14


def sheet(
    rows: Sequence[tuple[str, Sequence[Image.Image]]], columns: Sequence[str] = (), cell: int = 128, title: str = ""
) -> Image.Image:
    """Lay pictures out in rows.

    Args:
        rows: a label and pictures for each; rows may differ in length.
        columns: labels above the columns.
        cell: side of a picture in pixels; pictures keep their proportions.
        title: what the whole sheet is of, on the line of the columns' labels.

    Returns:
        An RGB picture.
    """
    font = plain_font()
    lines = [title, *(line for label, _ in rows for line in _wrapped(label, font, cell))]
    left, top = int(max(map(font.getlength, lines))) + 3 * GAP, GAP + (LINE + GAP) * bool(columns or title)
    count = max((len(images) for _, images in rows), default=0)
    page = Image.new("RGB", (left + count * (cell + GAP), top + len(rows) * (cell + GAP)), PAPER)
    pen = ImageDraw.Draw(page)
    pen.text((GAP, GAP), title, SOFT, font)
    for index, name in enumerate(columns[:count]):
        pen.text((left + index * (cell + GAP), GAP), name, SOFT, font)
    for index, (label, images) in enumerate(rows):
        _row(page, pen, font, label, images, left, top + index * (cell + GAP), cell)
    return page


def _row(
    page: Image.Image,
    pen: ImageDraw.ImageDraw,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
    label: str,
    images: Sequence[Image.Image],
    left: int,
    top: int,
    cell: int,
) -> None:
    lines = _wrapped(label, font, cell)
    start = top + (cell - LINE * len(lines)) // 2
    for number, line in enumerate(lines):
        pen.text((GAP, start + number * LINE), line, INK, font)
    for column, image in enumerate(images):
        small = _fitted(image, cell)
        corner = left + column * (cell + GAP) + (cell - small.width) // 2, top + (cell - small.height) // 2
        page.paste(small, corner)


def _fitted(image: Image.Image, cell: int) -> Image.Image:
    """The picture with its longer side as long as a cell."""
    factor = cell / max(image.size)
    size = max(1, round(image.width * factor)), max(1, round(image.height * factor))
    return image.convert("RGB").resize(size, Image.Resampling.LANCZOS)


def _wrapped(text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, cell: int) -> list[str]:
    """Lines of words, about one and a half cells wide and no more of them than a cell is high."""
    if isinstance(font, ImageFont.ImageFont):
        text = text.encode("latin-1", "replace").decode("latin-1")  # the old font knows no more
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > 1.5 * cell:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines[: max(1, cell // LINE)]


def plain_font() -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """Pillow's own font: a scalable one where there is one (from Pillow 10.1 on)."""
    try:
        return ImageFont.load_default(LETTER)
    except TypeError:
        return ImageFont.load_default()
