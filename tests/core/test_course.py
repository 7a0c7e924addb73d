"""The share of a job that is done: whole at the end, and never less than before."""

from __future__ import annotations

from lora_unlearn.course import Course


def test_stages_that_take_turns_fill_the_whole_and_never_go_back():
    course = Course({"read": 1, "train": 4, "sketch": 1, "draw": 2})
    steps = [("read", 1, 2), ("read", 2, 2), ("train", 10, 30), ("sketch", 1, 2), ("train", 20, 30), ("sketch", 2, 2)]
    shares = [course.at(*step) for step in [*steps, ("train", 20, 40), ("train", 30, 30), ("draw", 9, 6)]]
    assert shares == sorted(shares) and shares[0] == 1 / 16 and shares[-1] == 1


def test_a_stage_that_ends_early_counts_as_done():
    course = Course({"train": 3, "draw": 1})
    course.at("train", 1, 60)
    course.close("train", "a stage of another job")
    assert course.at("draw", 0, 6) == 0.75 and course.at("draw", 6, 6) == 1
