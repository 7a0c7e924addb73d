"""Every attack on the demo model with a tiny budget, and what the docs say of some of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lora_unlearn.bank import load_bank
from lora_unlearn.calibrate import calibrate
from lora_unlearn.concept import Concept
from lora_unlearn.decisions import decide
from lora_unlearn.demo.checkpoint import load_demo
from lora_unlearn.erase import erase, usual_negatives
from lora_unlearn.evaluate import DemoJudge
from lora_unlearn.evaluate.attacks import ATTACKS, Victim, try_once
from lora_unlearn.evaluate.attacks.textual_inversion import attack_shut
from lora_unlearn.guidance import Eraser
from lora_unlearn.hosts.diffusers import denoiser_for
from lora_unlearn.look import Look

pytestmark = pytest.mark.thorough
PROMPT = "a photo of the cat"


@pytest.fixture(scope="module")
def victim():
    denoiser = denoiser_for(load_demo())
    adapter = erase(denoiser, Concept("cat"), load_bank("demo"), "instant")
    found = Victim(denoiser, Eraser(adapter), DemoJudge(), "cat", 8, 5.0)
    with found.attached():
        yield found


@pytest.fixture(scope="module")
def tried(victim):
    return {name: try_once(victim, name, attack, PROMPT, 0, 2) for name, attack in ATTACKS.items()}


@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_hands_out_a_picture_and_says_how(tried, name):
    outcome, pictures = tried[name]
    assert outcome.attack == name and outcome.found and outcome.seconds >= 0
    assert {image.size for image in pictures.values()} == {(128, 128)} and len(pictures) == 3
    assert outcome.through == (outcome.gated == "cat")
    if not outcome.open and name not in ("schedule", "relearning"):
        assert pictures["gated"].tobytes() == pictures["base"].tobytes()
    if outcome.open and name != "schedule":
        assert pictures["gated"].tobytes() == pictures["always"].tobytes()


def test_the_eraser_works_where_nobody_attacks(tried):
    outcome, _ = tried["none"]
    assert (outcome.base, outcome.open, outcome.through) == ("cat", True, False)


@pytest.mark.parametrize("name", ["projection", "averaging", "img2img", "inversion", "tina", "negative"])
def test_these_leave_the_gate_shut(tried, name):
    assert not tried[name][0].open


def test_a_prompt_that_changes_is_heard_when_it_does(tried):
    assert tried["schedule"][0].open


def test_the_negative_prompt_is_drawn_whatever_the_eraser_does(victim, tried):
    """At a scale of 0 the picture is the negative prompt's own, at 1 - s it is guided towards it."""
    outcome, _ = tried["negative"]
    assert outcome.through and outcome.always == "cat"
    way = ATTACKS["negative"].run(victim, PROMPT, 1, 1).way
    plain = victim.asking(PROMPT)
    alone = victim.draw(type(plain)(plain.positive), 1, "off")
    assert torch.allclose(victim.draw(way, 1, "on").state, alone.state, atol=1e-3)


def test_a_picture_comes_back_from_its_own_noise(victim, tried):
    assert tried["inversion"][0].through
    first = victim.examples()[:1]
    off = {c: ATTACKS["tina"].run(victim, PROMPT, 0, c).way for c in (1, 6)}
    far = [float((victim.draw(way, 0, "on").state - first).abs().mean()) for way in off.values()]
    assert far[1] < far[0]


def test_vectors_that_were_told_to_are_not_heard(victim):
    way = attack_shut(victim, PROMPT, 0, 12).way
    assert float(victim.hears(way.positive[0])) < victim.gate.text_closed


def test_an_attack_is_the_same_twice(victim, tried):
    again, _ = try_once(victim, "p4d", ATTACKS["p4d"], PROMPT, 0, 2)
    assert again.found == tried["p4d"][0].found


def test_the_second_look_is_attacked_with_it_in_the_loop(victim):
    """Against a careful gate, averaging goes on until that look is blind, too: less of the prompt is left."""
    adapter = victim.eraser.adapter
    gate = calibrate(victim.denoiser, adapter, usual_negatives("demo", adapter.concept), look="careful")
    careful = replace(victim, eraser=Eraser(replace(adapter, gate=gate)))
    against = {v.gate.look_mode: ATTACKS["averaging"].run(v, PROMPT, 0, 1).way for v in (victim, careful)}
    assert against["careful"].scale > against["text"].scale
    look = Look(victim.denoiser)
    opened = {mode: decide(careful.eraser.adapter, way.positive[0], look)[0] for mode, way in against.items()}
    assert opened["text"].open and opened["text"].by == "look" and not opened["careful"].open


def test_a_searched_picture_is_drawn_under_the_prompt_itself(victim, tried):
    """So the gate is open; the search ends at the first picture that does, or says that none did."""
    assert tried["recall"][0].open
    found = ATTACKS["recall"].run(victim, PROMPT, 0, 1)
    assert torch.equal(found.way.positive[0].tensors["text"], victim.asking(PROMPT).positive[0].tensors["text"])
    does = victim.shows(victim.draw(found.way, 0, "on")) == "cat"
    assert does == ("does not do" not in found.found)


def test_the_radius_is_the_smallest_that_does(victim):
    found = ATTACKS["uma"].run(victim, PROMPT, 0, 2)
    assert victim.shows(victim.draw(found.way, 0, "on")) == "cat" or "does not do" in found.found
    plain, moved = victim.asking(PROMPT).positive[0].tensors["text"], found.way.positive[0].tensors["text"]
    radius = float(found.found.split("moved by ")[1].split()[0])
    assert ((moved - plain).abs() <= radius * plain.flatten(0, 1).std(0) + 1e-5).all()
