"""Contact sheets: every picture at its place, labels of any length and alphabet."""

from __future__ import annotations

from PIL import Image

from lora_unlearn.report import sheet

RED, BLUE = (220, 30, 30), (30, 30, 220)


def colours(image):
    return {colour for _, colour in image.getcolors(image.width * image.height)}


def plain(colour, size=(64, 64)):
    return Image.new("RGB", size, colour)


def test_rows_and_columns():
    page = sheet([("before", [plain(RED), plain(RED)]), ("after", [plain(BLUE), plain(BLUE)])], ("1", "2"), cell=64)
    assert sum(count for count, colour in page.getcolors(page.width * page.height) if colour == RED) == 2 * 64 * 64
    right = page.width - 20
    assert page.getpixel((right, page.height // 3)) == RED
    assert page.getpixel((right, page.height - 20)) == BLUE


def test_pictures_keep_their_shape():
    page = sheet([("wide", [plain(RED, (200, 100))])], cell=64)
    assert sum(count for count, colour in page.getcolors(page.width * page.height) if colour == RED) == 64 * 32


def test_labels_are_drawn_beside_the_pictures():
    bare, labelled = sheet([("", [plain(RED)])]), sheet([("a photo of the cat", [plain(RED)])])
    assert labelled.width > bare.width
    assert len(colours(labelled)) > len(colours(bare))


def test_long_labels_wrap_and_rows_may_differ():
    long = "a photo of a cat that sleeps on a very long sofa in the sun " * 3
    page = sheet([(long, [plain(RED)]), ("short", [plain(BLUE)] * 3)], cell=64)
    assert page.width < 600
    assert {RED, BLUE} <= colours(page)


def test_any_alphabet_and_nothing_at_all():
    assert RED in colours(sheet([("\u732b \u00fc", [plain(RED)])]))
    assert sheet([("no pictures", [])]).mode == sheet([]).mode == "RGB"
