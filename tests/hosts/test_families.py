"""Every family behind the same Denoiser: a tiny random pipeline each, compared with what the pipeline itself does."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

import tiny
from diffusers import FlowMatchEulerDiscreteScheduler, PNDMScheduler
from host_parts import STEPS, draw, fingerprint, listening, random_adapter, same_modules

from lora_unlearn.concept import Concept
from lora_unlearn.denoiser import derivative
from lora_unlearn.errors import UnlearnError
from lora_unlearn.gate import Gate
from lora_unlearn.guidance import Eraser, Guidance
from lora_unlearn.hosts.diffusers import denoiser_for
from lora_unlearn.hosts.sampling import erasing
from lora_unlearn.settings import Settings
from lora_unlearn.training.prompts import encode
from lora_unlearn.training.starts.edit import closed_form
from lora_unlearn.training.train import train

FAMILIES = list(tiny.BUILDERS)
FLOWS = ["sd3", "sd35_without_t5", "flux", "schnell"]


@pytest.fixture(scope="module", params=FAMILIES)
def pipe(request):
    return tiny.new_pipeline(request.param)


@pytest.fixture
def denoiser(pipe):
    return denoiser_for(pipe, tiny.SIZE)


def first_call(pipe, denoiser):
    """The first call of a run, as the guidance gets it."""
    with listening(denoiser.network) as calls:
        draw(pipe)
    args, kwargs, _ = calls[0]
    return denoiser.host_call(denoiser.network.forward, args, kwargs)


def states(denoiser, args, kwargs):
    """What the pipeline fed its network, as states of our convention, with their noise levels."""
    x = args[0] if args else kwargs["hidden_states"]
    time = args[1] if len(args) > 1 else kwargs["timestep"]
    if denoiser.family == "flux":
        return denoiser.pipe._unpack_latents(x, *tiny.SIZE, denoiser.pipe.vae_scale_factor), time
    if denoiser.prediction_type == "flow":
        return x, time / 1000
    sigma = denoiser.schedule.table[int(time)]
    return x * (sigma**2 + 1).sqrt(), sigma.expand(len(x))


def test_prompts_become_rows(denoiser):
    shapes = {
        "sd1": {"text": (3, 77, 32)},
        "sd2": {"text": (3, 77, 32)},
        "sdxl": {"text": (3, 77, 64), "pooled": (3, 32)},
        "sd3": {"text": (3, 77 + 256, 64), "pooled": (3, 64)},
        "flux": {"text": (3, 512, 64), "pooled": (3, 32)},
    }
    family = {"demo": "sd1"}.get(denoiser.family, denoiser.family)
    rows = denoiser.encode(["a cat", "", "a dog in a boat"])
    assert {name: tuple(tensor.shape) for name, tensor in rows.tensors.items()} == shapes[family]
    alone = denoiser.encode(["a dog in a boat"])
    for name, tensor in alone.tensors.items():
        torch.testing.assert_close(rows[2:].tensors[name], tensor, atol=1e-5, rtol=1e-4)
        assert (rows[0:1].tensors[name] - tensor).abs().max() > 1e-3


def test_predictions_are_those_of_the_pipeline(pipe, denoiser):
    cfg = denoiser.family != "flux"
    with listening(denoiser.network) as calls:
        draw(pipe, **({"negative_prompt": ["ugly", "bad"]} if cfg else {}))
    rows = denoiser.encode([*(["ugly", "bad"] if cfg else []), "a cat", "a dog"])
    assert len(calls) == STEPS
    for args, kwargs, out in calls:
        x, sigma = states(denoiser, args, kwargs)
        with torch.no_grad():
            own = denoiser.predict(x, sigma, rows)
        if denoiser.family == "flux":
            out = denoiser.pipe._unpack_latents(out, *tiny.SIZE, denoiser.pipe.vae_scale_factor)
        assert own.isfinite().all()
        torch.testing.assert_close(own, out, atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("pipe", FLOWS, indirect=True)
def test_flow_schedules_are_the_pipelines(pipe, denoiser):
    draw(pipe)
    used = pipe.scheduler.timesteps
    torch.testing.assert_close(denoiser.sigmas(STEPS), pipe.scheduler.sigmas)
    assert pipe.scheduler.timesteps is used
    larger = denoiser_for(pipe, (512, 512)).sigmas(STEPS)
    assert torch.equal(larger, denoiser.sigmas(STEPS)) == (denoiser.family == "sd3")


def test_noise_levels_fall_from_the_first_to_zero(denoiser):
    sigmas = denoiser.sigmas(7)
    noise = denoiser.initial_noise(64, torch.Generator().manual_seed(0))
    assert sigmas.shape == (8,) and sigmas[-1] == 0 and (sigmas.diff() < 0).all()
    assert noise.shape == (64, 4, 16, 16)
    assert noise.std().item() == pytest.approx(sigmas[0].item(), rel=0.02)


@pytest.mark.parametrize("down", ["random", "edit"])
def test_training_moves_the_adapter_alone(denoiser, down):
    selector = "context" if denoiser.prediction_type == "flow" else "cross_kv"
    before, modules = {k: v.clone() for k, v in denoiser.network.state_dict().items()}, fingerprint(denoiser.network)
    settings = Settings(
        down=down, rank=2, selector=selector, iterations=1, batch=2, trajectories=2, trajectory_steps=2, enough=99.0,
    )  # fmt: skip
    prompts = encode(denoiser, Concept("cat"), ["a dog"])
    untrained = closed_form(denoiser.linears(selector), prompts, 2) if down == "edit" else None
    trained = train(denoiser, prompts, settings)
    for index, (_, layer) in enumerate(trained.lora.items()):
        start = 0 if untrained is None else untrained.layers[index].up
        assert layer.up.isfinite().all()
        assert (layer.up - start).abs().max() > 1e-4
    after = denoiser.network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(parameter.grad is None for parameter in denoiser.network.parameters())
    assert same_modules(modules, denoiser.network)


@pytest.mark.parametrize(
    ("mode", "strength", "gate"),
    [
        ("off", 1.0, Gate()),
        ("on", 0.0, Gate()),
        ("auto", 1.0, Gate(text_closed=float("inf"))),
        ("auto", 2.0, Gate(step=0.0, threshold=float("inf"))),
    ],
    ids=["off", "strength 0", "closed by text", "closed by probes"],
)
def test_closed_gates_leave_every_byte(pipe, denoiser, mode, strength, gate):
    plain = draw(pipe)
    modules = fingerprint(denoiser.network)
    with erasing(pipe, [Eraser(random_adapter(denoiser, gate=gate), strength, mode)]) as run:
        assert torch.equal(draw(pipe), plain)
    assert (run.guidance is None) == (strength == 0)
    assert same_modules(modules, denoiser.network)


def test_a_second_look_that_stays_closed_leaves_every_byte_and_is_taken_once_a_prompt(pipe, denoiser):
    plain = draw(pipe)
    shape = tuple(denoiser.initial_noise(1, torch.Generator()).shape[1:])
    gate = Gate("text", text_closed=float("inf"), text_open=float("inf"), look=1.1, look_shape=shape)
    with listening(denoiser.network) as calls, erasing(pipe, [Eraser(random_adapter(denoiser, gate=gate))]) as run:
        assert torch.equal(draw(pipe), plain)
        first = len(calls)
        assert torch.equal(draw(pipe), plain)
    assert [run.guidance.decisions(picture)[0].by for picture in (0, 1)] == ["look", "look"]
    assert first - STEPS == 3 and len(calls) - first == STEPS  # two prompts at once, the concept, the empty prompt
    assert all(-1 <= run.guidance.decisions(picture)[0].score <= 1 for picture in (0, 1))


def test_a_second_look_knows_the_concept_in_pure_noise(pipe, denoiser):
    shape = tuple(denoiser.initial_noise(1, torch.Generator()).shape[1:])
    gate = Gate("look", 0.999, look=0.999, look_shape=shape)
    adapter = random_adapter(denoiser, gate=gate)
    with erasing(pipe, [Eraser(adapter)]) as run:
        draw(pipe, [adapter.concept.probe, "a dog"])
    one, other = (run.guidance.decisions(picture)[0] for picture in (0, 1))
    assert one.open and one.score == pytest.approx(1, abs=1e-3)
    assert not other.open and other.score < one.score


def test_open_gates_change_the_picture_and_leave_no_trace(pipe, denoiser):
    plain, modules = draw(pipe), fingerprint(denoiser.network)
    with erasing(pipe, [Eraser(random_adapter(denoiser, size=2.0), 2.0, "on")]):
        assert (draw(pipe) - plain).abs().max() > 1e-3
    assert torch.equal(draw(pipe), plain)
    assert same_modules(modules, denoiser.network)


def test_strength_one_is_the_formula_in_one_call(pipe, denoiser):
    call, adapter = first_call(pipe, denoiser), random_adapter(denoiser)
    with adapter.lora.attached(denoiser.linears()):
        inside = Guidance([Eraser(adapter, 1.0, "on")], denoiser.encode, STEPS)
        mixed = Guidance([Eraser(adapter, 1.0000001, "on")], denoiser.encode, STEPS)
        torch.testing.assert_close(inside.step(call, 0), mixed.step(call, 0), atol=1e-4, rtol=1e-4)
        assert mixed.evaluations[0] == inside.evaluations[0] + 1


def test_strength_two_is_the_formula_by_hand(pipe, denoiser):
    call, adapter = first_call(pipe, denoiser), random_adapter(denoiser)
    with adapter.lora.attached(denoiser.linears()), torch.no_grad():
        base = call.base()
        with adapter.lora.rows(torch.ones(len(base))):
            adapted = call.base()
        mixed = Guidance([Eraser(adapter, 2.0, "on")], denoiser.encode, STEPS).step(call, 0)
    positive = call.positive
    rows = denoiser.encode(["a cat", "a dog"]).tensors["text"]
    torch.testing.assert_close(call.conditioning[positive].tensors["text"], rows, atol=1e-5, rtol=1e-4)
    expected = base[positive] + 2 * (adapted[positive] - base[positive])
    assert (expected - base[positive]).abs().max() > 1e-3
    torch.testing.assert_close(mixed[positive], expected, atol=1e-4, rtol=1e-4)
    assert len(positive) == 2 and (call.negative is None) == (denoiser.family == "flux")
    if call.negative is not None:
        assert torch.equal(mixed[call.negative], base[call.negative])


def test_each_run_decides_anew(pipe, denoiser):
    with erasing(pipe, [Eraser(random_adapter(denoiser), 1.0, "on")]) as run:
        draw(pipe, ["a cat"])
        one = run.guidance
        draw(pipe, ["a cat", "a dog"])
    assert run.guidance is not one
    assert run.guidance.steps == STEPS
    per_step = 1 if denoiser.family == "flux" else 2
    assert one.evaluations == [STEPS * per_step]
    assert run.guidance.evaluations == [STEPS * per_step] * 2


def test_another_family_is_refused(pipe, denoiser):
    adapter = random_adapter(denoiser)
    adapter.family = "another"
    with pytest.raises(UnlearnError, match="was made for another"), erasing(pipe, [Eraser(adapter)]):
        pass


@pytest.mark.parametrize("name", ["sdxl", "sdxl_v"])
def test_size_ids_stay_the_pictures_own(name):
    pipe = tiny.new_pipeline(name)
    denoiser = denoiser_for(pipe, (16, 16))
    call = first_call(pipe, denoiser)
    rows = call.conditioning[call.positive]
    with torch.no_grad():
        torch.testing.assert_close(call.evaluate(call.positive, rows), call.base()[call.positive], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("negative", "extra"), [(None, 3), ("", 2)], ids=["zeros", "empty prompt"])
def test_sdxl_probes_against_the_true_empty_prompt(negative, extra):
    """Without a negative prompt SDXL's row is zeros, not the empty prompt: that one is evaluated for the probe."""
    pipe = tiny.new_pipeline("sdxl")
    gate = Gate(step=0.0, threshold=float("inf"))
    with erasing(pipe, [Eraser(random_adapter(denoiser_for(pipe), gate=gate))]) as run:
        draw(pipe, ["a cat"], negative_prompt=None if negative is None else [negative])
    assert run.guidance.evaluations == [2 * STEPS + extra]
    assert run.guidance.decisions(0)[0].by == "probe"


def test_the_true_negative_prompt_of_flux_passes_untouched():
    pipe = tiny.new_pipeline("flux")
    denoiser = denoiser_for(pipe, tiny.SIZE)
    options = {"negative_prompt": ["ugly"], "true_cfg_scale": 2.0}
    plain = draw(pipe, ["a cat"], **options)
    with listening(denoiser.network) as calls, erasing(pipe, [Eraser(random_adapter(denoiser), 1.0, "on")]) as run:
        erased = draw(pipe, ["a cat"], **options)
    assert len(calls) == 2 * STEPS and run.guidance.evaluations == [2 * STEPS] and run.guidance.steps == STEPS
    touched = [not torch.equal(denoiser.network(*args, **kwargs)[0], out) for args, kwargs, out in calls]
    assert touched == [True, False] * STEPS
    assert not torch.equal(erased, plain)
    with erasing(pipe, [Eraser(random_adapter(denoiser), 1.0, "off")]):
        assert torch.equal(draw(pipe, ["a cat"], **options), plain)


def test_layers_skipped_for_guidance_pass_untouched():
    pipe = tiny.new_pipeline("sd3")
    options = {"skip_guidance_layers": [1], "skip_layer_guidance_start": -1.0, "skip_layer_guidance_stop": 1.0}
    plain = draw(pipe, **options)
    with erasing(pipe, [Eraser(random_adapter(denoiser_for(pipe)), 2.0, "off")]) as run:
        assert torch.equal(draw(pipe, **options), plain)
    assert run.guidance.evaluations == [3 * STEPS] * 2


def test_a_timestep_that_a_scheduler_repeats_is_one_step():
    pipe = tiny.new_pipeline("sd1")
    pipe.scheduler = PNDMScheduler.from_config(pipe.scheduler.config, skip_prk_steps=True)
    with erasing(pipe, [Eraser(random_adapter(denoiser_for(pipe)), 1.0, "on")]) as run:
        draw(pipe)
    assert len(pipe.scheduler.timesteps) == STEPS + 1
    assert run.guidance.steps == STEPS


def test_a_unet_can_match_flow():
    pipe = tiny.new_pipeline("sd1")
    pipe.scheduler = FlowMatchEulerDiscreteScheduler(shift=2.0)
    denoiser = denoiser_for(pipe)
    x, rows = denoiser.initial_noise(2, torch.Generator().manual_seed(0)), denoiser.encode(["a cat", ""])
    sigma = denoiser.sigmas(4)[1].expand(2)
    with torch.no_grad():
        expected = pipe.unet(x, 1000 * sigma, rows.tensors["text"]).sample
        assert denoiser.prediction_type == "flow"
        assert torch.equal(denoiser.predict(x, sigma, rows), expected)


def test_layers_of_the_joint_attention_are_told_apart():
    sd3, flux = (denoiser_for(tiny.new_pipeline(name), tiny.SIZE) for name in ("sd35_without_t5", "flux"))
    for denoiser in (sd3, flux):
        names = set(denoiser.linears("cross_kv"))
        assert names and all(name.endswith(("add_k_proj", "add_v_proj")) for name in names)
        width = denoiser.encode([""]).tensors["text"].shape[-1]
        assert [target.shape[1] for target in denoiser.linears("context").values()] == [width]
        assert not names & set(denoiser.linears("all_but_cross"))
        with pytest.raises(UnlearnError, match="offers cross_kv, cross_v, context"):
            denoiser.linears("attn2")
    assert "transformer_blocks.0.attn2.to_k" in sd3.linears("all_but_cross")


def test_other_pipelines_are_refused():
    class AudioPipeline:
        pass

    with pytest.raises(UnlearnError, match="AudioPipeline cannot be used"):
        denoiser_for(AudioPipeline())


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "flow"])
def test_one_euler_step_of_a_perfect_model_ends_at_the_picture(kind):
    generator = torch.Generator().manual_seed(0)
    x0, noise = torch.randn(2, 4, 8, 8, generator=generator), torch.randn(2, 4, 8, 8, generator=generator)
    sigma = torch.tensor([0.9, 0.3] if kind == "flow" else [9.0, 0.3])
    level = sigma.view(-1, 1, 1, 1)
    if kind == "flow":
        x, prediction = (1 - level) * x0 + level * noise, noise - x0
    else:
        x, signal = x0 + level * noise, 1 / (level**2 + 1).sqrt()
        prediction = noise if kind == "epsilon" else signal * noise - level * signal * x0
    torch.testing.assert_close(x - level * derivative(x, sigma, prediction, kind), x0, atol=1e-5, rtol=1e-4)


def test_v_and_epsilon_of_one_model_go_the_same_way():
    generator = torch.Generator().manual_seed(0)
    x, v = torch.randn(2, 4, 8, 8, generator=generator), torch.randn(2, 4, 8, 8, generator=generator)
    sigma = torch.tensor([5.0, 0.2])
    level = sigma.view(-1, 1, 1, 1)
    signal = 1 / (level**2 + 1).sqrt()
    epsilon = signal * v + level * signal * (x * signal)
    torch.testing.assert_close(derivative(x, sigma, v, "v_prediction"), derivative(x, sigma, epsilon, "epsilon"))
