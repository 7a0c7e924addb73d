"""Every attribute of the hosts that the extension touches, and a check of that table against a checkout.

    python tests/webui/touched.py /path/to/stable-diffusion-webui

names what a new version of a host or a fork no longer has, without starting it.
"""

from __future__ import annotations

import ast
import sys
import warnings
from functools import cache
from pathlib import Path

A1111, FORGE, NEO, REFORGE = "A1111", "Forge", "Forge Neo", "reForge"
ANY, BACKEND, OWN_LDM = (A1111, FORGE, NEO, REFORGE), (FORGE, NEO), (A1111, REFORGE)
"""All families; those with Forge's backend; those on the original's way of loading a model."""
LDM = "repositories/stable-diffusion-stability-ai/ldm/modules/diffusionmodules/openaimodel.py"
PATCHED = "ldm_patched/ldm/modules/diffusionmodules/openaimodel.py"
UNET = {A1111: LDM, REFORGE: PATCHED, **dict.fromkeys(BACKEND, "backend/nn/unet.py")}
BLOCKS = {family: file.replace("diffusionmodules/openaimodel", "attention") for family, file in UNET.items()}
LORA = {family: "extensions-builtin/Lora/networks.py" for family in OWN_LDM}
LORA |= {family: "extensions-builtin/sd_forge_lora/networks.py" for family in BACKEND}
NETWORK = {family: file.replace("networks", "network") for family, file in LORA.items()}
FLAGS = {family: file.replace("networks", "preload") for family, file in LORA.items()}

TOUCHED: list[tuple[tuple[str, ...], str | dict[str, str], str]] = [
    # families of hosts, file, names: definitions, attributes that are set, or --flags
    (ANY, "modules/shared.py", "cmd_opts opts state OptionInfo"),
    (ANY, "modules/shared_items.py", "sd_model"),
    (ANY, "modules/options.py", "add_option OptionInfo needs_reload_ui"),
    (ANY, "modules/shared_state.py", "begin end interrupted job_count job_no sampling_step sampling_steps textinfo"),
    (ANY, "modules/shared_options.py", "sd_model_checkpoint CLIP_stop_at_last_layers"),
    (ANY, "modules/processing.py", "cmd_opts"),
    (ANY, "modules/cmd_args.py", "--api --nowebui --api-auth --no-prompt-history"),
    (ANY, FLAGS, "--lora-dir"),
    (ANY, "modules/paths_internal.py", "models_path"),
    (ANY, "modules/call_queue.py", "queue_lock"),
    (ANY, "modules/devices.py", "autocast dtype_unet device"),
    (ANY, "modules/prompt_parser.py", "SdConditioning batch"),
    (
        ANY,
        "modules/processing.py",
        "StableDiffusionProcessingTxt2Img process_images sample comment extra_generation_params sd_model prompt "
        "negative_prompt seed subseed steps cfg_scale width height sampler_name batch_size n_iter do_not_save_samples "
        "do_not_save_grid scripts script_args disable_extra_networks close images extra_network_data scheduler opt_f",
    ),
    (
        ANY,
        "modules/scripts.py",
        "Script AlwaysVisible title show ui process_batch post_sample samples infotext_fields paste_field_names "
        "elem_id scripts_data script_class module ScriptRunner alwayson_scripts",
    ),
    (
        ANY,
        "modules/script_callbacks.py",
        "on_ui_tabs on_ui_settings on_before_ui on_app_started on_cfg_denoiser on_script_unloaded CFGDenoiserParams x "
        "text_cond denoiser",
    ),
    (ANY, "modules/sd_samplers_cfg_denoiser.py", "CFGDenoiser step total_steps sampler"),
    (ANY, "modules/sd_samplers_common.py", "sampler_extra_args"),
    (ANY, "modules/extra_networks.py", "positional"),
    (ANY, "modules/ui_common.py", "create_refresh_button"),
    (ANY, "modules/ui_components.py", "InputAccordion"),
    (ANY, "modules/sd_models.py", "sd_checkpoint_info"),
    (ANY, "scripts/xyz_grid.py", "AxisOption axis_options label"),
    (ANY, UNET, "in_channels input_blocks middle_block output_blocks forward in_layers emb_layers"),
    (ANY, BLOCKS, "transformer_blocks attn2 to_k to_v"),
    (ANY, LORA, "load_networks list_available_networks available_networks available_network_aliases"),
    (ANY, NETWORK, "filename"),
    (OWN_LDM, "modules/sd_models.py", "reload_model_weights"),
    (OWN_LDM, "modules/sd_hijack_clip.py", "tokenizer tokenize wrapped"),
    (OWN_LDM, "modules/sd_hijack_open_clip.py", "tokenizer tokenize"),
    ((A1111,), "modules/cmd_args.py", "--lowvram"),
    ((A1111,), "modules/sd_models.py", "alphas_cumprod get_learned_conditioning"),
    (OWN_LDM, "modules/sd_models_xl.py", "parameterization get_learned_conditioning"),
    (ANY, "modules/sd_unet.py", "current_unet"),
    (
        (A1111,),
        LORA,
        "networks_in_memory network_apply_weights network_current_names network_layer_name",
    ),
    (BACKEND, "modules/sd_models.py", "forge_model_reload FakeInitialModel model_data forge_hash"),
    (BACKEND, LORA, "load_lora_state_dict current_lora_hash"),
    (BACKEND, "backend/diffusion_engine/base.py", "forge_objects forge_objects_original current_lora_hash unet clip"),
    (BACKEND, "backend/diffusion_engine/sd15.py", "get_learned_conditioning set_clip_skip text_processing_engine"),
    (BACKEND, "backend/diffusion_engine/sdxl.py", "text_processing_engine_l"),
    (BACKEND, "backend/text_processing/classic_engine.py", "tokenizer tokenize text_encoder token_embedding wrapped"),
    (BACKEND, "backend/modules/k_model.py", "predictor computation_dtype diffusion_model"),
    (BACKEND, "backend/modules/k_prediction.py", "prediction_type sigmas"),
    (BACKEND, "backend/patcher/base.py", "load_device"),
    ((FORGE,), "backend/patcher/base.py", "lora_loader"),
    ((FORGE,), "backend/patcher/lora.py", "loaded_hash"),
    (BACKEND, "backend/patcher/clip.py", "patcher"),
    (BACKEND, "backend/sampling/sampling_function.py", "cond_or_uncond cond_mark cond_indices uncond_indices"),
    (BACKEND, "backend/memory_management.py", "load_model_gpu"),
    ((NEO,), "backend/args.py", "dynamic_args ref_latents"),
    ((NEO,), "backend/diffusion_engine/base.py", "is_wan"),
    ((NEO,), "backend/diffusion_engine/zimage.py", "ZImage text_processing_engine_gemma"),
    ((NEO,), "backend/diffusion_engine/anima.py", "Anima text_processing_engine_anima"),
    ((NEO,), "backend/diffusion_engine/flux2.py", "Flux2 text_processing_engine_gemma"),
    ((NEO,), "backend/diffusion_engine/qwen.py", "QwenImage text_processing_engine_qwen"),
    ((NEO,), "backend/diffusion_engine/krea.py", "Krea2 text_processing_engine_qwen"),
    ((NEO,), "backend/diffusion_engine/flux.py", "Flux text_processing_engine_t5"),
    ((NEO,), "backend/text_processing/anima_engine.py", "qwen_tokenizer text_encoder"),
    ((NEO,), "backend/text_processing/qwen3_engine.py", "tokenizer text_encoder"),
    ((NEO,), "backend/nn/lumina.py", "cap_embedder"),
    ((NEO,), "backend/nn/flux.py", "txt_norm guidance_embed"),
    ((NEO,), "backend/nn/qwen.py", "txt_norm"),
    ((NEO,), "backend/nn/krea.py", "txtfusion txtmlp txtlayers txtdim"),
    ((NEO,), "backend/nn/llm/llama.py", "get_input_embeddings"),
    ((NEO,), "backend/nn/t5.py", "shared"),
    ((NEO,), "backend/modules/k_prediction.py", "timestep"),
    ((NEO,), "backend/patcher/vae.py", "latent_channels"),
    ((NEO,), "backend/loader.py", "config"),
    (
        (NEO,),
        "modules_forge/packages/comfy/utils.py",
        "z_image_to_diffusers flux_to_diffusers krea2_to_diffusers",
    ),
    ((NEO,), "modules_forge/packages/huggingface_guess/model_list.py", "nunchaku"),
    ((REFORGE,), LORA, "load_lora_state_dict current_lora_hash"),
    ((REFORGE,), "modules_forge/forge_loader.py", "forge_objects forge_objects_original current_lora_hash unet clip"),
    ((REFORGE,), "modules_forge/forge_clip.py", "encode_with_transformers"),
    ((REFORGE,), "ldm_patched/modules/model_base.py", "model_sampling manual_cast_dtype get_dtype diffusion_model"),
    ((REFORGE,), "ldm_patched/modules/model_sampling.py", "EPS V_PREDICTION sigmas"),
    ((REFORGE,), "ldm_patched/modules/model_patcher.py", "load_device"),
    ((REFORGE,), "ldm_patched/modules/sd.py", "patcher"),
    ((REFORGE,), "ldm_patched/modules/samplers.py", "cond_or_uncond"),
    ((REFORGE,), "ldm_patched/modules/model_management.py", "load_model_gpu"),
]


def family_of(home: Path) -> str:
    """Which family a checkout belongs to, by the folders that it is made of."""
    if (home / "backend").is_dir():
        return NEO if (home / "modules_forge" / "packages").is_dir() else FORGE
    return REFORGE if (home / "ldm_patched").is_dir() else A1111


def missing(home: Path) -> list[str]:
    """What a checkout lacks of the table: "file: name"."""
    family, lacking = family_of(home), []
    for families, file, names in TOUCHED:
        if family in families:
            place = file if isinstance(file, str) else file[family]
            has = names_in(home / place)
            lacking += [f"{place}: {name}" for name in names.split() if name not in has]
    return lacking


@cache
def names_in(path: Path) -> frozenset[str]:
    """Every name that a file defines, imports or sets, and every string in it; empty without the file."""
    if not path.is_file():
        return frozenset()
    found = set[str]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a host's backslashes
        tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.alias):
            found.add(node.asname or node.name)
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.id if isinstance(node, ast.Name) else node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
    return frozenset(found)


if __name__ == "__main__":
    raise SystemExit("\n".join(missing(Path(sys.argv[1]))) or 0)
