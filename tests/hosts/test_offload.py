"""Erasers in pipelines whose weights come and go: every mode of offloading that diffusers has, on the CPU."""

from __future__ import annotations

import pytest
import torch
from torch import nn

pytest.importorskip("diffusers")
pytest.importorskip("transformers")
pytest.importorskip("accelerate")

import accelerate
import tiny
from host_parts import draw, random_adapter

from lora_unlearn import Concept, Eraser, Sampling, Settings, UnlearnError, denoiser_for, erasing, generate
from lora_unlearn.denoiser import base_hash
from lora_unlearn.gate import Gate
from lora_unlearn.training.prompts import encode
from lora_unlearn.training.train import train

CPU = torch.device("cpu")
LOOK = Gate("look", -1.0, look=-1.0, look_shape=(4, 16, 16))


def grouped(kind):
    def switch_on(pipe):
        pipe.unet.enable_group_offload(onload_device=CPU, offload_device=CPU, offload_type=kind, num_blocks_per_group=1)

    return switch_on


def sequential(pipe):
    """What `enable_sequential_cpu_offload` does; its own name for the device, cpu:0, is none that parameters keep."""
    for part in pipe.components.values():
        if isinstance(part, nn.Module):
            accelerate.cpu_offload(part, CPU, offload_buffers=len(part._parameters) > 0)


MODES = {
    "model": lambda pipe: pipe.enable_model_cpu_offload(device="cpu"),
    "sequential": sequential,
    "group, by block": grouped("block_level"),
    "group, by layer": grouped("leaf_level"),
    "layerwise casting": lambda pipe: pipe.unet.enable_layerwise_casting(torch.bfloat16, torch.float32),
}
EXACT = [name for name in MODES if name != "layerwise casting"]


@pytest.fixture(scope="module")
def plainly():
    """A pipeline without offloading, an adapter, and its pictures: as they are, and erased."""
    pipe = tiny.new_pipeline("sd1")
    adapter = random_adapter(denoiser_for(pipe))
    plain = draw(pipe)
    with erasing(pipe, [Eraser(adapter)]):
        return pipe, adapter, plain, draw(pipe)


@pytest.mark.parametrize("mode", MODES)
def test_every_call_of_a_block_is_erased_and_none_that_is_closed(mode, plainly):
    _, adapter, _, erased = plainly
    pipe = tiny.new_pipeline("sd1")
    MODES[mode](pipe)
    plain = draw(pipe)
    assert mode not in EXACT or torch.equal(plain, plainly[2])
    with erasing(pipe, [Eraser(adapter)]) as run:
        for _ in range(3):
            run.guidance = None
            found = draw(pipe)
            assert run.guidance is not None and not torch.equal(found, plain)
            assert mode not in EXACT or torch.equal(found, erased)
    with erasing(pipe, [Eraser(adapter, mode="off")]):
        assert torch.equal(draw(pipe), plain) and torch.equal(draw(pipe), plain)
    assert torch.equal(draw(pipe), plain)
    assert all(parameter.device.type == "cpu" and parameter.isfinite().all() for parameter in adapter.lora.parameters())


@pytest.mark.parametrize("mode", EXACT)
def test_offloaded_weights_are_known_by_the_same_name(mode, plainly):
    pipe = tiny.new_pipeline("sd1")
    MODES[mode](pipe)
    assert base_hash(denoiser_for(pipe)) == base_hash(denoiser_for(plainly[0]))


@pytest.mark.parametrize("mode", ["model", "sequential"])
def test_gates_that_ask_the_network_may(mode, plainly):
    adapter = random_adapter(denoiser_for(plainly[0]), gate=LOOK)
    pipe = tiny.new_pipeline("sd1")
    MODES[mode](pipe)
    with erasing(pipe, [Eraser(adapter)]) as run:
        first, second = draw(pipe), draw(pipe)
    assert torch.equal(first, plainly[3]) and torch.equal(second, first)
    assert run.guidance.decisions(0)[0].by == "look"


@pytest.mark.parametrize("mode", ["model", "sequential", "group, by layer"])
def test_a_training_on_an_offloaded_model_is_the_same(mode, plainly):
    pipe = tiny.new_pipeline("sd1")
    MODES[mode](pipe)
    settings = Settings(down="edit", rank=2, iterations=1, batch=2, trajectories=2, trajectory_steps=2, enough=99.0)
    loras = []
    for denoiser in (denoiser_for(plainly[0]), denoiser_for(pipe)):
        loras.append(train(denoiser, encode(denoiser, Concept("cat"), ["a dog"]), settings).lora)
    for one, other in zip(*(lora.layers for lora in loras), strict=True):
        torch.testing.assert_close(one.up, other.up)


def test_pictures_in_batches_are_all_erased(plainly):
    pipe, sampling = tiny.new_pipeline("sd1"), Sampling(steps=2, size=tiny.SIZE, batch=1)
    pipe.enable_model_cpu_offload(device="cpu")
    eraser = Eraser(plainly[1])
    expected = generate(plainly[0], ["a cat"] * 3, [0, 1, 2], sampling, [eraser])
    found = generate(pipe, ["a cat"] * 3, [0, 1, 2], sampling, [eraser])
    assert [p.image.tobytes() for p in found] == [p.image.tobytes() for p in expected]
    assert all(len(picture.decisions) == 1 and picture.decisions[0].open for picture in found)


def test_offloading_may_be_switched_on_within_the_block(plainly):
    pipe = tiny.new_pipeline("sd1")
    with erasing(pipe, [Eraser(plainly[1])]):
        pipe.enable_model_cpu_offload(device="cpu")
        assert torch.equal(draw(pipe), plainly[3]) and torch.equal(draw(pipe), plainly[3])
    assert torch.equal(draw(pipe), plainly[2])


def test_a_cache_of_the_network_goes_with_a_gate_that_decides_first():
    hooks = pytest.importorskip("diffusers.hooks")
    pipe = tiny.new_pipeline("flux")
    adapter = random_adapter(denoiser_for(pipe), size=2.0)
    with erasing(pipe, [Eraser(adapter)]):
        erased = draw(pipe)
    pipe.transformer.enable_cache(hooks.FirstBlockCacheConfig(threshold=1e-9))
    plain = draw(pipe)
    with erasing(pipe, [Eraser(adapter)]):
        assert torch.equal(draw(pipe), erased)
    with erasing(pipe, [Eraser(adapter, mode="off")]):
        assert torch.equal(draw(pipe), plain)
    with erasing(pipe, [Eraser(adapter, 2.0)]), pytest.raises(UnlearnError, match="Beside a cache of its network"):
        draw(pipe)
    looking = random_adapter(denoiser_for(pipe), gate=LOOK)
    with erasing(pipe, [Eraser(looking)]), pytest.raises(UnlearnError, match="has a cache on"):
        draw(pipe)
