"""A hundred erasers in the accordion: a group or all of a folder in one slot, and an infotext that stays short."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
from test_webui_accordion import CAT, DOG, problem, same
from test_webui_scripts import grid

from lora_unlearn import Adapter, Concept

pytestmark = pytest.mark.webui

HOUSE = "a photo of a house"


@pytest.fixture(scope="module")
def hundred(server, cat, dog):
    """A hundred erasers in two groups of the tab's folder: a cat's, and 99 of a dog's under other names."""
    folder = server.data / "models" / "lora-unlearn"
    found = Adapter.load(folder / f"{dog}.safetensors")
    for number in range(99):
        group = "artists" if number < 40 else "pets"
        named = replace(found, concept=Concept(f"Van Dyck {number}" if number < 5 else f"thing {number}"))
        named.save(folder / "hundred" / group / f"{named.concept.name}.safetensors")
    replace(Adapter.load(folder / f"{cat}.safetensors"), concept=Concept("tom")).save(
        folder / "hundred" / "pets" / "tom.safetensors"
    )
    yield folder / "hundred"
    shutil.rmtree(folder / "hundred")


def infotext(drawn, name):
    """A value of the infotext without the marks around it."""
    found = drawn.infotexts[0].partition(f"{name}: ")[2]
    return found[1:].partition('"')[0] if found.startswith('"') else found.partition(",")[0]


def test_all_of_a_folder_works_and_the_infotext_stays_short(server, hundred, cat):
    erased = server.draw(CAT, True, "hundred/*", 1.0, "auto")
    assert infotext(erased, "Eraser 1").startswith("hundred/* (100 erasers, ")
    assert infotext(erased, "Eraser 1 decision") == "1 of 100 open: tom"
    assert len(erased.infotexts[0]) - len(server.draw(CAT).infotexts[0]) < 200
    assert same(erased.pictures, server.draw(CAT, True, cat, 1.0, "auto").pictures)


def test_a_hundred_closed_gates_change_no_byte(server, hundred):
    closed = server.draw(HOUSE, True, "hundred/*", 2.0, "auto", batch_size=2)
    assert infotext(closed, "Eraser 1 decision") == "0 of 100 open"
    assert same(closed.pictures, server.draw(HOUSE, batch_size=2).pictures)


@pytest.mark.parametrize(
    ("words", "count"),
    [("hundred/artists/*", 40), ("*, -pets, -hundred/artists/*", None), ("van*", 5), ("*, -hundred", None)],
)
def test_words_choose(server, hundred, words, count):
    said = infotext(server.draw(HOUSE, True, words, 1.0, "auto", steps=2), "Eraser 1")
    assert said.startswith(f"{words} (")
    assert count is None or f"({count} erasers, " in said


def test_an_infotext_of_a_set_brings_it_back_and_tells_of_changes(server, hundred, cat):
    erased = server.draw(CAT, True, "hundred/pets/*", 0.75, "auto", cat, 2.0, "off")
    pasted = server.call("/test/paste", {"infotext": erased.infotexts[0]})["values"]
    assert pasted[:4] == [True, infotext(erased, "Eraser 1"), "0.75", "auto"] and pasted[4] == cat
    again = server.draw(CAT, *pasted)
    assert same(again.pictures, erased.pictures) and "Eraser problem" not in again.infotexts[0]
    gone = hundred / "pets" / "thing 50.safetensors"
    content = gone.read_bytes()
    gone.unlink()
    try:
        told = problem(server.draw(CAT, *pasted, steps=2))
    finally:
        gone.write_bytes(content)
    assert "hundred/pets/* (60 erasers, " in told and "has changed since" in told and "(59 erasers, " in told


def test_what_a_slot_names_by_itself_is_not_taken_twice(server, hundred, cat):
    alone = server.draw(CAT, True, "hundred/pets/tom", 0.5, "auto")
    both = server.draw(CAT, True, "hundred/*", 1.0, "auto", "hundred/pets/tom", 0.5, "auto")
    assert same(both.pictures, alone.pictures)
    assert infotext(both, "Eraser 1 decision") == "0 of 99 open"


def test_one_bad_file_does_not_stop_the_others(server, hundred):
    whole = (hundred / "pets" / "tom.safetensors").read_bytes()
    mixed = hundred.parent / "mixed"
    mixed.mkdir()
    (mixed / "tom.safetensors").write_bytes(whole)
    (mixed / "cut.safetensors").write_bytes(whole[:-80])
    other = whole.replace(rb"\"family\": \"demo\"", rb"\"family\": \"sd1\" ")
    (mixed / "other.safetensors").write_bytes(other)
    try:
        drawn = server.draw(CAT, True, "mixed/*", 1.0, "auto", steps=2)
        assert infotext(drawn, "Eraser 1 decision") == "1 of 1 open: tom"
        (mixed / "tom.safetensors").unlink()
        assert "None of the set's 2 erasers can be used" in server.refused(CAT, True, "mixed/*", 1.0, "auto")
    finally:
        shutil.rmtree(mixed)


def test_words_that_mean_nothing_are_refused_in_a_sentence(server, hundred):
    assert "No eraser here is called 'zebra*'" in server.refused(CAT, True, "zebra*", 1.0, "auto")
    assert same(server.draw(DOG, True, "zebra*", 0, "auto").pictures, server.draw(DOG).pictures)


def test_a_grid_over_sets(server, hundred):
    axes = {"[Erase concepts] eraser": ["none", "hundred/pets/*", "hundred/artists/*"]}
    drawn = server.draw(CAT, False, **grid(server, **axes), steps=4)
    plain, pets, artists = drawn.pictures[-3:]
    assert same([plain], server.draw(CAT, steps=4).pictures) and same([artists], [plain])
    assert same([pets], server.draw(CAT, True, "hundred/pets/tom", 1.0, "auto", steps=4).pictures)


def test_the_routes_tell_of_sets(server, hundred):
    listed = server.call("/lora-unlearn/v1/list")
    assert {"name": "hundred/artists/*", "count": 40} in listed["sets"]
    assert next(row for row in listed["erasers"] if row["name"] == "hundred/pets/tom")["group"] == "hundred"
