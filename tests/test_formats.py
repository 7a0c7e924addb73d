"""LoRA files for other programs: what they load is what we trained."""

from __future__ import annotations

import copy
import json

import pytest
import torch

from lora_unlearn.errors import UnlearnError
from lora_unlearn.files import write_safetensors
from lora_unlearn.formats import (
    PEFT_CONFIG,
    from_diffusers,
    from_peft,
    from_stock,
    kohya_name,
    load_peft,
    save_peft,
    to_diffusers,
    to_peft,
    to_stock,
)
from lora_unlearn.lora import Lora, LoraLayer

BLOCK = "transformer_blocks.0.attn2.to_k"


def random_lora(shapes, ranks=(2,), scales=(1.5,)):
    """A LoRA for modules of (out, in) shapes, in values that float16 holds exactly."""
    generator, layers = torch.Generator().manual_seed(3), {}
    for index, (name, (out, width)) in enumerate(shapes.items()):
        rank = ranks[index % len(ranks)]
        down, up = (torch.randn(shape, generator=generator).half().float() for shape in ((rank, width), (out, rank)))
        layers[name] = LoraLayer(down / 8, up / 8, scales[index % len(scales)])
    return Lora(layers)


def same(one, other, tolerance=0.0):
    assert one.names == other.names
    x = torch.randn(5, 8)
    for (_, mine), (_, theirs) in zip(one.items(), other.items(), strict=True):
        torch.testing.assert_close(mine(x), theirs(x), atol=tolerance, rtol=tolerance)


MODULES = {"down_blocks.0.attentions.1." + BLOCK: (6, 8), "mid_block.attentions.0." + BLOCK: (4, 8)}


@pytest.mark.parametrize(
    ("family", "module", "stem"),
    [
        ("sd1", "down_blocks.0.attentions.1." + BLOCK, "down_blocks_0_attentions_1_transformer_blocks_0_attn2_to_k"),
        ("demo", "mid_block.attentions.0.proj_in", "mid_block_attentions_0_proj_in"),
        ("sdxl", "down_blocks.1.attentions.0." + BLOCK, "input_blocks_4_1_transformer_blocks_0_attn2_to_k"),
        ("sdxl", "down_blocks.2.attentions.1." + BLOCK, "input_blocks_8_1_transformer_blocks_0_attn2_to_k"),
        ("sdxl", "mid_block.attentions.0." + BLOCK, "middle_block_1_transformer_blocks_0_attn2_to_k"),
        ("sdxl", "up_blocks.1.attentions.2." + BLOCK, "output_blocks_5_1_transformer_blocks_0_attn2_to_k"),
        ("sdxl", "down_blocks.0.resnets.0.time_emb_proj", "input_blocks_1_0_emb_layers_1"),
        ("sdxl", "mid_block.resnets.1.time_emb_proj", "middle_block_2_emb_layers_1"),
    ],
)
def test_kohya_names_of_unets(family, module, stem):
    assert kohya_name(family, module) == "lora_unet_" + stem


@pytest.mark.parametrize("family", ["sd3", "flux"])
def test_kohya_names_of_transformers(family):
    name = kohya_name(family, "transformer_blocks.3.attn.add_k_proj")
    assert name == "lora_transformer_transformer_blocks_3_attn_add_k_proj"


@pytest.mark.parametrize("family", ["sd1", "sdxl", "sd3", "flux"])
def test_stock_files_come_back(family):
    lora = random_lora(MODULES, ranks=(2, 4), scales=(2.0, 1.0))
    tensors = to_stock(lora, family)
    same(from_stock(tensors, lora.names, family), lora)
    assert {tensor.dtype for name, tensor in tensors.items() if not name.endswith(".alpha")} == {torch.float16}


@pytest.mark.parametrize("ranks", [(2,), (2, 3)])
def test_layers_with_scales_of_their_own_share_one_alpha_in_a_file(ranks):
    lora = random_lora(MODULES, ranks=ranks, scales=(1.0, 0.3))
    tensors = to_stock(lora, "sd1")
    assert {float(tensor) for name, tensor in tensors.items() if name.endswith(".alpha")} == {float(max(ranks))}
    same(from_stock(tensors, lora.names, "sd1"), lora, 1e-3)


@pytest.mark.parametrize("family", ["sd1", "sd3"])
def test_incomplete_stock_files_are_refused(family):
    lora = random_lora(MODULES)
    tensors = to_stock(lora, family)
    partner = next(name for name in tensors if name.endswith(("lora_up.weight", "lora_B.weight")))
    with pytest.raises(UnlearnError, match="no part of a LoRA"):
        from_stock({name: tensor for name, tensor in tensors.items() if name != partner}, lora.names, family)
    with pytest.raises(UnlearnError, match="no part of a LoRA"):
        from_stock({**tensors, "lora_te_text_model.alpha": torch.tensor(1.0)}, lora.names, family)
    with pytest.raises(UnlearnError, match=r"lacks tensors for 1 layers \(first: another\)"):
        from_stock(tensors, [*lora.names, "another"], family)


def test_diffusers_state_dicts_come_back_with_their_alpha():
    lora = random_lora(MODULES)
    tensors = to_diffusers(lora, "sd1")
    same(from_diffusers(tensors), lora, 1e-6)
    name = lora.names[0]
    halved = from_diffusers({**tensors, f"unet.{name}.alpha": torch.tensor(1.0)})
    x = torch.randn(5, 8)
    torch.testing.assert_close(2 * halved.layers[0](x), lora.layers[0](x))


@pytest.mark.parametrize(
    "change",
    [
        {"text_encoder.a.lora_A.weight": torch.zeros(1, 4), "text_encoder.a.lora_B.weight": torch.zeros(4, 1)},
        {"unet.conv.lora_A.weight": torch.zeros(1, 4, 3, 3), "unet.conv.lora_B.weight": torch.zeros(4, 1, 1, 1)},
        {"unet.a.lora_A.weight": torch.zeros(2, 4), "unet.a.lora_B.weight": torch.zeros(4, 3)},
    ],
    ids=["text encoder", "convolution", "ranks"],
)
def test_other_tensors_are_refused(change):
    with pytest.raises(UnlearnError, match="no part of a LoRA"):
        from_diffusers({**to_diffusers(random_lora(MODULES), "sd1"), **change})
    with pytest.raises(UnlearnError, match="no part of a LoRA"):
        from_diffusers({})


def test_peft_folders_come_back(tmp_path):
    lora = random_lora(MODULES, ranks=(2, 3), scales=(1.0, 2.0))
    same(load_peft(save_peft(lora, tmp_path / "adapter")), lora)


@pytest.mark.parametrize(
    "change",
    [
        {"peft_type": "LOHA"},
        {"use_rslora": True},
        {"use_dora": True},
        {"init_lora_weights": "pissa"},
        {"init_lora_weights": "pissa_niter_4"},
        {"init_lora_weights": "olora"},
        {"init_lora_weights": "loftq"},
        {"init_lora_weights": {}},
    ],
)
def test_other_peft_adapters_are_refused(change):
    config, tensors = to_peft(random_lora(MODULES))
    with pytest.raises(UnlearnError, match="no plain LoRA"):
        from_peft({**config, **change}, tensors)


@pytest.mark.parametrize(
    ("patterns", "alphas"),
    [
        ({"attn2.to_k": 8}, (8, 8)),
        ({"down_blocks.*to_k": 8}, (8, 2)),
        ({r"down_blocks\.0\.attentions\.1\." + BLOCK: 6, "to_k": 8}, (6, 8)),
        ({"to_k": 8, r"down_blocks\.0\.attentions\.1\." + BLOCK: 6}, (8, 8)),
        ({"o_k": 8}, (2, 2)),
        (None, (2, 2)),
    ],
)
def test_the_patterns_of_peft_count_as_they_do_there(patterns, alphas):
    config, tensors = to_peft(random_lora(MODULES))
    lora = from_peft({**config, "lora_alpha": 2, "alpha_pattern": patterns, "init_lora_weights": "gaussian"}, tensors)
    assert tuple(layer.alpha for _, layer in lora.items()) == alphas


@pytest.mark.parametrize("change", [{"alpha_pattern": {"(": 1}}, {"alpha_pattern": [1]}, {"lora_alpha": "8"},
                                    {"lora_alpha": 1e300}, {"lora_alpha": None}])  # fmt: skip
def test_what_peft_could_not_mean_is_one_sentence(change):
    config, tensors = to_peft(random_lora(MODULES))
    with pytest.raises(UnlearnError, match=r"\.$"):
        from_peft({**config, "alpha_pattern": {}, **change}, tensors)


def test_a_damaged_peft_folder_is_one_sentence(tmp_path):
    save_peft(random_lora(MODULES), tmp_path)
    (tmp_path / PEFT_CONFIG).write_text("{")
    with pytest.raises(UnlearnError, match=r"adapter_config\.json cannot be read"):
        load_peft(tmp_path)


@pytest.fixture(scope="module", params=["sd1", "sd2", "sdxl", "sd3", "sd35_without_t5", "flux"])
def denoiser(request):
    pytest.importorskip("diffusers")
    pytest.importorskip("peft")
    import tiny

    from lora_unlearn.hosts.diffusers import denoiser_for

    return denoiser_for(tiny.new_pipeline(request.param), tiny.SIZE)


def predictions(denoiser, lora, selector):
    """A function that predicts for one fixed state; what it gives bare, and with our LoRA attached."""
    rows, x = denoiser.encode(["a cat"]), denoiser.initial_noise(1, torch.Generator().manual_seed(0))
    sigma = denoiser.sigmas(4)[1].expand(1)

    def predict():
        with torch.no_grad():
            return denoiser.predict(x, sigma, rows)

    bare = predict()
    with lora.attached(denoiser.linears(selector)), lora.rows(torch.ones(1)):
        return predict, bare, predict()


@pytest.mark.parametrize("selector", ["cross_kv", "context", "all_but_cross"])
@pytest.mark.parametrize("form", [to_stock, to_diffusers])
def test_diffusers_loads_our_files_as_ordinary_loras(denoiser, selector, form, tmp_path):
    if selector == "context" and denoiser.prediction_type != "flow":
        selector = "cross_kv"
    shapes = {name: target.shape for name, target in denoiser.linears(selector).items()}
    lora = random_lora(shapes, ranks=(2, 3), scales=(1.0, 3.0))  # trained layers have scales, joined ones own ranks
    predict, bare, adapted = predictions(denoiser, lora, selector)
    path = tmp_path / "eraser.safetensors"
    write_safetensors(path, form(lora, denoiser.family), {"format": "pt"})
    denoiser.pipe.load_lora_weights(str(path), adapter_name="eraser")
    loaded = predict()
    denoiser.pipe.unload_lora_weights()
    change = (adapted - bare).abs().max()
    assert change > 1e-3
    assert (loaded - adapted).abs().max() < min(1e-3, 0.02 * change)


def test_peft_computes_what_we_compute(denoiser, tmp_path):
    from peft import PeftModel

    targets = denoiser.linears("cross_kv")
    lora = random_lora({name: target.shape for name, target in targets.items()}, ranks=(2, 3), scales=(1.0, 3.0))
    predict, bare, adapted = predictions(denoiser, lora, "cross_kv")
    save_peft(lora, tmp_path)
    assert json.loads((tmp_path / PEFT_CONFIG).read_text())["r"] == 3
    own = denoiser.network
    denoiser.network = PeftModel.from_pretrained(copy.deepcopy(own), tmp_path)
    loaded = predict()
    denoiser.network = own
    assert (adapted - bare).abs().max() > 1e-3
    torch.testing.assert_close(loaded, adapted, atol=1e-5, rtol=1e-4)


def test_anima_s_file_has_the_names_of_its_own_code_and_diffusers_finds_every_layer():
    blocks = ("attn1.to_q", "attn2.to_k", "attn2.to_out.0", "ff.net.0.proj", "norm2.linear_1")
    names = [f"transformer_blocks.3.{name}" for name in blocks] + ["patch_embed.proj", "proj_out"]
    lora = random_lora(dict.fromkeys(names, (6, 8)), scales=(1.0,))
    file = to_stock(lora, "anima")
    assert "diffusion_model.blocks.3.cross_attn.k_proj.lora_A.weight" in file
    assert "diffusion_model.x_embedder.proj.1.lora_B.weight" in file
    same(from_stock(file, lora.names, "anima"), lora, 1e-3)
    loaders = pytest.importorskip("diffusers.loaders.lora_pipeline")
    if not hasattr(loaders, "AnimaLoraLoaderMixin"):
        pytest.skip("diffusers before Anima")
    read = loaders.AnimaLoraLoaderMixin.lora_state_dict(dict(file))
    assert read.keys() == to_diffusers(lora, "anima").keys()
