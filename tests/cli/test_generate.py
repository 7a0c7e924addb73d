"""Drawing: the files, their order and seeds, what the gate does to them, and interrupts."""

from __future__ import annotations

import json
import signal
from dataclasses import replace

import pytest
from PIL import Image
from processes import interrupt, start, wait_for

from lora_unlearn import Concept

FAST = ("--steps", 2)


def pictures(folder):
    return [path.read_bytes() for path in sorted(folder.glob("*.png"))]


@pytest.fixture
def draw(model, run, tmp_path):
    """Draw into a folder of its own; the folder and what `generate.json` says."""

    def command(name, *words):
        folder = tmp_path / name
        code, out, err = run("generate", "--checkpoint", model, *FAST, *words, "--out", folder)
        assert (code, err) == (0, "")
        assert str(folder) in out
        return folder, json.loads((folder / "generate.json").read_text())

    return command


def test_files_come_in_the_order_of_the_prompts(draw):
    folder, said = draw("a", "--prompt", "a cat", "a dog", "--count", 2, "--seed", 7)
    entries = [(entry["file"], entry["prompt"], entry["seed"]) for entry in said["pictures"]]
    assert entries == [
        ("0000.png", "a cat", 7), ("0001.png", "a cat", 8), ("0002.png", "a dog", 7), ("0003.png", "a dog", 8),
    ]  # fmt: skip
    assert all(entry["gates"] == [] and entry["seconds"] > 0 for entry in said["pictures"])
    assert {Image.open(folder / entry["file"]).size for entry in said["pictures"]} == {(128, 128)}
    assert len(set(pictures(folder))) == 4


@pytest.fixture
def several(adapter, tmp_path):
    """A folder with three erasers in two groups, one that is not finished and one of another family."""
    for name in ("pets/cat", "pets/dog", "things/ship"):
        replace(adapter, concept=Concept(name.partition("/")[2])).save(tmp_path / "set" / f"{name}.safetensors")
    replace(adapter, partial=True).save(tmp_path / "set" / "half.safetensors")
    replace(adapter, family="sd1").save(tmp_path / "set" / "other.safetensors")
    return tmp_path / "set"


def test_a_folder_of_erasers_works_as_its_files_do(draw, run, several):
    words, files = (
        ("--prompt", "a cat", "--seed", 3),
        [several / f"{name}.safetensors" for name in ("pets/cat", "pets/dog")],
    )
    single = [word for file in files for word in ("--adapter", f"{file}:0.5")]
    whole, said = draw("whole", *words, "--erasers", f"{several}:0.5", "--only", "pets", "--gate", "on")
    each, also = draw("each", *words, *single, "--gate", "on")
    assert pictures(whole) == pictures(each) != pictures(draw("none", *words)[0])
    names = [[gate["adapter"].removesuffix(":0.5") for gate in one["pictures"][0]["gates"]] for one in (said, also)]
    assert names[0] == names[1] == [str(file) for file in files]
    assert said["erasers"] == [f"{several}:0.5"] and said["only"] == "pets"


def test_what_of_a_folder_can_not_work_is_told(model, run, refused, several, tmp_path):
    words = ("--checkpoint", model, *FAST, "--prompt", "a cat", "--out", tmp_path / "out")
    code, said, _ = run("generate", *words, "--erasers", several, "--without", "ship")
    assert code == 0 and "2 erasers are on: pets 2" in said
    assert "left out: half (its training was not finished)" in said and "other (made for sd1" in said
    assert "No eraser here is called 'zebra'" in refused("generate", *words, "--erasers", several, "--only", "zebra")
    assert "name one by --erasers" in refused("generate", *words, "--only", "pets")
    assert "There are no erasers in" in refused("generate", *words, "--erasers", tmp_path / "out")


def test_the_gate_can_be_asked_opened_and_closed(draw, eraser):
    words = ("--prompt", "a cat", "--seed", 3)
    plain, _ = draw("plain", *words)
    found = {}
    for gate in ("auto", "on", "off"):
        folder, said = draw(gate, *words, "--adapter", eraser, "--gate", gate)
        (entry,) = said["pictures"]
        (decided,) = entry["gates"]
        found[gate] = pictures(folder) == pictures(plain), decided["open"], decided["by"], entry["evaluations"]
    assert found["off"] == (True, False, "mode", 4)
    assert found["on"][:3] == (False, True, "mode")
    same, opened, by, evaluations = found["auto"]
    assert (same, by) == (not opened, "probe")
    assert evaluations > 4


def test_strength_nothing_is_the_model_itself(draw, eraser):
    words = ("--prompt", "a cat")
    plain, _ = draw("plain", *words)
    off, said = draw("off", *words, "--adapter", f"{eraser}:0", "--gate", "on")
    half, _ = draw("half", *words, "--adapter", f"{eraser}:0.5", "--gate", "on")
    whole, _ = draw("whole", *words, "--adapter", f"{eraser}:1", "--gate", "on")
    assert pictures(plain) == pictures(off)
    assert said["pictures"][0]["gates"] == []
    assert len({*pictures(plain), *pictures(half), *pictures(whole)}) == 3


def test_several_erasers_decide_each_for_itself(draw, eraser):
    _, said = draw("two", "--prompt", "a cat", "--adapter", eraser, "--adapter", f"{eraser}:0.5")
    assert [gate["adapter"] for gate in said["pictures"][0]["gates"]] == [str(eraser), f"{eraser}:0.5"]


def test_a_prompt_of_400_words(draw, eraser):
    long = " ".join(["a small cat beside a red house"] * 58)
    assert len(long.split()) > 400
    folder, said = draw("long", "--prompt", long, "a dog", "--adapter", eraser)
    assert len(pictures(folder)) == 2
    assert said["pictures"][0]["prompt"] == long


def test_size_and_sampler(draw):
    folder, said = draw("size", "--prompt", "a cat", "--size", "64x96", "--sampler", "euler")
    assert Image.open(folder / "0000.png").size == (64, 96)
    assert (said["size"], said["sampler"]) == ("64x96", "euler")


def test_an_eraser_measured_on_another_model_is_noted(model, adapter, run, tmp_path):
    other = adapter.__class__(**{**vars(adapter), "base_hash": "0" * 16, "partial": True})
    path = other.save(tmp_path / "other.safetensors")
    words = ("--prompt", "a cat", *FAST, "--adapter", path, "--out", tmp_path / "out")
    _, said, _ = run("generate", "--checkpoint", model, *words)
    assert "another demo model" in said
    assert "not finished" in said


def test_a_sampler_of_another_kind_of_model(model, refused, tmp_path):
    words = ("--prompt", "a cat", "--sampler", "flow_euler", "--out", tmp_path)
    assert "flow_euler" in refused("generate", "--checkpoint", model, *words)


@pytest.mark.thorough
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_pictures_that_are_drawn_outlive_an_interrupt(model, tmp_path, number):
    words = ("--prompt", "a cat", "--count", 5000, "--steps", 1, "--batch", 1)
    process = start("generate", "--checkpoint", model, *words, "--out", tmp_path)
    wait_for(tmp_path / "0001.png", process)
    code, _, err = interrupt(process, number)
    assert err == ""
    drawn = sorted(tmp_path.glob("*.png"))
    for path in drawn:
        Image.open(path).load()
    if number == signal.SIGTERM:
        assert code == 143
        said = json.loads((tmp_path / "generate.json").read_text())
        assert [entry["file"] for entry in said["pictures"]] == [path.name for path in drawn]
        assert {path.suffix for path in tmp_path.iterdir()} == {".png", ".json"}
