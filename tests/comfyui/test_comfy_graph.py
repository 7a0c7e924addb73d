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
    trained, real = [], training.fulfil

    def spied(denoiser, order, *args):
        trained.append(order.concept.name)
        return real(denoiser, order, *args)

    monkeypatch.setattr(training, "fulfil", spied)
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
    (shows,) = [data["output"] for event, data in done.sent if event == "executed" and data["node"] == "2"]
    assert list(shows) == ["text"] and shows["text"][0].startswith("Eraser for frog: kept from before, not trained")
    assert "at work with strength 0.8; a sheet below is still of the strength" in shows["text"][0].splitlines()[0]


def test_a_sheet_says_itself_at_which_settings_it_was_drawn(pack):
    pairs = pack("nodes.before_after").Pairs(
        [torch.zeros(1, 64, 64, 3)], [torch.zeros(1, 64, 64, 3)], ["photographically,"]
    )
    one, other = (pairs.page(pack("nodes.schema").at_work(strength, "auto")) for strength in (1.0, 0.5))
    top, left = 30, one.shape[2] - 2 * 70
    assert one.shape == other.shape and not torch.equal(one[:, :top, :left], other[:, :top, :left])
    assert torch.equal(one[:, top:], other[:, top:])


def test_several_things_in_one_concept_are_told_in_the_node(run):
    for prompt in ("a photo of a dog", "a photo of a house"):  # once made, and once kept from before
        done = run(one_node(prompt, count=1, concept="cat, frog"))
        (shows,) = [data["output"] for event, data in done.sent if event == "executed" and data["node"] == "2"]
        assert shows["text"][0].startswith('"cat, frog" is taken as one phrase; to erase several things ')
        assert "Eraser Stack" in shows["text"][0].splitlines()[0]
        run(one_node(prompt, count=1, concept="cow"))


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


def test_patches_by_functions_count_by_what_the_functions_do(pack, demo):
    """The host lets a patch pass through a function; two made at one place may do two things."""
    name = pack("nodes.fingerprint").fingerprint
    key = next(key for key in demo.model.model_state_dict() if key.endswith("attn2.to_v.weight"))

    def patched(function):
        model = demo.model.clone()
        model.add_patches({(key, None, function): (torch.ones(1),)})
        return name(model, demo.clip, {})

    def turned(amount):
        return lambda weight: weight * amount

    def added(amount):
        return lambda weight: weight + amount

    def kept(amount, by=None):
        return lambda weight, amount=amount: by(weight) if by else weight * amount

    with torch.inference_mode():
        assert patched(turned(2.0)) == patched(turned(2.0))
        made = [turned(2.0), turned(3.0), added(2.0), kept(2.0), kept(3.0), kept(2.0, turned(2.0)), None]
        assert len({patched(function) for function in made}) == len(made)


def test_an_update_of_the_pack_trains_nothing_anew_unless_the_recipe_is_another(pack, demo, monkeypatch):
    module = pack("nodes.fingerprint")
    before = module.fingerprint(demo.model, demo.clip, {})
    monkeypatch.setattr(pack("lora_unlearn"), "__version__", "99.0")
    assert module.fingerprint(demo.model, demo.clip, {}) == before
    monkeypatch.setattr(module, "RECIPE", module.RECIPE + 1)
    assert module.fingerprint(demo.model, demo.clip, {}) != before


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
    assert told["exception_type"] == "lora-unlearn"  # the page puts it before the sentence
    assert run(one_node(count=1)).error is None
