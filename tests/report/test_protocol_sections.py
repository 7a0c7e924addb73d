"""The report's sections of protocols: figures that can be counted by hand, in elements that close."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from made_up import make
from test_report import Page

from lora_unlearn.decisions import Decision
from lora_unlearn.evaluate.prompts import Prompt
from lora_unlearn.evaluate.protocols import Bench, Measured, canvas, gate, hub, implicit, integrity
from lora_unlearn.report import write_measured
from lora_unlearn.report.compare import verdict
from lora_unlearn.report.markup import flat
from lora_unlearn.report.protocols import section


@pytest.fixture
def evaluation():
    return make()


def asked_as(evaluation, kind, partner=""):
    """The same pictures, asked for another reason."""
    shots = [replace(shot, prompt=replace(shot.prompt, kind=kind, partner=partner)) for shot in evaluation.shots]
    return replace(evaluation, shots=shots)


def page(name, figures, evaluation=None, unfinished=False):
    found = Page(flat(section(name, Measured(figures, evaluation, unfinished), "cat")))
    return found.text, found.images()


def test_integrity_tells_what_changed_most(evaluation):
    evaluation = asked_as(evaluation, "retained")
    figures = integrity.count(evaluation)
    assert figures["gated"]["identical"]["share"] == pytest.approx(4 / 13)  # the dogs
    assert figures["gated"]["distance"]["share"] == pytest.approx(0.7 * 9 / 13)
    assert figures["gated"]["quantiles"]["1"] == 0.7 and figures["gated"]["quantiles"]["0.05"] == 0
    assert figures["gated"]["integrity"] == pytest.approx(1 - 0.7 * 9 / 13)
    assert len(figures["gated"]["worst"]) == 9 and figures["exported"]["pictures"] == 12
    text, images = page("integrity", figures, evaluation)
    assert "The pairs that differ most, with the eraser" in text and "30.8 %" in text
    assert len(images) == 2 * (9 + 12)


def test_hub_and_implicit_say_what_is_gone(evaluation):
    found = hub.count(replace(evaluation, shots=[*evaluation.shots, *asked_as(evaluation, "near").of("near")]))
    assert found["target_proportion"]["base"]["share"] == 1 and found["target_proportion"]["gated"]["share"] == 0
    assert found["pinpoint"]["gated"]["share"] == pytest.approx(4 / 13)
    assert "English only" in page("hub", found, evaluation)[0]
    described = implicit.count(asked_as(evaluation, "sense"))
    assert described["sense"]["shown"]["gated"]["share"] == 0 and not described["sense"]["should_go"]
    assert described["sense"]["identical"]["share"] == pytest.approx(4 / 13)
    text, _ = page("implicit", described, evaluation)
    assert "its word in another sense" in text and "kinds of it" not in text


def test_the_canvas_says_that_it_was_interrupted(evaluation):
    protocol = replace(evaluation.protocol, concept="cat")
    figures = canvas.count(replace(evaluation, protocol=protocol, styles=("ink",)))
    text, _ = page("canvas", figures, evaluation, unfinished=True)
    assert "UA: no longer shows it" in text and "was interrupted" in text


def test_the_gate_names_its_mistakes():
    def decided(text, is_open, score):
        return Prompt(text, "caption", ""), Decision(is_open, score, 1.0, "text")

    block = gate.group([decided("a bus", True, 1.5), decided("a tree", False, 0.2)], wanted=False)
    undecided = gate.group([(Prompt("a cat", "target", "cat"), Decision())], wanted=True)
    assert (block["share"], block["mistakes"], undecided["undecided"]) == (0.5, ["a bus"], 1)
    figures = {"caption": block, "target": undecided, "seconds_per_decision": 0.002, "threshold": 1.0, "source": "mine"}
    text, _ = page("gate", figures)
    assert "a bus" in text and "2.0 ms a decision" in text


def test_a_comparison_says_what_surely_differs():
    def row(low, high):
        return {"figure": "ua", "interval": (low, high)}

    assert verdict([row(-0.1, 0.2)]) == "None of 1 figures differs by more than chance would."
    assert "1 of 2 figures differs" in verdict([row(-0.1, 0.2), row(0.1, 0.3)])


def test_unguides_figures_stay_at_the_top_and_the_others_have_a_key_each(evaluation, tmp_path):
    bench = Bench(None, [evaluation.eraser], None, evaluation.sampling)  # type: ignore[arg-type]
    others = integrity.count(asked_as(evaluation, "retained"))
    found = {"unguide": Measured(evaluation.figures, evaluation), "integrity": Measured(others, evaluation)}
    path = write_measured(bench, found, tmp_path)
    alone = write_measured(bench, {"unguide": found["unguide"]}, tmp_path / "alone")
    both, one = (json.loads((place.parent / "report.json").read_text()) for place in (path, alone))
    assert "protocols" not in one
    assert {name: value for name, value in both.items() if name != "protocols"} == one
    assert both["protocols"]["integrity"]["gated"]["integrity"] == pytest.approx(others["gated"]["integrity"], abs=1e-6)
    text = Page(path.read_text(encoding="utf-8")).text
    assert "The pairs that differ most" in text and "The score" in text
    assert "The pairs that differ most" not in alone.read_text(encoding="utf-8")
