"""The read-out of gates: one line and one bar for each decision."""

from __future__ import annotations

from lora_unlearn.guidance import Decision
from lora_unlearn.report import cost_line, notable, opened_line, readings, readout_chart, verdict_lines
from lora_unlearn.report.readout import CLOSED, OPEN, TRACK

OPENED, SHUT = Decision(True, 3.0, 1.5, "text"), Decision(False, 0.5, 1.5, "text")


def pixels(page, colour):
    return dict((found, count) for count, found in page.getcolors(page.width * page.height)).get(colour, 0)


def test_every_picture_prompt_and_eraser_has_a_line():
    found = readings(["cat", "dog"], [[[OPENED, SHUT]], [[SHUT, Decision(True, by="mode")], [Decision(), SHUT]]])
    assert [f"{reading.label}: {reading.verdict}" for reading in found] == [
        "picture 1: cat: open, score 3.00, threshold 1.50",
        "picture 1: dog: closed, score 0.50, threshold 1.50",
        "picture 2, prompt 1: cat: closed, score 0.50, threshold 1.50",
        "picture 2, prompt 1: dog: open (set by hand)",
        "picture 2, prompt 2: cat: not decided",
        "picture 2, prompt 2: dog: closed, score 0.50, threshold 1.50",
    ]


def test_words_hold_no_numbers_and_details_only_those():
    decisions = [OPENED, SHUT, Decision(True, by="mode"), Decision()]
    found = readings(["cat"], [[[decision]] for decision in decisions])
    assert [(reading.words, reading.details) for reading in found] == [
        ("open, erases it", "score 3.00, opens from 1.50"),
        ("closed, changes nothing", "score 0.50, opens from 1.50"),
        ("open, erases it (set by hand)", ""),
        ("not decided", ""),
    ]


def test_bars_are_as_long_as_scores():
    page = readout_chart(readings(["cat"], [[[OPENED]], [[SHUT]]]))
    assert 5 < pixels(page, OPEN) / pixels(page, CLOSED) < 7


def test_each_eraser_has_a_scale_of_its_own():
    small = Decision(True, 0.03, 0.015, "text")
    both, one = (
        readout_chart(readings(["cat", "dog"], [[[OPENED, small]]])),
        readout_chart(readings(["cat"], [[[OPENED]]])),
    )
    assert abs(pixels(both, OPEN) - 2 * pixels(one, OPEN)) < 0.05 * pixels(one, OPEN)


def test_scores_below_zero_and_none_at_all_are_drawn():
    below = readout_chart(readings(["cat"], [[[Decision(False, -2.0, -1.0, "probe")]]]))
    assert pixels(below, CLOSED) > pixels(below, TRACK)
    by_hand = readout_chart(readings(["cat"], [[[Decision(True, by="mode")]]]))
    assert pixels(by_hand, TRACK) > 0 and pixels(by_hand, OPEN) == pixels(by_hand, CLOSED) == 0
    assert readout_chart([]).height > 0


def test_costs():
    assert cost_line(24, 8) == "cost: 24 network evaluations, 8 of them for erasing (50 % more)"
    assert cost_line(0, 0) == "cost: 0 network evaluations, 0 of them for erasing (0 % more)"


def test_of_many_erasers_the_open_ones_and_the_nearest_are_told():
    decisions = [Decision(False, number / 100, 1.5, "text") for number in range(99)]
    names = [f"thing {number}" for number in range(99)]
    found = readings([*names, "cat"], [[[*decisions, OPENED]], [[*decisions, SHUT]]])
    assert verdict_lines(found) == [
        "picture 1: cat: open, erases it",
        "picture 1: 99 others closed, change nothing",
        "picture 2: 100 erasers closed, change nothing",
    ]
    first = [reading.concept for reading in notable(found) if reading.picture == 1]
    assert first == [*names[92:], "cat"]
    assert len(notable(found)) == 16 and notable(found[:5]) == found[:5]
    assert opened_line(found[:100]) == "1 of 100 open: cat" and opened_line(found[100:]) == "0 of 100 open"
    every = readings(names, [[[OPENED] * 99]])
    assert len(notable(every)) == len(verdict_lines(every)) == 99
    assert opened_line(every) == "99 of 99 open: " + ", ".join(names[:8]) + " and 91 more"


def test_few_erasers_each_have_a_line():
    found = readings(["cat", "dog"], [[[OPENED, SHUT]]])
    assert verdict_lines(found) == ["picture 1: cat: open, erases it", "picture 1: dog: closed, changes nothing"]
