"""Erasing a style: what is drawn stays, the way it is drawn goes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lora_unlearn import Concept, Eraser, denoiser_for, erase, load_bank
from lora_unlearn.demo.words import STYLES
from lora_unlearn.evaluate import DemoJudge
from lora_unlearn.training.methods import METHODS

pytestmark = pytest.mark.thorough

THINGS = ("cat", "house", "star")


@pytest.fixture(scope="module")
def eraser(pipe):
    return Eraser(erase(denoiser_for(pipe), Concept("flat sticker style"), load_bank("demo"), "instant"))


@pytest.mark.parametrize("thing", THINGS)
def test_the_style_goes_and_the_thing_stays(draw, seen, eraser, thing):
    before, after = (draw(f"a {thing}, flat sticker", 2, *erasers, steps=20) for erasers in ((), (eraser,)))
    assert styles(before) == ["flat sticker"] * 2
    assert "flat sticker" not in styles(after)
    assert seen(after) == [thing] * 2


def test_other_styles_stay_byte_for_byte(draw, eraser):
    for before, after in zip(draw("a cat, ink drawing", 2), draw("a cat, ink drawing", 2, eraser), strict=True):
        assert after.image.tobytes() == before.image.tobytes()


def styles(pictures):
    found = DemoJudge().verdict([picture.image for picture in pictures]).style
    return [list(STYLES)[index] for index in found.tolist()]


def test_a_style_is_pushed_away_further_unless_another_gamma_is_asked_for(pipe, eraser):
    asked = replace(METHODS["instant"].settings, gamma=0.2)
    own = erase(denoiser_for(pipe), Concept("flat sticker style"), load_bank("demo"), "instant", asked)
    assert (eraser.adapter.settings.gamma, own.settings.gamma) == (1.0, 0.2)
    assert energy(eraser.adapter.lora) > 1.5 * energy(own.lora)


def energy(lora):
    return sum(float((layer.scale * layer.up @ layer.down).square().sum()) for _, layer in lora.items())
