"""The demo and the evaluation, on a model with random weights: what they write and say."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from lora_unlearn.adapter import Adapter
from lora_unlearn.commands import demo as command
from lora_unlearn.demo import checkpoint
from lora_unlearn.demo.words import THINGS


@pytest.fixture
def shipped(model, monkeypatch):
    """The random model in the place of the one that ships."""
    monkeypatch.setattr(checkpoint, "WEIGHTS", model)


def test_the_demo_leaves_a_page_and_sheets(shipped, run, tmp_path):
    folder = tmp_path / "new" / "demo"
    code, said, err = run("demo", "--concept", "kitty", "--steps", 2, "--count", 2, "--out", folder)
    assert (code, err) == (0, "")
    assert str(folder / "index.html") in said
    assert "The judge sees the kitty on" in said
    assert sorted(path.name for path in folder.iterdir()) == [
        "after.png", "before.png", "eraser.safetensors", "index.html",
    ]  # fmt: skip
    assert Image.open(folder / "before.png").size == Image.open(folder / "after.png").size
    assert not Adapter.load(folder / "eraser.safetensors").partial
    page = (folder / "index.html").read_text()
    for word in ("kitty", "cat", "tiger", "dog"):
        assert f"a photo of the {word}" in page
    assert page.count("<img ") == 8 * 2 * 2


@pytest.mark.parametrize("name", ["zebra", "../cat"])
def test_what_the_demo_model_cannot_draw(refused, tmp_path, name):
    said = refused("demo", "--concept", name, "--out", tmp_path / "demo")
    assert repr(name) in said
    assert "tiger" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("thing", THINGS)
def test_every_object_of_the_demo_has_its_prompts(thing):
    words, own = command.words_for(thing, thing)
    assert words[0] == thing
    assert len(words) == len(set(words)) == command.PROMPTS
    assert 1 <= own <= 2
    for word in words[own:]:
        assert command.find_thing(word) != thing


@pytest.mark.thorough
def test_an_evaluation_leaves_its_report(model, eraser, run, tmp_path):
    words = ("--protocol", "unguide", "--quick", "--paraphrases", 0, "--steps", 1, "--guidance-scale", 1)
    code, said, err = run("evaluate", "--checkpoint", model, "--adapter", eraser, *words, "--out", tmp_path)
    assert (code, err) == (0, "")
    before, figures, *_ = said.splitlines()
    assert 50 < int(before.removesuffix(" pictures of 1 steps are to be drawn and judged.")) < 200
    assert figures.startswith("H: ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.json"]
    assert json.loads((tmp_path / "report.json").read_text())["concept"] == "cat"


def test_an_evaluation_of_what_the_judge_does_not_know(model, adapter, refused, tmp_path):
    concept = type(adapter.concept)("zebra")
    path = type(adapter)(**{**vars(adapter), "concept": concept}).save(tmp_path / "zebra.safetensors")
    words = ("--checkpoint", model, "--adapter", path, "--out", tmp_path)
    assert "'zebra'" in refused("evaluate", *words)
