"""Loading models: each kind of file is told apart, loads without the network, or is refused in one sentence."""

from __future__ import annotations

import json
import struct

import pytest
import torch

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from lora_unlearn.demo import networks
from lora_unlearn.demo.checkpoint import save_checkpoint
from lora_unlearn.demo.ldm import VAE_PREFIX, text_names, unet_names, vae_names
from lora_unlearn.errors import UnlearnError
from lora_unlearn.families import FAMILIES
from lora_unlearn.files import write_safetensors
from lora_unlearn.hosts.checkpoints import CONFIGS, find_family, load_pipeline, usual_dtype
from lora_unlearn.hosts.dialects import Said, said

UNET_FIRST = "model.diffusion_model.input_blocks.0.0.weight"
CROSS = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"


@pytest.fixture(scope="module")
def demo_file(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("demo") / "renamed.safetensors"
    save_checkpoint(path, networks.new_unet(), networks.new_vae(), networks.new_text_encoder())
    path.with_suffix(".yaml").unlink()
    return path


@pytest.fixture(scope="module")
def demo_folder(demo_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("folder")
    load_pipeline(str(demo_file)).save_pretrained(folder)
    return folder


def draw(pipe):
    pipe.set_progress_bar_config(disable=True)
    return pipe("cat", num_inference_steps=2, generator=torch.Generator().manual_seed(1), output_type="pt").images


def zeros(path, shapes):
    """Write a safetensors file of fp16 zeros that takes up no room on the disk, whatever the shapes."""
    header, end = {}, 0
    for name, shape in shapes.items():
        size = 2 * torch.Size(shape).numel()
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    return path


def configured(family, part, kind):
    """A network of full size, without memory, from the configuration that ships with the package."""
    with torch.device("meta"):
        if issubclass(kind, CLIPTextModel | CLIPTextModelWithProjection):
            return kind(CLIPTextConfig.from_pretrained(CONFIGS / family / part))
        return kind.from_config(kind.load_config(CONFIGS / family / part))


FROM_FOLDERS = [
    ({"model.diffusion_model.cap_embedder.1.weight": (8, 2560)}, "z_image"),
    ({"double_stream_modulation_img.lin.weight": (8, 8), "double_blocks.0.img_attn.qkv.weight": (8, 8)}, "flux2"),
    ({"transformer_blocks.0.attn.add_k_proj.weight": (8, 8), "txt_norm.weight": (3584,)}, "qwen_image"),
    ({"txtfusion.projector.weight": (1, 12)}, "krea2"),
    ({"net.llm_adapter.blocks.0.cross_attn.q_proj.weight": (8, 8)}, "anima"),
]


@pytest.mark.parametrize(
    ("shapes", "family"),
    [
        ({UNET_FIRST: (8, 4, 3, 3), CROSS: (8, 768)}, "sd1"),
        ({UNET_FIRST: (8, 4, 3, 3), CROSS: (8, 1024)}, "sd2"),
        ({UNET_FIRST: (8, 4, 3, 3), CROSS: (8, 2048)}, "sdxl"),
        ({"model.diffusion_model.joint_blocks.0.context_block.adaLN_modulation.1.bias": (8,)}, "sd3"),
        ({"double_blocks.0.img_mod.lin.weight": (8, 8)}, "flux"),
        ({"model.diffusion_model.double_blocks.0.img_mod.lin.weight": (8, 8)}, "flux"),
        *FROM_FOLDERS,
    ],
    ids=["sd1", "sd2", "sdxl", "sd3", "flux", "flux in a checkpoint", *(family for _, family in FROM_FOLDERS)],
)
def test_families_are_told_by_names_and_shapes(tmp_path, shapes, family):
    assert find_family(zeros(tmp_path / "a.safetensors", shapes)) == family


@pytest.mark.parametrize(("shapes", "family"), FROM_FOLDERS, ids=[family for _, family in FROM_FOLDERS])
def test_files_of_families_that_load_from_folders_are_named(tmp_path, shapes, family):
    path = zeros(tmp_path / "a.safetensors", shapes)
    with pytest.raises(UnlearnError, match=rf"a file of {FAMILIES[family].title}, which.*ComfyUI") as found:
        load_pipeline(str(path))
    assert ("folder" in str(found.value)) == (family != "anima")


def test_lumina_is_not_taken_for_z_image(tmp_path):
    path = zeros(tmp_path / "a.safetensors", {"cap_embedder.1.weight": (8, 2304)})
    with pytest.raises(UnlearnError, match="no text-to-image checkpoint"):
        find_family(path)


def test_modular_pipelines_are_named(tmp_path):
    (tmp_path / "modular_model_index.json").write_text("{}")
    with pytest.raises(UnlearnError, match=r"modular pipeline.*ComfyUI"):
        load_pipeline(str(tmp_path))


@pytest.mark.parametrize(
    ("kind", "device", "dtype"),
    [
        ("ZImagePipeline", "cuda", torch.bfloat16),
        ("ZImagePipeline", "cpu", torch.float32),
        ("FluxPipeline", "cuda", torch.float16),
        (None, "cuda", torch.float16),
    ],
)
def test_language_models_get_the_half_precision_that_holds_them(tmp_path, kind, device, dtype):
    if kind:
        (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": kind}))
    assert usual_dtype(str(tmp_path), torch.device(device)) == dtype


@pytest.mark.parametrize(
    "shapes",
    [
        {UNET_FIRST: (8, 9, 3, 3), CROSS: (8, 768)},
        {UNET_FIRST: (8, 4, 3, 3), CROSS: (8, 1280)},
        {"lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight": (1, 8)},
        {},
    ],
    ids=["inpainting", "refiner", "LoRA", "nothing"],
)
def test_other_models_are_refused(tmp_path, shapes):
    path = zeros(tmp_path / "a.safetensors", shapes)
    with pytest.raises(UnlearnError, match=r"a\.safetensors is no text-to-image checkpoint"):
        load_pipeline(str(path))


@pytest.mark.parametrize(
    ("family", "part", "kind", "parameters"),
    [
        ("sd1", "unet", UNet2DConditionModel, 859_520_964),
        ("sd1", "vae", AutoencoderKL, 83_653_863),
        ("sd1", "text_encoder", CLIPTextModel, 123_060_480),
        ("sd2", "unet", UNet2DConditionModel, 865_910_724),
        ("sd2", "text_encoder", CLIPTextModel, 340_387_840),
        ("sdxl", "unet", UNet2DConditionModel, 2_567_463_684),
        ("sdxl", "text_encoder_2", CLIPTextModelWithProjection, 694_659_840),
    ],
)
def test_shipped_configurations_are_the_published_models(family, part, kind, parameters):
    assert sum(p.numel() for p in configured(family, part, kind).parameters()) == parameters


@pytest.fixture(scope="module")
def sd1_shapes():
    """The shapes of a Stable Diffusion 1 file."""
    unet = configured("sd1", "unet", UNet2DConditionModel)
    vae = configured("sd1", "vae", AutoencoderKL)
    text = configured("sd1", "text_encoder", CLIPTextModel)
    states = [network.state_dict() for network in (unet, vae, text)]
    names = (
        unet_names(unet.config, list(states[0])),
        vae_names(vae.config, list(states[1])),
        text_names(list(states[2])),
    )
    shapes = {}
    for state, table in zip(states, names, strict=True):
        for own, new in table.items():
            matrix = ".attn_1." in new and state[own].ndim == 2  # 1x1 convolutions in the file
            shapes[new] = (*state[own].shape, 1, 1) if matrix else tuple(state[own].shape)
    return shapes


def test_a_full_size_sd1_file_loads_without_the_hub(sd1_shapes, tmp_path):
    assert len([name for name in sd1_shapes if name.startswith("model.diffusion_model.")]) == 686
    assert len([name for name in sd1_shapes if name.startswith(VAE_PREFIX)]) == 248
    pipe = load_pipeline(str(zeros(tmp_path / "sd1.safetensors", sd1_shapes)), dtype=torch.float16)
    assert type(pipe).__name__ == "StableDiffusionPipeline"
    assert pipe.unet.config.cross_attention_dim == 768
    assert pipe.unet.dtype == torch.float16
    assert pipe.scheduler.config.prediction_type == "epsilon"
    assert pipe.tokenizer("cat").input_ids == [49406, 2368, 49407]


def test_an_old_merge_with_a_yaml_beside_it(sd1_shapes, tmp_path):
    old = {name.replace(".transformer.text_model.", ".transformer."): shape for name, shape in sd1_shapes.items()}
    path = zeros(tmp_path / "old.safetensors", old)
    path.with_suffix(".yaml").write_text('model:\n  params:\n    parameterization: "v"\n')
    pipe = load_pipeline(str(path), dtype=torch.float16)
    assert pipe.scheduler.config.prediction_type == "v_prediction"
    assert pipe.text_encoder.dtype == torch.float16
    assert not pipe.text_encoder.get_input_embeddings().weight.any()  # the file's values, not random ones


EDM_CONFIG = "          target: sgm.modules.diffusionmodules.denoiser_scaling.EDMScaling\n"


@pytest.mark.parametrize(
    ("marks", "config", "metadata", "expected"),
    [
        ([], "", {}, Said()),
        (["v_pred"], "", {}, Said("v_prediction")),
        (["v_pred", "ztsnr"], "", {}, Said("v_prediction", zero_snr=True)),
        ([], "model:\n  params:\n    parameterization: v\n", {}, Said("v_prediction")),
        ([], "    parameterization: 'v'  # as trained\n", {}, Said("v_prediction")),
        ([], "    parameterization: eps\n", {}, Said("epsilon")),
        ([], "    # parameterization: v\n", {}, Said()),
        ([], EDM_CONFIG.replace("EDMScaling", "VScaling"), {}, Said("v_prediction")),
        ([], EDM_CONFIG.replace("EDMScaling", "EpsScaling"), {}, Said()),
        ([], "", {"modelspec.prediction_type": "v"}, Said("v_prediction")),
        ([], "", {"modelspec.prediction_type": "epsilon"}, Said("epsilon")),
    ],
)
def test_what_a_file_says_of_its_prediction(tmp_path, marks, config, metadata, expected):
    path = tmp_path / "a.safetensors"
    if config:
        path.with_suffix(".yaml").write_text(config)
    assert said(path, dict.fromkeys(marks, ()), metadata) == expected


def test_a_configuration_that_is_no_text_says_nothing(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe parameterization: v")
    assert said(tmp_path / "a.safetensors", {}, {}) == Said()


@pytest.mark.parametrize(
    ("marks", "config", "name"),
    [
        (["edm_mean", "edm_std"], "", "Playground"),
        (["edm_vpred.sigma_max", "edm_vpred.sigma_min"], "", "CosXL"),
        ([], EDM_CONFIG, "EDM"),
        ([], EDM_CONFIG.replace("EDMScaling", "VScalingWithEDMcNoise"), "EDM"),
    ],
)
def test_models_with_other_noise_levels_are_refused_by_name(tmp_path, marks, config, name):
    shapes = {UNET_FIRST: (8, 4, 3, 3), CROSS: (8, 2048), **dict.fromkeys(marks, (1,))}
    path = zeros(tmp_path / "a.safetensors", shapes)
    if config:
        path.with_suffix(".yaml").write_text(config)
    with pytest.raises(UnlearnError, match=name):
        load_pipeline(str(path))


def test_a_file_that_lacks_parts_is_refused(tmp_path):
    path = zeros(tmp_path / "a.safetensors", {UNET_FIRST: (320, 4, 3, 3), CROSS: (320, 768)})
    with pytest.raises(UnlearnError, match=r"a\.safetensors (lacks|could not be loaded as sd1)") as caught:
        load_pipeline(str(path))
    assert "\n" not in str(caught.value)


def test_the_demo_loads_from_a_file_of_any_name(demo_file):
    pipe = load_pipeline(str(demo_file), dtype=torch.float64)
    assert find_family(demo_file) == "demo"
    assert pipe.unet.dtype == pipe.vae.dtype == pipe.text_encoder.dtype == torch.float64


def test_a_diffusers_folder_draws_what_the_file_draws(demo_file, demo_folder):
    assert torch.equal(draw(load_pipeline(str(demo_folder))), draw(load_pipeline(str(demo_file))))


def test_a_folder_in_half_precision_alone_loads(demo_file, tmp_path):
    load_pipeline(str(demo_file)).save_pretrained(tmp_path, variant="fp16")
    assert load_pipeline(str(tmp_path)).unet.config.cross_attention_dim == networks.TEXT["hidden_size"]


def test_a_folder_of_pickles_is_refused(demo_file, tmp_path):
    load_pipeline(str(demo_file)).save_pretrained(tmp_path, safe_serialization=False)
    with pytest.raises(UnlearnError, match="safetensors"):
        load_pipeline(str(tmp_path))


@pytest.mark.parametrize("name", ["a.ckpt", "a.pt", "a.safetensors"])
def test_pickled_checkpoints_are_refused(tmp_path, name):
    torch.save({"state_dict": {}}, tmp_path / name)
    with pytest.raises(UnlearnError, match="pickle"):
        load_pipeline(str(tmp_path / name))


def test_nothing_there(tmp_path):
    with pytest.raises(UnlearnError, match="does not exist"):
        load_pipeline(str(tmp_path / "none.safetensors"))
    with pytest.raises(UnlearnError, match=r"no model_index\.json"):
        load_pipeline(str(tmp_path))


def test_an_unknown_device_is_one_sentence(demo_file):
    with pytest.raises(UnlearnError, match="could not be moved to warp"):
        load_pipeline(str(demo_file), device="warp")


def test_damaged_demo_file(demo_file, tmp_path):
    write_safetensors(
        tmp_path / "a.safetensors",
        {UNET_FIRST: torch.zeros(8, 4, 3, 3), CROSS: torch.zeros(8, networks.TEXT["hidden_size"])},
        {},
    )
    with pytest.raises(UnlearnError, match="is not the demo model"):
        load_pipeline(str(tmp_path / "a.safetensors"))
