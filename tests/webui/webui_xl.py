"""Checkpoints in SDXL's layout around the demo model: two text encoders, a pooled text, size ids.

The demo's text encoder comes first. The second is random, with a linear layer that brings it to the width that SDXL's
U-Net asks for; that and the ids shift the demo's pictures a little, without spoiling them.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import Tensor

from lora_unlearn.demo.checkpoint import WEIGHTS
from lora_unlearn.demo.networks import TEXT

UNET, FIRST = "model.diffusion_model.", "conditioner.embedders.0."
IDS = 256
"""Width that each number of the size ids is brought to."""
POOLED, NARROW, EMBED = 1280, 64, 256
"""Widths: of the pooled text, of the second encoder inside, of the U-Net's embedding of the time."""


def save_xl(path: Path, text_folder: Path, refiner: bool = False) -> None:
    """Write a checkpoint and its `.yaml`; the refiner has the second text encoder alone, and a score for the ids."""
    generator = torch.Generator().manual_seed(0)
    context, ids = (1280, 5) if refiner else (2048, 6)
    own = 0 if refiner else TEXT["hidden_size"]
    tensors = _unet(generator, context, POOLED + IDS * ids, own)
    second = 0 if refiner else 1
    tensors |= _second(generator, f"conditioner.embedders.{second}.", context - own)
    if not refiner:
        tensors |= _of_demo("cond_stage_model.", FIRST)
    tensors |= _of_demo("first_stage_model.")
    save_file({name: value.half().contiguous() for name, value in tensors.items()}, path)
    path.with_suffix(".yaml").write_text(yaml.safe_dump(_config(text_folder, context, ids, own)))


def _of_demo(prefix: str, new: str | None = None) -> dict[str, Tensor]:
    """Tensors of the demo model, by another prefix."""
    kept = prefix if new is None else new
    return {kept + n.removeprefix(prefix): v.float() for n, v in load_file(WEIGHTS).items() if n.startswith(prefix)}


def _unet(generator: torch.Generator, context: int, vector: int, own: int) -> dict[str, Tensor]:
    """The demo's U-Net with linear layers where SDXL has them, keys and values of a wider text, and `label_emb`."""
    tensors = _of_demo(UNET)
    for name, value in tensors.items():
        if re.search(r"\.proj_(in|out)\.weight$", name):
            tensors[name] = value[:, :, 0, 0]
        elif re.search(r"\.attn2\.to_[kv]\.weight$", name):
            more = 0.2 * torch.randn(len(value), context - own, generator=generator)
            tensors[name] = torch.cat([value[:, :own], more], dim=1)
    for index, width in ((0, vector), (2, EMBED)):
        tensors[f"{UNET}label_emb.0.{index}.weight"] = 0.02 * torch.randn(EMBED, width, generator=generator)
        tensors[f"{UNET}label_emb.0.{index}.bias"] = torch.zeros(EMBED)
    return tensors


def _second(generator: torch.Generator, prefix: str, width: int) -> dict[str, Tensor]:
    """Random weights of the second text encoder, as open_clip names them."""

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator) / shape[-1] ** 0.5

    model = {
        "token_embedding.weight": 8 * normal(49408, NARROW),
        "positional_embedding": normal(77, NARROW),
        "text_projection": normal(POOLED, NARROW).T,
        "logit_scale": torch.ones(()),
        **_norm("ln_final"),
    }
    for layer in ("transformer.resblocks.0.", "transformer.resblocks.1."):
        model |= _norm(f"{layer}ln_1") | _norm(f"{layer}ln_2")
        for part, rows, columns in (("c_fc", 4 * NARROW, NARROW), ("c_proj", NARROW, 4 * NARROW)):
            model |= {f"{layer}mlp.{part}.weight": normal(rows, columns), f"{layer}mlp.{part}.bias": torch.zeros(rows)}
        model[f"{layer}attn.in_proj_weight"] = normal(3 * NARROW, NARROW)
        model[f"{layer}attn.in_proj_bias"] = torch.zeros(3 * NARROW)
        model[f"{layer}attn.out_proj.weight"] = normal(NARROW, NARROW)
        model[f"{layer}attn.out_proj.bias"] = torch.zeros(NARROW)
    return {
        f"{prefix}widen.weight": 0.05 * normal(width, NARROW),
        **{f"{prefix}model.{n}": v for n, v in model.items()},
    }


def _norm(name: str) -> dict[str, Tensor]:
    return {f"{name}.weight": torch.ones(NARROW), f"{name}.bias": torch.zeros(NARROW)}


def _config(text_folder: Path, context: int, ids: int, own: int) -> dict:
    """The configuration for Stability AI's own code, as A1111 reads it."""
    old = yaml.safe_load(WEIGHTS.with_suffix(".yaml").read_text())["model"]["params"]
    unet = {name: value for name, value in old["unet_config"]["params"].items() if name != "image_size"}
    unet |= {"context_dim": context, "adm_in_channels": POOLED + IDS * ids, "num_classes": "sequential"}
    unet["use_linear_in_transformer"] = True
    diffusion = "sgm.modules.diffusionmodules"
    steps = {
        "weighting_config": {"target": f"{diffusion}.denoiser_weighting.EpsWeighting"},
        "scaling_config": {"target": f"{diffusion}.denoiser_scaling.EpsScaling"},
        "discretization_config": {"target": f"{diffusion}.discretizer.LegacyDDPMDiscretization"},
    }
    params = {
        "scale_factor": old["scale_factor"],
        "disable_first_stage_autocast": True,
        "denoiser_config": {"target": f"{diffusion}.denoiser.DiscreteDenoiser", "params": {"num_idx": 1000, **steps}},
        "network_config": {"target": f"{diffusion}.openaimodel.UNetModel", "params": unet},
        "conditioner_config": {
            "target": "sgm.modules.GeneralConditioner",
            "params": {"emb_models": _embedders(text_folder, context, ids, own)},
        },
        "first_stage_config": {
            **old["first_stage_config"],
            "target": "sgm.models.autoencoder.AutoencoderKLInferenceWrapper",
        },
    }
    return {"model": {"target": "sgm.models.diffusion.DiffusionEngine", "params": params}}


def _embedders(text_folder: Path, context: int, ids: int, own: int) -> list[dict]:
    """What goes into the text and into the vector, in SDXL's order."""
    encoders = "sgm.modules.encoders.modules"
    first = {"version": str(text_folder), "layer": "last"}
    second = {"layer": "penultimate", "always_return_pooled": True, "legacy": False, "widened": context - own}
    texts = [("FrozenCLIPEmbedder", first)] if own else []
    texts.append(("NarrowOpenCLIPEmbedder2", second))
    last = "target_size_as_tuple" if ids == 6 else "aesthetic_score"
    sizes = ("original_size_as_tuple", "crop_coords_top_left", last)
    rows = [("txt", kind, params) for kind, params in texts]
    rows += [(key, "ConcatTimestepEmbedderND", {"outdim": IDS}) for key in sizes]
    return [
        {"is_trainable": False, "input_key": key, "target": f"{encoders}.{kind}", "params": params}
        for key, kind, params in rows
    ]


def save_repository(folder: Path, demo: Path) -> None:
    """The same configuration as a folder of diffusers' making, for Forge; `demo` is the demo model's."""
    shutil.copytree(demo, folder, dirs_exist_ok=True)
    for part in ("text_encoder", "tokenizer"):
        shutil.copytree(demo / part, folder / f"{part}_2", dirs_exist_ok=True)
    place = folder / "text_encoder_2" / "config.json"
    sizes = {"hidden_size": NARROW, "intermediate_size": 4 * NARROW, "num_hidden_layers": 2, "num_attention_heads": 4}
    place.write_text(json.dumps({**json.loads(place.read_text()), **sizes, "hidden_act": "gelu"}))
    index = json.loads((folder / "model_index.json").read_text())
    index |= {f"{part}_2": index[part] for part in ("text_encoder", "tokenizer")}
    (folder / "model_index.json").write_text(json.dumps({**index, "_class_name": "StableDiffusionXLPipeline"}))
