"""A hundred erasers on the page: found by a search, switched by groups, taken in from a folder, drawn with together."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

pytest.importorskip("gradio")
pytest.importorskip("httpx")

from app_server import Page, Server
from extension_parts import part

from lora_unlearn import Concept, denoiser_for, erase, load_bank

DRAWN = {"draw_count": 1, "draw_steps": 3, "draw_guidance": 7, "draw_seed": 0, "strength": 1, "gate_mode": "auto"}
CAT = "a photo of a cat"


@pytest.fixture(scope="session")
def cat(pipe):
    """A real eraser, made in a moment."""
    return erase(denoiser_for(pipe), Concept("cat"), load_bank("demo"), "instant")


@pytest.fixture(scope="session")
def hundred(pipe, cat, tmp_path_factory):
    """A folder with a hundred erasers in two groups and none: a cat's and 99 files of a ship's under other names."""
    folder = tmp_path_factory.mktemp("sets") / "hundred"
    ship = erase(denoiser_for(pipe), Concept("ship"), load_bank("demo"), "instant")
    for number in range(99):
        group = "artists" if number < 40 else "characters" if number < 90 else ""
        name = f"{'Van Dyck' if number < 5 else 'thing'} {number}"
        replace(ship, concept=Concept(name)).save(folder / group / f"{name}.safetensors")
    cat.save(folder / "artists" / "cat.safetensors")
    return folder


@pytest.fixture(scope="module")
def server(hundred, tmp_path_factory):
    folder = tmp_path_factory.mktemp("app")
    shutil.copytree(hundred, folder / "erasers")
    found = Server(folder)
    yield found.wait()
    found.close()


@pytest.fixture
def page(server):
    found = Page(server.address)
    found.last("lora_unlearn_library_page", "select")
    found.last("lora_unlearn_all_on")
    return found


def test_the_library_shows_all_and_a_search_finds_some(page):
    every = page.last("lora_unlearn_search", "change", search="")
    assert every["table"].count("<tr>") == 101 and '<th scope="row">artists/cat</th>' in every["table"]
    some = page.last("lora_unlearn_search", "change", search="dyck")
    assert some["table"].count("<tr>") == 6 and len(page.props["chosen"]["choices"]) == 5
    assert "The search finds none" in page.last("lora_unlearn_search", "change", search="zebra")["table"]


def test_groups_are_switched_and_the_set_has_a_name(page):
    off = page.last("lora_unlearn_groups", "input", groups=["characters", "in no group"])
    assert "59 of 100 erasers are on" in off["switched"] and "<code>*, -artists/*</code>" in off["switched"]
    assert off["table"].count("<td>off</td>") == 41
    none = page.last("lora_unlearn_all_off")
    assert "None of the 100 erasers is on" in none["switched"] and none["table"].count("<td>off</td>") == 100
    every = page.last("lora_unlearn_all_on")
    assert "<code>*</code>" in every["switched"] and "<td>off</td>" not in every["table"]


def test_the_page_draw_offers_sets_and_draws_under_them(page):
    page.last("lora_unlearn_groups", "input", groups=["characters"])
    page.last("lora_unlearn_draw_eraser", "focus")
    choices = [value for _, value in page.props["draw_eraser"]["choices"]]
    assert choices[:4] == ["none", "characters/*", "*", "artists/*"] and "artists/cat" in choices
    opened = page.last("lora_unlearn_draw", prompt=CAT, draw_eraser="artists/*", **DRAWN)["decided"]
    assert "picture 1: cat: open, erases it" in opened and "picture 1: 40 others closed, change nothing" in opened
    assert "41 erasers are on: artists 41" in opened and opened.count('class="gate-label"') == 8
    closed = page.last("lora_unlearn_draw", prompt=CAT, draw_eraser="*, -artists/*", **DRAWN)["decided"]
    assert "picture 1: 59 erasers closed, change nothing" in closed
    assert (
        "called &#x27;zebra*&#x27;"
        in page.last("lora_unlearn_draw", prompt=CAT, draw_eraser="zebra*", **DRAWN)["draw_note"]
    )


def test_a_folder_is_taken_in_as_groups(library, hundred, tmp_path):
    replaced = library.path("artists/cat")
    replaced.parent.mkdir(parents=True)
    shutil.copy(hundred / "characters" / "thing 50.safetensors", replaced)
    (hundred / "broken.safetensors").write_bytes(b"x" * 40)
    try:
        found = library.take_in(f" {hundred} ")
    finally:
        (hundred / "broken.safetensors").unlink()
    assert len(found.paths) == 99 and library.host.told == found.paths
    assert str(found).startswith("99 erasers are here now. Left out: ")
    assert "artists/cat (" in str(found) and "exists and is an eraser for 'thing 50'" in str(found)
    assert "broken (" in str(found)
    assert {entry.group for entry in library.entries()} == {"artists", "characters", "hundred"}
    assert len(library.take_in(str(hundred)).paths) == 99 and len(library.entries()) == 100


def test_what_can_not_be_taken_in_is_told(library, cat, refused, tmp_path):
    cat.save(library.path("pets/cat"))
    for folder in (
        tmp_path / "nowhere",
        library.host.erasers,
        library.host.erasers / "pets",
        library.host.erasers.parent,
    ):
        assert "There are no erasers in" in refused(library.take_in, str(folder))
    assert library.names() == ["pets/cat"]


@pytest.fixture
def library(host):
    host.told = []
    host.changed = host.told.append
    return part("library").Library(host)


def test_an_eraser_moves_between_groups_and_comes_back_from_the_trash(library, cat, refused, tmp_path):
    cat.save(library.path("cat"))
    assert library.rename("cat", "pets/cat") == "pets/cat" and library.names() == ["pets/cat"]
    gone = library.trash("pets/cat")
    assert gone == library.host.erasers / "trash" / "pets" / "cat.safetensors" and library.names() == []
    assert library.restore("pets/cat") == "pets/cat" and library.load("pets/cat").concept.name == "cat"
    assert library.export("pets/cat", "").name == "erase cat.safetensors"
    assert "can't be a group" in refused(library.rename, "pets/cat", "trash/cat")
    (tmp_path / "elsewhere").mkdir()
    (library.host.erasers / "link").symlink_to(tmp_path / "elsewhere")
    assert "can't be a group" in refused(library.rename, "pets/cat", "link/cat")


def test_words_choose_from_the_library(library, cat, refused):
    for name in ("cat", "pets/tom", "pets/kitten"):
        replace(cat, concept=Concept(name)).save(library.path(name))
    assert [member.name for member in library.chosen("pets/*")] == ["pets/kitten", "pets/tom"]
    assert [member.name for member in library.chosen("cat")] == ["cat"]
    assert "no eraser 'pets' any more" in refused(library.chosen, "pets")
    assert library.offered()[:2] == ["*", "pets/*"]
    library.off = {"pets"}
    assert library.offered()[:3] == ["*, -pets/*", "*", "pets/*"]
