"""What the user had is never replaced unasked, and a signal ends a command wherever it is."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest
import torch
from PIL import Image

from lora_unlearn.files import write_safetensors, write_text
from lora_unlearn.report.page import document
from lora_unlearn.written import Written, written


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("0000.png", ("generate", "--prompt", "a cat")),
        ("0001.png", ("generate", "--prompt", "a cat", "a dog")),
        ("generate.json", ("generate", "--prompt", "a cat")),
        ("report.html", ("evaluate", "--adapter", "nowhere.safetensors")),
        ("report.json", ("evaluate", "--adapter", "nowhere.safetensors")),
    ],
)
def test_a_file_of_the_users_own_is_left_alone_before_a_model_is_loaded(refused, tmp_path, name, words):
    (tmp_path / name).write_bytes(b'{"mine": 1}')
    said = refused(*words, "--checkpoint", "nowhere", "--out", tmp_path)
    assert f"{tmp_path / name} exists and was not made by this program" in said and "--overwrite" in said
    assert "nowhere" in refused(*words, "--checkpoint", "nowhere", "--overwrite", "--out", tmp_path)
    assert (tmp_path / name).read_bytes() == b'{"mine": 1}'


@pytest.mark.parametrize("name", ["index.html", "before.png", "eraser.safetensors"])
def test_the_demo_leaves_what_is_not_its_own(refused, tmp_path, name):
    (tmp_path / name).write_bytes(b"mine")
    assert "was not made by this program" in refused("demo", "--out", tmp_path)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"mine"]


def test_a_list_of_words(refused, run, tmp_path):
    out = tmp_path / "words.json"
    out.write_text('[{"word": "mine"}]')
    words = ("suggest", "--checkpoint", "demo", "--concept", "cat", "--json", out)
    assert "was not made by this program" in refused(*words)
    assert run(*words, "--overwrite")[0] == 0
    assert written(out) == Written("words")
    assert run(*words)[0] == 0


def test_pictures_of_an_earlier_run_are_replaced_and_others_stay(model, run, tmp_path):
    words = ("generate", "--checkpoint", model, "--prompt", "a cat", "--steps", 1, "--out", tmp_path)
    (tmp_path / "0001.png").write_bytes(b"mine")
    for _ in range(2):
        assert run(*words)[0] == 0
    assert (tmp_path / "0001.png").read_bytes() == b"mine"
    assert written(tmp_path / "0000.png") == Written("picture")
    assert written(tmp_path / "generate.json") == Written("pictures")
    assert written(tmp_path / "0001.png") is None


def test_what_only_looks_like_ours_is_not(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "a.json").write_text(json.dumps({"pictures": []}))
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "a.html").write_text("<p>I tried lora-unlearn.</p>")
    write_safetensors(tmp_path / "a.safetensors", {"a": torch.ones(1)}, {"lora_unlearn_export": '{"kind": "x"}'})
    for path in tmp_path.iterdir():
        assert written(path) is None
    write_text(tmp_path / "b.html", document("a", "b", "c"))
    assert written(tmp_path / "b.html") == Written("page")


READING = """
    import os, signal, sys, threading
    from lora_unlearn.cli import main
    words = ["export", sys.argv[1], "--format", "checkpoint", "--checkpoint", sys.argv[2], "--out", sys.argv[3]]
    for delay in (0.02, 0.1, 0.2, 0.3, 0.4):
        timer = threading.Timer(delay, os.kill, (os.getpid(), signal.SIGTERM))
        before, ended = signal.signal(signal.SIGTERM, lambda *_: None), None
        timer.start()
        ended = main(words)
        timer.join()
        signal.signal(signal.SIGTERM, before)
        print(ended)
"""


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGTERM")
def test_a_signal_while_tensors_are_read_is_an_interruption(eraser, tmp_path):
    large = tmp_path / "large.safetensors"
    write_safetensors(large, {f"tensor{i}": torch.zeros(1) for i in range(100_000)}, {})
    code = [sys.executable, "-c", textwrap.dedent(READING), str(eraser), str(large), str(tmp_path / "out.safetensors")]
    done = subprocess.run(code, capture_output=True, text=True, timeout=300, check=True)
    said = done.stderr.splitlines()
    codes = done.stdout.split()
    assert codes.count("143") >= 3 and set(codes) <= {"143", "1"}  # 1: all was read before the signal came
    assert all(line.startswith("Interrupted") or "no counterpart" in line for line in said) and len(said) == len(codes)
