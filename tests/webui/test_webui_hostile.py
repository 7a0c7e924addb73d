"""What nobody should do, and somebody will: spoilt files, odd words, models in 8 bits, a server that dies."""

from __future__ import annotations

import json
import os
import shutil
import signal

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_webui_accordion import CAT, DOG, same
from test_webui_switch import HERE, choose
from test_webui_training import API, wait_until
from webui_server import KINDS, Server, furnish

from lora_unlearn.files import read_metadata

pytestmark = pytest.mark.webui

EIGHT_BITS = {"A1111": {"fp8_storage": "Enable"}}
FORGES = {"forge_unet_storage_dtype": "float8-e4m3fn"}
NORMAL = {"fp8_storage": "Disable", "forge_unet_storage_dtype": "Automatic"}


def spoilt(path, how):
    """A copy of an eraser's tensors and metadata with something wrong."""
    tensors, metadata = load_file(path), read_metadata(path)
    first = next(name for name in tensors if name.endswith("lora_up.weight"))
    if how == "nan":
        tensors[first] = torch.full_like(tensors[first], float("nan"))
    elif how == "shape":
        tensors[first] = torch.zeros(7, tensors[first].shape[1] + 1, dtype=tensors[first].dtype)
    elif how == "missing":
        del tensors[first]
    elif how == "huge":
        tensors = {n: v.repeat(300, 1) if n.endswith("lora_down.weight") else v for n, v in tensors.items()}
    else:
        values = json.loads(metadata["lora_unlearn"])
        values["gate"]["threshold"] = "much"
        metadata["lora_unlearn"] = json.dumps(values)
    return tensors, metadata


@pytest.mark.parametrize("how", ["nan", "shape", "missing", "huge", "gate"])
@pytest.mark.parametrize("folder", ["lora-unlearn", "Lora"])
def test_a_spoilt_eraser_is_told_of_and_changes_nothing(server, cat, how, folder):
    models = server.data / "models"
    tensors, metadata = spoilt(models / "lora-unlearn" / f"{cat}.safetensors", how)
    place = models / folder / "spoilt.safetensors"
    save_file(tensors, place, metadata)
    try:
        assert server.refused(CAT, True, "spoilt", 1.0, "on")
        assert server.refused(CAT, True, cat, 1.0, "on", "spoilt", 1.0, "on")  # a good one beside it is no excuse
        assert server.ask(f"{API}/export", {"name": "spoilt", "new": "x"})[0] == 400
        assert server.call(f"{API}/list")["erasers"]
    finally:
        place.unlink()
    assert server.draw(CAT).pictures


def test_things_that_are_no_files_are_passed_over(server, cat):
    folder = server.data / "models" / "lora-unlearn"
    (folder / "folder.safetensors").mkdir()
    os.mkfifo(folder / "pipe.safetensors")
    (folder / "loop.safetensors").symlink_to(folder / "loop.safetensors")
    (folder / "empty.safetensors").write_bytes(b"")
    try:
        for name in ("folder", "pipe", "loop", "empty"):
            assert "There is no eraser" in server.refused(DOG, True, name, 1.0, "on")
            assert server.ask(f"{API}/export", {"name": name})[0] == 400
        assert cat in [entry["name"] for entry in server.call(f"{API}/list")["erasers"]]
    finally:
        (folder / "folder.safetensors").rmdir()
        for name in ("pipe", "loop", "empty"):
            (folder / f"{name}.safetensors").unlink()


def test_an_eraser_that_is_deleted_while_it_is_selected(server, cat):
    folder = server.data / "models" / "lora-unlearn"
    shutil.copy(folder / f"{cat}.safetensors", folder / "short lived.safetensors")
    values = (True, "short lived", 1.0, "auto")
    assert 'Eraser 1 decision: "open' in server.draw(CAT, *values).infotexts[0]
    (folder / "short lived.safetensors").unlink()
    assert "There is no eraser 'short lived' any more" in server.refused(CAT, *values)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b'{"concept": "\xff\xfe"}', "is no JSON"),
        (b'{"concept": "a", "iterations": ' + b"9" * 5000 + b"}", "is no JSON"),
        (b'{"concept": "a", "iterations": 1e999}', "must be a number from"),
        (b'{"concept": "a", "learning_rate": NaN}', "must be a number from"),
        (b'{"concept": "a", "concept": ""}', "concept is empty"),
        (b'{"concept": null}', "must be a string"),
        (b'{"concept": ["a"]}', "must be a string"),
        (b"null", "must be a JSON object"),
        (b'{"concept": "a", "previews": 1}', "must be a boolean"),
        (b'{"concept": "a", "seed": -2}', "must be a number from"),
        (b'{"concept": "a", "rank": 1.5}', "must be a whole number from"),
        (b'{"concept": "a", "iterations": ' + b"9" * 400 + b"}", "must be a number from"),
        (b'{"concept": "a", "pictures": 1000000}', "must be a number from"),
    ],
    ids=lambda value: value[:30] if isinstance(value, bytes) else "",
)
def test_more_bad_requests(server, body, sentence):
    before = server.tracebacks()
    status, answer = server.ask(f"{API}/erase", body)
    assert status == 400 and sentence in answer["detail"]
    assert answer["detail"].count(". ") == 0
    assert server.tracebacks() == before


@pytest.mark.parametrize(
    ("route", "fields", "sentence"),
    [
        ("resume", {"pictures": 1.5}, "pictures on the sheet must be a whole number"),
        ("resume", {"pictures": -5}, "pictures on the sheet must be a number"),
        ("resume", {"name": "x" * 300}, "is too long"),
        ("resume", {"false_open_rate": 10**400}, "share of mistakes must be a number"),
        ("export", {"name": "x" * 300}, "is too long"),
        ("export", {"name": "cat", "new": "x" * 300}, "is too long"),
        ("export", {"name": "cat", "new": "x" * 5000}, "is too long"),
        ("try", {"name": "x" * 300, "prompt": "a cat"}, "is too long"),
        ("suggest", {"concept": "cat", "count": 1.5}, "must be a whole number"),
        ("suggest", {"concept": "cat", "count": -5}, "must be a number from 1 to 100"),
        ("suggest", {"concept": "cat", "count": 10**400}, "must be a number from 1 to 100"),
    ],
)
def test_every_field_of_every_route_is_bounded(server, cat, route, fields, sentence):
    before = server.tracebacks()
    status, answer = server.ask(f"{API}/{route}", fields)
    assert status == 400 and sentence in answer["detail"], answer
    assert len(answer["detail"]) < 300 and server.tracebacks() == before
    assert server.call(f"{API}/status")["phase"] != "running"


def test_the_tabs_actions_have_no_names_to_call(server, cat):
    for path in ("run/_delete", "api/_delete", "api/_delete/", "call/_delete", "gradio_api/call/_delete"):
        status, _ = server.ask(f"/{path}", {"data": [cat]})
        assert status >= 400
    assert cat in [entry["name"] for entry in server.call(f"{API}/list")["erasers"]]


@pytest.mark.parametrize("words", ["\ud800", "a\u0000b", "a\nb", "CON", "a/b\\c:d", "..", "\u202ecat", "\U0001f408"])
def test_odd_words_make_an_eraser_or_a_sentence(server, cat, words):
    before = server.tracebacks()
    status, answer = server.ask(f"{API}/erase", json.dumps({"concept": words, "preset": "quick"}).encode())
    if status == 200:
        state = server.wait_for_job()
        assert state["phase"] == "done" or "log says what" not in state["message"]
        path = server.data / "models" / "lora-unlearn" / f"{answer['name']}.safetensors"
        assert path.is_file() == (state["phase"] == "done")
        path.unlink(missing_ok=True)
    else:
        assert status == 400 and answer["detail"].count(". ") == 0
    assert server.tracebacks() == before
    status, answer = server.ask(f"{API}/export", json.dumps({"name": words, "new": words}).encode())
    assert status == 400 and answer["detail"].count(". ") == 0


@pytest.fixture
def eight_bits(server):
    """The host keeps the U-Net's weights in 8 bits, beginning with the next checkpoint that it loads."""
    chosen = EIGHT_BITS.get(server.kind.name, FORGES)
    if not chosen.keys() <= server.call("/sdapi/v1/options").keys():
        pytest.skip(f"{server.kind.name} has no setting for it")
    server.call("/sdapi/v1/options", chosen)
    choose(server, "twin.safetensors")
    yield
    server.call("/sdapi/v1/options", {name: NORMAL[name] for name in chosen})
    choose(server, HERE)
    choose(server, "twin.safetensors")
    choose(server, HERE)


def test_weights_in_eight_bits_are_drawn_with_and_not_trained_on(server, cat, eight_bits):
    server.call(f"{API}/erase", {"concept": "cat", "preset": "balanced", "iterations": 3})
    state = server.wait_for_job()
    assert state["phase"] == "failed" and "kept as float8_e4m3fn" in state["message"], state
    values = (True, cat, 1.0, "auto")
    assert same(server.draw(DOG).pictures, server.draw(DOG, *values).pictures)
    assert not same(server.draw(CAT).pictures, server.draw(CAT, *values).pictures)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(KINDS))
def test_a_server_that_is_killed_in_the_middle_of_a_training(name, tmp_path):
    if reason := KINDS[name].missing():
        pytest.skip(reason)
    furnish(tmp_path)
    server = Server(KINDS[name], tmp_path)
    try:
        server.wait()
        plain = server.draw(CAT)
        begun = server.call(f"{API}/erase", {"concept": "cat", "preset": "balanced", "learning_rate": 1e-5})["name"]
        assert wait_until(server, "training", 20)["phase"] == "running"
        server.process.send_signal(signal.SIGKILL)
        server.process.wait(20)
    finally:
        server.stop()
    server = Server(KINDS[name], tmp_path)
    try:
        server.wait()
        assert server.call(f"{API}/status")["phase"] == "idle"
        listed = {entry["name"]: entry for entry in server.call(f"{API}/list")["erasers"]}
        assert listed[begun]["partial"] and not listed[begun]["problem"]
        assert server.call(f"{API}/resume", {})["name"] == begun
        assert server.wait_for_job()["phase"] == "done"
        assert same(server.draw(CAT).pictures, plain.pictures)
        assert 'decision: "open' in server.draw(CAT, True, begun, 1.0, "auto").infotexts[0]
        assert "Traceback" not in server.said()
    finally:
        server.stop()


@pytest.mark.slow
@pytest.mark.parametrize("name", list(KINDS))
def test_a_host_without_any_checkpoint_says_so(name, tmp_path):
    if reason := KINDS[name].missing():
        pytest.skip(reason)
    furnish(tmp_path)
    folder = tmp_path / "models" / "Stable-diffusion"
    folder.rename(tmp_path / "aside")
    folder.mkdir()
    server = Server(KINDS[name], tmp_path)
    try:
        server.wait()
        server.call(f"{API}/erase", {"concept": "cat", "preset": "quick"})
        state = server.wait_for_job()
        assert state["phase"] == "failed" and state["message"].count(". ") == 0
        assert "checkpoint" in state["message"] and "log says what" not in state["message"]
        for path in (tmp_path / "aside").iterdir():
            shutil.move(path, folder)
        server.call("/sdapi/v1/refresh-checkpoints", {})
        for name in ("twin.safetensors", HERE):  # Forge Neo passes over the choice that is in its settings already
            choose(server, name)
        server.call(f"{API}/erase", {"concept": "cat", "preset": "quick"})
        assert server.wait_for_job()["phase"] == "done"
        assert 'decision: "open' in server.draw(CAT, True, "cat", 1.0, "auto").infotexts[0]
    finally:
        server.stop()
