"""Files that people with small graphics cards load: GGUF by its own custom nodes, and fp8 with scales."""

from __future__ import annotations

import asyncio
import os
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from comfy_graphs import one_node, plain

pytestmark = pytest.mark.comfyui

GGUF = Path(os.environ.get("COMFYUI_GGUF_PATH") or Path.home() / ".cache/lora-unlearn/hosts/ComfyUI-GGUF")
CAT, DOG = "a photo of a cat", "a photo of a dog"


@pytest.fixture
def gguf_file(host, values, tmp_path):
    """The demo's network in a .gguf of some kind, where ComfyUI-GGUF lists it."""
    gguf = pytest.importorskip("gguf", reason="the Python package gguf is not installed")
    if not (GGUF / "nodes.py").is_file():
        pytest.skip(f"there is no ComfyUI-GGUF in {GGUF}; COMFYUI_GGUF_PATH may name another folder")
    import folder_paths

    if "UnetLoaderGGUF" not in host.NODE_CLASS_MAPPINGS:
        assert asyncio.run(host.load_custom_node(str(GGUF), module_parent="custom_nodes"))
    folder_paths.add_model_folder_path("diffusion_models", str(tmp_path))

    def write(kind):
        path, wanted = tmp_path / f"demo-{kind}.gguf", gguf.GGMLQuantizationType[kind]
        writer = gguf.GGUFWriter(path, "sd1")
        for name, value in values.items():
            qtype = gguf.GGMLQuantizationType.F32 if value.ndim < 2 else gguf.GGMLQuantizationType.F16
            data = value.numpy()
            if value.ndim == 2 and value.numel() % 32 == 0:  # in rows of a block, with the shape beside them
                writer.add_array(f"comfy.gguf.orig_shape.{name}", [int(side) for side in value.shape])
                data, qtype = data.reshape(-1, 32), wanted
            writer.add_tensor(name, gguf.quants.quantize(data, qtype), raw_dtype=qtype)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path.name

    return write


def with_model(graph, name):
    """A graph whose network comes from a .gguf; text encoder and VAE stay the demo's."""
    swapped = {
        node: (kind, {key: ("9", 0) if value == ("1", 0) else value for key, value in inputs.items()})
        for node, (kind, inputs) in graph.items()
    }
    return {**swapped, "9": ("UnetLoaderGGUF", {"unet_name": name})}


@pytest.mark.parametrize(("kind", "preset"), [("Q8_0", "quick"), ("Q8_0", "balanced"), ("Q4_0", "quick")])
def test_a_gguf_model_is_erased_from_as_any_other(kind, preset, gguf_file, run, seen):
    name = gguf_file(kind)
    bare = run(with_model(plain(), name))
    assert bare.error is None
    assert seen(bare.outputs["7"][0][0]).count("cat") >= 3
    done = run(with_model(one_node(preset=preset), name))
    assert done.error is None
    assert "cat" not in seen(done.outputs["7"][0][0])
    dogs = [run(with_model(graph, name)).outputs["7"][0][0] for graph in (one_node(DOG, preset=preset), plain(DOG))]
    assert torch.equal(*dogs)
    again = run(with_model(plain(), name))
    assert torch.equal(again.outputs["7"][0][0], bare.outputs["7"][0][0])


def test_another_quantisation_of_a_model_is_another_model(gguf_file, run, pack):
    cache = pack("nodes.training").CACHE
    cache.clear()
    for count, kind in enumerate(("Q8_0", "Q4_0"), start=1):
        for _ in range(2):
            done = run(with_model(one_node(count=1, preset="quick"), gguf_file(kind)))
            assert done.error is None
            assert cache.summary().startswith(f"kept erasers: {count},")


def in_fp8(values):
    """A network in fp8, each layer's values over a scale of its own, as files of large models come; loaded."""
    import comfy.sd

    stored = {"scaled_fp8": torch.zeros(2, dtype=torch.float8_e4m3fn)}
    for name, value in values.items():
        if value.ndim == 2 and name.endswith(".weight"):
            scale = value.abs().max() / 448
            stored[name.replace(".weight", ".scale_weight")] = scale
            value = (value / scale).to(torch.float8_e4m3fn)
        stored[name] = value
    with torch.inference_mode():
        return comfy.sd.load_diffusion_model_state_dict(stored)


@pytest.mark.parametrize("mode", ["instant", "fast"])
def test_a_model_in_fp8_with_scales_is_erased_from_as_any_other(mode, values, host, pack, demo, sample, seen):
    training, guide, core = pack("nodes.training"), pack("nodes.guide"), pack("lora_unlearn")
    scaled = in_fp8(values)
    order = training.Order(core.Concept("cat"), mode, pack("lora_unlearn.erase").MODES[mode], keep_on_disk=False)

    def things(model, text=CAT):
        latents = {"samples": sample(model, text, count=4, steps=10)}
        with torch.inference_mode():
            return seen(host.VAEDecode().decode(demo.vae, latents)[0])

    assert things(scaled).count("cat") >= 3
    before = sample(scaled, DOG)
    with torch.inference_mode():
        adapter = training.train_eraser(scaled, demo.clip, order)
        under = guide.apply_erasers(scaled, [core.Eraser(adapter)])
    assert "cat" not in things(under)
    assert torch.equal(sample(under, DOG), before) and torch.equal(sample(scaled, DOG), before)


@pytest.mark.parametrize("offload", [False, True], ids=["kept", "in main memory"])
def test_gradients_pass_through_layers_in_fp8_with_scales(offload, host, pack, demo):
    """In a network that changes its activations in place; what an update does is what the gradient says."""
    import comfy_tiny

    model = in_fp8({name: value.clone() for name, value in comfy_tiny.sd3().model.diffusion_model.state_dict().items()})
    denoiser = pack("nodes.denoiser").ComfyDenoiser(model, demo.clip, (64, 64))
    activations, lora = pack("lora_unlearn.activations"), pack("lora_unlearn.lora")
    with torch.inference_mode(), torch.inference_mode(False):
        targets, rows = denoiser.linears("cross_kv"), denoiser.encode(["a cat"])
        made = lora.new_lora(targets, 2, 1.0, torch.Generator().manual_seed(1))
        x, sigma = denoiser.initial_noise(1, torch.Generator().manual_seed(0)), denoiser.sigmas(4)[1:2]
        with made.attached(targets), made.rows(torch.ones(1)):

            def loss():
                with activations.offloaded() if offload else nullcontext():
                    return denoiser.predict(x, sigma, rows).float().square().mean()

            loss().backward()
            layer = max(made.layers, key=lambda layer: float(layer.up.grad.norm()))
            step, slope = layer.up.grad / layer.up.grad.norm() * 3e-2, float(layer.up.grad.norm()) * 3e-2
            with torch.no_grad():
                layer.up += step
                high = float(loss())
                layer.up -= 2 * step
                low = float(loss())
    assert (high - low) / 2 == pytest.approx(slope, rel=0.15)
