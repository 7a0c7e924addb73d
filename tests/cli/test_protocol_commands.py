"""Protocols and comparisons from the command line: files that are known again, and one sentence for what can't be."""

from __future__ import annotations

import json
import signal
import time
from dataclasses import replace

import pytest
from processes import interrupt, start, wait_for

from lora_unlearn.concept import Concept
from lora_unlearn.evaluate.protocols import PROTOCOLS
from lora_unlearn.gate import Gate
from lora_unlearn.written import Written, written


@pytest.fixture(scope="module")
def other(adapter, tmp_path_factory):
    """Another eraser of cats for the same model."""
    return replace(adapter, gate=Gate(threshold=1e9)).save(tmp_path_factory.mktemp("other") / "second.safetensors")


@pytest.fixture(scope="module")
def dog(adapter, tmp_path_factory):
    return replace(adapter, concept=Concept("dog")).save(tmp_path_factory.mktemp("dog") / "dog.safetensors")


def words(model, eraser, folder, *more):
    return ("evaluate", "--checkpoint", model, "--adapter", eraser, "--steps", 1, "--quick", "--out", folder, *more)


SMALL = ("--protocol", "canvas", "--things", "cat,dog", "--styles", "clipart", "--guidance-scale", 1)


def test_every_protocol_is_listed_with_its_source(run):
    code, out, err = run("protocols")
    assert (code, err) == (0, "")
    assert all(f"{name} " in out and row.origin in out for name, row in PROTOCOLS.items())


def test_a_report_without_unguide_is_known_again(run, model, eraser, tmp_path):
    for _ in range(2):
        code, out, err = run(*words(model, eraser, tmp_path, *SMALL, "--layout", "canvas", "--overwrite"))
        assert (code, err) == (0, "") and "canvas: ua" in out
    assert written(tmp_path / "report.json") == Written("report", "cat")
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["protocols"]["canvas"]["ua"]["gated"]["pictures"] == 1
    assert (tmp_path / "canvas" / "cat" / "clipart_cat_seed188.jpg").is_file()
    assert "UnlearnCanvas" in (tmp_path / "report.html").read_text()


@pytest.mark.thorough
def test_a_folder_of_erasers_is_a_sequence(run, model, eraser, dog, tmp_path):
    folder = tmp_path / "all"
    folder.mkdir()
    for path in (eraser, dog):
        (folder / path.name).write_bytes(path.read_bytes())
    code, out, _ = run(*words(model, folder, tmp_path / "out", "--protocol", "sequence", "--guidance-scale", 1))
    assert code == 0 and "sequence, 1 on: " in out and "sequence, 2 on: " in out
    report = json.loads((tmp_path / "out" / "report.json").read_text())["protocols"]["sequence"]
    assert report["order"] == ["cat", "dog"] and list(report["sizes"]) == ["1", "2"]


def without_seconds(figures):
    """A report without what the clock says."""
    if isinstance(figures, dict):
        return {key: without_seconds(value) for key, value in figures.items() if "seconds" not in key}
    return figures


@pytest.mark.thorough
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_evaluation_goes_on_where_it_was_stopped(run, model, eraser, tmp_path, number):
    some = (*SMALL, "--things", "cat,dog,ship,frog,house", "--styles", "clipart,ink drawing", "--batch", 2)
    process, kept = start(*words(model, eraser, tmp_path / "stopped", *some)), tmp_path / "stopped" / "unfinished"
    wait_for(kept, process)
    while len(list(kept.glob("*.png"))) <= 2 * 3:  # the first batch is whole then
        assert process.poll() is None
        time.sleep(0.02)
    code, out, _ = interrupt(process, number)
    assert code == -number or (code == 130 and "The same command goes on." in out)
    code, out, err = run(*words(model, eraser, tmp_path / "stopped", *some))
    assert (code, err) == (0, "") and "of them are there from before" in out
    assert not kept.exists()
    assert run(*words(model, eraser, tmp_path / "whole", *some))[0] == 0
    first, second = (json.loads((tmp_path / name / "report.json").read_text()) for name in ("stopped", "whole"))
    assert without_seconds(first) == without_seconds(second)


def test_two_erasers_side_by_side(run, model, eraser, other, tmp_path):
    attacked = []
    for name, count in (("a", 1), ("b", 3)):
        through = {"count": count, "of": 4, "share": count / 4, "low": 0.0, "high": 0.9}
        (tmp_path / name).mkdir()
        summary = [{"attack": "negative", "through": through}]
        (tmp_path / name / "attack.json").write_text(json.dumps({"settings": {}, "summary": summary, "attempts": []}))
        attacked += ["--attacks", tmp_path / name]
    code, out, err = run(*words(model, eraser, tmp_path, *SMALL, "--against", other, *attacked))
    assert (code, err) == (0, "") and "canvas, ua: A " in out
    report, page = json.loads((tmp_path / "report.json").read_text()), (tmp_path / "report.html").read_text()
    assert written(tmp_path / "report.json") == Written("report", "cat")
    assert report["files"] == {"A": "cat.safetensors", "B": "second.safetensors"}
    assert {row["figure"] for row in report["comparison"]} >= {"ua", "ira", "cra"}
    assert "second.safetensors" in page and "1 of 4" in page and "3 of 4" in page
    assert page.count("<img ") == 2 * 3


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--protocol", "canvs"), "There is no protocol 'canvs'; the nearest name is 'canvas'."),
        (("--protocol", ","), "--protocol names none"),
        (("--protocol", "gate", "--captions", "empty.txt"), "holds no prompt"),
        (("--protocol", "hub", "--translation", "Katze"), "is not of the form"),
        (("--layout", "canvas"), "--layout is for the protocol canvas"),
        (("--attacks", "x"), "name the second with --against"),
        (("--count", 0), "0 is not allowed"),
        (("--protocol", "canvas", "--things", "zebra,cat"), "does not know 'zebra'"),
        (("--protocol", "implicit", "--implicit", "odd.txt"), "is no line like"),
        (("--against", "nowhere.safetensors", "--protocol", "sequence"), "leave --against out"),
    ],
)
def test_what_can_not_be_is_said_in_a_sentence(refused, model, eraser, tmp_path, monkeypatch, more, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").write_text("\n\n")
    (tmp_path / "odd.txt").write_text("a cat\n")
    assert said in refused(*words(model, eraser, tmp_path / "out", *more))


def test_erasers_of_two_concepts_and_of_two_models_are_not_compared(run, model, adapter, eraser, dog, tmp_path):
    assert run(*words(model, eraser, tmp_path, "--against", dog))[2].startswith(
        "The erasers are for different concepts"
    )
    elsewhere = replace(adapter, base_hash="0" * 16).save(tmp_path / "elsewhere.safetensors")
    assert "made on different models" in run(*words(model, eraser, tmp_path / "out", "--against", elsewhere))[2]
    flux = replace(adapter, family="flux").save(tmp_path / "flux.safetensors")
    assert "was made for flux" in run(*words(model, eraser, tmp_path / "out", "--against", flux))[2]
