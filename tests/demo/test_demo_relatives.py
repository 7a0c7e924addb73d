"""The other two parametrisations, proved by an erasure: v-prediction and flow matching."""

from __future__ import annotations

from pathlib import Path

import pytest
from diffusers import EulerDiscreteScheduler

from lora_unlearn import Concept, Eraser, Sampling, denoiser_for, erase, generate, load_bank
from lora_unlearn.demo.relatives import load_relative
from lora_unlearn.errors import UnlearnError
from lora_unlearn.evaluate import DemoJudge

pytestmark = pytest.mark.thorough

FOLDER = Path(__file__).parents[1] / "relatives"
SAMPLING = Sampling(steps=20, guidance_scale=5.0, batch=12)
THINGS = ("house", "dog", "ship", "tiger", "star", "guitar")


@pytest.fixture(scope="module", params=["v_prediction", "v_prediction, zero terminal SNR", "flow"])
def pipe(request):
    relative, _, ending = request.param.partition(", ")
    pipe = load_relative(FOLDER / f"{relative}.safetensors")
    if ending:  # drawn from pure noise, as NoobAI's v model is
        pipe.scheduler = EulerDiscreteScheduler.from_config(
            pipe.scheduler.config, rescale_betas_zero_snr=True, timestep_spacing="trailing"
        )
    return pipe


@pytest.fixture(scope="module", params=["fast", "instant"])
def eraser(request, pipe):
    return Eraser(erase(denoiser_for(pipe), Concept("cat"), load_bank("demo"), request.param))


def test_the_concept_goes(pipe, eraser):
    prompts = ["a photo of a cat"] * 6 + ["a photo of the kitty"] * 6
    assert found(pipe, prompts).count("cat") >= 10
    assert found(pipe, prompts, eraser).count("cat") <= 1


def test_everything_else_stays_byte_for_byte(pipe, eraser):
    prompts = [f"a photo of the {thing}" for thing in THINGS]
    assert sum(a == b for a, b in zip(found(pipe, prompts), THINGS, strict=True)) >= 5
    for before, after in zip(draw(pipe, prompts), draw(pipe, prompts, eraser), strict=True):
        assert after.image.tobytes() == before.image.tobytes()


def test_training_meets_its_target(pipe, eraser):
    if eraser.adapter.mode == "fast":
        assert eraser.adapter.redirected > 0.5


def test_another_file_is_refused(tmp_path):
    from lora_unlearn.demo.checkpoint import WEIGHTS

    with pytest.raises(UnlearnError, match="holds no relative"):
        load_relative(WEIGHTS)


def draw(pipe, prompts, *erasers):
    return generate(pipe, prompts, range(len(prompts)), SAMPLING, erasers)


def found(pipe, prompts, *erasers):
    """What the judge sees."""
    judge = DemoJudge()
    best = judge.verdict([picture.image for picture in draw(pipe, prompts, *erasers)]).probabilities.argmax(dim=1)
    return [judge.labels[index] for index in best.tolist()]
