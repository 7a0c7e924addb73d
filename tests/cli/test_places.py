"""Files and folders that cannot be read or written are refused in one sentence, and nothing is left behind."""

from __future__ import annotations

import json
import struct
import sys

import pytest
import torch
from processes import start

from lora_unlearn.files import read_safetensors, write_safetensors
from lora_unlearn.keep import unfinished_beside


def spoilt(path, kind, tensors):
    """A file that is not what its name says."""
    if kind == "truncated":
        write_safetensors(path, tensors, {})
        path.write_bytes(path.read_bytes()[:-50])
    elif kind == "random":
        path.write_bytes(bytes(range(256)) * 40)
    elif kind == "gigantic header":
        path.write_bytes(struct.pack("<Q", 2**62) + b"{" * 100)
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "pickle in disguise":
        torch.save({"a": torch.zeros(2)}, path)
    elif kind == "folder":
        path.mkdir()
    return path


KINDS = ["missing", "truncated", "random", "gigantic header", "empty", "pickle in disguise", "folder"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_that_is_none(refused, tmp_path, kind):
    path = spoilt(tmp_path / "bad.safetensors", kind, {"a": torch.zeros(100)})
    words = ("erase", "--checkpoint", path, "--concept", "cat", "--out", tmp_path / "out" / "cat.safetensors")
    assert "bad.safetensors" in refused(*words)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("kind", KINDS)
def test_an_eraser_that_is_none(refused, tmp_path, kind):
    path = spoilt(tmp_path / "bad.safetensors", kind, {"a": torch.zeros(100)})
    assert "bad.safetensors" in refused("inspect", path)


@pytest.mark.parametrize("kind", ["truncated", "random"])
def test_drawing_with_an_eraser_that_is_none(refused, tmp_path, model, kind):
    path = spoilt(tmp_path / "bad.safetensors", kind, {"a": torch.zeros(100)})
    words = ("--checkpoint", model, "--adapter", path, "--prompt", "a cat", "--out", tmp_path / "out")
    assert "bad.safetensors" in refused("generate", *words)


def test_a_pickle_is_named_as_one(refused, tmp_path):
    path = tmp_path / "model.ckpt"
    torch.save({"a": torch.zeros(2)}, path)
    words = ("--concept", "cat", "--out", tmp_path / "cat.safetensors")
    assert "pickle" in refused("erase", "--checkpoint", path, *words)


def test_nan_in_a_checkpoint(refused, tmp_path, model):
    tensors, metadata = read_safetensors(model)
    tensors["model.diffusion_model.out.2.bias"].fill_(float("nan"))
    path = tmp_path / "nan.safetensors"
    write_safetensors(path, tensors, metadata)
    words = ("--concept", "cat", "--out", tmp_path / "cat.safetensors")
    assert "NaN" in refused("erase", "--checkpoint", path, *words)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_eraser_that_is_not_finite(refused, tmp_path, eraser, value):
    tensors, metadata = read_safetensors(eraser)
    next(iter(tensors.values())).view(-1)[0] = value
    path = tmp_path / "nan.safetensors"
    write_safetensors(path, tensors, metadata)
    assert "NaN or infinity" in refused("inspect", path)


def changed(metadata, change):
    """The metadata with our own block altered."""
    own = json.loads(metadata["lora_unlearn"])
    change(own)
    return {**metadata, "lora_unlearn": json.dumps(own)}


@pytest.mark.parametrize(
    "change",
    [
        lambda own: own.update(format_version=99),
        lambda own: own.pop("format_version"),
        lambda own: own.pop("concept"),
        lambda own: own.update(concept="cat"),
        lambda own: own.update(modules=["not.there"]),
        lambda own: own["settings"].update(unknown=1),
        lambda own: own["gate"].update(unknown=1),
        lambda own: own.update(unknown=1),
    ],
)
def test_metadata_that_was_tampered_with(refused, tmp_path, eraser, change):
    tensors, metadata = read_safetensors(eraser)
    path = tmp_path / "odd.safetensors"
    write_safetensors(path, tensors, changed(metadata, change))
    refused("inspect", path)


def test_an_ordinary_lora_is_not_an_eraser(refused, tmp_path, eraser):
    tensors, _ = read_safetensors(eraser)
    path = tmp_path / "plain.safetensors"
    write_safetensors(path, tensors, {})
    assert "ordinary" in refused("inspect", path)


def test_an_eraser_of_another_family(refused, tmp_path, model, eraser):
    tensors, metadata = read_safetensors(eraser)
    path = tmp_path / "xl.safetensors"
    write_safetensors(path, tensors, changed(metadata, lambda own: own.update(family="sd1")))
    words = ("--checkpoint", model, "--adapter", path)
    said = refused("generate", *words, "--prompt", "a cat", "--out", tmp_path / "out")
    assert "sd1" in said
    assert "demo" in said
    assert "sd1" in refused("calibrate", *words)


@pytest.mark.parametrize("command", ["erase", "generate"])
@pytest.mark.parametrize("place", ["file/below", "file/far/below"])
def test_a_place_below_a_file(refused, tmp_path, model, command, place):
    (tmp_path / "file").write_text("mine")
    words = {"erase": ("--concept", "cat"), "generate": ("--prompt", "a cat")}[command]
    out = tmp_path / place / ("cat.safetensors" if command == "erase" else "")
    assert "is a file" in refused(command, "--checkpoint", model, *words, "--out", out)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    "name", ["", "cat.txt", "CON.safetensors", ".safetensors", "cat.safetensors.", "a?.safetensors"]
)
def test_names_that_are_no_file_names(refused, tmp_path, model, name):
    refused("erase", "--checkpoint", model, "--concept", "cat", "--out", f"{tmp_path}/{name}")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_no_file_to_write(refused, tmp_path, model):
    (tmp_path / "cat.safetensors").mkdir()
    words = ("--concept", "cat", "--out", tmp_path / "cat.safetensors")
    assert "is a folder" in refused("erase", "--checkpoint", model, *words)


def test_the_checkpoint_is_never_written_over(refused, model, eraser):
    before = model.read_bytes()
    for ask in ((), ("--overwrite",)):
        words = (*ask, "--out", model)
        assert "to read from" in refused("erase", "--checkpoint", model, "--concept", "cat", *words)
        assert "to read from" in refused("calibrate", "--checkpoint", model, "--adapter", eraser, *words)
        assert "to read from" in refused("export", eraser, "--format", "checkpoint", "--checkpoint", model, *words)
        assert "to read from" in refused("export", eraser, "--format", "kohya", *ask, "--out", eraser)
    assert model.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "said"), [(None, "could not be read"), (b"\xff\xfe\x00", "UTF-8"), (b" \n\n", "no prompts")]
)
def test_prompts_that_cannot_be_read(refused, tmp_path, model, eraser, content, said):
    path = tmp_path / "prompts.txt"
    if content is not None:
        path.write_bytes(content)
    words = ("--checkpoint", model, "--adapter", eraser, "--negatives", path)
    assert said in refused("calibrate", *words)


def limited():
    """No file of this process may grow beyond 4 kB, as on a disk that is nearly full."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, 4_000))


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_a_full_disk_while_an_eraser_is_written(tmp_path, model):
    out = tmp_path / "cat.safetensors"
    words = ("--concept", "cat", "--iterations", 2, "--batch", 1)
    process = start("erase", "--checkpoint", model, *words, "--out", out, preexec_fn=limited)
    said, err = process.communicate(timeout=300)
    assert process.returncode == 1
    assert said.startswith("The training takes at most") and said.count("\n") == 1
    assert err.startswith(f"{unfinished_beside(out)} could not be written")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_a_full_disk_while_pictures_are_written(tmp_path, model):
    words = ("--prompt", "a cat", "--steps", 1, "--out", tmp_path / "out")
    process = start("generate", "--checkpoint", model, *words, preexec_fn=limited)
    said, err = process.communicate(timeout=300)
    assert (process.returncode, said) == (1, "")
    assert "0000.png could not be written" in err
    assert err.count("\n") == 1
    assert list((tmp_path / "out").iterdir()) == []


def small():
    """Less memory than the command will ask for, whatever this machine has."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (20 * 2**30, 20 * 2**30))


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_too_little_memory(tmp_path, model):
    words = ("--concept", "cat", "--batch", 25_000_000, "--resolution", 64, "--out", tmp_path / "cat.safetensors")
    process = start("erase", "--checkpoint", model, *words, preexec_fn=small)
    said, err = process.communicate(timeout=300)
    assert process.returncode == 1
    assert said.startswith("The training takes at most") and said.count("\n") == 1
    assert "--batch" in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_no_gpu(refused, tmp_path, model):
    words = ("--concept", "cat", "--out", tmp_path / "cat.safetensors")
    assert "0 CUDA GPUs" in refused("erase", "--checkpoint", model, "--device", "cuda", *words)
    for name in ("toaster", "meta", "hpu", "vulkan"):
        assert f"'{name}'" in refused("erase", "--checkpoint", model, "--device", name, *words)
