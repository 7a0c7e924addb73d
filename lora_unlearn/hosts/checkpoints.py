"""Loading a model for the standalone app and the command line: the demo, a diffusers folder, or a single file.

Stable Diffusion 1, 2 and XL files load without the hub: their configuration lies in `configs/` and CLIP's
vocabulary ships with the demo model. Stable Diffusion 3 and Flux need their configuration and tokenizers in
the hub's cache, or to be fetched once. Families with a language model load from folders alone. Needs the extra
`diffusers`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..errors import UnlearnError
from ..families import FAMILIES
from ..files import read_shapes
from .dialects import Said, old_text_encoder, said
from .turns import placed

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

CONFIGS = Path(__file__).parent / "configs"
PIPELINES = {
    "sd1": "StableDiffusionPipeline",
    "sd2": "StableDiffusionPipeline",
    "sdxl": "StableDiffusionXLPipeline",
    "sd3": "StableDiffusion3Pipeline",
    "flux": "FluxPipeline",
}
"""Families of single files, and the diffusers class that runs each."""
KEYS = {
    "sd3": "joint_blocks.0.context_block.adaLN_modulation.1.bias",
    "flux": "double_blocks.0.img_mod.lin.weight",
    "flux2": "double_stream_modulation_img.lin.weight",
    "qwen_image": "txt_norm.weight",
    "krea2": "txtfusion.projector.weight",
    "anima": "llm_adapter.blocks.0.cross_attn.q_proj.weight",
}
"""How the name of a tensor ends that no other family has."""
Z_IMAGE_ENTRY, Z_IMAGE_TEXT = "cap_embedder.1.weight", 2560
"""A layer that Lumina has as well, for a text of another width."""
WIDE_STATES = ("ZImagePipeline", "Flux2KleinPipeline", "QwenImagePipeline", "Krea2Pipeline")
"""Pipelines with a language model, whose states float16 does not hold."""
UNET_FIRST = "model.diffusion_model.input_blocks.0.0.weight"
SD2_V_SPREAD = 0.09
"""Standard deviation of a late norm's bias, above which an SD2 model predicts v (ComfyUI's rule as well)."""
SMALLEST_SIGNAL = 2.0**-24
"""Keeps the highest noise level of zero-SNR models finite (diffusers' other schedulers have the same value)."""

Shapes = dict[str, tuple[int, ...]]


def load_pipeline(
    checkpoint: str, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> DiffusionPipeline:
    """Load a model as a diffusers pipeline.

    Args:
        checkpoint: "demo", a folder saved by diffusers, or a single `.safetensors` file.
        device: where the networks go; on a card that is too small for all at once they take turns (`turns`).
        dtype: of the networks.

    Raises:
        UnlearnError: if nothing is there, or it is a pickle, damaged, or of a family that isn't supported.
    """
    _check_extra()
    if checkpoint == "demo":
        from ..demo.checkpoint import load_demo

        pipe = load_demo().to(dtype)
    elif Path(checkpoint).is_dir():
        pipe = _from_folder(Path(checkpoint), dtype)
    else:
        pipe = _from_file(Path(checkpoint), dtype)
    try:
        return placed(pipe, torch.device(device))
    except (RuntimeError, AssertionError) as error:
        raise UnlearnError(
            f"{checkpoint} could not be moved to {device} ({_first_line(error)}); choose another device."
        ) from error


def usual_dtype(checkpoint: str, device: torch.device) -> torch.dtype:
    """What a model is loaded in where nobody says it: half precision on a GPU, of the kind that fits."""
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if _class_of(Path(checkpoint)) in WIDE_STATES else torch.float16


def _class_of(folder: Path) -> str:
    """The pipeline that a folder says it holds; nothing where it does not say."""
    try:
        index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
        return str(index["_class_name"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _check_extra() -> None:
    try:
        import diffusers  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        raise UnlearnError(f"{error.name} is missing; run: pip install 'lora-unlearn[diffusers]'") from error


def find_family(path: str | Path) -> str:
    """The family of a single file, also of those that are loaded from folders alone; see `families.FAMILIES`.

    Raises:
        UnlearnError: if the file can't be read, or holds another kind of model.
    """
    return _family(Path(path), read_shapes(path)[0])


def _family(path: Path, shapes: Shapes) -> str:
    family = _transformer_family(shapes) or _unet_family(shapes)
    if family is None:
        raise UnlearnError(
            f"{path} is no text-to-image checkpoint that can be loaded here; use a file of Stable Diffusion 1, 2, "
            "XL or 3, or of Flux (no inpainting or refiner model, no LoRA)."
        )
    return family


def _transformer_family(shapes: Shapes) -> str | None:
    if any(name.endswith(Z_IMAGE_ENTRY) and shape[-1:] == (Z_IMAGE_TEXT,) for name, shape in shapes.items()):
        return "z_image"
    return next((family for family, key in KEYS.items() if any(name.endswith(key) for name in shapes)), None)


def _unet_family(shapes: Shapes) -> str | None:
    """Tell U-Nets with 4 input channels apart by the width of the text that they attend to."""
    from ..demo.networks import TEXT

    widths = {768: "sd1", 1024: "sd2", 2048: "sdxl", TEXT["hidden_size"]: "demo"}
    text = (shape[1] for name, shape in shapes.items() if name.endswith("attn2.to_k.weight") and len(shape) == 2)
    return widths.get(next(text, 0)) if shapes.get(UNET_FIRST, ())[1:2] == (4,) else None


def _from_folder(folder: Path, dtype: torch.dtype) -> DiffusionPipeline:
    import diffusers

    if (folder / "modular_model_index.json").is_file():
        raise UnlearnError(f"{folder} holds a modular pipeline, which cannot be used; make the eraser in ComfyUI.")
    if not (folder / "model_index.json").is_file():
        raise UnlearnError(f"{folder} has no model_index.json; name a diffusers folder or a .safetensors file.")
    try:
        return diffusers.DiffusionPipeline.from_pretrained(
            folder, torch_dtype=dtype, variant=_variant(folder), use_safetensors=True, local_files_only=True
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise UnlearnError(
            f"{folder} could not be loaded ({_first_line(error)}); check that it is whole and in safetensors format."
        ) from error


def _variant(folder: Path) -> str | None:
    """Return "fp16" if the denoising network exists in that variant alone."""
    weights = [file.name for part in ("unet", "transformer") for file in (folder / part).glob("*.safetensors")]
    return "fp16" if weights and all(".fp16" in name for name in weights) else None


def _from_file(path: Path, dtype: torch.dtype) -> DiffusionPipeline:
    import diffusers
    from diffusers.loaders.single_file_utils import SingleFileComponentError

    shapes, metadata = read_shapes(path)
    family = _family(path, shapes)
    if family == "demo":
        from ..demo import checkpoint

        return checkpoint.load_pipeline(path).to(dtype)
    if family not in PIPELINES:
        folder = "" if family == "anima" else "name a diffusers folder of the model, or "
        raise UnlearnError(
            f"{path} is a file of {FAMILIES[family].title}, which cannot be loaded here; {folder}make the eraser in "
            "ComfyUI."
        )
    kind, parts = getattr(diffusers, PIPELINES[family]), _local_parts(family)
    words = said(path, shapes, metadata)
    if family == "sd1":
        parts |= {
            name: part.to(dtype)
            for name, part in old_text_encoder(path, shapes, CONFIGS / "sd1" / "text_encoder").items()
        }
    try:
        pipe = kind.from_single_file(str(path), torch_dtype=dtype, local_files_only=True, **parts)
    except (OSError, ValueError, KeyError, RuntimeError, SingleFileComponentError) as error:
        remedy = "use a file that is whole" if parts else "use a diffusers folder, or go online once for its parts"
        reason = "tensors are missing" if isinstance(error, NotImplementedError) else _first_line(error)
        raise UnlearnError(f"{path} could not be loaded as {family} ({reason}); {remedy}.") from error
    _check_complete(path, pipe)
    if parts:
        _set_prediction(pipe, family, words)
    return pipe


def _local_parts(family: str) -> dict[str, Any]:
    """What ships with the package for a family: the folder of its configuration, and its tokenizers."""
    from ..demo.networks import new_tokenizer

    if not (CONFIGS / family).is_dir():
        return {}
    first, padded_with_zeros = new_tokenizer(), new_tokenizer()
    padded_with_zeros.pad_token = "!"  # token 0, as OpenCLIP has it
    tokenizers = {
        "sd1": {"tokenizer": first},
        "sd2": {"tokenizer": padded_with_zeros},
        "sdxl": {"tokenizer": first, "tokenizer_2": padded_with_zeros},
    }
    return {"config": str(CONFIGS / family), **tokenizers[family]}


def _check_complete(path: Path, pipe: DiffusionPipeline) -> None:
    """Refuse a file that left some of the networks' tensors unfilled."""
    networks = {name: part for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}
    unfilled = [f"{name}.{key}" for name, part in networks.items() for key, p in part.named_parameters() if p.is_meta]
    if unfilled:
        raise UnlearnError(
            f"{path} lacks {len(unfilled)} of the model's tensors, the first {unfilled[0]!r}; use a file with U-Net, "
            "VAE and text encoder."
        )


def _set_prediction(pipe: Any, family: str, words: Said) -> None:
    """Tell the scheduler if the model predicts v: the file says it, and SD2 files that say nothing give it away."""
    silent = family == "sd2" and not words.prediction
    if words.prediction == "v_prediction" or (silent and _late_spread(pipe.unet) > SD2_V_SPREAD):
        pipe.scheduler = pipe.scheduler.from_config(
            pipe.scheduler.config, prediction_type="v_prediction", rescale_betas_zero_snr=words.zero_snr
        )
        pipe.scheduler.alphas_cumprod.clamp_(min=SMALLEST_SIGNAL)
    elif family == "sd2":
        pipe.unet.register_to_config(sample_size=64)


def _late_spread(unet: Any) -> float:
    return unet.up_blocks[-1].attentions[-1].transformer_blocks[0].norm1.bias.float().std(unbiased=False).item()


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(" .:") if lines else type(error).__name__
