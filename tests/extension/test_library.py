"""Erasers on disk: nothing leaves its folder, nothing is lost, and what is no eraser is only mentioned."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from extension_parts import part

from lora_unlearn import Adapter, Concept, Gate, Settings
from lora_unlearn.files import read_safetensors, write_safetensors
from lora_unlearn.hosts.diffusers import denoiser_for
from lora_unlearn.lora import new_lora
from lora_unlearn.merging import MERGES


@pytest.fixture
def eraser(pipe):
    """An eraser for the demo model with random weights."""
    lora = new_lora(denoiser_for(pipe).linears("cross_v"), 2, 1.0, torch.Generator().manual_seed(0))
    for _, layer in lora.items():
        torch.nn.init.normal_(layer.up, std=0.1)
    return Adapter(lora, Concept("cat"), Settings(rank=2), Gate(), "demo", "0" * 16)


@pytest.fixture
def library(host, eraser):
    """A library with one eraser, "cat", and what the host was told."""
    host.told = []
    host.changed = host.told.append
    found = part("library").Library(host)
    eraser.save(found.path("cat"))
    return found


BAD_NAMES = [
    "../cat",
    "..",
    "a/../b",
    "/a",
    "a//b",
    "a\\b",
    "CON",
    "con.txt",
    "C:cat",
    ".hidden",
    "a\0b",
    "a\nb",
    "lpt1",
    "*",
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_no_name_leads_out_of_the_folder(library, name, refused):
    for action in (library.load, library.trash, library.existing, library.path):
        assert "can't be a file name" in refused(action, name)
    assert "can't be a file name" in refused(library.rename, "cat", name)
    for kind in part("library").FORMATS:
        assert "can't be a file name" in refused(library.export, "cat", name, kind)
    assert library.names() == ["cat"]
    assert not library.host.exports.exists()


def test_no_link_leads_out_of_the_folder(library, tmp_path, refused):
    (tmp_path / "secret.safetensors").write_bytes(library.path("cat").read_bytes())
    (library.host.erasers / "link.safetensors").symlink_to(tmp_path / "secret.safetensors")
    assert library.names() == ["cat"]
    for action in (library.load, library.trash):
        assert "no eraser 'link' any more" in refused(action, "link")


def test_rename(library, refused):
    old = library.path("cat")
    assert library.rename("cat", "  feline.safetensors ") == "feline"
    assert library.names() == ["feline"]
    assert library.host.told == [old, library.path("feline")]
    assert "new name is empty" in refused(library.rename, "feline", " ")
    assert "no eraser 'cat' any more" in refused(library.rename, "cat", "dog")


def test_rename_never_replaces_another_eraser(library, eraser, refused):
    replace(eraser, concept=Concept("dog")).save(library.path("dog"))
    assert "already" in refused(library.rename, "cat", "dog")
    assert library.load("dog").concept.name == "dog"


def test_delete_moves_to_the_trash_and_keeps_older_trash(library, eraser, refused):
    first = library.trash("cat")
    eraser.save(library.path("cat"))
    second = library.trash("cat")
    assert first != second and first.parent == second.parent == library.host.erasers / "trash"
    assert Adapter.load(first).concept.name == Adapter.load(second).concept.name == "cat"
    assert library.entries() == []
    assert "any more" in refused(library.trash, "cat")


def test_what_was_deleted_comes_back_beside_what_took_its_name(library, eraser, refused):
    content = library.path("cat").read_bytes()
    assert library.restore(library.trash("cat").stem) == "cat" and library.path("cat").read_bytes() == content
    gone = library.trash("cat").stem
    replace(eraser, concept=Concept("dog")).save(library.path("cat"))
    assert library.restore(gone) == "cat 2" and library.load("cat").concept.name == "dog"
    assert library.path("cat 2").read_bytes() == content and library.host.told[-1] == library.path("cat 2")
    for name in (gone, "", "../cat", "..", "a/b"):
        refused(library.restore, name)
    assert sorted(library.names()) == ["cat", "cat 2"]


@pytest.mark.parametrize("kind", ["kohya", "diffusers", "peft"])
def test_an_exported_eraser_loads(library, kind, pipe, eraser):
    path = library.export("cat", "my cat", kind)
    assert path.parent == library.host.exports and library.host.told == [path]
    if kind == "peft":
        from lora_unlearn.formats import load_peft

        assert sorted(load_peft(path).names) == sorted(eraser.lora.names)
    else:
        pipe.load_lora_weights(str(path))
        assert pipe.get_active_adapters()
        pipe.unload_lora_weights()
    assert library.export("cat", "my cat", kind) == path  # its own older file may be replaced


def test_an_export_without_a_name_gets_one(library):
    assert library.export("cat", "").name == "erase cat.safetensors"


def test_an_export_replaces_no_foreign_file(library, refused):
    library.host.exports.mkdir()
    (library.host.exports / "style.safetensors").write_bytes(b"somebody's LoRA")
    for kind in ("kohya", "diffusers"):
        assert "was not made by this program" in refused(library.export, "cat", "style", kind)
    write_safetensors(library.host.exports / "style.safetensors", {"a": torch.ones(1)}, {"format": "pt"})
    assert "was not made by this program" in refused(library.export, "cat", "style", "diffusers")
    assert "no format 'zip'" in refused(library.export, "cat", "x", "zip")


def test_an_export_replaces_no_adapter_of_the_users_own(library, refused):
    from lora_unlearn.formats import PEFT_CONFIG, PEFT_WEIGHTS

    folder = library.host.exports / "mine"
    folder.mkdir(parents=True)
    write_safetensors(folder / PEFT_WEIGHTS, {"base_model.model.a.lora_A.weight": torch.ones(1, 2)}, {"format": "pt"})
    (folder / PEFT_CONFIG).write_text('{"peft_type": "LORA"}')
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert "was not made by this program" in refused(library.export, "cat", "mine", "peft")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_an_export_replaces_neither_another_format_nor_another_eraser(library, eraser, refused):
    replace(eraser, concept=Concept("dog")).save(library.path("dog"))
    path = library.export("cat", "mine")
    before = path.read_bytes()
    said = refused(library.export, "cat", "mine", "diffusers")
    assert "is an eraser for 'cat'" in said and "overwrite" not in said
    assert "is an eraser for 'cat'" in refused(library.export, "dog", "mine")
    assert "is an eraser for 'cat'" in refused(library.merge, ["cat", "dog"], [1, 1], "mine")
    assert path.read_bytes() == before
    library.export("cat", "other", "diffusers")
    assert "is a LoRA for diffusers for 'cat'" in refused(library.export, "dog", "other", "diffusers")
    library.export("cat", "folder", "peft")
    assert "is an adapter for PEFT for 'cat'" in refused(library.export, "dog", "folder", "peft")
    assert library.merge(["cat", "dog"], [1, 1], "both") == library.merge(["cat", "dog"], [1, 1], "both")


def test_an_export_follows_no_link(library, tmp_path, refused):
    library.host.exports.mkdir()
    (tmp_path / "elsewhere.safetensors").write_bytes(b"mine")
    (library.host.exports / "linked.safetensors").symlink_to(tmp_path / "elsewhere.safetensors")
    assert "is a link" in refused(library.export, "cat", "linked")
    assert (tmp_path / "elsewhere.safetensors").read_bytes() == b"mine"


def test_an_unfinished_eraser_is_not_exported(library, eraser, refused):
    replace(eraser, partial=True).save(library.path("half"))
    assert library.unfinished() == ["half"]
    assert "not finished" in refused(library.export, "half", "")


def test_merge(library, eraser, refused):
    replace(eraser, concept=Concept("dog")).save(library.path("dog"))
    path = library.merge(["cat", "dog"], [1.0, 0.5], "both")
    _, metadata = read_safetensors(path)
    assert metadata["ss_network_dim"] == "4" and "lora_unlearn" not in metadata
    assert "at least two" in refused(library.merge, ["cat"], [1.0], "one")
    replace(eraser, family="sd1").save(library.path("other"))
    assert "different model families" in refused(library.merge, ["cat", "other"], [1, 1], "mixed")
    assert "any more" in refused(library.merge, ["cat", "gone"], [1, 1], "gone")


def test_merge_by_a_method(library, eraser, refused):
    replace(eraser, settings=replace(eraser.settings, seed=1)).save(library.path("again"))
    for method in MERGES:
        path = library.merge(["cat", "again"], [], "one", method)
        title = read_safetensors(path)[1]["modelspec.title"]
        assert title == "Erase cat", method
    assert "the nearest name is 'soup'" in refused(library.merge, ["cat", "again"], [1, 1], "one", "soap")


def garbled(eraser, **changes):
    """An eraser's tensors, and its metadata with some values exchanged."""
    values = json.loads(eraser.metadata()["lora_unlearn"])
    for path, value in changes.items():
        *way, last = path.split("__")
        place = values
        for name in way:
            place = place[name]
        place[last] = value
    return values


HOSTILE = {
    "words are numbers": {"concept__name": 7},
    "words are a list": {"concept__name": ["cat"]},
    "also is a text": {"concept__also": "abc"},
    "no family": {"family": None},
    "a threshold of words": {"gate__threshold": "wide open"},
    "no number": {"gate__threshold": float("nan")},
    "rank of words": {"settings__rank": "x"},
    "unknown setting": {"settings__run": "rm -rf"},
    "evaluations": {"evaluations": [1]},
    "modules": {"modules": ["__import__('os')"]},
    "redirected": {"redirected": "all"},
    "no such family": {"family": "sd99"},
    "nested": {"mode": [[[[[]]]]]},
    "endless": {"gate__step": float("inf")},
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_file_with_garbled_metadata_is_a_sentence(library, eraser, case, refused):
    from lora_unlearn.formats import to_stock

    values = garbled(eraser, **HOSTILE[case])
    write_safetensors(library.path("evil"), to_stock(eraser.lora, "demo"), {"lora_unlearn": json.dumps(values)})
    refused(library.load, "evil")
    assert part("lists").erasers(library.entries())
    assert "cat" in library.names()
    assert case == "modules" or "evil" not in library.names()  # which tensors there are its head does not say


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00" * 7, b"\xff" * 4096, b"PK\x03\x04 a zip", (2**62).to_bytes(8, "little") + b"{}", b"<html>" * 99],
)
def test_a_file_that_is_no_safetensors_is_a_sentence(library, content, refused):
    (library.host.erasers / "bad.safetensors").write_bytes(content)
    bad = next(entry for entry in library.entries() if entry.name == "bad")
    assert bad.problem.endswith(".")
    assert library.names() == ["cat"]
    refused(library.load, "bad")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"format_version": ' + "1" * 5001 + "}", '"\\ud800"'])
def test_metadata_that_would_stop_a_reader_is_only_mentioned(library, text):
    write_safetensors(library.path("bad"), {"a": torch.ones(1)}, {"lora_unlearn": text})
    bad = next(entry for entry in library.entries() if entry.name == "bad")
    assert "damaged" in bad.problem and library.names() == ["cat"]


def test_an_ordinary_lora_is_mentioned_and_not_offered(library):
    write_safetensors(library.path("style"), {"a": torch.ones(1)}, {"format": "pt"})
    entries = {entry.name: entry for entry in library.entries()}
    assert "not one of our erasers" in entries["style"].problem and not entries["cat"].problem


def test_markup_in_a_file_stays_text(library, eraser):
    concept = Concept("<script>alert(1)</script>")
    replace(eraser, concept=concept).save(library.path("x onclick=1"))
    panels = part("panels")
    shown = part("lists").erasers(library.entries()) + panels.inspected(library.load("x onclick=1"))
    assert "<script" not in shown and "&lt;script&gt;" in shown


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="needs a limit on the size of files")
def test_a_full_disk_keeps_the_older_file(library, pytestconfig):
    path = library.export("cat", "mine")
    before = path.read_bytes()
    script = f"""
import resource, sys
sys.path[:0] = {[str(pytestconfig.rootpath), os.path.dirname(__file__)]!r}
from types import SimpleNamespace
from pathlib import Path
from extension_parts import part
host = SimpleNamespace(erasers=Path({str(library.host.erasers)!r}), exports=Path({str(library.host.exports)!r}))
host.changed = print
library = part("library").Library(host)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    library.export("cat", "mine")
except ValueError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "could not be written" in done.stdout and done.stdout.count("\n") == 1
    assert path.read_bytes() == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_to(library, refused):
    library.host.erasers.chmod(0o500)
    try:
        assert "could not be moved" in refused(library.trash, "cat")
    finally:
        library.host.erasers.chmod(0o700)
