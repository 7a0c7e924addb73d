"""The five families, tiny and random: shapes, gradients, the stock loader's result, and weights left alone."""

from __future__ import annotations

import pytest
import torch
from comfy_graphs import made_by

pytestmark = pytest.mark.comfyui

FAMILIES = ["sd1", "sd2", "sdxl", "sd3", "flux"]
PLACES = [(family, selector) for family in FAMILIES for selector in ("cross_kv", "all_but_cross")]
PLACES += [("sd3", "context"), ("flux", "context")]


@pytest.fixture(scope="module")
def build(host):
    """A tiny MODEL as a node builds it."""
    import comfy_tiny

    def make(family):
        with torch.inference_mode():
            return getattr(comfy_tiny, family)()

    return make


@pytest.fixture
def adapter(pack, demo):
    """An eraser with random values for a MODEL and a set of layers."""
    lora, denoiser = pack("lora_unlearn.lora"), pack("nodes.denoiser")
    core = pack("lora_unlearn")

    def make(model, selector):
        own = denoiser.ComfyDenoiser(model, demo.clip)
        random = lora.new_lora(own.linears(selector), 2, 1.0, torch.Generator().manual_seed(1))
        for layer in random.layers:
            torch.nn.init.normal_(layer.up, std=0.02, generator=torch.Generator().manual_seed(2))
        random.round_to_half()
        settings = core.Settings(selector=selector)
        gate = core.Gate(statistic="text", text_closed=1.0, text_open=1.0)
        return core.Adapter(random, core.Concept("cat"), settings, gate, own.family, "0" * 16)

    return make


def latents(host, demo, model, text="a cat", cfg=1.0, steps=1):
    with torch.inference_mode():
        positive = host.CLIPTextEncode().encode(demo.clip, text)[0]
        negative = host.CLIPTextEncode().encode(demo.clip, "")[0]
        channels = model.get_model_object("latent_format").latent_channels
        latent = {"samples": torch.zeros(1, channels, 8, 8)}
        return host.KSampler().sample(model, 3, steps, cfg, "euler", "simple", positive, negative, latent)[0]["samples"]


@pytest.mark.parametrize(("family", "selector"), PLACES, ids=["-".join(place) for place in PLACES])
def test_the_stock_loader_makes_the_same_of_the_file(family, selector, host, pack, demo, build, adapter):
    import comfy.sd
    import comfy.utils
    import folder_paths

    guide, core, model = pack("nodes.guide"), pack("lora_unlearn"), build(family)
    made = adapter(model, selector)
    path = made.save(f"{folder_paths.get_folder_paths('loras')[0]}/{family}.safetensors")
    with torch.inference_mode():
        stock, _ = comfy.sd.load_lora_for_models(model, None, comfy.utils.load_torch_file(str(path)), 1.0, 0.0)
        ours = guide.apply_erasers(model, [core.Eraser(made, 1.0, "on")])
        closed = guide.apply_erasers(model, [core.Eraser(made, 1.0, "auto")])
    base = latents(host, demo, model)
    theirs = latents(host, demo, stock)
    scale = base.abs().max()
    assert (theirs - base).abs().max() / scale > 1e-3
    rounding = 1e-4 if selector == "all_but_cross" else 1e-5  # it piles up over dozens of layers
    assert (latents(host, demo, ours) - theirs).abs().max() / scale < rounding
    several = {"cfg": 4.0, "steps": 3}
    assert torch.equal(latents(host, demo, closed, **several), latents(host, demo, model, **several))


def guided(host, demo, model, guider, text="a cat"):
    """Latents as graphs for these families draw them: a guider node and Sampler Custom (Advanced)."""
    with torch.inference_mode():
        positive, negative = (made_by(host, "CLIPTextEncode", clip=demo.clip, text=words) for words in (text, ""))
        if guider == "BasicGuider":
            positive = made_by(host, "FluxGuidance", conditioning=positive, guidance=3.5)
            chosen = made_by(host, guider, model=model, conditioning=positive)
        else:
            chosen = made_by(host, guider, model=model, positive=positive, negative=negative, cfg=4.0)
        return made_by(
            host,
            "SamplerCustomAdvanced",
            noise=made_by(host, "RandomNoise", noise_seed=3),
            guider=chosen,
            sampler=made_by(host, "KSamplerSelect", sampler_name="euler"),
            sigmas=made_by(host, "BasicScheduler", model=model, scheduler="simple", steps=3, denoise=1.0),
            latent_image=made_by(host, "EmptySD3LatentImage", width=64, height=64, batch_size=1),
        )["samples"]


@pytest.mark.parametrize("guider", ["BasicGuider", "CFGGuider"])
@pytest.mark.parametrize("family", ["sd3", "flux"])
def test_under_the_guiders_of_these_families_a_closed_gate_changes_no_bit(
    family, guider, host, pack, demo, build, adapter
):
    guide, core, model = pack("nodes.guide"), pack("lora_unlearn"), build(family)
    made = adapter(model, "context")
    with torch.inference_mode():
        opened, closed = (guide.apply_erasers(model, [core.Eraser(made, 1.0, mode)]) for mode in ("on", "auto"))
    base = guided(host, demo, model, guider)
    assert torch.equal(guided(host, demo, closed, guider), base)
    assert (guided(host, demo, opened, guider) - base).abs().max() / base.abs().max() > 1e-3
    assert torch.equal(guided(host, demo, model, guider), base)


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_reach_the_adapter_and_no_weight_changes(family, pack, demo, build, adapter):
    model = build(family)
    selector = "all_but_cross" if family in ("sd3", "flux") else "cross_kv"
    made = adapter(model, selector)
    before = {name: value.clone() for name, value in model.model.named_parameters()}
    denoiser = pack("nodes.denoiser").ComfyDenoiser(model, demo.clip, (64, 64))
    with torch.inference_mode(), torch.inference_mode(False):
        rows = denoiser.encode(["a cat", "a dog on a red background"])
        x, sigma = denoiser.initial_noise(2, torch.Generator().manual_seed(0)), denoiser.sigmas(4)[1:3]
        assert denoiser.sigmas(4).shape == (5,) and denoiser.sigmas(4)[-1] == 0
        targets = denoiser.linears(selector)
        with torch.no_grad():
            base = denoiser.predict(x, sigma, rows)
        with made.lora.attached(targets), made.lora.rows(torch.ones(2)):

            def loss():
                return (denoiser.predict(x, sigma, rows) - base).square().mean()

            loss().backward()
            layer = max(made.lora.layers, key=lambda layer: float(layer.up.grad.norm()))
            with torch.no_grad():
                step = layer.up.grad / layer.up.grad.norm() * 1e-3
                slope = float(layer.up.grad.norm()) * 1e-3
                layer.up += step
                high = float(loss())
                layer.up -= 2 * step
                low = float(loss())
    assert all(torch.isfinite(parameter.grad).all() for parameter in made.lora.parameters())
    assert (high - low) / 2 == pytest.approx(slope, rel=0.1)
    assert all(torch.equal(before[name], value) for name, value in model.model.named_parameters())


SIZES = {
    "sd1": ("SD15", {"context_dim": 768, "use_linear_in_transformer": False}, 768, {"cross_v": 16, "cross_kv": 32}),
    "sd2": ("SD20", {"context_dim": 1024, "use_linear_in_transformer": True}, 1024, {"cross_v": 16, "cross_kv": 32}),
    "sdxl": ("SDXL", {"context_dim": 2048, "use_linear_in_transformer": True}, 2048, {"cross_v": 70, "cross_kv": 140}),
}
"""ComfyUI's description of the real models, the width of their text, and how many layers there are to train."""
REAL = {
    "sd1": dict(num_res_blocks=[2] * 4, channel_mult=[1, 2, 4, 4], transformer_depth=[1, 1, 1, 1, 1, 1, 0, 0]),
    "sdxl": dict(num_res_blocks=[2] * 3, channel_mult=[1, 2, 4], transformer_depth=[0, 0, 2, 2, 10, 10]),
}
REAL["sd1"] |= dict(transformer_depth_middle=1, transformer_depth_output=[1] * 9 + [0] * 3)
REAL["sd2"] = REAL["sd1"]
REAL["sdxl"] |= dict(transformer_depth_middle=10, transformer_depth_output=[10] * 3 + [2] * 3 + [0] * 3)
REAL["sdxl"] |= dict(num_classes="sequential", adm_in_channels=2816)


@pytest.mark.parametrize("family", SIZES)
def test_the_real_widths_of_a_family(family, host, pack):
    """The networks of full size, without memory: only the names and shapes of their layers."""
    from types import SimpleNamespace

    import comfy.supported_models
    import comfy_tiny

    name, more, width, counts = SIZES[family]
    config = getattr(comfy.supported_models, name)({**comfy_tiny.UNET, "model_channels": 320, **REAL[family], **more})
    config.set_inference_dtype(torch.float16, None)
    model = SimpleNamespace(model=config.get_model({}, "", device=torch.device("meta")))
    families, choose = pack("nodes.families"), pack("lora_unlearn.hosts.layers").choose
    assert families.family_of(model) == family
    every = families.linears(model, family)
    for selector, count in counts.items():
        found = choose(every, pack("lora_unlearn.families").FAMILIES[family].layers, selector)
        assert len(found) == count
        assert {target.shape[1] for target in found.values()} == {width}
        assert {target.shape[0] for target in found.values()} <= {320, 640, 1280}


def test_another_kind_of_model_is_named_in_one_sentence(pack, build, demo):
    import comfy.model_base

    core, denoiser, model = pack("lora_unlearn"), pack("nodes.denoiser"), build("sdxl")
    model.model.__class__ = comfy.model_base.SDXL_instructpix2pix
    with pytest.raises(core.UnlearnError, match="of the kind SDXL_instructpix2pix, but erasing works on"):
        denoiser.ComfyDenoiser(model, demo.clip)


def test_the_demo_has_the_same_name_in_every_host(pack, demo):
    core, denoiser = pack("lora_unlearn"), pack("nodes.denoiser").ComfyDenoiser(demo.model, demo.clip)
    checkpoint = pytest.importorskip("diffusers") and pack("lora_unlearn.demo.checkpoint")
    other, base_hash = core.denoiser_for(checkpoint.load_demo()), pack("lora_unlearn.denoiser").base_hash
    assert base_hash(denoiser) == base_hash(other)
    for selector in ("cross_kv", "all_but_cross"):
        ours, theirs = denoiser.linears(selector), other.linears(selector)
        assert {name: target.shape for name, target in ours.items()} == {n: t.shape for n, t in theirs.items()}
    text = "a photo of a cat", ""
    assert torch.allclose(denoiser.encode(text).tensors["text"], other.encode(text).tensors["text"], atol=1e-5)
    with torch.no_grad():
        x, sigma = other.initial_noise(2, torch.Generator().manual_seed(0)), other.sigmas(5)[1].expand(2)
        theirs = other.predict(x, sigma, other.encode(text))
        assert torch.allclose(denoiser.predict(x, sigma, denoiser.encode(text)), theirs, atol=2e-3)
