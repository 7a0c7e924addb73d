"""Models of other kinds: relatives of the demo, models stored in few bits, models that carry LoRAs already."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from comfy_workflows import ROOT
from safetensors.torch import load_file, save_file

pytestmark = pytest.mark.comfyui

CAT, DOG = "a photo of a cat", "a photo of a dog"
V = "v_prediction"
RELATIVES = {
    V: (V, "ModelSamplingDiscrete", {"sampling": V, "zsnr": False}),
    "zero terminal SNR": (V, "ModelSamplingDiscrete", {"sampling": V, "zsnr": True}),
    "flow": ("flow", "ModelSamplingSD3", {"shift": 1.0}),
}
"""Which one it is, and the stock node that tells ComfyUI what it predicts."""


@pytest.fixture(scope="module")
def order(pack):
    """What to train, in which mode."""
    training, core = pack("nodes.training"), pack("lora_unlearn")
    modes = pack("lora_unlearn.erase").MODES

    def make(mode="instant", **changes):
        return training.Order(core.Concept("cat"), mode, replace(modes[mode], **changes))

    return make


@pytest.fixture
def erased(pack, demo, order):
    """A model under an eraser that is trained for it now."""
    training, guide, core = pack("nodes.training"), pack("nodes.guide"), pack("lora_unlearn")

    def make(model, mode="instant", clip=demo.clip, **changes):
        training.CACHE.clear()
        with torch.inference_mode():
            adapter = training.train_eraser(model, clip, order(mode, **changes))
            return guide.apply_erasers(model, [core.Eraser(adapter)]), adapter

    return make


@pytest.fixture
def pictures(host, demo, sample):
    """IMAGEs of a prompt."""

    def draw(model, text, count=4):
        with torch.inference_mode():
            return host.VAEDecode().decode(demo.vae, {"samples": sample(model, text, count=count, steps=10)})[0]

    return draw


@pytest.mark.parametrize("relative", RELATIVES)
def test_relatives_of_other_parametrisations(relative, host, pack, demo, erased, pictures, seen, tmp_path, monkeypatch):
    pytest.importorskip("diffusers")
    prediction, name, settings = RELATIVES[relative]
    pipe = pack("lora_unlearn.demo.relatives").load_relative(ROOT / "tests" / "relatives" / f"{prediction}.safetensors")
    path = tmp_path / "relative.safetensors"
    pack("lora_unlearn.demo.checkpoint").save_checkpoint(path, pipe.unet, pipe.vae, pipe.text_encoder, prediction)
    monkeypatch.setattr(pack("nodes.demo"), "WEIGHTS", path)
    with torch.inference_mode():
        bare = pack("nodes.demo").load_demo()[0]
        model = host.NODE_CLASS_MAPPINGS[name]().patch(bare, **settings)[0]
    assert seen(pictures(model, CAT)).count("cat") >= 3
    under, adapter = erased(model, "fast")
    assert adapter.prediction_type == prediction
    assert "cat" not in seen(pictures(under, CAT))
    assert torch.equal(pictures(under, DOG, 1), pictures(model, DOG, 1))


@pytest.fixture
def eight_bits(pack, demo):
    """The demo model as ComfyUI loads a checkpoint with weights in fp8: stored so, computed in float32."""
    import comfy.model_management
    import comfy.model_patcher

    parts = pack("nodes.demo")
    tensors, _ = pack("lora_unlearn.files").read_safetensors(parts.WEIGHTS)
    with torch.inference_mode():
        config = parts._config()(parts.comfy.model_detection.detect_unet_config(tensors, parts.UNET_PREFIX))
        config.set_inference_dtype(torch.float8_e4m3fn, torch.float32)
        network = config.get_model(tensors, parts.UNET_PREFIX, device=torch.device("cpu"))
        own = {parts.UNET_PREFIX + k: v for k, v in parts._part(tensors, parts.UNET_PREFIX).items()}
        network.load_model_weights(own, parts.UNET_PREFIX)
    cpu = torch.device("cpu")
    return comfy.model_patcher.ModelPatcher(network.eval(), load_device=cpu, offload_device=cpu)


def test_a_model_stored_in_fp8_is_erased_from_as_well(eight_bits, erased, pictures, seen):
    weight = eight_bits.model.diffusion_model.middle_block[1].transformer_blocks[0].attn2.to_v.weight
    assert weight.dtype == torch.float8_e4m3fn
    before = weight.view(torch.uint8).clone()
    assert seen(pictures(eight_bits, CAT)).count("cat") >= 3
    under, _ = erased(eight_bits, "fast")
    assert "cat" not in seen(pictures(under, CAT))
    assert torch.equal(pictures(under, DOG, 1), pictures(eight_bits, DOG, 1))
    assert torch.equal(weight.view(torch.uint8), before)


def test_packed_weights_are_those_that_the_layer_applies(pack, erased, demo):
    """As 4-bit loaders keep them: bytes that are no numbers until the layer unpacks them."""
    with torch.inference_mode():
        packed = pack("nodes.demo").load_demo()[0]
    layer = packed.model.diffusion_model.middle_block[1].transformer_blocks[0].attn2.to_v
    plain = layer.weight
    layer.forward = lambda x: torch.nn.functional.linear(x, plain)
    layer.weight = torch.nn.Parameter(torch.zeros(plain.numel() // 2, dtype=torch.uint8), requires_grad=False)
    of_bytes, of_numbers = (erased(model)[1].lora for model in (packed, demo.model))
    for (name, ours), (_, theirs) in zip(of_bytes.items(), of_numbers.items(), strict=True):
        assert (ours.up - theirs.up).norm() < 1e-2 * theirs.up.norm(), name
        assert ours.up.norm() > 0


def test_a_lora_before_the_eraser_counts_whether_it_is_loaded_yet_or_not(host, demo, cat, erased, sample):
    import comfy.model_management
    import folder_paths

    path = cat.save(f"{folder_paths.get_folder_paths('loras')[0]}/before.safetensors")
    values = {name: torch.randn_like(value) if "down" in name else value for name, value in load_file(path).items()}
    save_file(values, path)
    with torch.inference_mode():
        model = host.LoraLoader().load_lora(demo.model, demo.clip, "before.safetensors", 0.1, 0.0)[0]
    comfy.model_management.unload_all_models()
    _, fresh = erased(model)
    sample(model, DOG)
    _, loaded = erased(model)
    _, without = erased(demo.model)
    up = [adapter.lora.layers[0].up.detach() for adapter in (fresh, loaded, without)]
    assert torch.equal(up[0], up[1])
    assert up[0].shape != up[2].shape or not torch.allclose(up[0], up[2], atol=1e-2)


def test_little_memory_for_weights_changes_nothing(host, demo, erased, sample, monkeypatch):
    """ComfyUI's low memory mode, in which every layer fetches its weight when it is called."""
    import comfy.model_management as management

    _, plenty = erased(demo.model, "fast", iterations=3)
    expected = sample(erased(demo.model)[0], CAT)
    management.unload_all_models()
    monkeypatch.setattr(management, "vram_state", management.VRAMState.NO_VRAM)
    monkeypatch.setattr(management, "is_device_cpu", lambda device: False)
    _, little = erased(demo.model, "fast", iterations=3)
    layer = demo.model.model.diffusion_model.middle_block[1].transformer_blocks[0].attn2.to_v
    assert layer.comfy_cast_weights
    assert torch.allclose(plenty.lora.layers[0].up, little.lora.layers[0].up, atol=1e-3)
    assert torch.allclose(sample(erased(demo.model)[0], CAT), expected, atol=1e-5)
    monkeypatch.undo()
    management.unload_all_models()


def test_an_eraser_knows_the_clip_skip_that_it_was_made_with(host, demo, erased):
    clips = [host.CLIPSetLastLayer().set_last_layer(demo.clip, layer)[0] for layer in (-2, -1)]
    assert [erased(demo.model, clip=clip)[1].clip_skip for clip in (*clips, demo.clip)] == [2, 0, 0]
