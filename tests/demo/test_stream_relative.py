"""A network with one stream for prompt and picture, proved by an erasure."""

from __future__ import annotations

import pytest

from benchmarks.relative.model import labels_of
from benchmarks.stream.model import load_stream_relative
from lora_unlearn import Concept, Eraser, Sampling, denoiser_for, erase, generate, load_bank
from lora_unlearn.demo.judge import load_judge
from lora_unlearn.errors import UnlearnError

pytestmark = pytest.mark.thorough

SIZE = (128, 128)
SAMPLING = Sampling(steps=12, guidance_scale=4.0, size=SIZE, batch=8)
ASKED = ["a photo of the cat"] * 5 + ["please draw a cat"] * 3
OTHERS = ["ship", "frog", "horse", "truck", "house", "tree", "deer", "airplane"]


@pytest.fixture(scope="module")
def pipe():
    return load_stream_relative()


@pytest.fixture(scope="module")
def eraser(pipe):
    return Eraser(erase(denoiser_for(pipe, SIZE), Concept("cat"), load_bank("language"), "instant"))


def test_the_concept_goes(pipe, eraser):
    assert seen(pipe, ASKED).count("cat") >= 7
    assert seen(pipe, ASKED, eraser).count("cat") <= 1


def test_everything_else_stays_byte_for_byte(pipe, eraser):
    prompts = [f"a photo of the {thing}" for thing in OTHERS]
    assert sum(a == b for a, b in zip(seen(pipe, prompts), OTHERS, strict=True)) >= 7
    for before, after in zip(draw(pipe, prompts), draw(pipe, prompts, eraser), strict=True):
        assert after.image.tobytes() == before.image.tobytes()


def test_other_weights_are_refused(tmp_path):
    from safetensors.torch import save_file
    from torch import zeros

    from benchmarks.stream.model import TOKENIZER, WEIGHTS

    save_file({"transformer.x_pad_token": zeros(1, 8)}, tmp_path / WEIGHTS)
    assert not (tmp_path / TOKENIZER).exists()
    with pytest.raises(UnlearnError, match="is no stream relative"):
        load_stream_relative(tmp_path)


def draw(pipe, prompts, *erasers):
    return generate(pipe, prompts, range(len(prompts)), SAMPLING, erasers)


def seen(pipe, prompts, *erasers):
    return labels_of(load_judge(), [picture.image for picture in draw(pipe, prompts, *erasers)])
