"""The sampling run of attacks on tiny pipelines of every family: it draws what the host draws, under the same gate."""

from __future__ import annotations

import numpy as np
import pytest
from test_attack_formulas import victim_of
from tiny import BUILDERS

from lora_unlearn.evaluate.attacks.drawing import Way
from lora_unlearn.hosts.generate import Sampling, generate


@pytest.mark.parametrize("name", BUILDERS)
def test_every_family_is_drawn_with_and_without_its_eraser(name):
    victim = victim_of(name)
    with victim.attached():
        way = victim.asking("a cat")
        off, on = (victim.draw(way, 0, mode) for mode in ("off", "on"))
    assert off.state.isfinite().all() and off.image.size == on.image.size
    assert not off.decision.open and on.decision.open


@pytest.mark.parametrize(("name", "scale"), [("sd3", 4.0), ("flux", 1.0)])
def test_flow_models_are_drawn_as_their_pipeline_draws_them(name, scale):
    """Their pipelines step as Euler did, too, at the same noise levels."""
    victim = victim_of(name)
    victim.scale = scale
    pipe = victim.denoiser.pipe
    told = victim.denoiser.guidance_scale if name == "flux" else scale
    with victim.attached():
        ours = victim.draw(victim.asking("a cat"), 3, "off").image
    (host,) = generate(pipe, ["a cat"], [3], Sampling(victim.steps, told))
    off = np.abs(np.asarray(ours, dtype=int) - np.asarray(host.image, dtype=int))
    assert off.max() <= 1


def test_a_gate_that_shuts_leaves_the_picture_and_one_that_opens_does_not():
    for threshold, opened in ((1e6, False), (-1e6, True)):
        victim = victim_of("sd1", text_closed=threshold, text_open=threshold)
        for _, layer in victim.eraser.adapter.lora.items():
            layer.up.data += 0.5
        with victim.attached():
            way = victim.asking("a cat")
            off, gated, on = (victim.draw(way, 0, mode) for mode in ("off", "auto", "on"))
        assert gated.decision.open is opened
        assert (gated.state.equal(off.state), gated.state.equal(on.state)) == (not opened, opened)


def test_a_prompt_that_changes_makes_the_gate_decide_anew():
    victim = victim_of("sd1")
    scores = {text: float(victim.hears(victim.denoiser.encode([text]))) for text in ("a photo", "a cat")}
    middle = sum(scores.values()) / 2
    quiet, loud = sorted(scores, key=scores.__getitem__)
    victim = victim_of("sd1", text_closed=middle, text_open=middle)
    asked = {text: victim.denoiser.encode([text]) for text in scores}
    with victim.attached():
        shut = victim.draw(Way([asked[quiet]]), 0)
        opened = victim.draw(Way([asked[quiet], asked[quiet], asked[loud]]), 0)
    assert not shut.decision.open and opened.decision.open
