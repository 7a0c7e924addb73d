"""What a judge sees on pictures of the demo model: the cat stays away, whatever is done to the pipeline."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

from lora_unlearn import Concept, Eraser, denoiser_for, erase, erasing, load_bank
from lora_unlearn.demo.checkpoint import load_demo
from lora_unlearn.evaluate import DemoJudge

JUDGE = DemoJudge()
COUNT = 3


@pytest.fixture(scope="module")
def cat():
    return erase(denoiser_for(load_demo()), Concept("cat"), load_bank("demo"), "instant")


@pytest.fixture
def pipe():
    pipe = load_demo()
    pipe.set_progress_bar_config(disable=True)
    return pipe


def cats(pipe, prompt="a cat", **options):
    """On how many pictures the judge sees a cat."""
    generators = [torch.Generator().manual_seed(seed) for seed in range(COUNT)]
    images = pipe([prompt] * COUNT, num_inference_steps=10, guidance_scale=5.0, generator=generators, **options).images
    best = JUDGE.verdict(images).probabilities.argmax(dim=1)
    return [JUDGE.labels[index] for index in best.tolist()].count("cat")


def own_lora(pipe):
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=2, target_modules=["to_q", "to_k", "to_v", "to_out.0"])
    pipe.unet.add_adapter(config, adapter_name="style")


def offloaded(pipe):
    pytest.importorskip("accelerate")
    pipe.enable_model_cpu_offload(device="cpu")


def fused(pipe):
    pipe.unet.fuse_qkv_projections()


@pytest.mark.parametrize("done", [own_lora, offloaded, fused])
def test_cats_are_gone_from_every_call_of_a_block_and_back_after_it(done, pipe, cat):
    done(pipe)
    with erasing(pipe, [Eraser(cat)]):
        assert [cats(pipe), cats(pipe)] == [0, 0]
    assert cats(pipe) == COUNT


def test_a_cat_that_is_asked_for_after_the_first_step_does_not_appear(pipe, cat):
    text = denoiser_for(pipe).encode(["a cat"]).tensors["text"]

    def swap(pipe, step, time, values):
        known = values["prompt_embeds"]
        return {"prompt_embeds": torch.cat([known[:COUNT], text.expand(COUNT, -1, -1)]) if step == 0 else known}

    options = {"callback_on_step_end": swap, "callback_on_step_end_tensor_inputs": ["prompt_embeds"]}
    assert cats(pipe, "a house", **options) == COUNT
    with erasing(pipe, [Eraser(cat)]):
        assert cats(pipe, "a house", **options) == 0
