"""Which model family ComfyUI has loaded, and under which canonical names its layers go."""

from __future__ import annotations

import re
from typing import Any

import comfy.model_sampling
import comfy.utils
from torch import nn

from ..lora_unlearn import UnlearnError
from ..lora_unlearn.anima import canonical
from ..lora_unlearn.denoiser import PredictionType, Target
from ..lora_unlearn.families import FAMILIES
from .weights import is_linear

WIDTHS = {768: "sd1", 1024: "sd2", 80: "demo"}
"""Width of the text that a plain U-Net attends to, by family."""
CLASSES = {
    "SDXL": "sdxl", "SD3": "sd3", "Flux": "flux", "Flux2": "flux2", "QwenImage": "qwen_image", "Krea2": "krea2",
    "Anima": "anima",
}  # fmt: skip
"""ComfyUI's classes of the other families; classes derived from these are other models."""
TABLES = {
    "sd3": "mmdit_to_diffusers", "flux": "flux_to_diffusers", "flux2": "flux_to_diffusers",
    "z_image": "z_image_to_diffusers", "krea2": "krea2_to_diffusers",
    **dict.fromkeys((name for name, family in FAMILIES.items() if family.unet), "unet_to_diffusers"),
}  # fmt: skip
"""ComfyUI's own tables from diffusers' names to its own, by their names: older hosts lack some, and the models, too."""
FLUX_1 = re.compile(
    r"^time_text_embed|norm1(_context)?\.linear|\.ff(_context)?\.net\.|"
    r"^single_transformer_blocks\.\d+\.(attn\.to_[qkv]\.|proj_|norm\.)"
)
BEFORE = "llm_adapter."
"""Where Anima makes its text, which is no part of the transformer."""
OWN_LAYERS = {"sd1": -1, "demo": -1, "sd2": -2, "sdxl": -2}
"""Which of CLIP's layers a family reads where nobody chooses one, as CLIP Set Last Layer counts."""
SUPPORTED = "Stable Diffusion 1.x, 2.x, XL, 3.x, Flux, FLUX.2, Z-Image, Anima, Qwen-Image and Krea 2"


def family_of(model: Any) -> str:
    """The family of a MODEL, as in `Adapter.family`.

    Raises:
        UnlearnError: naming the class of a model that is not supported.
    """
    name, config = type(model.model).__name__, model.model.model_config.unet_config
    if name == "BaseModel":
        width = config.get("context_dim")
        name, family = f"{name} with text of width {width}", WIDTHS.get(width)
    elif name == "Lumina2":
        family = "z_image" if config.get("z_image_modulation") else None
    elif config.get("use_additional_t_cond"):
        name, family = f"{name} in layers", None
    else:
        family = CLASSES.get(name)
    if family is None:
        raise UnlearnError(
            f"The loaded model is of the kind {name}, but erasing works on {SUPPORTED}; load one of those."
        )
    return family


def clip_skip_of(clip: Any, family: str) -> int:
    """As `Adapter.clip_skip`: what CLIP Set Last Layer chose, if that is another layer than the family's own."""
    layer = None if clip is None else clip.layer_idx
    return 0 if layer is None or layer == OWN_LAYERS.get(family, layer) else -int(layer)


def prediction_of(sampling: Any) -> PredictionType:
    """What a model predicts, told by its ModelSampling object (whatever is neither v nor flow counts as epsilon)."""
    if isinstance(sampling, comfy.model_sampling.CONST):
        return "flow"
    is_v = isinstance(sampling, comfy.model_sampling.V_PREDICTION)
    return "v_prediction" if is_v and not isinstance(sampling, comfy.model_sampling.EDM) else "epsilon"


def linears(model: Any, family: str) -> dict[str, Target]:
    """Every linear layer of a model's network that has a canonical name (diffusers' module name)."""
    network, found = model.model.diffusion_model, {}
    for name, place in _table(network, family, model.model.model_config.unet_config).items():
        path, rows = place if isinstance(place, tuple) and len(place) == 2 else (place, None)
        if not name.endswith(".weight") or _other_name(name, family) or not isinstance(path, str):
            continue
        module = _module(network, path.removesuffix(".weight"))
        if is_linear(module):
            part = slice(None) if rows is None else slice(rows[1], rows[1] + rows[2])
            found[name.removesuffix(".weight")] = Target(module, part)
    return _named_once(found)


def _table(network: nn.Module, family: str, config: dict[str, Any]) -> dict[str, Any]:
    """Canonical names of weights and where they are: the host's own table, else the network's names are the same."""
    if family in TABLES:
        table = getattr(comfy.utils, TABLES[family], None)
        if table is None:
            raise UnlearnError(f"This ComfyUI cannot name the layers of {FAMILIES[family].title}; update it.")
        return table(config)
    own = [name for name, module in network.named_modules() if is_linear(module) and not name.startswith(BEFORE)]
    return {f"{canonical(name) if family == 'anima' else name}.weight": f"{name}.weight" for name in own}


def _other_name(name: str, family: str) -> bool:
    """Whether diffusers knows this layer by another name; the host calls those of Flux 2 by Flux's as well."""
    return name.startswith("class_embedding.") or (family == "flux2" and bool(FLUX_1.search(name)))


def _named_once(found: dict[str, Target]) -> dict[str, Target]:
    """Without second names: newer hosts call layers of Flux by the names of Flux 2 as well, after the first."""
    kept, starts = dict[str, Target](), dict[nn.Module, set[int | None]]()
    for name, target in found.items():
        known, start = starts.setdefault(target.linear, set()), target.rows.start
        if not known or (start is not None and known.isdisjoint({None, start})):
            known.add(start)
            kept[name] = target
    return kept


def _module(network: Any, path: str) -> Any:
    for part in path.split("."):
        network = getattr(network, part, None)
        if network is None:
            return None
    return network
