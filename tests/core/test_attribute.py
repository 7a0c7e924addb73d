"""Erasing an attribute of one thing: the thing stays, the attribute goes, and stays everywhere else."""

from __future__ import annotations

import numpy as np
import pytest

from lora_unlearn import Concept, Eraser, denoiser_for, erase, load_bank

pytestmark = pytest.mark.thorough

RED = "a red apple, clipart"


@pytest.fixture(scope="module")
def eraser(pipe):
    return Eraser(erase(denoiser_for(pipe), Concept("red", of="apple"), load_bank("demo"), "instant"))


def test_red_apples_lose_their_red_and_stay_apples(draw, seen, eraser):
    before, after = draw(RED, 4), draw(RED, 4, eraser)
    assert all(redness(picture) > 150 for picture in before)
    assert all(redness(picture) < 100 for picture in after)
    assert seen(after) == ["apple"] * 4


@pytest.mark.parametrize("prompt", ["a green apple", "a heart", "an apple"])
def test_what_is_not_a_red_apple_stays_byte_for_byte(draw, eraser, prompt):
    for before, after in zip(draw(prompt, 2), draw(prompt, 2, eraser), strict=True):
        assert after.image.tobytes() == before.image.tobytes()


def redness(picture):
    """How much more red than green there is in the middle of a picture, in levels of 255."""
    middle = np.asarray(picture.image, dtype=float)[44:84, 44:84]
    return float(middle[..., 0].mean() - middle[..., 1].mean())
