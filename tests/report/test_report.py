"""The report: right figures, in words that match them, in files that stand by themselves."""

from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser

import pytest
from made_up import draw, make
from PIL import Image

from lora_unlearn.errors import UnlearnError
from lora_unlearn.evaluate.summary import summarise
from lora_unlearn.guidance import Decision
from lora_unlearn.report import Card, demo_page, write_report

VOID = {"meta", "img", "br", "link"}


class Page(HTMLParser):
    """Collects what a page refers to and shows, and fails where elements do not close."""

    def __init__(self, text):
        super().__init__()
        self.open, self.attributes, self.text = [], [], ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data.replace("\u202f", " ")

    def images(self):
        return [
            Image.open(io.BytesIO(base64.b64decode(value.removeprefix("data:image/jpeg;base64,"))))
            for tag, name, value in self.attributes
            if (tag, name) == ("img", "src")
        ]


@pytest.fixture
def evaluation():
    return make()


@pytest.fixture
def written(evaluation, tmp_path):
    return write_report(evaluation, tmp_path / "report")


def test_figures_by_hand(evaluation):
    figures = evaluation.figures
    assert (figures["acc_e"], figures["acc_g"], figures["acc_s"], figures["h"]) == (0.0, 0.0, 1.0, 1.0)
    assert "h" not in figures["base"] | figures["base"]["intervals"]
    assert figures["base"]["acc_e"] == figures["base"]["acc_g"] == figures["base"]["acc_s"] == 1.0
    assert figures["exported"] | {"acc_e": 0.0, "acc_s": 0.0, "h": 0.0, "identical_share": 0.0} == figures["exported"]
    assert figures["erased"] | {"share": 1.0, "pictures": 8} == figures["erased"]
    assert figures["gate"] | {"tpr": 1.0, "fpr": 0.0, "auc": 1.0, "positives": 9, "negatives": 4} == figures["gate"]
    assert figures["evaluations"] | {"plain": 60, "closed": 62, "open": 120, "training": 600} == figures["evaluations"]
    assert figures["neighbours"] | {"labels": ["dog"], "acc": 1.0, "exported": 0.0} == figures["neighbours"]
    assert figures["quality"]["instead"] == {"house": 1.0}
    assert figures["quality"]["kinds"] == 1.0


def test_figures_of_a_failure_by_hand():
    figures = make(failing=True).figures
    assert figures["acc_g"] == 0.25
    assert figures["h"] == pytest.approx(3 / (1 + 1 + 1 / 0.75), abs=1e-6)
    assert figures["erased"] | {"share": 7 / 8} == figures["erased"]
    assert figures["gate"]["tpr"] == pytest.approx(8 / 9, abs=1e-6)


def test_json_is_the_figures(evaluation, written):
    def no_constant(name):
        raise AssertionError(f"{name} is no JSON")

    text = written.with_name("report.json").read_text(encoding="utf-8")
    assert json.loads(text, parse_constant=no_constant) == evaluation.figures
    assert sorted(path.name for path in written.parent.iterdir()) == ["report.html", "report.json"]


def test_the_page_needs_nothing_else(written):
    text = written.read_text(encoding="utf-8")
    page = Page(text)
    for tag, name, value in page.attributes:
        if name in ("src", "href", "srcset", "action", "data", "poster"):
            assert value.startswith("data:image/jpeg;base64,"), (tag, name)
        assert not name.startswith("on")
    assert not re.search(r"<script|<link|<iframe|@import|url\(|https?://", text)
    assert "prefers-color-scheme: dark" in text


def test_the_page_shows_the_pictures(written):
    page = Page(written.read_text(encoding="utf-8"))
    images = page.images()
    assert len(images) == 3 * (4 + 4 + 4) + 2
    assert {image.size for image in images} == {(48, 48)}
    for wanted in ("cat", "house", "dog"):
        assert any(near(image.getpixel((20, 20)), draw(wanted).getpixel((20, 20))) for image in images), wanted


def near(one, other):
    return max(abs(a - b) for a, b in zip(one, other, strict=True)) < 6


def test_identical_pictures_are_marked(written):
    page = Page(written.read_text(encoding="utf-8"))
    told = [value for tag, name, value in page.attributes if (tag, name) == ("img", "alt") and "identical" in value]
    assert told == ["a photo of the dog, after, identical"] * 4


def test_the_headline_says_what_happened(written):
    text = Page(written.read_text(encoding="utf-8")).text
    assert "Cat is gone from 100 % of the 8 pictures on which the model had drawn it." in text
    assert "Every one of the 4 pictures of other things stayed the same, byte for byte." in text
    assert "Where it failed" not in text


def test_failures_are_shown(tmp_path):
    text = Page(write_report(make(failing=True), tmp_path).read_text(encoding="utf-8")).text
    assert "Cat is gone from 87.5 % of the 8 pictures" in text
    assert "1 still seen as cat:" in text
    assert "a photo of the feline (seed 3)" in text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda e: setattr(e.eraser.adapter, "partial", True), "interrupted"),
        (lambda e: setattr(e, "base_hash", "other"), "calibrated on another model"),
        (lambda e: object.__setattr__(e.eraser.adapter.gate, "negatives", 0), "never calibrated"),
        (lambda e: None, "Only 4 pictures of each prompt"),
    ],
)
def test_doubts_are_said(evaluation, tmp_path, change, said):
    change(evaluation)
    evaluation.figures = summarise(evaluation)
    text = Page(write_report(evaluation, tmp_path).read_text(encoding="utf-8")).text
    assert said in text


def test_prompts_cannot_become_markup(tmp_path):
    hostile = "<script>alert(1)</script> & \"'>"
    evaluation = make(text="a photo of the " + hostile)
    text = write_report(evaluation, tmp_path).read_text(encoding="utf-8")
    assert "<script" not in text
    assert hostile in Page(text).text


def test_the_command_repeats_the_settings(written):
    text = Page(written.read_text(encoding="utf-8")).text
    assert "--adapter ERASER:1" in text
    assert "--count 4 --seed 0 --steps 30 --guidance-scale 7.5" in text


def test_a_place_that_cannot_be_written_is_one_sentence(evaluation, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UnlearnError, match="could not be written"):
        write_report(evaluation, tmp_path / "file" / "report")


def test_the_demo_page_stands_by_itself():
    entries = [Card("a cat", [("before", [draw("cat")]), ("after", [draw("house")])])]
    scores = [0.9, 1.1], [0.0, 0.1], 0.5
    page = Page(
        demo_page("cat", "It is gone.", entries, [("41 s", "training")], [("Draw:", "lora-unlearn generate")], scores)
    )
    assert len(page.images()) == 2
    for said in ("It is gone.", "41 s", "lora-unlearn generate", "opens from 0.5"):
        assert said in page.text


def decided(concept_score, other_score, by):
    """The made-up evaluation with other scores."""
    evaluation = make()
    for shot in evaluation.shots:
        asked = shot.prompt.wanted == "cat"
        shot.decision = Decision(asked, concept_score if asked else other_score, 0.4, by(shot))
    evaluation.figures = summarise(evaluation)
    return evaluation


def test_a_gate_that_reads_the_text_alone_shows_its_scores(tmp_path):
    evaluation = decided(3.0, 1.0, lambda shot: "text")
    gate = evaluation.figures["gate"]
    assert gate | {"auc": 1.0, "stage": "text", "threshold": 0.4, "decided_by": {"text": 13}} == gate
    assert gate["scores"] == {"concept": [3.0] * 9, "unrelated": [1.0] * 4}
    text = Page(write_report(evaluation, tmp_path).read_text(encoding="utf-8")).text
    assert "reads the prompt's text alone" in text
    assert "opens from 0.4" in text


def test_what_the_text_decided_ranks_beyond_the_probes():
    """Text scores are of another kind: higher ones must not outrank a probe that opened."""
    evaluation = decided(0.9, 5.0, lambda shot: "probe" if shot.prompt.wanted == "cat" else "text")
    assert evaluation.figures["gate"]["auc"] == 1.0
    assert evaluation.figures["gate"]["scores"] == {"concept": [0.9] * 9, "unrelated": []}
