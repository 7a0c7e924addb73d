"""A hundred erasers as one set: found by their heads, grouped by folders, chosen by words, opened together."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import Linear

from lora_unlearn import Adapter, Concept, Gate, Settings, UnlearnError
from lora_unlearn.denoiser import Target
from lora_unlearn.lora import Lora, LoraLayer
from lora_unlearn.opened import LOADED, Loaded, folder_members, open_set
from lora_unlearn.sets import HEADS, Choice, digest, files_in, groups_of, pinned, searched, sets_of, unpinned, words_for

GROUPS = {"artists": 40, "characters": 50, "": 10}


@pytest.fixture(scope="session")
def adapter():
    """An eraser of one small layer."""
    made = torch.Generator().manual_seed(0)
    layer = LoraLayer(torch.randn(2, 80, generator=made), torch.randn(64, 2, generator=made), 1.0)
    name = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_v"
    return Adapter(Lora({name: layer}), Concept("cat"), Settings(rank=2), Gate(), "demo", "0" * 16)


@pytest.fixture
def hundred(adapter, tmp_path):
    """A folder with a hundred erasers in two groups and none, an ordinary LoRA and some files that lie elsewhere."""
    for group, count in GROUPS.items():
        for number in range(count):
            name = f"{'Van Dyck' if number % 10 == 0 else 'thing'} {number}"
            replace(adapter, concept=Concept(name, also=(f"{group} {name}",))).save(
                tmp_path / group / f"{group[:3]}{number}.safetensors"
            )
    save_file({"a": torch.zeros(2)}, tmp_path / "ordinary.safetensors")
    adapter.save(tmp_path / "trash" / "gone.safetensors")
    adapter.save(tmp_path / ".hidden" / "gone.safetensors")
    return tmp_path


def names(members):
    return [member.name for member in members]


def test_a_folder_is_a_set_and_its_folders_are_groups(hundred):
    members = folder_members(hundred)
    assert len(members) == 100 and groups_of(members) == dict(sorted(GROUPS.items()))
    assert members[0].name == "0" and members[0].concept == "Van Dyck 0" and members[0].family == "demo"
    assert sets_of(members) == ["*", "artists/*", "characters/*"]
    opened = open_set(members, "demo")
    assert [e.adapter.concept.name for e in opened.erasers] == [member.concept for member in opened.members]
    assert opened.lines() == ["100 erasers are on: no group 10, artists 40, characters 50"]


@pytest.mark.parametrize(
    ("only", "without", "count"),
    [
        ("artists", "", 40),
        ("Artists/*", "", 40),
        ("van*", "", 10),
        ("VAN DYCK 0", "", 3),
        ("art3", "", 1),
        ("artists/art3, characters/cha?", "", 11),
        ("", "artists, cha*", 10),
        ("*, -artists", "van*", 54),
        ("artists, -art1?", "", 30),
    ],
)
def test_words_choose(hundred, only, without, count):
    assert len(folder_members(hundred, only, without)) == count


def test_brackets_are_letters_like_any_other(adapter, tmp_path):
    for name in ("cat [old]", "cat o"):
        adapter.save(tmp_path / f"{name}.safetensors")
    assert names(folder_members(tmp_path, "cat [old]")) == ["cat [old]"]


def test_words_that_mean_nothing_are_told(hundred, tmp_path):
    with pytest.raises(UnlearnError, match="called 'artist', 'x'"):
        folder_members(hundred, "artist, x")
    with pytest.raises(UnlearnError, match="Every eraser here is left out"):
        folder_members(hundred, "", "*")
    with pytest.raises(UnlearnError, match=r"no erasers in .*nowhere"):
        folder_members(tmp_path / "nowhere")


def test_one_bad_file_leaves_the_others_at_work(adapter, tmp_path):
    adapter.save(tmp_path / "good.safetensors")
    replace(adapter, family="sd1").save(tmp_path / "other.safetensors")
    replace(adapter, partial=True).save(tmp_path / "half.safetensors")
    whole = (tmp_path / "good.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[:-100])
    (tmp_path / "a nan.safetensors").write_bytes(whole[:-2] + b"\xff\xff")
    opened = open_set(folder_members(tmp_path), "demo")
    assert names(opened.members) == ["good"] and len(opened.erasers) == 1
    on, *left = opened.lines()
    assert on == "1 eraser is on"
    for name, reason in (
        ("other", "made for sd1, the loaded model is demo"),
        ("half", "its training was not finished"),
        ("cut", "no complete safetensors file"),
        ("a nan", "NaN or infinity"),
    ):
        assert any(line.startswith(f"left out: {name} (") and reason in line for line in left)
    with pytest.raises(UnlearnError, match=r"None of the set's 5 erasers can be used .*sd2"):
        open_set(folder_members(tmp_path), "sd2")


def test_an_eraser_that_is_there_twice_works_once(adapter, tmp_path):
    for name in ("cat", "favourites/cat"):
        adapter.save(tmp_path / f"{name}.safetensors")
    opened = open_set(folder_members(tmp_path), "demo")
    assert names(opened.members) == ["cat"]
    assert opened.lines()[1] == "left out: favourites/cat (the same eraser under another name)"


def test_a_host_may_leave_one_out_itself(hundred):
    def check(adapter):
        if adapter.concept.name == "thing 1":
            raise UnlearnError("It does not fit.")

    opened = open_set(folder_members(hundred, "artists"), "demo", 0.5, "on", check)
    assert len(opened.erasers) == 39 and opened.lines()[1] == "left out: artists/art1 (It does not fit)"
    assert {(eraser.strength, eraser.mode) for eraser in opened.erasers} == {(0.5, "on")}


def test_any_groups_that_are_on_can_be_said_in_words(hundred):
    members = folder_members(hundred)
    groups = groups_of(members)
    for on in ([], ["artists"], ["", "artists"], [""], ["artists", "characters"], list(groups)):
        words = words_for(groups, on)
        chosen = Choice.of(words).of_all(members) if words else []
        assert names(chosen) == [member.name for member in members if member.group in on]


def test_a_group_with_a_comma_in_its_name_is_chosen_whole(adapter, tmp_path):
    adapter.save(tmp_path / "a, b" / "cat.safetensors")
    adapter.save(tmp_path / "c" / "dog.safetensors")
    members = folder_members(tmp_path)
    assert names(Choice.of(words_for(groups_of(members), ["a, b"])).of_all(members)) == ["a, b/cat"]


def test_the_short_name_of_a_set_changes_with_what_is_in_it(hundred, adapter):
    before = folder_members(hundred, "artists")
    text = pinned("artists/*", before)
    assert text == f"artists/* (40 erasers, {digest(before)})" and unpinned(text) == ("artists/*", digest(before))
    assert unpinned("cat (1)") == ("cat (1)", "")
    first = hundred / "artists" / "art0.safetensors"
    first.touch()
    assert digest(folder_members(hundred, "artists")) == digest(before)
    replace(adapter, concept=Concept("Van Dyck 0"), iterations=7).save(first)
    assert digest(folder_members(hundred, "artists")) != digest(before)
    first.unlink()
    assert pinned("artists/*", folder_members(hundred, "artists")).startswith("artists/* (39 erasers, ")


def test_a_search_finds_words_anywhere(hundred):
    members = folder_members(hundred)
    assert len(searched(members, "dyck")) == 10 and len(searched(members, "TIST")) == 40
    assert searched(members, "") == members and searched(members, "zebra") == []


def test_a_file_is_read_once_until_it_changes(hundred, adapter):
    (member,) = folder_members(hundred, "art1")
    first = LOADED.read(member.path)
    assert LOADED.read(member.path) is first
    replace(adapter, concept=Concept("another thing")).save(member.path)
    assert LOADED.read(member.path).concept.name == "another thing"
    assert HEADS.of(files_in(hundred))[11].concept == "another thing"


def test_memory_is_bounded(hundred):
    paths = [member.path for member in folder_members(hundred, "artists")]
    loaded = Loaded(3 * paths[0].stat().st_size)
    first = [loaded.read(path) for path in paths]
    assert loaded.read(paths[-1]) is first[-1] and loaded.read(paths[0]) is not first[0]


def test_a_thousand_attached_erasers_leave_a_layer_as_it_was_and_one_can_speak(adapter):
    linear = Linear(80, 64)
    (name, layer), x = next(adapter.lora.items()), torch.randn(3, 80)
    plain = linear(x)
    loras = [Lora({name: layer}) for _ in range(1000)]
    attached = [lora.attach({name: Target(linear)}) for lora in loras]
    assert torch.equal(linear(x), plain)
    with loras[500].rows(torch.tensor([0.0, 1.0, 0.0])):
        changed = linear(x)
    assert torch.equal(changed[::2], plain[::2]) and torch.allclose(changed[1], plain[1] + layer(x[1]), atol=1e-5)
    for attachment in attached:
        attachment.detach()
    assert "forward" not in linear.__dict__
