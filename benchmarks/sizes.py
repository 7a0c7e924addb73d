"""Memory, time and file size at the sizes of real models, with random weights: `python -m benchmarks.sizes --size sd1`.

Times and memory do not depend on what the weights hold. Needs about 6 GB (sd1) or 16 GB (sdxl) of memory on the device;
nothing is downloaded.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks import common
from lora_unlearn import Concept, Eraser, Sampling, denoiser_for, erase, generate, load_bank
from lora_unlearn.demo.networks import SCHEDULE, new_tokenizer
from lora_unlearn.erase import MODES

CLIP_L = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
CLIP_G = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20}
XL_UNET = {
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}


def main() -> None:
    """Print and keep one row of figures."""
    options = common.options(__doc__ or "", size="sd1", device="", steps=30)
    device = torch.device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    pipe = PIPELINES[options.size](torch.float16 if device.type == "cuda" else torch.float32).to(device)
    pipe.set_progress_bar_config(disable=True)
    row: dict[str, Any] = {"size": options.size, "device": str(device), "torch": torch.__version__}
    for mode in ("instant", "fast"):
        settings = MODES[mode] if mode == "instant" else replace(MODES[mode], trajectories=2, iterations=20, batch=1)
        adapter, row[mode] = measured(lambda mode=mode, settings=settings: trained(pipe, mode, settings), device)
        with tempfile.TemporaryDirectory() as folder:
            row[mode] |= {"bytes": adapter.save(Path(folder) / "eraser.safetensors").stat().st_size}
        print(mode, row[mode], flush=True)
    sampling = Sampling(steps=options.steps, batch=1)
    ways: dict[str, list[Eraser]] = {
        "plain": [],
        "closed": [Eraser(adapter, 1.0, "off")],
        "open, strength 1": [Eraser(adapter, 1.0, "on")],
        "open, strength 1.5": [Eraser(adapter, 1.5, "on")],
    }
    for name, erasers in ways.items():
        draw = lambda erasers=erasers: generate(pipe, ["a photo of a cat"], [0], sampling, erasers)  # noqa: E731
        _, row[name] = measured(draw, device)
        print(name, row[name], flush=True)
    common.write(options.out, f"sizes-{options.size}", row)


def trained(pipe: Any, mode: Any, settings: Any) -> Any:
    """An eraser of random weights, at the model's own picture size."""
    return erase(denoiser_for(pipe), Concept("cat"), load_bank("sd1"), mode, settings)


def measured(work: Callable[[], Any], device: torch.device) -> tuple[Any, dict[str, float]]:
    """A result with its seconds and, on a GPU, the peak of memory in MiB."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    started = time.perf_counter()
    result = work()
    if device.type != "cuda":
        return result, {"seconds": round(time.perf_counter() - started, 2)}
    torch.cuda.synchronize(device)
    peak = torch.cuda.max_memory_allocated(device) / 2**20
    return result, {"seconds": round(time.perf_counter() - started, 2), "MiB": round(peak)}


def sd1(dtype: torch.dtype) -> Any:
    """A pipeline of Stable Diffusion 1's size."""
    from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    return StableDiffusionPipeline(
        unet=UNet2DConditionModel(sample_size=64, cross_attention_dim=768).to(dtype),
        vae=_vae(0.18215).to(dtype),
        text_encoder=CLIPTextModel(CLIPTextConfig(**CLIP_L)).to(dtype),
        tokenizer=new_tokenizer(),
        scheduler=DDIMScheduler(**SCHEDULE, clip_sample=False, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def sdxl(dtype: torch.dtype) -> Any:
    """A pipeline of Stable Diffusion XL's size."""
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    return StableDiffusionXLPipeline(
        unet=UNet2DConditionModel(sample_size=128, **XL_UNET).to(dtype),
        vae=_vae(0.13025).to(dtype),
        text_encoder=CLIPTextModel(CLIPTextConfig(**CLIP_L)).to(dtype),
        text_encoder_2=CLIPTextModelWithProjection(CLIPTextConfig(**CLIP_G, projection_dim=1280)).to(dtype),
        tokenizer=new_tokenizer(),
        tokenizer_2=new_tokenizer(),
        scheduler=EulerDiscreteScheduler(**SCHEDULE, timestep_spacing="leading", steps_offset=1),
        force_zeros_for_empty_prompt=False,
    )


def _vae(scale: float) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=4,
        scaling_factor=scale,
    )


PIPELINES = {"demo": lambda dtype: common.pipeline(None), "sd1": sd1, "sdxl": sdxl}


if __name__ == "__main__":
    main()
