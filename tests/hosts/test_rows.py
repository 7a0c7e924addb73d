"""Whose rows are whose: prompts that change on the way, other guidances, other pipelines on the same network."""

from __future__ import annotations

import threading
from functools import partial

import pytest
import torch

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

import tiny
from diffusers import (
    PNDMScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionPAGPipeline,
    StableDiffusionPanoramaPipeline,
    StableDiffusionSAGPipeline,
)
from host_parts import OPEN_TO_ALL, draw, gate_of, random_adapter

from lora_unlearn import Eraser, Sampling, UnlearnError, denoiser_for, erasing, generate


def for_cats(pipe, size=1.0, strength=1.0):
    """An eraser that opens for "a cat" and stays closed for "a dog"."""
    denoiser = denoiser_for(pipe)
    return Eraser(random_adapter(denoiser, gate=gate_of(denoiser), size=size), strength)


def swapping(denoiser, prompt, in_place=False):
    """Options of a call in which another prompt comes in after the first step."""
    text = denoiser.encode([prompt]).tensors["text"]

    def swap(pipe, step, time, values):
        known = values["prompt_embeds"]
        new = torch.cat([known[:-1], text]) if step == 0 else known
        if in_place:
            new = known.copy_(new)
        return {"prompt_embeds": new}

    return {"callback_on_step_end": swap, "callback_on_step_end_tensor_inputs": ["prompt_embeds"]}


@pytest.mark.parametrize("in_place", [False, True], ids=["another tensor", "in place"])
@pytest.mark.parametrize("name", ["sd1", "sd1 with pndm", "sd3", "flux"])
def test_a_prompt_that_comes_in_on_the_way_is_decided_on(name, in_place):
    pipe = tiny.new_pipeline(name.split()[0])
    if "pndm" in name:  # its second evaluation is for the same moment as its first
        pipe.scheduler = PNDMScheduler.from_config(pipe.scheduler.config, skip_prk_steps=True)
    denoiser, eraser = denoiser_for(pipe), for_cats(pipe)
    towards, away = (partial(swapping, denoiser, prompt, in_place) for prompt in ("a cat", "a dog"))
    plain = draw(pipe, ["a dog"], **towards())
    with erasing(pipe, [eraser]) as run:
        found = draw(pipe, ["a dog"], **towards())
        assert run.guidance.decisions(0)[0].open and not torch.equal(found, plain)
        draw(pipe, ["a cat"], **away())
        assert not run.guidance.decisions(0)[0].open
        assert torch.equal(draw(pipe, ["a dog"], **away()), draw(pipe, ["a dog"]))


def test_guidance_may_end_on_the_way():
    def end(pipe, step, time, values):
        if step == 0:
            pipe._guidance_scale = 0.0
            return {"prompt_embeds": values["prompt_embeds"].chunk(2)[-1]}
        return {}

    def forget_half(pipe, step, time, values):
        pipe._guidance_scale = 0.0
        return {}

    pipe = tiny.new_pipeline("sd1")
    options = {"callback_on_step_end": end, "callback_on_step_end_tensor_inputs": ["prompt_embeds"]}
    plain = draw(pipe, **options)
    with erasing(pipe, [for_cats(pipe)]):
        found = draw(pipe, **options)
        assert not torch.equal(found[0], plain[0]) and torch.equal(found[1], plain[1])
        with pytest.raises(UnlearnError, match="2 states with 4 prompts"):
            draw(pipe, callback_on_step_end=forget_half)


@pytest.mark.parametrize("scale", [-3.0, 0.0, 0.5, 1.0, 1.5])
def test_a_concept_in_the_negative_prompt_does_nothing_at_any_scale(scale):
    pipe = tiny.new_pipeline("sd1")
    options = {"guidance_scale": scale, "negative_prompt": ["a cat"]}
    plain, cats = draw(pipe, ["a dog"], **options), draw(pipe, ["a cat"], **options)
    with erasing(pipe, [for_cats(pipe)]) as run:
        assert torch.equal(draw(pipe, ["a dog"], **options), plain)
        assert len(run.guidance.workers[0].decisions) == 1
        assert not torch.equal(draw(pipe, ["a cat"], **options), cats)


def variant(kind, **options):
    """Another kind of pipeline around tiny parts, and how to draw with it."""
    parts = tiny.new_pipeline("sd1").components
    pipe = kind(**parts, requires_safety_checker=False, **options)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.mark.parametrize("scale", [1.0, 3.5], ids=["without guidance", "with guidance"])
def test_perturbed_attention_guidance_has_a_third_group_of_rows(scale):
    pipe = variant(StableDiffusionPAGPipeline, pag_applied_layers=["mid"])
    options = {"guidance_scale": scale, "pag_scale": 2.0, "negative_prompt": ["a cat", "a cat"]}
    plain = draw(pipe, **options)
    with erasing(pipe, [for_cats(pipe)]) as run:
        found = draw(pipe, **options)
        assert [run.guidance.decisions(picture)[0].open for picture in range(4)] == [True, False] * 2
    assert not torch.equal(found[0], plain[0]) and torch.equal(found[1], plain[1])
    unperturbed = draw(pipe, pag_scale=0.0)
    with erasing(pipe, [for_cats(pipe, strength=2.0)]):
        usual = draw(pipe, pag_scale=0.0)
        with pytest.raises(UnlearnError, match="Beside perturbed-attention guidance"):
            draw(pipe, **options)
    assert not torch.equal(usual[0], unperturbed[0])


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (StableDiffusionSAGPipeline, {"sag_scale": 0.75}),
        (StableDiffusionSAGPipeline, {"sag_scale": 0.75, "guidance_scale": 1.0}),
        (StableDiffusionPanoramaPipeline, {"view_batch_size": 1}),
        (StableDiffusionPanoramaPipeline, {"view_batch_size": 2}),
    ],
    ids=["self-attention guidance", "self-attention guidance alone", "panorama", "panorama, two views at once"],
)
def test_pipelines_with_rows_of_their_own_are_erased(kind, options):
    pipe = variant(kind)
    dog, cat = draw(pipe, ["a dog"], **options), draw(pipe, ["a cat"], **options)
    with erasing(pipe, [for_cats(pipe)]):
        assert torch.equal(draw(pipe, ["a dog"], **options), dog)
        assert not torch.equal(draw(pipe, ["a cat"], **options), cat)


def repaint(pipe, scale=3.5):
    image = torch.linspace(0, 1, 3 * 32 * 32).view(1, 3, 32, 32)
    generators = [torch.Generator().manual_seed(seed) for seed in range(2)]
    return pipe(
        ["a cat", "a dog"], image=image, strength=1.0, num_inference_steps=3, guidance_scale=scale,
        generator=generators, negative_prompt=["a cat", "a cat"], output_type="pt",
    ).images  # fmt: skip


@pytest.mark.parametrize("first", [None, 3.5, 1.0], ids=["never called", "guided", "without guidance"])
@pytest.mark.parametrize("scale", [1.0, 3.5], ids=["without guidance", "with guidance"])
def test_another_pipeline_on_the_same_network_is_erased_by_its_own_rows(scale, first):
    pipe = tiny.new_pipeline("sd1")
    other = StableDiffusionImg2ImgPipeline(**pipe.components, requires_safety_checker=False)
    other.set_progress_bar_config(disable=True)
    plain, eraser = repaint(other, scale), for_cats(pipe)
    with erasing(pipe, [eraser]):
        if first is not None:
            draw(pipe, guidance_scale=first)
        found = repaint(other, scale)
    assert not torch.equal(found[0], plain[0])
    if (first == 3.5) == (scale == 3.5):  # else the rows of negative prompts cannot be told, and count as positive
        assert torch.equal(found[1], plain[1])
    assert torch.equal(repaint(other, scale), plain)


def test_a_second_block_on_a_network_is_refused():
    pipe = tiny.new_pipeline("sd1")
    other = StableDiffusionImg2ImgPipeline(**pipe.components, requires_safety_checker=False)
    eraser, plain = for_cats(pipe), draw(pipe)
    with erasing(pipe, [eraser]):
        erased = draw(pipe)
        for again in (pipe, other):
            with pytest.raises(UnlearnError, match="already runs under erasers"), erasing(again, [eraser]):
                pass
        assert torch.equal(draw(pipe), erased)
    assert torch.equal(draw(pipe), plain)
    with erasing(other, [eraser]):
        pass


def test_one_eraser_may_work_on_two_networks_at_the_same_time():
    pipes = [tiny.new_pipeline("sd1") for _ in range(2)]
    eraser, prompts, found = for_cats(pipes[0]), (["a cat", "a dog"], ["a dog", "a cat"]), {}
    with erasing(pipes[0], [eraser]):
        expected = [draw(pipes[0], own) for own in prompts]

    def work(index):
        with erasing(pipes[index], [eraser]):
            found[index] = [draw(pipes[index], prompts[index]) for _ in range(5)]

    threads = [threading.Thread(target=work, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(picture, expected[index]) for index in range(2) for picture in found[index])


def test_the_same_eraser_twice_erases_twice():
    pipe = tiny.new_pipeline("sd1")
    adapter = random_adapter(denoiser_for(pipe), gate=OPEN_TO_ALL)
    with erasing(pipe, [Eraser(adapter, 0.5), Eraser(adapter, 0.5)]):
        twice = draw(pipe)
    with erasing(pipe, [Eraser(adapter)]):
        torch.testing.assert_close(draw(pipe), twice, atol=1e-4, rtol=1e-4)


def test_generate_leaves_the_pipeline_as_it_was():
    pipe = tiny.new_pipeline("sd1")
    scheduler, progress = pipe.scheduler, {"desc": "mine", "disable": True}
    pipe.set_progress_bar_config(**progress)
    generate(pipe, ["a dog"], [0], Sampling(steps=2, sampler="euler_a"))
    assert pipe.scheduler is scheduler and pipe._progress_bar_config == progress


def test_too_few_steps_for_pndm_are_refused_and_leave_the_pipeline_as_it_was():
    pipe = tiny.new_pipeline("sd1")
    scheduler = pipe.scheduler
    with pytest.raises(UnlearnError, match="pndm needs at least 4 steps with this model, got 2"):
        generate(pipe, ["a dog"], [0], Sampling(steps=2, sampler="pndm"))
    assert pipe.scheduler is scheduler
    assert len(generate(pipe, ["a dog"], [0], Sampling(steps=4, sampler="pndm"))) == 1
