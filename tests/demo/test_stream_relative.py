"""A network with one stream for prompt and picture, proved by an erasure."""

from __future__ import annotations

import pytest

from benchmarks.relative.model import labels_of
from benchmarks.stream.model import TOKENIZER, WEIGHTS, load_stream_relative
from benchmarks.stream_erasure import SAMPLING, SIZE, eraser
from lora_unlearn import Eraser, denoiser_for, generate
from lora_unlearn.demo.judge import load_judge
from lora_unlearn.errors import UnlearnError

pytestmark = pytest.mark.thorough

ASKED = ["a photo of the truck"] * 3 + ["a nice drawing of the truck", "one small truck", "look at that truck"]
OTHERS = ["cat", "frog", "horse", "bird", "house", "tree", "deer", "airplane"]


@pytest.fixture(scope="module")
def pipe():
    return load_stream_relative()


@pytest.fixture(scope="module")
def instant(pipe):
    return Eraser(eraser(denoiser_for(pipe, SIZE), "truck", "instant", 0))


def test_the_concept_goes_from_the_stream(pipe, instant):
    assert seen(pipe, ASKED).count("truck") >= 5
    assert seen(pipe, ASKED, instant).count("truck") <= 1


def test_everything_else_stays_byte_for_byte_in_the_stream(pipe, instant):
    prompts = [f"a photo of the {thing}" for thing in OTHERS]
    assert sum(a == b for a, b in zip(seen(pipe, prompts), OTHERS, strict=True)) >= 7
    for before, after in zip(draw(pipe, prompts), draw(pipe, prompts, instant), strict=True):
        assert after.image.tobytes() == before.image.tobytes()


def test_other_weights_are_refused(tmp_path):
    from safetensors.torch import save_file
    from torch import zeros

    save_file({"transformer.x_pad_token": zeros(1, 8)}, tmp_path / WEIGHTS)
    assert not (tmp_path / TOKENIZER).exists()
    with pytest.raises(UnlearnError, match="is no stream relative"):
        load_stream_relative(tmp_path)


def draw(pipe, prompts, *erasers):
    return generate(pipe, prompts, range(len(prompts)), SAMPLING, erasers)


def seen(pipe, prompts, *erasers):
    return labels_of(load_judge(), [picture.image for picture in draw(pipe, prompts, *erasers)])
