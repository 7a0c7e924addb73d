"""Files: what is refused and how, and that writing is all or nothing."""

from __future__ import annotations

import os
import pickle
import signal
import struct
import subprocess
import sys
import textwrap

import pytest
import torch

from lora_unlearn.errors import UnlearnError
from lora_unlearn.files import below, inside, read_safetensors, read_shapes, write_safetensors, write_text

TENSORS = {"down": torch.arange(6.0).reshape(2, 3), "up": torch.ones(3, dtype=torch.bfloat16)}


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "a.safetensors"
    write_safetensors(path, TENSORS, {"concept": "cat"})
    return path


def refused(path, *words, **options):
    """Reading fails with one sentence that names the file and holds the words."""
    with pytest.raises(UnlearnError) as caught:
        read_safetensors(path, **options)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    for word in words:
        assert word in message


def test_what_was_written_is_read(written):
    tensors, metadata = read_safetensors(written, check_finite=True)
    assert metadata == {"concept": "cat"}
    assert tensors.keys() == TENSORS.keys()
    for name, value in TENSORS.items():
        assert torch.equal(tensors[name], value)
        assert tensors[name].dtype == value.dtype


def test_shapes_are_read_without_the_tensors(written):
    assert read_shapes(written) == ({"down": (2, 3), "up": (3,)}, {"concept": "cat"})


def test_read_tensors_outlive_the_file(written):
    tensors, _ = read_safetensors(written)
    written.write_bytes(b"")
    assert torch.equal(tensors["down"], TENSORS["down"])


def test_missing_file_and_folder(tmp_path):
    refused(tmp_path / "none.safetensors", "does not exist")
    refused(tmp_path, "is a folder")


@pytest.mark.parametrize("keep", [0, 1, 7, 8, 30, -1])
def test_cut_short(written, keep):
    written.write_bytes(written.read_bytes()[:keep])
    refused(written, "no complete safetensors file")


@pytest.mark.parametrize(
    "content",
    [
        bytes(range(256)) * 4,
        b"<!DOCTYPE html><html>" + b" " * 300,
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 90_000_000) + b"{}",
        struct.pack("<Q", 5) + b"{}{}}",
        struct.pack("<Q", 7) + b'{"a":1}',
    ],
    ids=["bytes", "web page", "giant header", "long header", "broken JSON", "other JSON"],
)
def test_not_safetensors(tmp_path, content):
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    refused(path, "no complete safetensors file")


class Bomb:
    """Leaves a trace when it is unpickled."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("name", ["a.ckpt", "a.pt", "a.PTH", "a.bin", "a.safetensors"])
@pytest.mark.parametrize("save", ["torch", "pickle"])
def test_pickles_are_never_opened(tmp_path, name, save):
    path, trace = tmp_path / name, tmp_path / "trace"
    if save == "torch":
        torch.save({"a": Bomb(trace)}, path)
    else:
        path.write_bytes(pickle.dumps({"a": Bomb(trace)}))
    refused(path, "pickle", "convert it to .safetensors")
    assert not trace.exists()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn])
def test_not_finite(tmp_path, dtype):
    path = tmp_path / "a.safetensors"
    write_safetensors(path, {"good": torch.ones(2), "bad": torch.tensor([1.0, float("nan")]).to(dtype)}, {})
    refused(path, "'bad'", check_finite=True)
    assert read_safetensors(path)[0].keys() == {"good", "bad"}


def test_whole_numbers_count_as_finite(tmp_path):
    path = tmp_path / "a.safetensors"
    write_safetensors(path, {"ids": torch.arange(3)}, {})
    assert torch.equal(read_safetensors(path, check_finite=True)[0]["ids"], torch.arange(3))


def test_writing_makes_folders_and_leaves_nothing_else(tmp_path):
    write_safetensors(tmp_path / "b" / "c" / "a.safetensors", TENSORS, {})
    write_text(tmp_path / "b" / "c" / "a.txt", "caf\u00e9\n")
    assert sorted(os.listdir(tmp_path / "b" / "c")) == ["a.safetensors", "a.txt"]
    assert (tmp_path / "b" / "c" / "a.txt").read_bytes() == "caf\u00e9\n".encode()


def test_non_contiguous_tensors_are_written(tmp_path):
    write_safetensors(tmp_path / "a.safetensors", {"t": TENSORS["down"].T.requires_grad_()}, {})
    assert torch.equal(read_safetensors(tmp_path / "a.safetensors")[0]["t"], TENSORS["down"].T)


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_other_users_may_read_what_the_umask_allows(tmp_path):
    write_safetensors(tmp_path / "a.safetensors", TENSORS, {})
    (tmp_path / "plain").touch()
    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_parent_that_is_a_file(written):
    with pytest.raises(UnlearnError, match="could not be written"):
        write_safetensors(written / "b.safetensors", TENSORS, {})


def test_target_that_is_a_folder(tmp_path):
    with pytest.raises(UnlearnError, match="could not be written"):
        write_text(tmp_path, "text")
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.name == "nt" or getattr(os, "geteuid", int)() == 0, reason="needs a user with limits")
def test_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UnlearnError, match="could not be written"):
        write_text(tmp_path / "a.txt", "text")
    tmp_path.chmod(0o700)


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="needs a limit on the size of files")
@pytest.mark.parametrize(
    "call", ["write_safetensors(path, {'a': torch.ones(9999)}, {})", "write_text(path, 'x' * 9999)"]
)
def test_no_room_keeps_the_old_file(written, call):
    before = written.read_bytes()
    script = f"""
        import resource, torch
        from pathlib import Path
        from lora_unlearn.files import write_safetensors, write_text
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        path = Path({str(written)!r})
        try:
            {call}
        except ValueError as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True)
    assert "could not be written" in done.stdout
    assert written.read_bytes() == before
    assert os.listdir(written.parent) == [written.name]


def test_interrupted_writing_keeps_the_old_file(written, monkeypatch):
    before = written.read_bytes()

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_safetensors(written, {"other": torch.zeros(3)}, {})
    assert written.read_bytes() == before
    assert os.listdir(written.parent) == [written.name]


@pytest.mark.parametrize("name", ["cat.safetensors", "no cats (v2).safetensors", "\u732b.safetensors"])
def test_names_that_may_be_used(tmp_path, name):
    assert inside(tmp_path, name) == tmp_path / name


@pytest.mark.parametrize(
    "name",
    ["", " ", ".", "..", "../a", "a/b", "a\\b", "/a", "C:a", ".hidden", "a\0b", "a\nb", "a*", "CON", "nul.txt", "a."],
)
def test_names_that_leave_the_folder_or_fail_on_some_system(tmp_path, name):
    with pytest.raises(UnlearnError, match="can't be a file name"):
        inside(tmp_path, name)


def test_a_name_may_lead_into_folders_and_never_out(tmp_path):
    assert below(tmp_path, "cat") == tmp_path / "cat"
    assert below(tmp_path, "styles/old\\cat") == tmp_path / "styles" / "old" / "cat"
    for name in ["../a", "styles/../../a", "/a", "styles//a", "styles/", "C:/a", "./a", "a/.hidden", "nul/a"]:
        with pytest.raises(UnlearnError, match="can't be a file name"):
            below(tmp_path, name)


def test_names_that_are_too_long(tmp_path):
    assert inside(tmp_path, "c" * 200) == tmp_path / ("c" * 200)
    with pytest.raises(UnlearnError, match="too long"):
        inside(tmp_path, "c" * 201)
    with pytest.raises(UnlearnError, match="too long"):
        inside(tmp_path, "\u732b" * 100)


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "far").mkdir()
    link, target = tmp_path / "a.txt", tmp_path / "far" / "b.txt"
    link.symlink_to(target)
    for text in ("one", "two"):  # the first time it leads nowhere yet
        write_text(link, text)
        assert link.is_symlink() and target.read_text() == text
    assert os.listdir(tmp_path / "far") == ["b.txt"]


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_who_may_read_a_file_stays_as_it_was(written):
    written.chmod(0o600)
    write_safetensors(written, {"other": torch.zeros(3)}, {})
    assert written.stat().st_mode & 0o777 == 0o600


def test_a_write_protected_file_is_not_replaced(written):
    before = written.read_bytes()
    written.chmod(0o444)
    with pytest.raises(UnlearnError, match="write-protected"):
        write_safetensors(written, {"other": torch.zeros(3)}, {})
    assert written.read_bytes() == before
    assert os.listdir(written.parent) == [written.name]


@pytest.mark.skipif(os.name == "nt" or getattr(os, "geteuid", int)() == 0, reason="needs a user with limits")
def test_an_unreadable_file_is_not_called_missing(written):
    written.chmod(0o000)
    refused(written, "Permission denied")
    written.chmod(0o600)


KILLED = """
import os, signal, sys
from pathlib import Path
from lora_unlearn import files
with files._replacing(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_what_killed_processes_left_is_cleared_up_and_nothing_else(tmp_path):
    mine = [".lora-unlearn.elsewhere.1.tmp", f".lora-unlearn.{'0' * 32}.tmp", ".a.tmp", "b.tmp"]
    for name in mine:
        (tmp_path / name).touch()
    for name in ("a.txt", "b.txt"):
        subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / name)], check=False)
    assert len(os.listdir(tmp_path)) == len(mine) + 1  # the second has cleared up behind the first
    write_text(tmp_path / "c.txt", "whole")
    assert sorted(os.listdir(tmp_path)) == sorted([*mine, "c.txt"])
