"""The one-node graph, through ComfyUI's own executor."""

from __future__ import annotations

import logging

import pytest
import torch
from comfy_graphs import one_node, plain

pytestmark = pytest.mark.comfyui


@pytest.fixture
def trainings(pack, monkeypatch):
    """The concepts that were really trained, in order; starts with an empty cache."""
    training = pack("nodes.training")
    training.CACHE.clear()
    trained, real = [], training.erase

    def spied(denoiser, concept, *args, **kwargs):
        trained.append(concept.name)
        return real(denoiser, concept, *args, **kwargs)

    monkeypatch.setattr(training, "erase", spied)
    return trained


def pictures(done):
    assert done.error is None
    return done.outputs["7"][0][0]


def test_one_node_erases_what_was_asked_for(run, seen):
    assert seen(pictures(run(plain()))).count("cat") >= 3
    assert "cat" not in seen(pictures(run(one_node())))


def test_other_prompts_come_out_byte_identical(run):
    before = pictures(run(plain("a photo of a dog", 2)))
    after = pictures(run(one_node("a photo of a dog", 2)))
    assert torch.equal(before, after)


def test_nothing_retrains_but_for_concept_and_settings(run, trainings):
    for change in ({}, {"strength": 0.5}, {"strength": 2.0}, {"enabled": False}, {"gate": "always"}, {"cfg": 4.0}):
        assert run(one_node(count=1, **change)).error is None
    assert run(one_node("a photo of a dog", 1, seed=9)).error is None
    assert trainings == ["cat"]
    assert run(one_node(count=1, concept="dog")).error is None
    assert run(one_node(count=1, concept="dog", seed=0)).error is None
    assert run(one_node(count=1, concept="cat", replace_with="dog")).error is None
    assert trainings == ["cat", "dog", "cat"]


def test_a_connected_vae_shows_before_and_after_once(run):
    done = run(one_node(count=1, vae=("1", 2), concept="frog"))
    shows = [data["output"] for event, data in done.sent if event == "executed" and data["node"] == "2"]
    assert done.error is None and len(shows) == 1
    assert len(shows[0]["images"]) == 1 and "frog (gate open)" in shows[0]["text"][0]
    done = run(one_node(count=1, vae=("1", 2), concept="frog", strength=0.8))
    assert done.error is None
    assert not [data for event, data in done.sent if event == "executed" and data["node"] == "2" and data["output"]]


def test_a_restart_finds_the_eraser_on_disk(run, trainings, pack):
    first = pictures(run(one_node(count=1)))
    pack("nodes.training").CACHE.recent.clear()
    again = pictures(run(one_node(count=1, strength=1.0, gate="auto", also=" ")))
    assert trainings == ["cat"] and torch.equal(first, again)


def test_memory_that_no_checkpoint_fills_has_no_part_in_the_name(pack, demo):
    """ComfyUI leaves the text projection, which Stable Diffusion 1 does without, as it finds it at every start."""
    name = pack("nodes.fingerprint").fingerprint
    network = demo.clip.cond_stage_model.clip_l.transformer
    with torch.inference_mode():
        before = name(demo.model, demo.clip, {})
        network.text_projection.weight += 1
        assert name(demo.model, demo.clip, {}) == before
        network.text_projection.weight -= 1
        first = next(network.text_model.parameters())
        first *= 2
        assert name(demo.model, demo.clip, {}) != before
        first /= 2
        assert name(demo.model, demo.clip, {}) == before


def test_a_damaged_cache_entry_is_trained_again_with_a_notice(run, trainings, pack, caplog):
    run(one_node(count=1))
    cache = pack("nodes.cache")
    (kept,) = cache.cache_folder().glob("*.safetensors")
    kept.write_bytes(kept.read_bytes()[:100])
    cache.CACHE.recent.clear()
    with caplog.at_level(logging.WARNING):
        assert run(one_node(count=1, strength=0.9)).error is None
    assert trainings == ["cat", "cat"] and "damaged" in caplog.text


def test_another_lora_on_the_model_is_another_eraser(run, trainings, cat, tmp_path):
    import folder_paths

    cat.save(f"{folder_paths.get_folder_paths('loras')[0]}/other.safetensors")
    graph = one_node(count=1)
    graph["9"] = ("LoraLoaderModelOnly", {"model": ("1", 0), "lora_name": "other.safetensors", "strength_model": 0.5})
    graph["2"][1]["model"] = ("9", 0)
    assert run(one_node(count=1)).error is None and run(graph).error is None
    graph["9"][1]["strength_model"] = 0.6
    assert run(graph).error is None
    assert trainings == ["cat", "cat", "cat"]


@pytest.mark.parametrize("off", [{"enabled": False}, {"strength": 0.0}], ids=["switch", "strength 0"])
@pytest.mark.parametrize(
    "else_", [{}, {"concept": " "}, {"clip": ("9", 0)}, {"also": "kitten", "keep": "kitten"}], ids=str
)
def test_switched_off_passes_the_model_through_whatever_else_is_set(run, trainings, off, else_):
    graph = one_node("a photo of a cat", 2, **off, **else_)
    graph["9"] = ("TestNothing", {})
    done = run(graph)
    assert done.error is None
    assert torch.equal(pictures(done), pictures(run(plain("a photo of a cat", 2)))) and trainings == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [({"concept": "  "}, "The concept is empty"), ({"clip": ("9", 0)}, "connect CLIP")],
    ids=["empty concept", "no text encoder"],
)
def test_mistakes_are_told_in_one_sentence_and_the_queue_goes_on(run, change, sentence):
    graph = one_node(count=1, **change)
    graph["9"] = ("TestNothing", {})
    failed = run(graph)
    assert sentence in failed.error
    (told,) = [data for event, data in failed.sent if event == "execution_error"]
    assert told["exception_type"] == "lora_unlearn.UnlearnError"
    assert run(one_node(count=1)).error is None
