"""Erasers in ComfyUI's sampling: what stays as it was, and what changes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

pytestmark = pytest.mark.comfyui

CAT, DOG = "a photo of a cat", "a photo of a dog"
PAIRS = [
    ("euler", "normal"),
    ("euler", "simple"),
    ("euler_ancestral", "karras"),
    ("heun", "exponential"),
    ("dpm_2", "normal"),
    ("dpmpp_2m", "karras"),
    ("dpmpp_sde", "karras"),
    ("dpmpp_2m_sde", "sgm_uniform"),
    ("dpmpp_3m_sde", "beta"),
    ("lms", "ddim_uniform"),
    ("ddim", "ddim_uniform"),
    ("uni_pc", "simple"),
    ("lcm", "sgm_uniform"),
    ("euler_cfg_pp", "linear_quadratic"),
]


@pytest.fixture(scope="session")
def erased(pack, demo, cat):
    """The demo model under the eraser of cats: erased(strength, mode), or under another adapter."""
    guide, core = pack("nodes.guide"), pack("lora_unlearn")

    def make(strength=1.0, mode="auto", adapter=cat, model=demo.model, both_rows=False):
        erasers = [core.Eraser(adapter, strength, mode, both_rows)]
        with torch.inference_mode():
            return guide.apply_erasers(model, erasers, guide.encoded_for(model, demo.clip, erasers))

    return make


def decisions(pack, model, picture):
    """Whether the gates opened for a picture in a model's latest run."""
    found = model.get_attachment(pack("nodes.guide").KEY).last.decisions(picture)
    return [decision.open for condition in found for decision in condition]


@pytest.mark.parametrize(("sampler", "scheduler"), PAIRS, ids=["-".join(pair) for pair in PAIRS])
def test_closed_gates_leave_every_sampler_byte_identical(sampler, scheduler, demo, erased, sample):
    settings = {"sampler": sampler, "scheduler": scheduler, "steps": 4}
    assert torch.equal(sample(erased(), DOG, **settings), sample(demo.model, DOG, **settings))


@pytest.mark.parametrize("strength", [1.0, 2.0])
@pytest.mark.parametrize("cfg", [1.0, 5.0])
def test_pictures_of_one_batch_are_decided_one_by_one(pack, demo, erased, sample, strength, cfg):
    model = erased(strength)
    before, after = sample(demo.model, CAT, DOG, CAT, cfg=cfg), sample(model, CAT, DOG, CAT, cfg=cfg)
    assert [decisions(pack, model, picture) for picture in range(3)] == [[True], [False], [True]]
    assert torch.equal(before[1], after[1])
    assert (before - after).flatten(1).abs().amax(1)[[0, 2]].min() > 0.1


def test_a_concept_in_the_negative_prompt_opens_nothing(demo, erased, sample):
    assert torch.equal(sample(erased(), DOG, negative=CAT), sample(demo.model, DOG, negative=CAT))


def test_the_ungated_eraser_is_the_exported_file_in_the_stock_loader(host, demo, cat, erased, sample):
    import folder_paths

    name = "ungated.safetensors"
    cat.save(f"{folder_paths.get_folder_paths('loras')[0]}/{name}")
    assert name in folder_paths.get_filename_list("loras")
    with torch.inference_mode():
        stock = host.LoraLoader().load_lora(demo.model, demo.clip, name, 1.0, 0.0)[0]
    for cfg, both_rows in ((1.0, False), (5.0, True)):  # a loader's LoRA works on negative prompts as well
        ours, theirs = sample(erased(1.0, "on", both_rows=both_rows), CAT, cfg=cfg), sample(stock, CAT, cfg=cfg)
        assert (theirs - sample(demo.model, CAT, cfg=cfg)).abs().max() > 0.1
        assert (ours - theirs).abs().max() / theirs.abs().max() < 1e-4  # theirs is added to the weights, which rounds


def test_strength_extrapolates_from_the_base(demo, erased, sample):
    one = {"steps": 1, "cfg": 1.0}
    base = sample(demo.model, CAT, **one)
    single, double = sample(erased(1.0), CAT, **one) - base, sample(erased(2.0), CAT, **one) - base
    assert single.abs().max() > 0.01
    assert (double - 2 * single).abs().max() < 1e-4


def test_a_stock_lora_before_or_after_keeps_its_place(host, demo, cat, erased, sample):
    import folder_paths

    replace(cat).save(f"{folder_paths.get_folder_paths('loras')[0]}/style.safetensors")

    def lora(model):
        with torch.inference_mode():
            return host.LoraLoader().load_lora(model, demo.clip, "style.safetensors", 0.7, 0.0)[0]

    alone = sample(lora(demo.model), DOG)
    assert (alone - sample(demo.model, DOG)).abs().max() > 1e-3
    assert torch.equal(sample(erased(model=lora(demo.model)), DOG), alone)
    assert torch.equal(sample(lora(erased()), DOG), alone)
    before, after = sample(erased(model=lora(demo.model)), CAT), sample(lora(erased()), CAT)
    assert torch.equal(before, after)


def test_nothing_is_left_on_the_network_when_another_model_takes_over(demo, erased, sample):
    base = sample(demo.model, CAT)
    state = {name: value.clone() for name, value in demo.model.model.state_dict().items()}
    sample(erased(), CAT)
    assert torch.equal(sample(demo.model, CAT), base)
    assert not [name for name, module in demo.model.model.named_modules() if "forward" in module.__dict__]
    assert all(torch.equal(state[name], value) for name, value in demo.model.model.state_dict().items())


def test_two_erasers_have_a_gate_each(pack, demo, cat, erased, sample):
    training, core = pack("nodes.training"), pack("lora_unlearn")
    order = training.Order(core.Concept("dog"), "instant", pack("lora_unlearn.erase").MODES["instant"])
    with torch.inference_mode():
        dog = training.train_eraser(demo.model, demo.clip, order)
    both = erased(adapter=dog, model=erased())
    after, car = sample(both, CAT, DOG, "a photo of a car"), "a photo of a car"
    assert [decisions(pack, both, i) for i in range(3)] == [[True, False], [False, True], [False, False]]
    assert torch.equal(after[2], sample(demo.model, CAT, DOG, car)[2])
    same = sample(erased(), CAT, DOG, car)
    assert (after[0] - same[0]).abs().max() < 1e-3


def test_a_gate_that_probes_decides_in_the_first_step(pack, demo, cat, erased, sample):
    gate = replace(cat.gate, statistic="both", threshold=0.5, step=0.0, text_closed=-torch.inf, text_open=torch.inf)
    model = erased(adapter=replace(cat, gate=gate))
    before, after = sample(demo.model, CAT, DOG), sample(model, CAT, DOG)
    assert [decisions(pack, model, picture) for picture in range(2)] == [[True], [False]]
    assert torch.equal(before[1], after[1]) and (before[0] - after[0]).abs().max() > 0.1


def test_regions_are_decided_by_their_own_prompts(host, pack, demo, erased):
    def latents(model, *texts, cfg=1.0):
        with torch.inference_mode():
            positive = []
            for index, text in enumerate(texts):
                cond = host.CLIPTextEncode().encode(demo.clip, text)[0]
                positive += host.ConditioningSetArea().append(cond, 64, 128, 64 * index, 0, 1.0)[0]
            negative = host.CLIPTextEncode().encode(demo.clip, "")[0]
            latent = {"samples": torch.zeros(2, 4, 16, 16)}
            return host.KSampler().sample(model, 3, 4, cfg, "euler", "normal", positive, negative, latent)[0]["samples"]

    model = erased()
    for cfg in (1.0, 5.0):
        assert torch.equal(latents(model, DOG, "a car", cfg=cfg), latents(demo.model, DOG, "a car", cfg=cfg))
    before, after = latents(demo.model, CAT, DOG), latents(model, CAT, DOG)
    assert sorted(decisions(pack, model, 0)) == [False, True]
    assert torch.equal(before[..., 8:], after[..., 8:]) and (before - after).abs().max() > 0.1


def test_an_eraser_of_another_family_is_refused(pack, cat, erased):
    with pytest.raises(pack("lora_unlearn").UnlearnError, match="was made for sdxl, the loaded model is demo"):
        erased(adapter=replace(cat, family="sdxl"))


def test_a_model_that_is_spread_over_several_devices_is_refused(pack, demo, erased, sample):
    model = erased()
    model.set_additional_models("multigpu", [demo.model.clone()])
    with pytest.raises(pack("lora_unlearn").UnlearnError, match="one GPU at a time"):
        sample(model, CAT)


def test_a_used_model_is_freed_without_the_garbage_collector(demo, erased, sample):
    import gc
    import weakref

    model = erased()
    sample(model, CAT)
    sample(demo.model, DOG)
    seen = weakref.ref(model)
    gc.disable()
    try:
        del model
        assert seen() is None
    finally:
        gc.enable()
