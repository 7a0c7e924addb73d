"""An eraser for every line of a list."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections import Counter

import pytest
from processes import launch, start, wait_for

from lora_unlearn.adapter import Adapter
from lora_unlearn.commands.concept_list import read_list
from lora_unlearn.describe import describe
from lora_unlearn.errors import UnlearnError


@pytest.fixture
def listed(tmp_path):
    """Writes a list; returns its path."""

    def write(*lines):
        path = tmp_path / "list.txt"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write


def test_a_list_is_erased_resumed_and_joined(run, listed, tmp_path):
    path, out = listed("cat\talso=kitten", "", "ship", "red\tof=apple"), tmp_path / "out"
    words = ("--checkpoint", "demo", "--concepts", path, "--mode", "instant", "--out", out)
    code, said, err = run("erase", *words, "--joint")
    assert (code, err) == (0, "")
    files = sorted(file.name for file in out.iterdir())
    assert files == [
        "all.safetensors",
        "cat.safetensors",
        "erasers.json",
        "red of apple.safetensors",
        "ship.safetensors",
    ]
    cat = Adapter.load(out / "cat.safetensors")
    assert cat.concept.also == ("kitten",) and cat.concept.avoid == ("ship", "red") and not cat.partial
    before = (out / "cat.safetensors").read_bytes()
    (out / "ship.safetensors").unlink()
    code, said, err = run("erase", *words)
    assert code == 0 and said.count("there already") == 2 and "3 of 3" in said
    assert (out / "cat.safetensors").read_bytes() == before
    rows = table(out)
    assert rows["ship"]["file"] == "ship.safetensors" and rows["ship"]["instead"]
    assert [path for path in out.iterdir() if path.name.startswith(".")] == []


def table(out):
    """The manifest's rows by concept."""
    return {row["concept"]: row for row in json.loads((out / "erasers.json").read_text(encoding="utf-8"))}


def test_a_list_has_one_bound_unless_each_is_to_have_its_own(run, listed, tmp_path):
    words = ("--checkpoint", "demo", "--concepts", listed("cat", "ship", "apple"), "--mode", "instant")
    code, said, _ = run("erase", *words, "--out", tmp_path / "each", "--bound", "each")
    assert code == 0 and "Together" not in said
    code, said, _ = run("erase", *words, "--out", tmp_path / "together")
    assert code == 0 and "Together the 3 erasers work by mistake for at most 2.0 % of ordinary prompts" in said
    for name in ("cat", "ship", "apple"):
        own, shared = (Adapter.load(tmp_path / way / f"{name}.safetensors") for way in ("each", "together"))
        assert (own.gate.shared_by, own.gate.false_open_rate) == (0, 0.01)
        assert (shared.gate.shared_by, shared.gate.false_open_rate) == (3, 0.02)
        assert "together with the 2 others of its list" in "\n".join(describe(shared))
        assert own.gate.direction == shared.gate.direction
        assert table(tmp_path / "together")[name]["shared_by"] == 3
    before = {file.name: file.read_bytes() for file in (tmp_path / "together").iterdir()}
    code, said, _ = run("erase", *words, "--out", tmp_path / "together")
    assert code == 0 and "Together" not in said  # nothing to be done again
    assert {file.name: file.read_bytes() for file in (tmp_path / "together").iterdir()} == before


@pytest.mark.thorough
def test_two_processes_share_a_list_and_a_killed_one_loses_nothing(run, listed, tmp_path):
    """The killed one's concepts are taken up by the other, and every eraser is the one that a single process makes."""
    names, out = ("cat", "ship", "apple", "dog", "house"), tmp_path / "out"
    path = listed(*names, "xyzzy")
    words = ("erase", "--checkpoint", "demo", "--concepts", path, "--mode", "instant")
    killed = start(*words, "--out", out)
    wait_for(out / ".cat.claim", killed)
    killed.kill()
    killed.communicate()
    both = [start(*words, "--out", out) for _ in range(2)]
    said = [process.communicate(timeout=900)[0] for process in both]
    assert [process.returncode for process in both] in ([1, 0], [0, 1], [1, 1])  # one told of xyzzy, or both did
    assert all("5 of 6 erasers" in text for text in said)
    run(*words, "--out", tmp_path / "alone")
    rows = table(out)
    assert set(rows) == {*names, "xyzzy"} and "nothing to erase" in rows["xyzzy"]["problem"]
    for name in names:
        alone, shared = (Adapter.load(folder / f"{name}.safetensors") for folder in (tmp_path / "alone", out))
        assert rows[name]["file"] == f"{name}.safetensors" and shared.gate.shared_by == 5
        assert abs(alone.gate.threshold - shared.gate.threshold) < 1e-3
    assert [path for path in out.iterdir() if path.name.startswith(".")] == []


def holders(out, names):
    """How many concepts each process has claimed, by its number."""
    claims = [path for path in out.glob(".*.claim") if path.stem[1:] in names]
    return Counter(re.findall(r"\d+", " ".join(path.read_text(encoding="ascii") for path in claims)))


def made(said):
    """The concepts that processes said to make, in the order of their names."""
    return sorted(re.findall(r"^\d of 6: (\w+)$", said, re.MULTILINE))


@pytest.mark.thorough
def test_a_launchers_processes_share_a_list_and_when_one_is_killed_the_same_command_goes_on(listed, tmp_path):
    """One holds half of the list at most; a launcher ends the others with it, and nothing half-made is left."""
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    names, out = ["apple", "cat", "dog", "flower", "house", "ship"], tmp_path / "out"
    words = ("erase", "--checkpoint", "demo", "--concepts", listed(*names), "--mode", "instant", "--out", out)
    first = launch(2, *words)
    wait_for(out / ".cat.claim", first)
    while not (claims := holders(out, names)):
        time.sleep(0.01)
    assert max(claims.values()) <= 3
    os.kill(int(next(iter(claims))), signal.SIGKILL)
    said, _ = first.communicate(timeout=900)
    assert first.returncode != 0 and "6 of 6 erasers" not in said
    before = {path.name: path.read_bytes() for path in out.glob("*.safetensors")}
    assert not any(Adapter.load(out / name).partial for name in before)
    second = launch(2, *words)
    said, err = second.communicate(timeout=900)
    assert second.returncode == 0, err
    assert made(said) == [name for name in names if f"{name}.safetensors" not in before]
    assert said.count("6 of 6 erasers are in") == said.count("Together the 6 erasers") == 1
    rows = table(out)
    assert {name: row["file"] for name, row in rows.items()} == {name: f"{name}.safetensors" for name in names}
    assert all(Adapter.load(out / row["file"]).gate.shared_by == row["shared_by"] == 6 for row in rows.values())
    assert [path for path in out.iterdir() if path.name.startswith(".")] == []
    said, err = launch(2, *words, "--overwrite").communicate(timeout=900)
    assert made(said) == names, err  # each is replaced, and by one of the two


def test_a_group_is_a_folder_and_a_line_that_changes_its_group_moves_its_file(run, listed, tmp_path):
    out = tmp_path / "out"
    words = ("--checkpoint", "demo", "--mode", "instant", "--out", out, "--concepts")
    code, said, _ = run("erase", *words, listed("cat\talso=kitten\tgroup=animals", "ship\tgroup=../things"))
    assert code == 1 and "line 2: '../things' can't be a file name" in said
    assert run("erase", *words, listed("cat\talso=kitten\tgroup=animals", "ship"), "--joint")[0] == 0
    rows = json.loads((out / "erasers.json").read_text(encoding="utf-8"))
    assert [(row.get("group"), row["file"]) for row in rows] == [
        ("animals", "animals/cat.safetensors"),
        (None, "ship.safetensors"),
    ]
    assert (out / "all.safetensors").is_file()
    before = (out / "animals" / "cat.safetensors").read_bytes()
    code, said, _ = run("erase", *words, listed("cat\tgroup=pets\talso=kitten", "ship\tgroup=things"))
    assert code == 0 and said.count("there already") == 2
    assert (out / "pets" / "cat.safetensors").read_bytes() == before
    assert not (out / "animals" / "cat.safetensors").exists() and (out / "things" / "ship.safetensors").is_file()


def test_what_can_not_be_done_is_told_and_the_rest_is_done(run, listed, tmp_path):
    path = listed("cat", "xyzzy", "cat", "frog\tcolour=green", "embedding:foo", "ship\tkeep=ship")
    out = tmp_path / "out"
    code, said, _ = run("erase", "--checkpoint", "demo", "--concepts", path, "--mode", "instant", "--out", out)
    assert code == 1
    for sentence in (
        "xyzzy: There is nothing to erase",
        "line 3: 'cat' stands there twice",
        "line 4: There is no option 'colour'",
        "line 5: 'embedding:foo' reads like the call of a file",
        "line 6: 'ship' is to be erased and to be kept",
        "1 of 2 erasers",
    ):
        assert sentence in said
    assert (out / "cat.safetensors").is_file()


def test_a_file_of_somebody_else_stays_and_the_rest_is_done(run, listed, tmp_path):
    (tmp_path / "cat.safetensors").write_bytes(b"mine")
    words = ("--checkpoint", "demo", "--concepts", listed("cat", "ship", "apple"), "--mode", "instant")
    code, said, _ = run("erase", *words, "--out", tmp_path)
    assert code == 1 and "not done: cat: " in said and "2 of 3 erasers" in said
    assert (tmp_path / "cat.safetensors").read_bytes() == b"mine"
    assert Adapter.load(tmp_path / "ship.safetensors").gate.shared_by == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--concept", "dog"), "not allowed with"),
        (("--also", "kitten"), "write it into the list"),
        (("--resume",), "leave --resume out"),
    ],
)
def test_what_is_said_of_one_concept_is_refused_beside_a_list(refused, listed, tmp_path, words, said):
    assert said in refused("erase", "--checkpoint", "demo", "--concepts", listed("cat"), "--out", tmp_path, *words)


def test_a_hundred_names_are_read_and_know_each_other(listed):
    things = [f"thing {number}" for number in range(92)]
    wrong = ["cat\tcolour=red", "ship\tkep=boat", "dog\tinstead=fox", "thing 7", "\talso=pup"]
    concepts, problems = read_list(str(listed(*things, *wrong, "\u043a\u043e\u0442", "\u732b", "")))
    assert len(concepts) == 94 and len(concepts[0].avoid) == 93
    assert [concept.name for concept in concepts[-2:]] == ["\u043a\u043e\u0442", "\u732b"]
    assert len(problems) == 5 and all(problem.count(". ") == 0 and problem.endswith(".") for problem in problems)
    with pytest.raises(UnlearnError, match="write one concept a line"):
        read_list(str(listed("cat\tcolour=red")))


def test_joining_one_is_refused(refused, tmp_path):
    words = ("--checkpoint", "demo", "--concept", "cat", "--joint", "--out", tmp_path / "cat.safetensors")
    assert "give one by --concepts" in refused("erase", *words)
