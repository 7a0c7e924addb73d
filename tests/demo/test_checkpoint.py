"""The demo model's file: others' readers find the same networks in it, and ours accepts nothing else."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

import yaml
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders import single_file_utils as theirs

from lora_unlearn.demo import checkpoint, networks
from lora_unlearn.demo.ldm import unet_names, vae_names
from lora_unlearn.errors import UnlearnError
from lora_unlearn.files import read_safetensors, write_safetensors

DOWN, UP = "DownBlock2D", "UpBlock2D"
CROSS_DOWN, CROSS_UP = "CrossAttnDownBlock2D", "CrossAttnUpBlock2D"
SMALL = {"cross_attention_dim": 16, "attention_head_dim": 4, "norm_num_groups": 8, "sample_size": 8}
LAYOUTS = {
    "the demo's": networks.UNET,
    "as SD1": SMALL
    | {
        "block_out_channels": (16, 32, 64, 64),
        "down_block_types": (CROSS_DOWN, CROSS_DOWN, CROSS_DOWN, DOWN),
        "up_block_types": (UP, CROSS_UP, CROSS_UP, CROSS_UP),
    },
    "one layer, attention in the middle": SMALL
    | {
        "layers_per_block": 1,
        "block_out_channels": (16, 16, 32),
        "down_block_types": (DOWN, CROSS_DOWN, DOWN),
        "up_block_types": (UP, CROSS_UP, UP),
    },
    "three layers, two levels": SMALL
    | {
        "layers_per_block": 3,
        "block_out_channels": (16, 32),
        "down_block_types": (CROSS_DOWN, DOWN),
        "up_block_types": (UP, CROSS_UP),
    },
}


@pytest.fixture(scope="module")
def trio():
    torch.manual_seed(0)
    return networks.new_unet(), networks.new_vae(), networks.new_text_encoder()


@pytest.fixture(scope="module")
def saved(trio, tmp_path_factory):
    path = tmp_path_factory.mktemp("demo") / "new" / "demo.safetensors"
    checkpoint.save_checkpoint(path, *trio)
    return path


def same_tensors(found, network):
    """The state dictionaries agree, but for the rounding to fp16."""
    expected = network.state_dict()
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name].half(), value.half()), name


def test_round_trip(trio, saved):
    for before, after in zip(trio, checkpoint.load_checkpoint(saved), strict=True):
        same_tensors(after.state_dict(), before)
        assert not after.training
        assert {value.dtype for value in after.state_dict().values()} == {torch.float32}


def test_the_file_is_small_enough_to_ship(saved):
    assert saved.stat().st_size < 25_000_000


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_diffusers_reads_every_unet_layout(layout):
    unet = UNet2DConditionModel(**layout)
    state = unet.state_dict()
    original = {new: state[own] for own, new in unet_names(unet.config, list(state)).items()}
    assert len(original) == len(state)
    found = theirs.convert_ldm_unet_checkpoint(original, unet.config)
    same_tensors(found, unet)


@pytest.mark.parametrize(("levels", "layers"), [(2, 1), (3, 2), (4, 1)])
def test_diffusers_reads_every_vae_layout(levels, layers):
    vae = AutoencoderKL(
        block_out_channels=(8, 16, 16, 16)[:levels],
        layers_per_block=layers,
        norm_num_groups=8,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
    )
    state = vae.state_dict()
    original = {new: state[own] for own, new in vae_names(vae.config, list(state)).items()}
    found = theirs.convert_ldm_vae_checkpoint(original, vae.config)
    same_tensors(found, vae)


def test_names_and_shapes_are_those_of_sd1(saved):
    tensors, metadata = read_safetensors(saved)
    shapes = {name: tuple(value.shape) for name, value in tensors.items()}
    text, widths, vae = networks.TEXT["hidden_size"], networks.UNET["block_out_channels"], networks.VAE
    unet, first, deep = "model.diffusion_model.", "first_stage_model.", vae["block_out_channels"][-1]
    assert shapes[unet + "input_blocks.0.0.weight"] == (widths[0], 4, 3, 3)
    assert shapes[unet + "time_embed.0.weight"] == (4 * widths[0], widths[0])
    assert shapes[unet + "input_blocks.3.0.op.weight"] == (widths[0], widths[0], 3, 3)
    assert shapes[unet + "middle_block.1.transformer_blocks.0.attn2.to_k.weight"] == (widths[-1], text)
    assert shapes[unet + "output_blocks.2.2.conv.weight"] == (widths[-1], widths[-1], 3, 3)
    assert shapes[unet + "out.2.weight"] == (4, widths[0], 3, 3)
    assert shapes[first + "encoder.mid.attn_1.q.weight"] == (deep, deep, 1, 1)
    assert shapes[first + "decoder.mid.attn_1.proj_out.weight"] == (deep, deep, 1, 1)
    assert shapes[first + "decoder.up.0.block.0.norm1.weight"] == (vae["block_out_channels"][1],)
    assert shapes["cond_stage_model.transformer.text_model.embeddings.token_embedding.weight"] == (49408, text)
    assert "cond_stage_model.transformer.text_model.final_layer_norm.bias" in shapes
    assert {value.dtype for value in tensors.values()} == {torch.float16}
    assert metadata["prediction_type"] == "epsilon"


def test_the_yaml_describes_the_networks(trio, saved):
    config = yaml.safe_load(saved.with_suffix(".yaml").read_text())
    tensors, _ = read_safetensors(saved)
    for network, read in (
        (trio[0], theirs.create_unet_diffusers_config_from_ldm),
        (trio[1], theirs.create_vae_diffusers_config_from_ldm),
    ):
        found = read(config, tensors)
        for key in set(found) - {"sample_size"}:
            expected = network.config[key]
            assert found[key] == (list(expected) if isinstance(expected, tuple) else expected), key
    parameters = config["model"]["params"]
    assert config["model"]["target"] == "ldm.models.diffusion.ddpm.LatentDiffusion"
    assert parameters["linear_start"] == networks.SCHEDULE["beta_start"]
    assert parameters["linear_end"] == networks.SCHEDULE["beta_end"]
    assert parameters["timesteps"] == networks.SCHEDULE["num_train_timesteps"]
    assert parameters["parameterization"] == "eps"


def test_widths_that_the_layout_lacks_write_nothing(trio, tmp_path):
    odd = UNet2DConditionModel(**networks.UNET | {"block_out_channels": (64, 96, 96)})
    with pytest.raises(ValueError, match="whole multiples"):
        checkpoint.save_checkpoint(tmp_path / "odd.safetensors", odd, *trio[1:])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("change", ["missing", "added", "shape", "nan"])
def test_other_tensors_are_refused(saved, tmp_path, change):
    tensors, metadata = read_safetensors(saved)
    name = "model.diffusion_model.out.2.bias"
    if change == "missing":
        del tensors[name]
    elif change == "added":
        tensors["model.diffusion_model.label_emb.weight"] = torch.zeros(2)
    else:
        tensors[name] = torch.zeros(5) if change == "shape" else torch.full((4,), float("nan"))
    path = tmp_path / "spoilt.safetensors"
    write_safetensors(path, tensors, metadata)
    with pytest.raises(UnlearnError, match=r"spoilt\.safetensors .*(label_emb|out\.2)"):
        checkpoint.load_checkpoint(path)


def test_the_pipeline_draws(saved):
    pipe = checkpoint.load_pipeline(saved)
    pipe.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(1)
    picture = pipe("a cat", num_inference_steps=2, generator=generator, output_type="pt").images
    assert picture.shape == (1, 3, 128, 128)
    assert picture.isfinite().all()
    assert picture.std() > 0
    assert pipe.scheduler.config.prediction_type == "epsilon"


@pytest.mark.parametrize(
    ("prediction", "scheduler", "parameterization"),
    [("v_prediction", "DDIMScheduler", "v"), ("flow", "FlowMatchEulerDiscreteScheduler", None)],
)
def test_other_predictions_come_back_with_their_scheduler(trio, tmp_path, prediction, scheduler, parameterization):
    path = tmp_path / "a.safetensors"
    checkpoint.save_checkpoint(path, *trio, prediction=prediction)
    pipe = checkpoint.load_pipeline(path)
    assert type(pipe.scheduler).__name__ == scheduler
    assert pipe.scheduler.config.get("prediction_type") in (prediction, None)
    config = path.with_suffix(".yaml")
    assert config.is_file() == (parameterization is not None)
    if parameterization:
        assert yaml.safe_load(config.read_text())["model"]["params"]["parameterization"] == parameterization


def test_missing_weights_are_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(checkpoint, "WEIGHTS", tmp_path / "demo.safetensors")
    with pytest.raises(UnlearnError, match="weights are missing"):
        checkpoint.load_demo()
