"""Erasers that outlive a block: whoever calls the pipeline gets erased pictures, until they are detached."""

from __future__ import annotations

import copy
import gc
import weakref
from dataclasses import replace

import pytest
import torch

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

import tiny
from diffusers import AutoPipelineForImage2Image, DDIMScheduler
from host_parts import draw, fingerprint, gate_of, random_adapter, same_modules

from lora_unlearn import Concept, Eraser, Sampling, UnlearnError, attach, denoiser_for, erase, erasing, generate
from lora_unlearn.bank import load_bank
from lora_unlearn.demo.checkpoint import load_demo
from lora_unlearn.evaluate import DemoJudge
from lora_unlearn.hosts.sampling import BUSY

JUDGE = DemoJudge()


def for_cats(pipe, **options):
    """An eraser that opens for "a cat" and stays closed for "a dog"."""
    denoiser = denoiser_for(pipe)
    return Eraser(random_adapter(denoiser, gate=gate_of(denoiser), size=1.0), **options)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Files of erasers for the demo model."""
    folder, denoiser = tmp_path_factory.mktemp("erasers"), denoiser_for(load_demo())
    return {
        name: erase(denoiser, Concept(name), load_bank("demo"), "instant").save(folder / f"{name}.safetensors")
        for name in ("cat", "ship")
    }


def demo():
    pipe = load_demo()
    pipe.set_progress_bar_config(disable=True)
    return pipe


def seen(pipe, prompt, **options):
    """What the judge sees on the pictures of somebody else's call."""
    count = options.pop("pictures", 1)
    generator = [torch.Generator().manual_seed(seed) for seed in range(count)] if count > 1 else torch.manual_seed(0)
    images = pipe(prompt=prompt, num_inference_steps=10, guidance_scale=5.0, generator=generator, **options).images
    return [JUDGE.labels[best] for best in JUDGE.verdict(images).probabilities.argmax(dim=1).tolist()]


@pytest.mark.parametrize("name", ["sd1", "sdxl", "sd3", "flux"])
def test_calls_run_as_within_a_block_until_the_erasers_are_detached_to_the_byte(name):
    pipe = tiny.new_pipeline(name)
    network, eraser, plain = denoiser_for(pipe).network, for_cats(pipe), draw(pipe)
    with erasing(pipe, [eraser]):
        within = draw(pipe)
    weights, modules = copy.deepcopy(network.state_dict()), fingerprint(network)
    parts = {key: value for key, value in vars(pipe).items() if not key.startswith("_")}
    handle = attach(pipe, eraser)
    for _ in range(2):
        found = draw(pipe)
        assert torch.equal(found, within) and not torch.equal(found[0], plain[0]) and torch.equal(found[1], plain[1])
    assert [[decision.open for decision in row] for row in handle.decisions] == [[True], [False]]
    handle.detach()
    after = network.state_dict()
    assert after.keys() == weights.keys() and all(torch.equal(after[key], weights[key]) for key in weights)
    assert same_modules(modules, network) and all(getattr(pipe, key) is value for key, value in parts.items())
    assert torch.equal(draw(pipe), plain)


def test_the_erasers_stay_where_nobody_keeps_the_handle():
    pipe = tiny.new_pipeline("sd1")
    plain = draw(pipe)
    attach(pipe, for_cats(pipe))
    gc.collect()
    assert not torch.equal(draw(pipe), plain)


def test_a_pipeline_that_goes_takes_its_erasers_along():
    pipe = tiny.new_pipeline("sd1")
    attach(pipe, for_cats(pipe))
    network = weakref.ref(pipe.unet)
    assert network() in BUSY
    del pipe
    gc.collect()
    assert network() is None


@pytest.mark.thorough
def test_files_erase_in_calls_that_know_nothing_of_them(files):
    pipe = demo()
    handle = attach(pipe, files["cat"], str(files["ship"]))
    assert "cat" not in seen(pipe, "a cat") and "ship" not in seen(pipe, ["a photo of a ship"])
    assert seen(pipe, ["a cat", "a dog", "a ship"], pictures=3)[1] == "dog"
    assert [[d.open for d in row] for row in handle.decisions] == [[True, False], [False, False], [False, True]]
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    assert "cat" not in seen(pipe, "a cat", num_images_per_prompt=2)
    assert [[d.open for d in row] for row in handle.decisions] == [[True, False]] * 2
    assert seen(pipe, "a dog", negative_prompt="a cat") == ["dog"]
    handle.detach()
    assert seen(pipe, "a cat") == ["cat"] and seen(pipe, "a photo of a ship") == ["ship"]


@pytest.mark.thorough
def test_a_pipeline_may_be_moved_and_cast_after_it(files):
    pipe = demo()
    attach(pipe, files["cat"])
    assert "cat" not in seen(pipe, "a cat")
    pipe.to(torch.bfloat16)
    assert "cat" not in seen(pipe, "a cat") and seen(pipe, "a dog") == ["dog"]


def test_a_gate_that_asks_the_network_asks_the_one_that_was_cast():
    pipe = tiny.new_pipeline("sd1")
    eraser = for_cats(pipe)
    every = {"text_closed": float("-inf"), "text_open": float("inf")}
    gate = replace(eraser.adapter.gate, statistic="kappa", direction="", **every)
    handle = attach(pipe, Eraser(replace(eraser.adapter, gate=gate)))
    draw(pipe)
    pipe.to(torch.bfloat16)
    draw(pipe)
    assert all(decision.by == "probe" for row in handle.decisions for decision in row)


@pytest.mark.thorough
def test_img2img_runs_under_them_by_itself_and_through_the_same_network(files):
    text = demo()
    cat = text("a house", num_inference_steps=10, generator=torch.manual_seed(0)).images[0]
    options = {"image": cat, "strength": 0.9}
    pipe = AutoPipelineForImage2Image.from_pipe(text)
    pipe.set_progress_bar_config(disable=True)
    assert seen(pipe, "a cat", **options) == ["cat"]
    for attached in (text, pipe):
        handle = attach(attached, files["cat"])
        assert "cat" not in seen(pipe, "a cat", **options)
        handle.detach()
    assert seen(pipe, "a cat", **options) == ["cat"]


def test_strength_and_mode_are_the_erasers_own():
    pipe = tiny.new_pipeline("sd1")
    plain = draw(pipe)
    cases = ({"mode": "off"}, False), ({"strength": 0.0}, False), ({"mode": "on", "strength": 2.0}, True)
    for options, changed in cases:
        handle = attach(pipe, for_cats(pipe, **options))
        assert torch.equal(draw(pipe)[1], plain[1]) is not changed
        handle.detach()


def test_what_cannot_be_attached_is_said_in_one_sentence(tmp_path):
    pipe, other = tiny.new_pipeline("sd1"), tiny.new_pipeline("sd3")
    plain, eraser = draw(pipe), for_cats(pipe)
    with pytest.raises(UnlearnError, match="No eraser was given"):
        attach(pipe)
    with pytest.raises(UnlearnError, match="A dict cannot be used"):
        attach({}, eraser)
    with pytest.raises(UnlearnError, match="was made for"):
        attach(pipe, eraser, for_cats(other))
    with pytest.raises(UnlearnError, match="gone"):
        attach(pipe, eraser, tmp_path / "gone.safetensors")
    assert torch.equal(draw(pipe), plain)
    handle = attach(pipe, eraser)
    erased = draw(pipe)
    with pytest.raises(UnlearnError, match="already runs under erasers; leave that block or detach them first"):
        attach(pipe, eraser)
    with pytest.raises(UnlearnError, match="already runs under erasers"):
        generate(pipe, ["a cat"], [0], Sampling(steps=1), [eraser])
    assert torch.equal(draw(pipe), erased)
    handle.detach()
    with pytest.raises(UnlearnError, match="off the pipeline already"):
        handle.detach()
    attach(pipe, eraser)
    with pytest.raises(UnlearnError, match="off the pipeline already"):
        handle.detach()  # not those of somebody else
    assert torch.equal(draw(pipe), erased)
