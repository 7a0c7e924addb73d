"""What can be typed: help with examples, and one sentence for everything that is wrong before a model is loaded."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lora_unlearn.cli import COMMANDS
from lora_unlearn.commands.models import split_strength
from lora_unlearn.errors import UnlearnError

ERASE = ("erase", "--checkpoint", "demo", "--out", "a.safetensors")
GENERATE = ("generate", "--checkpoint", "demo", "--prompt", "a cat", "--out", "pictures")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_an_example_of_the_command(run, name):
    code, out, err = run(name, "--help")
    assert (code, err) == (0, "")
    assert f"lora-unlearn {name}" in out.split("example:")[1]


def test_version(run):
    code, out, _ = run("--version")
    assert code == 0
    assert out.startswith("lora-unlearn 0.")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "COMMAND"),
        (("bogus",), "'bogus'"),
        (ERASE, "--concept"),
        ((*ERASE, "--concept", "cat", "--bogus"), "--bogus"),
        ((*ERASE, "--concept", ""), "concept is empty"),
        ((*ERASE, "--concept", "  "), "concept is empty"),
        ((*ERASE, "--concept", "cat", "--rank", "0"), "at least|from 1"),
        ((*ERASE, "--concept", "cat", "--rank", "many"), "'many'"),
        ((*ERASE, "--concept", "cat", "--learning-rate", "nan"), "nan"),
        ((*ERASE, "--concept", "cat", "--seed", "-1"), "-1"),
        ((*ERASE, "--concept", "cat", "--mode", "instant", "--batch", "1"), "batch has no use"),
        ((*ERASE, "--concept", "cat", "--mode", "instant", "--resume"), "--resume"),
        ((*ERASE, "--concept", "cat", "--layers", "all_but_cross"), "paper mode"),
        ((*ERASE, "--concept", "cat", "--also", "Kitten", "--keep", "kitten"), "to be erased and to be kept"),
        ((*ERASE, "--concept", "cat", "--keep", "cat"), "to be erased and to be kept"),
        ((*ERASE, "--concept", "cat", "--replace-with", "cats"), "its own place"),
        ((*ERASE, "--concept", "embedding:foo"), "plain words"),
        ((*ERASE, "--concept", "cat", "--also", "<lora:foo:1>"), "plain words"),
        ((*ERASE, "--concept", "cat", "--false-open-rate", "0.5"), "from 0.001 to 0.1"),
        ((*ERASE, "--concept", "cat", "--bank", "nowhere.txt"), "cannot be read"),
        (("suggest", "--checkpoint", "demo", "--concept", "embedding:foo"), "plain words"),
        (("try", "--checkpoint", "demo", "--prompt", "a cat"), "--adapter"),
        (("try", "--checkpoint", "demo", "--adapter", "a.safetensors", "--prompt", "a cat"), "a.safetensors"),
        ((*ERASE, "--concept", "cat\udcff"), "invalid words"),
        ((*GENERATE, "--prompt", "\udcff"), "invalid words"),
        ((*GENERATE, "--steps", "0"), "--steps: 0"),
        ((*GENERATE, "--guidance-scale", "nan"), "nan"),
        ((*GENERATE, "--guidance-scale", "inf"), "inf"),
        ((*GENERATE, "--size", "17"), "multiples of 8"),
        ((*GENERATE, "--size", "64xmany"), "64xmany"),
        ((*GENERATE, "--count", "0"), "--count"),
        ((*GENERATE, "--count", "-3"), "--count"),
        ((*GENERATE, "--count", "20000000"), "from 1 to 1000000"),
        ((*GENERATE, "--batch", "9" * 400), "400 digits"),
        ((*GENERATE, "--guidance-scale", "9" * 400), "400 digits"),
        ((*GENERATE, "--size", "9" * 400), "400 digits"),
        ((*GENERATE, "--steps", "x" * 5000), "digits"),
        ((*GENERATE, "--sampler", "\udcff" * 2), "sampler"),
        ((*ERASE, "--concept", "cat", "--iterations", "9" * 5000), "5000 digits"),
        ((*ERASE, "--concept", "cat " * 5000), "20000 characters"),
        ((*ERASE, "--concept", "cat", "--out", "c" * 300 + ".safetensors"), "too long"),
        ((*ERASE, "--concept", "cat", "--out", "a\0b.safetensors"), "zero byte"),
        (("inspect", "a\0b.safetensors"), "zero byte"),
        (("inspect", "c" * 300 + ".safetensors"), "too long"),
        ((*GENERATE, "--adapter", "a\0b.safetensors"), "zero byte"),
        ((*GENERATE, "--prompt", "a\0b"), "zero byte"),
        ((*GENERATE, "--sampler", "best"), "'best'"),
        ((*GENERATE, "--seed", str(2**63)), "--seed"),
        (("calibrate", "--checkpoint", "demo", "--adapter", "a", "--false-open-rate", "0"), "--false-open-rate"),
        (("export", "a.safetensors", "--format", "checkpoint", "--out", "b.safetensors"), "--checkpoint"),
    ],
)
def test_what_cannot_be_meant_is_refused(refused, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    assert any(part in refused(*words) for part in said.split("|"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no prompt"),
        (b"\n \n", "holds no prompt"),
        (bytes(range(256)), "no text file"),
        (b"a dog\0\n", "binary data"),
        (b"a dog\n" * 700_000, "more than 4 MB"),
        (b"a cat\nmy CATS\n", "asks for cat itself"),
    ],
    ids=["empty", "blank", "binary", "zero", "huge", "concept"],
)
def test_a_bank_of_no_use_is_refused_before_a_model_is_loaded(refused, tmp_path, content, said):
    bank, out = tmp_path / "mine.txt", tmp_path / "a.safetensors"
    bank.write_bytes(content)
    words = ("erase", "--checkpoint", "nowhere", "--out", out, "--concept", "cat", "--bank", bank)
    assert said in refused(*words)
    assert not out.exists()


@pytest.mark.parametrize(
    ("text", "name", "strength"),
    [
        ("a.safetensors", "a.safetensors", 1.0),
        ("a.safetensors:0.5", "a.safetensors", 0.5),
        ("a.safetensors:-2", "a.safetensors", -2.0),
        (r"C:\erasers\a.safetensors", r"C:\erasers\a.safetensors", 1.0),
        (r"C:\erasers\a.safetensors:2", r"C:\erasers\a.safetensors", 2.0),
        ("odd:name.safetensors", "odd:name.safetensors", 1.0),
    ],
)
def test_the_strength_follows_the_last_colon(text, name, strength):
    path, found = split_strength(text)
    assert (str(path), found) == (name, strength)


@pytest.mark.parametrize("text", ["a.safetensors:nan", "a.safetensors:inf"])
def test_a_strength_that_is_no_number_is_refused(text):
    with pytest.raises(UnlearnError, match="strength"):
        split_strength(text)


def test_an_early_interrupt_is_answered_in_a_sentence():
    code = (
        "import sys; sys.argv[0] = 'lora-unlearn'; print('here', flush=True); from lora_unlearn.cli import main; main()"
    )
    process = subprocess.Popen([sys.executable, "-c", code, "demo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == b"here\n"
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130 and b"Traceback" not in err and err.startswith(b"Interrupted")


SHELL = f"{sys.executable} -c 'import sys; from lora_unlearn.cli import main; sys.exit(main())' "


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a shell and its devices")
@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        ("inspect {} >&-", 0, ""),
        ("inspect {} > /dev/full", 1, "The system refused: No space left on device"),
        ("--help > /dev/full", 0, ""),
        ("inspect {} | true; exit ${{PIPESTATUS[0]}}", 0, ""),
        ("inspect nothing 2>&-", 1, ""),
    ],
)
def test_nobody_need_listen(eraser, end, code, said):
    command = SHELL + end.format(eraser)
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == code
    assert done.stderr.startswith(said) and done.stderr.count("\n") == bool(said)


def test_what_was_not_foreseen_is_a_sentence_and_with_debug_a_traceback(run, monkeypatch, eraser):
    from lora_unlearn.commands import inspect

    monkeypatch.setattr(inspect, "everything", lambda adapter, path: {1: {2, 3}}[2])
    with pytest.raises(KeyError):  # a fault of our own stays loud
        run("inspect", eraser, "--json")

    def fail(adapter, path):
        raise ValueError("The frobnicator is\nupside down.")

    monkeypatch.setattr(inspect, "everything", fail)
    code, out, err = run("inspect", eraser, "--json")
    assert (code, out) == (1, "")
    assert "not foreseen: The frobnicator is; repeat it with --debug" in err and err.count("\n") == 1
    with pytest.raises(ValueError, match="frobnicator"):
        run("inspect", eraser, "--json", "--debug")
