"""What a single file says of itself beside its weights, as web UIs, ComfyUI and trainers write it down."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open

from ..demo.ldm import text_names
from ..errors import UnlearnError

Shapes = Mapping[str, tuple[int, ...]]
EDM = {"edm_mean": "EDM, as Playground 2.5 does", "edm_vpred.sigma_max": "EDM, as CosXL does"}
"""Tensors by which ComfyUI tells models whose noise levels are EDM's, and what to call those."""
CLIP, OLD_CLIP = "cond_stage_model.transformer.text_model.", "cond_stage_model.transformer."
"""Names of Stable Diffusion 1's text encoder, and those of files that old programs merged."""
V_WORDS = ("v", "v_prediction", "velocity")
_YAML = {
    "v_prediction": re.compile(r"^\s*(?:parameterization:\s*['\"]?v\b|target:\s*\S*\bVScaling\b)", re.MULTILINE),
    "EDM": re.compile(r"^\s*target:\s*\S*\b(?:V?EDM\w*|VScalingWithEDM\w*)\b", re.MULTILINE),
}


@dataclass(frozen=True)
class Said:
    """What a file says.

    Attributes:
        prediction: "v_prediction", "epsilon", or "" where it says nothing.
        zero_snr: whether it was trained with a noise schedule that ends in pure noise.
    """

    prediction: str = ""
    zero_snr: bool = False


def said(path: Path, shapes: Shapes, metadata: Mapping[str, str]) -> Said:
    """Read the marks among the tensors, then the `.yaml` beside the file, then modelspec's metadata.

    Raises:
        UnlearnError: for a model with EDM's noise levels, by its name.
    """
    beside = _beside(path)
    kind = next((kind for mark, kind in EDM.items() if mark in shapes), "EDM" if _YAML["EDM"].search(beside) else "")
    if kind:
        raise UnlearnError(
            f"{path} is a model with the noise levels of {kind}; erasing from such a model works in ComfyUI alone."
        )
    zero_snr = "ztsnr" in shapes
    if "v_pred" in shapes or _YAML["v_prediction"].search(beside):
        return Said("v_prediction", zero_snr)
    word = metadata.get("modelspec.prediction_type", "").lower()
    if word in V_WORDS:
        return Said("v_prediction", zero_snr)
    return Said("epsilon" if word in ("epsilon", "eps") or "parameterization: eps" in beside else "", zero_snr)


def _beside(path: Path) -> str:
    """The text of the `.yaml` beside a checkpoint; nothing where there is none that can be read."""
    try:
        return path.with_suffix(".yaml").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def old_text_encoder(path: Path, shapes: Shapes, config: Path) -> dict[str, Any]:
    """The text encoder of a file that calls it as old programs did, for `from_single_file`; nothing for other files.

    Args:
        config: folder with the text encoder's configuration.

    Raises:
        UnlearnError: if some of its tensors are missing or have other shapes.
    """
    if OLD_CLIP + "embeddings.token_embedding.weight" not in shapes:
        return {}
    from transformers import CLIPTextConfig, CLIPTextModel

    encoder = CLIPTextModel(CLIPTextConfig.from_pretrained(config))
    state = encoder.state_dict()
    names = {own: name.replace(CLIP, OLD_CLIP) for own, name in text_names(list(state)).items()}
    wrong = [name for own, name in names.items() if shapes.get(name) != tuple(state[own].shape)]
    if wrong:
        raise UnlearnError(
            f"{path} lacks {len(wrong)} tensors of the text encoder, the first {wrong[0]!r}; use another."
        )
    with safe_open(path, framework="pt") as file:
        encoder.load_state_dict({own: file.get_tensor(name).float() for own, name in names.items()})
    return {"text_encoder": encoder.eval()}
