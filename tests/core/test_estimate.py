"""What a training takes is told before it starts, and what is left while it runs."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lora_unlearn import Concept, Settings, UnlearnError, denoiser_for
from lora_unlearn.activations import _OFFLOADED
from lora_unlearn.demo.checkpoint import load_demo
from lora_unlearn.erase import CountingDenoiser
from lora_unlearn.estimate import (
    Cost,
    Estimate,
    Remaining,
    check_memory,
    duration,
    estimate,
    gigabytes,
    kept,
    lowered,
    measure,
    planned,
    that_fits,
)
from lora_unlearn.lora import new_lora
from lora_unlearn.training.methods import row
from lora_unlearn.training.progress import Progress
from lora_unlearn.training.prompts import encode
from lora_unlearn.training.train import train

GB = 2**30
COST = Cost(seconds=0.1, update_seconds=0.25, row_bytes=GB // 2, fixed_bytes=GB, state_bytes=65536)


@pytest.fixture(scope="module")
def denoiser():
    return denoiser_for(load_demo())


@pytest.fixture(scope="module")
def cost(denoiser):
    return measure(denoiser, Settings())


def test_what_autograd_keeps_is_counted_to_the_byte():
    x = torch.randn(1000, requires_grad=True)
    squared = (x * x).exp()  # keeps x once, and the exponential
    assert sum(kept(squared).values()) == 2 * 4000


def test_a_row_keeps_as_much_with_two_rows_as_with_eight(denoiser, cost):
    """Linear in the batch: the measurement of one and two rows foretells that of eight."""
    targets, generator = denoiser.linears("cross_v"), torch.Generator().manual_seed(0)
    lora, x = new_lora(targets, 4, 1.0, generator), denoiser.initial_noise(8, generator)
    weights = {value.untyped_storage().data_ptr() for value in denoiser.network.parameters()}
    with torch.enable_grad(), lora.attached(targets), lora.rows(torch.ones(1)):
        many = denoiser.predict(x, denoiser.sigmas(2)[0].expand(8), denoiser.encode([""])[[0] * 8])
        own = sum(size for place, size in kept(many).items() if place not in weights)
    assert own == pytest.approx(cost.fixed_bytes + 8 * cost.row_bytes, rel=0.05)
    assert cost.row_bytes > 1e6
    assert not [module for module in denoiser.network.modules() if "forward" in module.__dict__]


@pytest.mark.thorough
@pytest.mark.parametrize(("mode", "replacement"), [("fast", "dog"), ("fast", ""), ("paper", "")])
def test_a_training_evaluates_about_what_is_foretold(denoiser, mode, replacement):
    """With a second for every evaluation, the estimate is a bound on their number, and not a lavish one."""
    settings = Settings(iterations=20, batch=2, trajectories=2, trajectory_steps=6, enough=1.0)
    settings = row(mode, replace(settings, down="random" if mode == "paper" else "edit"))
    counted, concept = CountingDenoiser(denoiser), Concept("cat", replace_with=replacement)
    train(counted, encode(counted, concept, ["a photo of a dog"]), settings)
    told = estimate(replace(COST, seconds=1, update_seconds=1), settings).seconds
    assert 0.7 * told < counted.evaluations <= 1.05 * told


def test_memory_grows_with_batch_and_states():
    small, large = (estimate(COST, Settings(batch=batch)) for batch in (4, 16))
    assert large.memory - small.memory == pytest.approx(1.25 * 12 * COST.row_bytes, rel=1e-6)
    more = estimate(COST, Settings(batch=4, trajectories=64))
    assert more.memory > small.memory and more.recording_seconds == pytest.approx(8 * small.recording_seconds)
    assert estimate(COST, row("instant")) == Estimate(0.0, 0.0, 0)
    assert estimate(COST, row("paper")).seconds > small.seconds


def test_a_batch_that_fits_is_found_or_the_setting_to_lower_is_named():
    settings, needed = Settings(batch=16), estimate(COST, Settings(batch=5)).memory
    assert that_fits(COST, settings, needed) == replace(settings, batch=5)
    assert that_fits(COST, settings, 100 * GB) is not None
    check_memory(COST, settings, 100 * GB)
    with pytest.raises(UnlearnError, match=r"batch of 16 takes 11\.3 GB .* lower batch to 5\."):
        check_memory(COST, settings, needed)
    with pytest.raises(UnlearnError, match=r"even with a batch of 1, and 0\.5 GB are free; lower the size"):
        check_memory(COST, settings, GB // 2)


def test_where_no_batch_fits_activations_go_to_main_memory():
    settings = Settings(batch=4)
    room = estimate(COST, replace(settings, batch=2, offload=True)).memory
    assert room < estimate(COST, replace(settings, batch=1)).memory
    assert that_fits(COST, settings, room) == replace(settings, batch=2, offload=True)
    with pytest.raises(UnlearnError, match=r"lower batch to 2 and turn offload on\."):
        check_memory(COST, settings, room)


def test_a_plan_fits_the_settings_or_refuses_them_as_the_host_wishes():
    settings, needed = Settings(batch=16), estimate(COST, Settings(batch=5))
    asked: list[Estimate] = []

    def free(estimated: Estimate) -> int:
        asked.append(estimated)
        return needed.memory

    fitting, expected = planned(settings, lambda: COST, free)
    assert fitting == replace(settings, batch=5) and expected == needed
    assert asked == [estimate(COST, settings)]  # a host may have to make room for what was ordered
    assert lowered(settings, fitting) == "; batch lowered from 16 to 5" and lowered(settings, settings) == ""
    with pytest.raises(UnlearnError, match="lower batch to 5"):
        planned(settings, lambda: COST, free, may_change=False)
    assert planned(settings, lambda: COST, lambda estimated: None)[0] == settings  # nobody knows what is free


def test_what_is_left_is_estimated_then_measured():
    clock = iter([100.0, 103.0, 110.0, 110.0])
    left = Remaining(Estimate(10.0, 30.0, 0), lambda: next(clock))
    assert left.after(Progress("recording", 0, 10)) == 40
    assert left.after(Progress("recording", 4, 10)) == pytest.approx(27)  # a tenth took 3 s, not 4
    assert left.after(Progress("training", 15, 60)) == pytest.approx(10 / 0.4375 * 0.5625)
    assert left.after(Progress("training", 60, 60)) == 0


def test_a_resumed_training_starts_its_clock_where_it_goes_on():
    clock = iter([0.0, 1.0])
    left = Remaining(Estimate(0.0, 100.0, 0), lambda: next(clock))
    assert left.after(Progress("training", 50, 100)) == 50
    assert left.after(Progress("training", 60, 100)) == pytest.approx(4)


def test_words():
    assert [duration(s) for s in (0.2, 59, 89.4, 90, 600, 4200)] == ["1 s", "59 s", "89 s", "2 min", "10 min", "70 min"]
    assert duration(6000) == "1 h 40 min" and gigabytes(3 * GB) == "3.0 GB" and gigabytes(5) == "0.1 GB"
    assert str(Estimate(20, 100, 2 * GB)) == "at most 2 min and 2.0 GB of memory beside the model"


class Cramped:
    """A denoiser on a card on which two rows do not fit, nor one without activations in main memory."""

    def __init__(self, denoiser):
        self.denoiser = denoiser

    def __getattr__(self, name):
        return getattr(self.denoiser, name)

    def predict(self, x, sigma, conditioning):
        if len(x) > 1 or not _OFFLOADED.get():
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return self.denoiser.predict(x, sigma, conditioning)


def test_what_is_too_large_to_measure_is_measured_with_its_activations_in_main_memory(denoiser, cost):
    found = measure(Cramped(denoiser), Settings())
    assert cost.fixed_bytes + cost.row_bytes <= found.row_bytes < 4 * (cost.fixed_bytes + cost.row_bytes)
    assert found.update_seconds > found.seconds > 0 and found.fixed_bytes == 0
    assert not [module for module in denoiser.network.modules() if "forward" in module.__dict__]
