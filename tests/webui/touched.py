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

ANY, A1111, FORGE = "any", "A1111", "Forge"
LDM = "repositories/stable-diffusion-stability-ai/ldm/modules/diffusionmodules/openaimodel.py"
UNET = {A1111: LDM, FORGE: "backend/nn/unet.py"}
BLOCKS = {A1111: LDM.replace("diffusionmodules/openaimodel", "attention"), FORGE: "backend/nn/unet.py"}
LORA = {A1111: "extensions-builtin/Lora/networks.py", FORGE: "extensions-builtin/sd_forge_lora/networks.py"}
FLAGS = {A1111: "extensions-builtin/Lora/preload.py", FORGE: "extensions-builtin/sd_forge_lora/preload.py"}

TOUCHED: list[tuple[str, str | dict[str, str], str]] = [
    # family of hosts, file, names: definitions, attributes that are set, or --flags
    (ANY, "modules/shared.py", "cmd_opts opts state OptionInfo"),
    (ANY, "modules/shared_items.py", "sd_model"),
    (ANY, "modules/options.py", "add_option OptionInfo needs_reload_ui"),
    (ANY, "modules/shared_state.py", "begin end interrupted job_count job_no sampling_step sampling_steps textinfo"),
    (ANY, "modules/shared_options.py", "sd_model_checkpoint"),
    (ANY, "modules/cmd_args.py", "--api --nowebui --api-auth --no-prompt-history --lowvram"),
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
        "do_not_save_grid scripts script_args disable_extra_networks close images extra_network_data scheduler",
    ),
    (
        ANY,
        "modules/scripts.py",
        "Script AlwaysVisible title show ui process_batch post_sample samples infotext_fields paste_field_names "
        "elem_id scripts_data script_class module",
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
    (ANY, LORA, "load_networks list_available_networks"),
    (A1111, "modules/sd_models.py", "reload_model_weights alphas_cumprod get_learned_conditioning"),
    (A1111, "modules/sd_models_xl.py", "parameterization get_learned_conditioning"),
    (A1111, "modules/sd_unet.py", "current_unet"),
    (
        A1111,
        LORA,
        "networks_in_memory network_apply_weights network_current_names network_layer_name",
    ),
    (FORGE, "modules/sd_models.py", "forge_model_reload FakeInitialModel"),
    (FORGE, LORA, "load_lora_state_dict current_lora_hash"),
    (FORGE, "backend/diffusion_engine/base.py", "forge_objects forge_objects_original current_lora_hash unet clip"),
    (FORGE, "backend/diffusion_engine/sd15.py", "get_learned_conditioning"),
    (FORGE, "backend/modules/k_model.py", "predictor computation_dtype diffusion_model"),
    (FORGE, "backend/modules/k_prediction.py", "prediction_type sigmas"),
    (FORGE, "backend/patcher/base.py", "load_device lora_loader"),
    (FORGE, "backend/patcher/lora.py", "loaded_hash"),
    (FORGE, "backend/patcher/clip.py", "patcher"),
    (FORGE, "backend/sampling/sampling_function.py", "cond_or_uncond cond_mark cond_indices uncond_indices"),
    (FORGE, "backend/memory_management.py", "load_model_gpu"),
]


def missing(home: Path) -> list[str]:
    """What a checkout lacks of the table: "file: name"."""
    family = FORGE if (home / "modules_forge").is_dir() else A1111
    lacking = []
    for wanted, file, names in TOUCHED:
        if wanted in (ANY, family):
            place = file if isinstance(file, str) else file[family]
            has = names_in(home / place)
            lacking += [f"{place}: {name}" for name in names.split() if name not in has]
    return lacking


@cache
def names_in(path: Path) -> frozenset[str]:
    """Every name that a file defines or sets, on whatever object, and every string in it; empty without the file."""
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
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.id if isinstance(node, ast.Name) else node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
    return frozenset(found)


if __name__ == "__main__":
    raise SystemExit("\n".join(missing(Path(sys.argv[1]))) or 0)
