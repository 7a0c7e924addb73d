"""Which model family ComfyUI has loaded, and under which canonical names its layers go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import comfy.model_sampling
import comfy.utils
from torch import nn

from ..lora_unlearn import UnlearnError
from ..lora_unlearn.denoiser import PredictionType, Target
from .weights import is_linear

WIDTHS = {768: "sd1", 1024: "sd2", 80: "demo"}
"""Width of the text that a plain U-Net attends to, by family."""
CLASSES = {"SDXL": "sdxl", "SD3": "sd3", "Flux": "flux"}
"""ComfyUI's classes of the other families; classes derived from these are other models."""
ALIASES = ("class_embedding.",)
"""Second names for layers that diffusers knows by another."""
OWN_LAYERS = {"sd1": -1, "demo": -1, "sd2": -2, "sdxl": -2}
"""Which of CLIP's layers a family reads where nobody chooses one, as CLIP Set Last Layer counts."""
SUPPORTED = "Stable Diffusion 1.x, 2.x, XL, 3.x and Flux"


def family_of(model: Any) -> str:
    """The family of a MODEL, as in `Adapter.family`.

    Raises:
        UnlearnError: naming the class of a model that is not supported.
    """
    name = type(model.model).__name__
    width = model.model.model_config.unet_config.get("context_dim")
    family = WIDTHS.get(width) if name == "BaseModel" else CLASSES.get(name)
    if family is None:
        found = f"{name} with text of width {width}" if name == "BaseModel" else name
        raise UnlearnError(
            f"The loaded model is of the kind {found}, but erasing works on {SUPPORTED}; load one of those."
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
    for name, place in NAMES.get(family, comfy.utils.unet_to_diffusers)(model.model.model_config.unet_config).items():
        path, rows = place if isinstance(place, tuple) and len(place) == 2 else (place, None)
        if not name.endswith(".weight") or name.startswith(ALIASES) or not isinstance(path, str):
            continue
        module = _module(network, path.removesuffix(".weight"))
        if is_linear(module):
            part = slice(None) if rows is None else slice(rows[1], rows[1] + rows[2])
            found[name.removesuffix(".weight")] = Target(module, part)
    return _named_once(found)


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


NAMES: dict[str, Callable[[dict], dict]] = {
    "sd3": comfy.utils.mmdit_to_diffusers,
    "flux": comfy.utils.flux_to_diffusers,
}
"""ComfyUI's own tables from diffusers' names to its own, for the families that have no U-Net."""
