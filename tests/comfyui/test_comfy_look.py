"""The second look in ComfyUI: by the network that samples, once for a prompt, without a trace in closed pictures."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from comfy_graphs import one_node, plain
from test_comfy_families import FAMILIES, adapter, build, latents  # noqa: F401 (fixtures)
from test_comfy_guidance import decisions, erased  # noqa: F401 (fixture)
from test_comfy_ways import CAT, DOG, kit, scheduled_lora  # noqa: F401 (fixture)

pytestmark = pytest.mark.comfyui


@pytest.fixture(scope="module")
def careful(pack, demo, cat):
    """The eraser of cats with a second look, measured by the host."""
    recalibrated, denoiser = pack("lora_unlearn.erase").recalibrated, pack("nodes.denoiser").ComfyDenoiser
    with torch.inference_mode(False):
        return recalibrated(denoiser(demo.model, demo.clip), cat, look="careful")


@pytest.fixture(scope="module")
def deaf(careful):
    """The same eraser, whose text hears nothing at all."""
    return replace(careful, gate=replace(careful.gate, threshold=99.0, text_closed=99.0, text_open=99.0))


@pytest.fixture
def evaluations(demo):
    """How many rows the network has evaluated since the last time it was asked."""
    rows = []
    hook = demo.model.model.diffusion_model.register_forward_pre_hook(lambda module, args: rows.append(len(args[0])))

    def since():
        found = sum(rows)
        rows.clear()
        return found

    yield since
    hook.remove()


def test_the_host_measures_what_the_library_measures(careful):
    gate = careful.gate
    assert gate.look_mode == "careful" and gate.false_open_rate == 0.01
    assert 0.3 < gate.look < 0.9 and gate.look_shape == (4, 16, 16)


@pytest.mark.parametrize("cfg", [1.0, 5.0])
def test_what_the_text_misses_is_erased_and_the_rest_stays(cfg, pack, demo, erased, deaf, sample):  # noqa: F811
    model = erased(adapter=deaf)
    before, after = sample(demo.model, CAT, DOG, cfg=cfg), sample(model, CAT, DOG, cfg=cfg)
    assert [decisions(pack, model, picture) for picture in range(2)] == [[True], [False]]
    assert torch.equal(before[1], after[1]) and (before[0] - after[0]).abs().max() > 0.1
    last = model.get_attachment(pack("nodes.guide").KEY).last
    assert {d.by for picture in range(2) for row in last.decisions(picture) for d in row} == {"look"}


def test_a_prompt_is_asked_about_once(demo, erased, deaf, sample, evaluations):  # noqa: F811
    model = erased(adapter=deaf)
    sample(demo.model, DOG)
    plain = evaluations()
    sample(model, DOG)
    assert evaluations() == plain + 8 * 3  # the prompt, which seems to ask for a cat, the concept, the empty prompt
    sample(model, DOG, seed=9)
    assert evaluations() == plain
    sample(model, "a photo of a ship")
    assert evaluations() == plain + 2


def test_the_users_own_hooks_are_as_they_were(kit, demo, erased, deaf):  # noqa: F811
    with torch.inference_mode():
        base = scheduled_lora(kit, demo.model, DOG, False)["samples"]
        assert torch.equal(scheduled_lora(kit, erased(adapter=deaf), DOG, False)["samples"], base)
        assert torch.equal(scheduled_lora(kit, demo.model, DOG, False)["samples"], base)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_asked_with_all_that_it_reads(family, host, pack, demo, build, adapter):  # noqa: F811
    guide, core, model = pack("nodes.guide"), pack("lora_unlearn"), build(family)
    made = adapter(model, "cross_kv")
    shape = pack("nodes.denoiser").ComfyDenoiser(model, demo.clip, (64, 64)).shape
    gate = core.Gate(statistic="look", threshold=0.999, look=0.999, look_shape=shape)
    erasers = [core.Eraser(replace(made, gate=gate))]
    with torch.inference_mode():
        under = guide.apply_erasers(model, erasers, guide.encoded_for(model, demo.clip, erasers))
    for text, opens in ((made.concept.probe, True), ("a photo of a dog", False)):
        same = torch.equal(latents(host, demo, under, text, 4.0, 2), latents(host, demo, model, text, 4.0, 2))
        (found,) = under.get_attachment(guide.KEY).last.decisions(0)[0]
        assert found.open is opens and found.by == "look" and same is not opens


def test_without_clip_a_sentence_says_what_to_connect(pack, demo, deaf):
    guide, core = pack("nodes.guide"), pack("lora_unlearn")
    with pytest.raises(core.UnlearnError, match="connect CLIP to this node"):
        guide.encoded_for(demo.model, None, [core.Eraser(deaf)])


def test_a_node_trains_with_it(run):
    graph = {
        "1": ("LoraUnlearnDemoCheckpoint", {}),
        "2": ("LoraUnlearnTrainEraser", {**TRAINED, "look": "careful"}),
        "3": ("LoraUnlearnTryPrompt", {"model": ("1", 0), "clip": ("1", 1), "eraser": ("2", 0), "prompt": CAT}),
    }
    done = run(graph)
    assert done.error is None and done.outputs["2"][0][0].gate.look_mode == "careful"
    assert run({**graph, "2": ("LoraUnlearnTrainEraser", TRAINED)}).outputs["2"][0][0].gate.look is None


def test_settings_left_as_they_are_take_the_modes_own(pack):
    node, modes = pack("nodes.train_eraser"), pack("lora_unlearn.erase").MODES
    shown = {name: getattr(node.DEFAULT, name) for name in ("rank", "gamma", "objective", "down", "iterations")}
    for mode, settings in modes.items():
        assert node.settings_of(mode, shown) == settings
        assert node.settings_of(mode, {**shown, "rank": 7}).rank == 7


TRAINED = {"model": ("1", 0), "clip": ("1", 1), "concept": "cat", "mode": "instant", "iterations": 1}


def averaged(graph, share, cfg):
    """A graph whose prompt is mixed with the empty one, under as much more guidance."""
    inputs = {"conditioning_to": ("3", 0), "conditioning_from": ("4", 0), "conditioning_to_strength": share}
    kind, sampling = graph["6"]
    return {
        **graph,
        "12": ("ConditioningAverage", inputs),
        "6": (kind, {**sampling, "positive": ("12", 0), "cfg": cfg / share}),
    }


def test_the_preset_thorough_hears_what_is_mixed_with_the_empty_prompt(run, seen):
    def drawn(graph):
        done = run(graph)
        assert done.error is None
        return done.outputs["7"][0][0]

    thorough, share = {"preset": "thorough"}, 0.3
    assert "cat" not in seen(drawn(one_node(CAT, **thorough)))
    assert seen(drawn(averaged(plain(CAT), share, 5.0))).count("cat") >= 3
    assert "cat" not in seen(drawn(averaged(one_node(CAT, **thorough), share, 5.0)))
    dogs = [drawn(averaged(graph, share, 5.0)) for graph in (plain(DOG), one_node(DOG, **thorough))]
    assert torch.equal(*dogs)
