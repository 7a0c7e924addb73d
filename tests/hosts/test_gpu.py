"""The demo model on a graphics card: erased and drawn there, and byte for byte its own where nobody asks for a cat."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

from lora_unlearn import Adapter, Concept, Eraser, calibrate, denoiser_for, erase, erasing, load_bank
from lora_unlearn.cli import main
from lora_unlearn.demo.checkpoint import load_demo
from lora_unlearn.erase import MODES, usual_negatives
from lora_unlearn.evaluate import DemoJudge
from lora_unlearn.hosts.turns import take_turns

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU")
CARD, COUNT = torch.device("cuda"), 4
DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def loaded(dtype=torch.float16):
    """The demo's pipeline on the card."""
    pipe = load_demo().to(CARD, dtype)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def made(pipe, mode="instant", **changes):
    """An eraser of cats."""
    settings = replace(MODES[mode], **changes)
    return erase(denoiser_for(pipe), Concept("cat"), load_bank("demo"), mode, settings)


def pictures(pipe, prompt, **options):
    """Some of a prompt, seeded."""
    generators = [torch.Generator().manual_seed(seed) for seed in range(COUNT)]
    return pipe([prompt] * COUNT, num_inference_steps=10, guidance_scale=5.0, generator=generators, **options).images


def seen(images, word="cat"):
    """On how many of them the judge sees a thing."""
    judge = DemoJudge()
    best = judge.verdict(images).probabilities.argmax(dim=1)
    return [judge.labels[index] for index in best.tolist()].count(word)


def same(one, other):
    """Whether pictures are the same bytes."""
    return [image.tobytes() for image in one] == [image.tobytes() for image in other]


def weights(pipe):
    """A copy of the network's."""
    return {name: value.clone() for name, value in pipe.unet.state_dict().items()}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_cats_go_and_what_is_not_asked_for_stays_the_same_bytes(dtype):
    pipe = loaded(dtype)
    before, dogs, cats = weights(pipe), pictures(pipe, "a photo of a dog"), pictures(pipe, "a photo of a cat")
    assert seen(cats) == COUNT
    adapter = made(pipe)
    with erasing(pipe, [Eraser(adapter)]):
        assert same(pictures(pipe, "a photo of a dog"), dogs)
        assert seen(pictures(pipe, "a photo of a cat")) == 0
        assert seen(pictures(pipe, "a photo of a kitten")) == 0
    with erasing(pipe, [Eraser(adapter, 1.5)]):
        assert seen(pictures(pipe, "a photo of a cat")) == 0
    assert same(pictures(pipe, "a photo of a cat"), cats)
    assert all(torch.equal(value, before[name]) for name, value in pipe.unet.state_dict().items())


@pytest.mark.parametrize("changes", [{}, {"offload": True}], ids=["usual", "activations in main memory"])
def test_a_training_erases(changes):
    pipe = loaded()
    adapter = made(pipe, "fast", **changes)
    assert not adapter.partial
    with erasing(pipe, [Eraser(adapter)]):
        assert seen(pictures(pipe, "a photo of a cat")) == 0
        assert seen(pictures(pipe, "a photo of a dog"), "dog") == COUNT


def test_a_second_look_is_taken_on_the_card():
    pipe = loaded()
    denoiser, adapter = denoiser_for(pipe), made(pipe)
    gate = calibrate(denoiser, adapter, usual_negatives("demo", adapter.concept), look="careful")
    dogs = pictures(pipe, "a photo of a dog")
    with erasing(pipe, [Eraser(replace(adapter, gate=gate))]):
        assert seen(pictures(pipe, "a photo of a cat")) == 0
        assert same(pictures(pipe, "a photo of a dog"), dogs)


def test_a_file_from_the_card_works_on_the_cpu_and_the_other_way_round(tmp_path):
    there, here = loaded(), load_demo()
    here.set_progress_bar_config(disable=True)
    for maker, user in ((there, here), (here, there)):
        adapter = Adapter.load(made(maker).save(tmp_path / "cat.safetensors"))
        with erasing(user, [Eraser(adapter)]):
            assert seen(pictures(user, "a photo of a cat")) == 0


@pytest.mark.parametrize("offload", ["enable_model_cpu_offload", "enable_sequential_cpu_offload"])
def test_weights_that_wait_in_main_memory(offload):
    pytest.importorskip("accelerate")
    pipe, adapter = load_demo().to(torch.float16), made(loaded())
    pipe.set_progress_bar_config(disable=True)
    getattr(pipe, offload)()
    dogs = pictures(pipe, "a photo of a dog")
    with erasing(pipe, [Eraser(adapter)]):
        assert seen(pictures(pipe, "a photo of a cat")) == 0
        assert same(pictures(pipe, "a photo of a dog"), dogs)


def test_parts_that_take_turns_on_the_card():
    pytest.importorskip("accelerate")
    pipe = load_demo().to(torch.float16)
    pipe.set_progress_bar_config(disable=True)
    take_turns(pipe, CARD)
    dogs, adapter = pictures(pipe, "a photo of a dog"), made(pipe, "fast")
    assert next(pipe.text_encoder.parameters()).device.type != next(pipe.unet.parameters()).device.type
    with erasing(pipe, [Eraser(adapter)]):
        assert seen(pictures(pipe, "a photo of a cat")) == 0
        assert same(pictures(pipe, "a photo of a dog"), dogs)


def test_a_network_that_is_really_compiled():
    pipe = loaded()
    adapter = made(pipe)
    torch._dynamo.reset()
    pipe.unet = torch.compile(pipe.unet)
    dogs = pictures(pipe, "a photo of a dog")
    with erasing(pipe, [Eraser(adapter)]):
        assert same(pictures(pipe, "a photo of a dog"), dogs)
        assert seen(pictures(pipe, "a photo of a cat")) == 0
    assert same(pictures(pipe, "a photo of a dog"), dogs)


def test_the_command_line_takes_the_card_by_itself(tmp_path, capsys):
    eraser = str(tmp_path / "cat.safetensors")
    assert main(["erase", "--checkpoint", "demo", "--concept", "cat", "--out", eraser]) == 0
    words = [
        "--checkpoint",
        "demo",
        "--adapter",
        eraser,
        "--prompt",
        "a photo of a cat",
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(["generate", *words]) == 0
    assert list((tmp_path / "out").glob("*.png"))
    assert torch.cuda.max_memory_allocated() > 0
