"""The nodes around an eraser: stacks, read-outs, comparisons, calibration, merging."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from comfy_graphs import one_node, read_out, sampling, stacked

pytestmark = pytest.mark.comfyui

CAT, DOG, HOUSE = "a photo of a cat", "a photo of a dog", "a photo of a house"
DRAW = {"seed": 3, "steps": 6, "cfg": 5.0, "sampler_name": "euler", "scheduler": "normal"}


@pytest.fixture
def node(host, pack):
    """Run one node as the executor would: node("LoraUnlearnInspectEraser", eraser=...)."""

    def execute(name, /, **inputs):
        with torch.inference_mode():
            return host.NODE_CLASS_MAPPINGS[name].execute(**inputs)

    return execute


def error_of(node, pack, name, /, **inputs):
    with pytest.raises(pack("lora_unlearn").UnlearnError) as caught:
        node(name, **inputs)
    return str(caught.value)


def test_each_eraser_of_a_stack_has_a_gate_of_its_own(run, files):
    slots = {"file_1": files[0], "file_2": files[1]}
    assert [line.split(",")[0] for line in read_out(run(stacked(CAT, **slots)))[:2]] == [
        "picture 1: cat: open",
        "picture 1: dog: closed",
    ]
    house = run(stacked(HOUSE, **slots))
    assert [line.split(",")[0].split(": ")[2] for line in read_out(house)[:2]] == ["closed", "closed"]
    bare = run({"1": ("LoraUnlearnDemoCheckpoint", {}), **sampling("1", HOUSE, 1, 3, 5.0)})
    assert torch.equal(house.outputs["7"][0][0], bare.outputs["7"][0][0])


def test_a_slot_that_is_off_or_at_strength_0_is_left_out(run, files):
    slots = {"file_1": files[0], "file_3": files[1]}
    (only, _cost) = read_out(run(stacked(CAT, **slots, enabled_1=False, gate_3="always")))
    assert only == "picture 1: dog: open, erases it (set by hand)"
    off = run(stacked(CAT, **slots, enabled_1=False, strength_3=0.0))
    assert "No eraser is at work" in read_out(off)[0]


def test_a_connected_eraser_goes_before_the_file_and_stacks_chain(node, demo, cat, dog, files, pack):
    first = node("LoraUnlearnEraserStack", model=demo.model, eraser_1=dog, file_1=files[0])[0]
    second = node("LoraUnlearnEraserStack", model=first, eraser_4=cat, strength_4=2.0)[0]
    erasers = second.get_attachment(pack("nodes.guide").KEY).erasers
    assert [(eraser.adapter.concept.name, eraser.strength) for eraser in erasers] == [("dog", 1.0), ("cat", 2.0)]
    assert demo.model.get_attachment(pack("nodes.guide").KEY) is None


def test_a_changed_file_is_read_again_and_a_lost_one_is_told(host, files):
    import folder_paths

    stack, path = host.NODE_CLASS_MAPPINGS["LoraUnlearnEraserStack"], folder_paths.get_full_path("loras", files[0])
    before = stack.fingerprint_inputs(file_1=files[0])
    Path(path).touch()
    assert stack.fingerprint_inputs(file_1=files[0]) != before
    assert stack.validate_inputs(file_1=files[0]) is True
    assert "no file lost.safetensors" in stack.validate_inputs(file_2="lost.safetensors")


def test_an_ordinary_lora_in_a_stack_gets_a_sentence(run, cat):
    import folder_paths
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(2)}, Path(folder_paths.get_folder_paths("loras")[0]) / "plain.safetensors")
    assert "not one of our erasers" in run(stacked(CAT, file_1="plain.safetensors")).error


def test_the_read_out_needs_a_sampled_model(node, pack, demo, cat):
    model = node("LoraUnlearnEraserStack", model=demo.model, eraser_1=cat)[0]
    name = "LoraUnlearnGateReadout"
    assert "Connect the sampler's latent" in error_of(node, pack, name, model=model)
    assert "Nothing was sampled" in error_of(node, pack, name, model=model, latent={})


def compared(node, demo, eraser, **more):
    values = {"model": demo.model, "clip": demo.clip, "vae": demo.vae, "eraser": eraser, "prompts": "", "strength": 1.0}
    return node("LoraUnlearnBeforeAfter", **{**values, **DRAW, **more})


def test_the_left_column_is_the_stock_samplers(node, host, demo, cat):
    page, before, after = compared(node, demo, cat, prompts=f"{CAT}\n\n{HOUSE}\n").args
    for index, prompt in enumerate((CAT, HOUSE)):
        with torch.inference_mode():
            positive, negative = (host.CLIPTextEncode().encode(demo.clip, text)[0] for text in (prompt, ""))
            latent = host.EmptyLatentImage().generate(128, 128, 1)[0]
            made = host.KSampler().sample(demo.model, *DRAW.values(), positive, negative, latent)[0]
            stock = host.VAEDecode().decode(demo.vae, made)[0]
        assert torch.equal(before[index], stock[0])
        left = page[0, 30 + 134 * index : 158 + 134 * index, -268:-140]
        assert np.array_equal(bytes_of(left), bytes_of(stock[0]))
    assert torch.equal(before[1], after[1]) and not torch.equal(before[0], after[0])
    assert page.shape[1] == 30 + 2 * 134 and before.shape == after.shape == (2, 128, 128, 3)


def bytes_of(image):
    """As Save Image writes it."""
    return np.clip(255.0 * image.numpy(), 0, 255).astype(np.uint8)


def test_without_prompts_the_concept_meets_its_neighbours(node, demo, cat):
    page, before, after = compared(node, demo, cat, steps=1, pictures=2, size=64).args
    assert before.shape == after.shape == (6, 64, 64, 3) and page.shape[1] == 30 + 3 * 70
    same = [torch.equal(left, right) for left, right in zip(before, after, strict=True)]
    assert same == [False, False, True, True, True, True]


def test_neighbours_are_those_the_user_keeps_then_the_nearest(pack, demo, cat):
    near = pack("lora_unlearn.neighbours").neighbours
    denoiser = pack("nodes.denoiser").ComfyDenoiser(demo.model, demo.clip)
    with torch.inference_mode(False):
        found = near(denoiser, cat, 2)
        kept = near(denoiser, replace(cat, concept=replace(cat.concept, keep=("lion",))), 2)
    assert len(set(found)) == 2 and all(p.startswith("a photo of a") and "cat" not in p for p in found)
    assert kept == ["a photo of a lion", found[0]]


def test_calibrating_leaves_the_given_eraser_as_it_was(node, demo, cat):
    gate, base = cat.gate, cat.base_hash
    own = "a photo of a lion\n a tiger in the snow\n"
    given = {"model": demo.model, "clip": demo.clip, "eraser": cat}
    new, text = node("LoraUnlearnCalibrateEraser", **given, keep_closed=own, false_open_rate=0.1).args
    assert cat.gate is gate and cat.base_hash == base and new is not cat
    assert (new.gate.false_open_rate, gate.false_open_rate) == (0.1, 0.01)
    assert new.gate.threshold != gate.threshold and new.gate.negatives + len(new.gate.mentions) > gate.negatives
    assert text.startswith("gate: ") and "score" not in text.splitlines()[0] and "at most 10.0 %" in text
    assert text.endswith(f"before: opened from a score of {gate.threshold:.3f}")
    again = node("LoraUnlearnCalibrateEraser", **given)[0]
    assert again.gate.direction == gate.direction
    assert abs(again.gate.threshold - gate.threshold) < 0.25  # more prompts set it, those that judged it among them


def test_too_few_prompts_for_a_rate_are_told(node, pack, demo, cat):
    given = {"model": demo.model, "clip": demo.clip, "eraser": cat, "false_open_rate": 0.001}
    assert "needs at least 999 negative prompts" in error_of(node, pack, "LoraUnlearnCalibrateEraser", **given)
    assert "connect CLIP" in error_of(node, pack, "LoraUnlearnCalibrateEraser", **{**given, "clip": None})


def test_inspecting_tells_what_an_eraser_is(node, cat):
    text = node("LoraUnlearnInspectEraser", eraser=cat)[0]
    assert text.startswith("erases 'cat' from demo models\n") and "\nmade in instant mode" in text
    assert f"opens from a score of {cat.gate.threshold:.3f}" in text and cat.base_hash in text
    lines = text.splitlines()
    spoken, kept = (next(i for i, line in enumerate(lines) if line.startswith(start)) for start in ("gate: ", "kept"))
    assert spoken < kept and all(line.startswith("gate, ") for line in lines[kept + 1 :])


def test_inspecting_tells_what_is_kept_and_clears_it(node, pack, cat):
    cache = pack("nodes.cache")
    cache.CACHE.put("0" * 32, cat)
    text = node("LoraUnlearnInspectEraser", eraser=cat)[0]
    files = list(cache.cache_folder().glob("*.safetensors"))
    assert f"kept erasers: {len(files)}, " in text and f" of 512 MB, in {cache.cache_folder()}" in text
    text = node("LoraUnlearnInspectEraser", eraser=cat, kept_erasers="clear all")[0]
    assert f"kept erasers: {len(files)} deleted\n" in text and not list(cache.cache_folder().glob("*"))
    assert cache.CACHE.get("0" * 32) is None


def test_the_cache_lets_the_oldest_go_when_it_is_full(pack, cat, monkeypatch):
    import os

    cache = pack("nodes.cache")
    cache.CACHE.clear()
    for index in range(4):
        cache.CACHE.put(f"{index}" * 32, cat)
        path = cache.cache_folder() / f"{str(index) * 32}.safetensors"
        os.utime(path, (1000 + index, 1000 + index))
    monkeypatch.setattr(cache, "LIMIT", 2.5 * path.stat().st_size)
    cache.CACHE.put("9" * 32, cat)
    assert sorted(path.name[0] for path in cache.cache_folder().glob("*.safetensors")) == ["3", "9"]


def test_the_sheet_needs_an_autoencoder(node, pack, demo, cat):
    given = {"model": demo.model, "clip": demo.clip, "vae": None, "eraser": cat, "prompts": "", "strength": 1.0}
    assert "connect VAE" in error_of(node, pack, "LoraUnlearnBeforeAfter", **given, **DRAW)


def test_the_merged_file_does_in_a_stock_loader_what_both_files_do(node, host, demo, cat, dog, files, sample):
    import folder_paths

    slots = {"eraser_1": cat, "eraser_3": dog, "strength_3": 0.5}
    path, size = node("LoraUnlearnMergeErasers", name="both", format="LoRA", **slots).args
    assert Path(path).stat().st_size == size and "both.safetensors" in folder_paths.get_filename_list("loras")

    def loaded(model, name, strength):
        with torch.inference_mode():
            return host.LoraLoader().load_lora(model, demo.clip, name, strength, 0.0)[0]

    merged = sample(loaded(demo.model, "both.safetensors", 1.0), CAT, steps=2)
    one_by_one = sample(loaded(loaded(demo.model, files[0], 1.0), files[1], 0.5), CAT, steps=2)
    assert (merged - sample(demo.model, CAT, steps=2)).abs().max() > 0.1
    assert (merged - one_by_one).abs().max() < 5e-3


def test_merging_by_other_methods(node, pack, cat, dog):
    merging, formats = pack("lora_unlearn.merging"), pack("lora_unlearn.formats")
    slots, given = {"eraser_1": cat, "eraser_2": dog}, {"name": "ways", "format": "LoRA", "density": 0.3}
    for method in merging.MERGES:
        path, _ = node("LoraUnlearnMergeErasers", method=method, rank=2, **given, **slots).args
        tensors, metadata = pack("lora_unlearn.files").read_safetensors(path)
        options = {"density": 0.3} if method in ("ties", "dare") else {}
        wanted = merging.merge_of(method, rank=2, **options)([(cat.lora, 1.0), (dog.lora, 1.0)])
        assert metadata["ss_network_dim"] == "2", method
        found = dict(formats.from_stock(tensors, wanted.names, "demo").items())
        for name, layer in wanted.items():
            change, other = (own.scale * own.up @ own.down for own in (found[name], layer))
            assert (change - other).norm() < 5e-3 * other.norm(), (method, name)


def test_saved_merges_keep_their_widgets(pack):
    """New ones come last: widgets of saved workflows are told by their order."""
    schema = next(node for node in pack("nodes").NODES if node.__name__ == "MergeErasers").GET_SCHEMA()
    assert [widget.id for widget in schema.inputs][-5:] == ["name", "format", "method", "rank", "density"]


def test_what_cannot_be_merged_is_told(node, pack, cat, dog):
    def told(**slots):
        return error_of(node, pack, "LoraUnlearnMergeErasers", **{"name": "both", "format": "LoRA", **slots})

    assert "different model families (demo, sdxl)" in told(eraser_1=cat, eraser_2=replace(dog, family="sdxl"))
    assert "'dog' was not finished" in told(eraser_1=cat, eraser_2=replace(dog, partial=True))
    assert "can't be a file name" in told(eraser_1=cat, eraser_2=dog, name="../both")


def test_all_of_them_in_one_graph(run, files):
    graph = one_node(CAT, 1)
    given, drawn = {"model": ("1", 0), "clip": ("1", 1)}, {**DRAW, "steps": 1, "size": 64, "prompts": ""}
    graph |= {
        "10": ("LoraUnlearnCalibrateEraser", {**given, "eraser": ("2", 1), "false_open_rate": 0.05}),
        "11": ("LoraUnlearnInspectEraser", {"eraser": ("10", 0)}),
        "12": ("LoraUnlearnMergeErasers", {"eraser_1": ("10", 0), "eraser_2": ("2", 1), "name": "x", "format": "LoRA"}),
        "13": ("LoraUnlearnBeforeAfter", {**given, "vae": ("1", 2), "eraser": ("10", 0), "strength": 1.0, **drawn}),
        "14": ("LoraUnlearnGateReadout", {"model": ("2", 0), "images": ("7", 0)}),
    }
    done = run(graph)
    assert done.error is None
    shown = {data["node"]: data["output"] for event, data in done.sent if event == "executed"}
    assert "at most 5.0 %" in shown["11"]["text"][0] and shown["10"]["text"][0] == done.outputs["10"][1][0]
    assert ", without gates) in " in shown["12"]["text"][0] and len(shown["13"]["images"]) == 1
    assert shown["13"]["text"][0].splitlines()[0] == "a photo of a cat (gate open)"
    assert "\npicture 1: cat: open" in shown["14"]["text"][0]


def test_every_node_has_a_help_page_that_lists_its_inputs(host, pack):
    docs = Path(pack("nodes").__file__).parent / "web" / "docs"
    assert docs.parent in map(Path, host.EXTENSION_WEB_DIRS.values())
    schemas = {node.GET_SCHEMA().node_id: node.GET_SCHEMA() for node in pack("nodes").NODES}
    assert {path.stem for path in docs.glob("*.md")} == set(schemas)
    for name, schema in schemas.items():
        text = (docs / f"{name}.md").read_text(encoding="ascii")
        inputs = text.partition("## Inputs")[2].partition("\n## ")[0]
        listed = {word for row in re.findall(r"^\| (`.*?) \|", inputs, re.M) for word in re.findall(r"`(\w+)`", row)}
        assert numberless(listed) == numberless(widget.id for widget in schema.inputs), name
        assert all(
            f"`{output.display_name}`" in text or f"**{output.display_name}**" in text for output in schema.outputs
        )
        assert all(widget.tooltip for widget in [*schema.inputs, *schema.outputs])


def numberless(names):
    """Names of inputs without the numbers of slots."""
    return {re.sub(r"_\d$", "", name) for name in names}
