"""Families with a language model behind the same Denoiser: tiny random pipelines, compared with what they do alone."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("transformers")
pytest.importorskip("diffusers", minversion="0.42")

import host_parts
import tiny_language
from host_parts import STEPS, fingerprint, gate_of, listening, random_adapter, same_modules
from PIL import ImageChops

from lora_unlearn.concept import Concept
from lora_unlearn.directions import whole
from lora_unlearn.errors import UnlearnError
from lora_unlearn.formats import to_stock
from lora_unlearn.gate import Gate
from lora_unlearn.guidance import Eraser, Guidance
from lora_unlearn.hosts.checkpoints import load_pipeline
from lora_unlearn.hosts.diffusers import denoiser_for
from lora_unlearn.hosts.generate import Sampling, generate
from lora_unlearn.hosts.packed import unpacked
from lora_unlearn.hosts.sampling import erasing
from lora_unlearn.settings import Settings
from lora_unlearn.training.prompts import encode
from lora_unlearn.training.sources.adversarial import token_spread
from lora_unlearn.training.starts.edit import closed_form
from lora_unlearn.training.train import train

SIZE = (32, 32)
ONE_CALL = ("z_image", "z_image_base")
"""Guidance asks for positive and negative rows in one call."""
UNGUIDED = {"z_image": 0.0, "z_image_base": 0.0, "flux2": 1.0, "qwen_image": None, "krea2": 0.0}
TEMPLATES = {"z_image": 5, "z_image_base": 5, "flux2": 9 + 16, "qwen_image": 5, "krea2": 5}
"""Tokens that have read the words: of the template, and in FLUX.2 some of the padding."""
LONG = "a small red boat and a dog and a tree on a house in a photo of a car by a dog with a small animal and a boat"


@pytest.fixture(scope="module", params=list(tiny_language.BUILDERS))
def name(request):
    return request.param


@pytest.fixture(scope="module")
def pipe(name):
    return tiny_language.new_pipeline(name)


@pytest.fixture
def denoiser(pipe):
    return denoiser_for(pipe, SIZE)


def draw(pipe, prompts=("a cat", "a dog"), negative_prompt=None, **how):
    """As `host_parts.draw`; Z-Image's pipeline writes into the list of negative prompts that it is given."""
    if negative_prompt is not None:
        how["negative_prompt"] = list(negative_prompt)
    return host_parts.draw(pipe, prompts, **how)


def options(name, guided=True):
    """How the pipeline is asked for pictures with guidance, or without."""
    if not guided:
        return {"guidance_scale": UNGUIDED[name]}
    if name == "flux2":
        return {"guidance_scale": 3.0}
    scale = {"true_cfg_scale": 3.0, "guidance_scale": None} if name == "qwen_image" else {"guidance_scale": 3.0}
    return scale | {"negative_prompt": ["ugly", ""]}


def asked(denoiser, args, kwargs, out):
    """A call's states and noise levels, and what the network predicts, in our convention."""
    if denoiser.family == "z_image":
        return torch.stack(args[0]).squeeze(2), 1 - args[1], -torch.stack(out).squeeze(2)
    x, height, width = kwargs["hidden_states"], *denoiser.shape[1:]
    if denoiser.family == "flux2":
        x, out = (rows.transpose(1, 2).unflatten(2, (height, width)) for rows in (x, out))
    else:
        x, out = (unpacked(rows, height, width) for rows in (x, out))
    return x, kwargs["timestep"], out


def first_call(pipe, denoiser, **options):
    with listening(denoiser.network) as calls:
        draw(pipe, **options)
    args, kwargs, _ = calls[0]
    return denoiser.host_call(denoiser.network.forward, args, kwargs)


def test_prompts_of_several_lengths_are_read_as_alone(name, denoiser):
    prompts = ["a cat", "", LONG]
    rows = denoiser.encode(prompts)
    words = [2, 0, len(LONG.split())]
    assert (rows.tensors["text"] != 0).any(2).sum(1).tolist() == words
    assert rows.tensors["after"].shape[1] == TEMPLATES[name]
    for row, prompt in enumerate(prompts):
        for key, alone in denoiser.encode([prompt]).tensors.items():
            own = rows.tensors[key][row : row + 1]
            torch.testing.assert_close(own[:, : alone.shape[1]], alone, atol=1e-5, rtol=1e-4)
            assert not own[:, alone.shape[1] :].any()


def test_the_entry_layer_sees_what_is_read(name, denoiser):
    """Every token of "text" and "after" stands among what the network's entry layer is given."""
    rows, seen = denoiser.encode(["a cat on a boat"]), []
    ((_, target),) = denoiser.linears("context").items()
    hook = target.linear.register_forward_pre_hook(lambda module, args: seen.append(args[0].flatten(0, -2)))
    x = denoiser.initial_noise(1, torch.Generator().manual_seed(0))
    with torch.no_grad():
        denoiser.predict(x, torch.ones(1), rows)
    hook.remove()
    read = whole(rows).tensors["text"][0]
    read = read[read.abs().sum(1) != 0]
    assert len(read) == 5 + TEMPLATES[name]
    assert all((seen[0] - token).abs().amax(1).min() < 1e-4 for token in read)


def test_weights_in_brackets_are_no_words(denoiser):
    rows = denoiser.encode(["a (cat:1.3)", "a cat"]).tensors["text"]
    assert torch.equal(rows[0], rows[1])


@pytest.mark.parametrize("guided", [False, True])
def test_predictions_are_those_of_the_pipeline(name, pipe, denoiser, guided):
    with listening(denoiser.network) as calls:
        draw(pipe, **options(name, guided))
    positive = ["a cat", "a dog"]
    negative = ["", ""] if name == "flux2" else ["ugly", ""]
    turns = [[*positive, *negative]] if guided and name in ONE_CALL else [positive, negative] if guided else [positive]
    assert len(calls) == STEPS * len(turns)
    for index, (args, kwargs, out) in enumerate(calls):
        x, sigma, out = asked(denoiser, args, kwargs, out)
        with torch.no_grad():
            own = denoiser.predict(x, sigma, denoiser.encode(turns[index % len(turns)]))
        torch.testing.assert_close(own, out, atol=2e-4, rtol=1e-3)


def test_schedules_are_the_pipelines(name, pipe, denoiser):
    draw(pipe, **options(name, guided=False))
    torch.testing.assert_close(denoiser.sigmas(STEPS), pipe.scheduler.sigmas)
    larger = denoiser_for(pipe, (512, 512)).sigmas(STEPS)
    assert torch.equal(larger, denoiser.sigmas(STEPS)) == (name == "z_image")
    assert denoiser.initial_noise(2, torch.Generator()).shape == (2, *denoiser.shape)


def test_a_distilled_krea_has_one_shift():
    pipe = tiny_language.krea2(is_distilled=True)
    pipe.set_progress_bar_config(disable=True)
    draw(pipe, guidance_scale=0.0)
    torch.testing.assert_close(denoiser_for(pipe, SIZE).sigmas(STEPS), pipe.scheduler.sigmas)


@pytest.mark.parametrize(("selector", "down"), [("cross_kv", "random"), ("context", "edit")])
def test_training_moves_the_adapter_alone(denoiser, selector, down):
    before, modules = {k: v.clone() for k, v in denoiser.network.state_dict().items()}, fingerprint(denoiser.network)
    settings = Settings(
        down=down, rank=2, selector=selector, iterations=1, batch=2, trajectories=2, trajectory_steps=2, enough=99.0,
    )  # fmt: skip
    prompts = encode(denoiser, Concept("cat", replace_with="dog"), ["boat", "a tree"])
    untrained = closed_form(denoiser.linears(selector), prompts, 2) if down == "edit" else None
    trained = train(denoiser, prompts, settings)
    for index, (_, layer) in enumerate(trained.lora.items()):
        start = 0 if untrained is None else untrained.layers[index].up
        assert layer.up.isfinite().all()
        assert (layer.up - start).abs().max() > 1e-4
    after = denoiser.network.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert all(parameter.grad is None for parameter in denoiser.network.parameters())
    assert same_modules(modules, denoiser.network)


def test_the_closed_form_redirects_words_and_what_has_read_them(denoiser):
    prompts = encode(denoiser, Concept("cat", replace_with="dog"), ["a red house", "a photo of a boat"])
    targets = denoiser.linears("context")
    ((name, layer),) = closed_form(targets, prompts, 32).items()
    weight = targets[name].weight.detach()
    source, wanted, kept = (denoiser.encode([f"a photo of a {word}"]) for word in ("cat", "dog", "boat"))
    for part, most in ((lambda rows: rows, 0.1), (whole, 0.3)):
        before, after, other = (part(rows).tensors["text"][0] for rows in (source, wanted, kept))
        shift = (after - before) @ weight.T
        with torch.no_grad():
            assert (layer(before) - shift).square().sum() < most * shift.square().sum()
            assert layer(other).square().sum() < 0.02 * (other @ weight.T).square().sum()


@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize("selector", ["context", "cross_kv"])
def test_a_gate_opens_for_one_picture_and_leaves_every_byte_of_the_other(name, pipe, denoiser, selector, guided):
    how = options(name, guided)
    plain, modules = draw(pipe, **how), fingerprint(denoiser.network)
    adapter = random_adapter(denoiser, selector, gate_of(denoiser), size=2.0)
    with erasing(pipe, [Eraser(adapter)]) as run:
        for _ in range(2):
            pictures = draw(pipe, **how)
            assert [run.guidance.decisions(picture)[0].open for picture in (0, 1)] == [True, False]
            assert torch.equal(pictures[1], plain[1])
            assert (pictures[0] - plain[0]).abs().max() > 1e-3
            assert run.guidance.evaluations == [STEPS * (1 + guided)] * 2
        others = draw(pipe, ["a dog", "a dog"], **how)
    assert torch.equal(others, draw(pipe, ["a dog", "a dog"], **how))
    assert torch.equal(draw(pipe, **how), plain)
    assert same_modules(modules, denoiser.network)


def test_a_probe_decides_and_closed_gates_leave_every_byte(name, pipe, denoiser):
    how = options(name)
    plain = draw(pipe, **how)
    adapter = random_adapter(denoiser, "context", Gate(step=0.0, threshold=float("inf")))
    with erasing(pipe, [Eraser(adapter, 2.0)]) as run:
        assert torch.equal(draw(pipe, **how), plain)
    assert [run.guidance.decisions(picture)[0].by for picture in (0, 1)] == ["probe", "probe"]


def test_a_look_in_pure_noise_knows_the_concept(name, pipe, denoiser):
    gate = Gate("look", 0.999, look=0.999, look_shape=denoiser.shape)
    adapter = random_adapter(denoiser, "context", gate)
    with erasing(pipe, [Eraser(adapter)]) as run:
        draw(pipe, [adapter.concept.probe, LONG], **options(name, guided=False))
    one, other = (run.guidance.decisions(picture)[0] for picture in (0, 1))
    assert one.open and one.score == pytest.approx(1, abs=1e-3)
    assert not other.open


def test_negative_prompts_decide_nothing_and_stay_the_base_models(name, pipe, denoiser):
    if name == "flux2":
        pytest.skip("this pipeline takes no negative prompt as words")
    how = options(name) | {"negative_prompt": ["a cat", "a cat"]}
    plain = draw(pipe, ["a dog", "a dog"], **how)
    adapter = random_adapter(denoiser, "context", gate_of(denoiser), size=2.0)
    with erasing(pipe, [Eraser(adapter)]) as run:
        assert torch.equal(draw(pipe, ["a dog", "a dog"], **how), plain)
    assert not run.guidance.decisions(0)[0].open
    call = first_call(pipe, denoiser, **how)
    if name in ONE_CALL:
        with adapter.lora.attached(denoiser.linears("context")), torch.no_grad():
            base, mixed = call.base(), Guidance([Eraser(adapter, 2.0, "on")], denoiser.encode, STEPS).step(call, 0)
        assert torch.equal(base[call.negative], mixed[call.negative])
        assert not torch.equal(base[call.positive], mixed[call.positive])


def test_strength_mixes_as_the_formula_says(name, pipe, denoiser):
    call, adapter = first_call(pipe, denoiser, **options(name)), random_adapter(denoiser, "context")
    rows = call.positive
    with adapter.lora.attached(denoiser.linears("context")), torch.no_grad():
        base = call.base()
        own = call.evaluate(rows, call.conditioning[rows])
        with adapter.lora.rows(torch.ones(1)):
            adapted = call.evaluate(rows, call.conditioning[rows])
        mixed = Guidance([Eraser(adapter, 2.0, "on")], denoiser.encode, STEPS).step(call, 0)
    torch.testing.assert_close(own, base[rows], atol=1e-5, rtol=1e-4)
    assert (adapted - own).abs().max() > 1e-3
    torch.testing.assert_close(mixed[rows], base[rows] + 2 * (adapted - base[rows]), atol=1e-4, rtol=1e-4)


def test_a_saved_eraser_is_an_ordinary_lora(name, tmp_path):
    pytest.importorskip("peft")
    pipe = tiny_language.new_pipeline(name)
    denoiser = denoiser_for(pipe, SIZE)
    adapter, how = random_adapter(denoiser, "context", size=2.0), options(name)
    adapter.lora.round_to_half()
    adapter.save(tmp_path / "cat.safetensors")
    plain = draw(pipe, **how)
    with erasing(pipe, [Eraser(adapter, mode="on", both_rows=True)]):
        both = draw(pipe, **how) if name in ONE_CALL else None
    with erasing(pipe, [Eraser(adapter, mode="on")]):
        unguided = draw(pipe, **options(name, guided=False))
    pipe.load_lora_weights(tmp_path, weight_name="cat.safetensors")
    loaded = {key for key, _ in pipe.transformer.named_parameters() if "lora_" in key}
    assert len(loaded) == len(to_stock(adapter.lora, denoiser.family))
    torch.testing.assert_close(draw(pipe, **options(name, guided=False)), unguided, atol=1e-4, rtol=1e-3)
    if both is not None:
        torch.testing.assert_close(draw(pipe, **how), both, atol=1e-4, rtol=1e-3)
    assert (draw(pipe, **how) - plain).abs().max() > 1e-3
    assert set(denoiser_for(pipe, SIZE).linears("context")) == set(adapter.lora.names)


def test_generate_counts_guidance_as_everywhere(name, pipe, denoiser):
    """Scale 1 asks the network once a step; above it the negative prompt is heard."""

    def pictures(scale, negative="", erasers=()):
        sampling = Sampling(STEPS, scale, negative, SIZE, batch=2)
        return generate(pipe, ["a cat", "a (dog:1.2)"], [0, 1], sampling, erasers)

    closed = [Eraser(random_adapter(denoiser, "context"), mode="off")]
    once, twice, other = pictures(1.0, erasers=closed), pictures(3.0, erasers=closed), pictures(3.0, "ugly")
    assert [picture.evaluations for picture in (*once, *twice)] == [STEPS] * 2 + [2 * STEPS] * 2
    for guided, plain, negative in zip(twice, once, other, strict=True):
        assert ImageChops.difference(guided.image, plain.image).getbbox()
        assert ImageChops.difference(guided.image, negative.image).getbbox()
    again = pictures(3.0)
    assert all(not ImageChops.difference(a.image, b.image).getbbox() for a, b in zip(twice, again, strict=True))


def test_a_folder_loads(name, pipe, tmp_path):
    pipe.save_pretrained(tmp_path)
    loaded = load_pipeline(str(tmp_path))
    loaded.set_progress_bar_config(disable=True)
    if name in ("qwen_image", "krea2"):
        loaded.prompt_template_encode_start_idx = pipe.prompt_template_encode_start_idx
    how = options(name, guided=False)
    torch.testing.assert_close(draw(loaded, **how), draw(pipe, **how))


def test_words_of_the_encoder_can_be_asked(denoiser):
    vocabulary = denoiser.vocabulary()
    assert {"photo", "dog"} <= set(vocabulary.words)
    assert vocabulary.embed(["dog", "cat"]).shape[0] == 2
    assert vocabulary.read(["a dog", LONG]).shape == vocabulary.read(["a dog", "a cat"]).shape


@pytest.mark.parametrize("kind", ["Flux2Pipeline", "QwenImageEditPipeline", "AnimaModularPipeline"])
def test_what_is_not_supported_is_named(kind):
    network = None if kind.startswith("Anima") else tiny_language.flux2().transformer
    pipe = type(kind, (), {"transformer": network})()
    with pytest.raises(UnlearnError, match=rf"A {kind} cannot be used.*ComfyUI"):
        denoiser_for(pipe)


@pytest.mark.parametrize("mode", ["model", "sequential"])
def test_weights_that_come_and_go_are_found(name, mode):
    accelerate = pytest.importorskip("accelerate")
    pipe, how = tiny_language.new_pipeline(name), options(name, guided=False)
    adapter = random_adapter(denoiser_for(pipe, SIZE), "context", gate_of(denoiser_for(pipe, SIZE)), size=2.0)
    plain = draw(pipe, **how)
    with erasing(pipe, [Eraser(adapter)]):
        erased = draw(pipe, **how)
    if mode == "model":
        pipe.enable_model_cpu_offload(device="cpu")
    else:
        for part in filter(lambda part: isinstance(part, torch.nn.Module), pipe.components.values()):
            accelerate.cpu_offload(part, torch.device("cpu"), offload_buffers=len(part._parameters) > 0)
    with erasing(pipe, [Eraser(adapter)]):
        assert torch.equal(draw(pipe, **how), erased)
    assert torch.equal(erased[1], plain[1]) and not torch.equal(erased[0], plain[0])
    assert torch.equal(draw(pipe, **how), plain)


def test_methods_that_move_tokens_are_refused_in_one_sentence(denoiser):
    rows = denoiser.encode(["a cat"])
    with pytest.raises(UnlearnError, match=r"choose another method or attack\.$"):
        rows.reading(rows.tensors["text"])


def test_an_adversarial_training_moves_what_the_network_is_given_and_no_padding(denoiser):
    settings = Settings(
        down="edit", rank=2, selector="context", iterations=3, batch=2, trajectories=2, trajectory_steps=2, enough=99.0,
        source=("recorded", "adversarial"), options={"adversarial.steps": 1.0},
    )  # fmt: skip
    prompts = encode(denoiser, Concept("cat", replace_with="dog"), ["boat", "a tree"])
    assert train(denoiser, prompts, settings).complete
    short = denoiser.encode(["a cat", LONG])
    spread, said = token_spread(short)
    assert spread.isfinite().all() and (spread > 0).any()
    given = short.given.flatten(2)
    assert torch.equal(said.flatten(), (given != 0).any(2).float().flatten())
    moved = short.giving(short.given + 0.1 * spread * said)
    assert torch.equal(moved.given.flatten(2)[0][said[0].flatten() == 0], given[0][said[0].flatten() == 0])
    assert not torch.equal(moved.given, short.given) and torch.equal(moved.read, short.read)
