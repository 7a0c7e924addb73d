"""A folder of a hundred erasers in ComfyUI: chosen in words, at work together, read again when it changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from comfy_graphs import plain, read_out, sampling

pytestmark = pytest.mark.comfyui

NAME = "LoraUnlearnEraserFolder"
CAT, DOG, HOUSE = "a photo of a cat", "a photo of a dog", "a photo of a house"


@pytest.fixture(scope="module")
def loras(host):
    import folder_paths

    return Path(folder_paths.get_folder_paths("loras")[0])


@pytest.fixture(scope="module")
def hundred(loras, cat, dog, pack):
    """A hundred erasers in three groups: a cat's, and 99 files of a dog's under other names."""
    concept = pack("lora_unlearn").Concept
    for number in range(99):
        group = "artists" if number < 50 else "characters"
        named = replace(dog, concept=concept(f"Van Dyck {number}" if number < 10 else f"thing {number}"))
        named.save(loras / "hundred" / group / f"{number}.safetensors")
    cat.save(loras / "hundred" / "animals" / "cat.safetensors")
    return "hundred"


@pytest.fixture
def node(host):
    kind = host.NODE_CLASS_MAPPINGS[NAME]

    def execute(model, folder, strength=1.0, enabled=True, **more):
        with torch.inference_mode():
            return kind.execute(model=model, folder=folder, strength=strength, enabled=enabled, **more).args

    return execute


def graph(prompt, folder, **more):
    values = {"folder": folder, "strength": 1.0, "enabled": True, **more}
    return {
        "1": ("LoraUnlearnDemoCheckpoint", {}),
        "2": (NAME, {"model": ("1", 0), **values}),
        **sampling("2", prompt, 1, 3, 5.0),
        "9": ("LoraUnlearnGateReadout", {"model": ("2", 0), "latent": ("6", 0)}),
    }


def test_a_hundred_decide_each_for_itself_and_the_read_out_stays_short(run, hundred, seen):
    done = run(graph(CAT, hundred))
    lines = read_out(done)
    assert lines[:2] == ["picture 1: cat: open, erases it", "picture 1: 99 others closed, change nothing"]
    assert len([line for line in lines if line.startswith("details")]) == 8
    assert done.outputs["2"][1] == ["100 erasers are on: animals 1, artists 50, characters 49; strength 1"]
    assert seen(done.outputs["7"][0][0]) != ["cat"]


def test_a_hundred_closed_gates_change_no_bit(run, hundred):
    under, bare = run(graph(HOUSE, hundred)), run(plain(HOUSE, 1))
    assert read_out(under)[0] == "picture 1: 100 erasers closed, change nothing"
    assert torch.equal(under.outputs["7"][0][0], bare.outputs["7"][0][0])


def test_a_folder_of_one_works_as_the_file_in_a_stack(run, hundred, files):
    alone = run(graph(CAT, f"{hundred}/animals"))
    stack = graph(CAT, hundred)
    stack["2"] = ("LoraUnlearnEraserStack", {"model": ("1", 0), "file_1": files[0]})
    assert torch.equal(alone.outputs["7"][0][0], run(stack).outputs["7"][0][0])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"only": "artists"}, "50 erasers are on: artists 50; strength 0.5"),
        ({"only": "VAN*", "without": "Van Dyck 3"}, "9 erasers are on: artists 9; strength 0.5"),
        ({"only": "*, -artists, -characters/*"}, "1 eraser is on: animals 1; strength 0.5"),
        ({"only": "cat, zebra"}, "1 eraser is on: animals 1; strength 0.5\nnothing there is called zebra"),
        ({"only": "cat", "gate": "always"}, "1 eraser is on: animals 1; strength 0.5, gate always"),
    ],
)
def test_words_choose_and_the_node_says_what_is_on(node, demo, hundred, words, said):
    assert node(demo.model, hundred, 0.5, **words)[1] == said


def test_bad_files_are_left_out_and_told_of(node, demo, loras, cat, pack):
    folder = loras / "mixed"
    cat.save(folder / "good.safetensors")
    replace(cat, family="sd1").save(folder / "other.safetensors")
    replace(cat, partial=True).save(folder / "half.safetensors")
    (folder / "cut.safetensors").write_bytes((folder / "good.safetensors").read_bytes()[:-50])
    model, said = node(demo.model, "mixed")
    assert [eraser.adapter.concept.name for eraser in model.get_attachment(pack("nodes.guide").KEY).erasers] == ["cat"]
    first, *rest = said.splitlines()
    assert first == "1 eraser is on; strength 1" and len(rest) == 3
    for name, reason in (("other", "made for sd1"), ("half", "not finished"), ("cut", "no complete safetensors")):
        assert any(line.startswith(f"left out: {name} (") and reason in line for line in rest)
    with pytest.raises(pack("lora_unlearn").UnlearnError, match="None of the set's 3 erasers can be used"):
        node(demo.model, "mixed", without="good")


def test_an_eraser_that_does_not_fit_the_network_is_left_out(node, demo, loras, cat, pack):
    lora = pack("lora_unlearn.lora")
    (name, layer), *_ = cat.lora.items()
    wide = lora.Lora({name: lora.LoraLayer(torch.zeros(2, 81), torch.zeros(layer.up.shape[0], 2), 1.0)})
    cat.save(loras / "fitting" / "good.safetensors")
    replace(cat, lora=wide).save(loras / "fitting" / "wide.safetensors")
    assert "left out: wide (1 of the adapter's 1 layers have no counterpart" in node(demo.model, "fitting")[1]


def test_new_changed_and_lost_files_are_noticed(host, node, demo, loras, cat, dog, pack):
    kind, folder = host.NODE_CLASS_MAPPINGS[NAME], loras / "changing"
    cat.save(folder / "cat.safetensors")
    prints = [kind.fingerprint_inputs(folder="changing")]
    dog.save(folder / "more" / "dog.safetensors")
    prints.append(kind.fingerprint_inputs(folder="changing"))
    assert node(demo.model, "changing")[1].startswith("2 erasers are on: no group 1, more 1")
    (folder / "cat.safetensors").touch()
    prints.append(kind.fingerprint_inputs(folder="changing"))
    assert len(set(prints)) == 3 and kind.fingerprint_inputs(folder="changing") == prints[-1]
    assert kind.validate_inputs(folder="changing/more") is True
    (folder / "more" / "dog.safetensors").unlink()
    assert "no erasers in changing/more any more" in kind.validate_inputs(folder="changing/more")


def test_where_there_are_none_yet_it_says_how_they_come(host, tmp_path, monkeypatch):
    import folder_paths

    monkeypatch.setitem(folder_paths.folder_names_and_paths, "loras", ([str(tmp_path)], {".safetensors"}))
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    said = host.NODE_CLASS_MAPPINGS[NAME].validate_inputs(folder="(all of loras)")
    assert said.startswith("There are no erasers in the loras folders yet; save some by Export Eraser")


def test_the_list_has_the_folders_that_hold_erasers_and_no_other(host, hundred, loras):
    from safetensors.torch import save_file

    (loras / "ordinary").mkdir(exist_ok=True)
    save_file({"a": torch.zeros(2)}, loras / "ordinary" / "lora.safetensors")
    info = host.NODE_CLASS_MAPPINGS[NAME].INPUT_TYPES()
    kind, options = info["required"]["folder"]
    choices = options.get("options", kind)
    assert choices[0] == "(all of loras)" and {"hundred", "hundred/artists", "hundred/animals"} <= set(choices)
    assert "ordinary" not in choices


def test_off_and_strength_0_pass_the_model_through(node, demo, hundred):
    for values in ((1.0, False), (0.0, True)):
        model, said = node(demo.model, hundred, *values)
        assert model is demo.model and said.startswith("No eraser is on")


def test_erasers_of_another_checkpoint_are_told(node, demo, loras, cat, dog):
    for name, eraser in (("cat", cat), ("dog", replace(dog, base_hash="0" * 16))):
        eraser.save(loras / "elsewhere" / f"{name}.safetensors")
    told = node(demo.model, "elsewhere")[1].splitlines()
    assert told[0].startswith("2 erasers") and len(told) == 2
    assert "gate of the eraser for 'dog' was measured on another demo model than this one" in told[1]
    assert "another demo model" not in node(demo.model, "elsewhere", only="cat")[1]
