"""The adapter file: a kohya LoRA that every loader takes, with metadata that lets the gate work anywhere."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from . import __version__
from .concept import Concept
from .errors import UnlearnError
from .files import read_safetensors, write_safetensors
from .formats import from_stock, to_stock
from .gate import Gate
from .lora import Lora
from .settings import Settings
from .strict import typed

FORMAT_VERSION = 1
KEY = "lora_unlearn"


@dataclass
class Adapter:
    """A trained eraser.

    Attributes:
        lora: the low-rank residuals, by canonical module name.
        concept: what it erases.
        settings: how it was trained.
        gate: how it decides; calibrated on the model named by `base_hash`.
        family: of the base model ("sd1", "sd2", "sdxl", "sd3", "flux", "demo").
        base_hash: of the base weights, see `lora_unlearn.denoiser.base_hash`.
        prediction_type: "epsilon", "v_prediction" or "flow".
        mode: "fast", "instant" or "paper".
        partial: the training was interrupted.
        redirected: the matched filter on held-out states at the end of the training.
        iterations: updates made.
        evaluations: network evaluations spent, by stage ("training", "calibration").
        instead: what it was trained to draw instead; empty: the empty prompt, or the sentence without the style.
    """

    lora: Lora
    concept: Concept
    settings: Settings
    gate: Gate
    family: str
    base_hash: str
    prediction_type: str = "epsilon"
    mode: str = "fast"
    partial: bool = False
    redirected: float | None = None
    iterations: int = 0
    evaluations: dict[str, int] = field(default_factory=dict)
    instead: str = ""

    def save(self, path: str | Path) -> Path:
        """Write a kohya-format safetensors, atomically; returns its path.

        Raises:
            UnlearnError: if the file cannot be written.
        """
        path = Path(path)
        write_safetensors(path, to_stock(self.lora, self.family), self.metadata())
        return path

    @classmethod
    def load(cls, path: str | Path) -> Adapter:
        """Read an adapter.

        Raises:
            UnlearnError: if the file is damaged, not finite, an ordinary LoRA, or written by a newer version.
        """
        tensors, metadata = read_safetensors(Path(path), check_finite=True)
        values = parse_metadata(metadata, Path(path))
        try:
            names = values.pop("modules")
            concept: dict[str, Any] = {
                name: tuple(v) if isinstance(v, list) else v for name, v in values.pop("concept").items()
            }
            return typed(
                cls(
                    from_stock(tensors, names, values["family"]),
                    typed(Concept(**concept)),
                    typed(Settings(**values.pop("settings"))),
                    typed(Gate.from_dict(values.pop("gate"))),
                    **values,
                )
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise UnlearnError(f"The metadata of {path} is damaged ({error}); export the eraser again.") from error

    def metadata(self) -> dict[str, str]:
        """Our own block under "lora_unlearn", and the fields that other tools show."""
        own = {
            "format_version": FORMAT_VERSION,
            "concept": asdict(self.concept),
            "settings": asdict(self.settings),
            "gate": self.gate.to_dict(),
            "modules": self.lora.names,
        }
        plain = ("family", "base_hash", "prediction_type", "mode", "partial", "redirected", "iterations", "evaluations")
        own["instead"] = self.instead
        own |= {name: getattr(self, name) for name in plain}
        rank = self.lora.rank
        return {
            KEY: json.dumps(own),
            "format": "pt",
            "modelspec.sai_model_spec": "1.0.0",
            "modelspec.title": f"Erase {self.concept.name}",
            "modelspec.architecture": f"{ARCHITECTURES.get(self.family, self.family)}/lora",
            "modelspec.implementation": "https://github.com/kohya-ss/sd-scripts",
            "modelspec.description": f"Makes a model stop drawing {self.concept.name}; lora_unlearn {__version__}.",
            "ss_network_module": "networks.lora",
            "ss_network_dim": str(rank),
            "ss_network_alpha": str(next(self.lora.items())[1].alpha),
            "ss_base_model_version": BASE_VERSIONS.get(self.family, self.family),
            "ss_v2": str(self.family == "sd2"),
        }


ARCHITECTURES = {
    "sd1": "stable-diffusion-v1",
    "sd2": "stable-diffusion-v2-512",
    "sdxl": "stable-diffusion-xl-v1-base",
    "sd3": "stable-diffusion-3-medium",
    "flux": "flux-1-dev",
}
BASE_VERSIONS = {"sd1": "sd_v1", "sd2": "sd_v2", "sdxl": "sdxl_base_v1-0", "sd3": "sd3", "flux": "flux1"}


def parse_metadata(metadata: dict[str, str], path: Path) -> dict[str, Any]:
    """Our own block of a file's metadata.

    Raises:
        UnlearnError: if there is none, it is damaged, or its version is newer.
    """
    if KEY not in metadata:
        raise UnlearnError(f"{path} is not one of our erasers but an ordinary file; load it with a LoRA loader.")
    try:
        values = json.loads(metadata[KEY])
        version = values.pop("format_version")
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise UnlearnError(f"The metadata of {path} is damaged ({error}); export the eraser again.") from error
    if version != FORMAT_VERSION:
        raise UnlearnError(f"{path} has format version {version}, this program reads {FORMAT_VERSION}; update it.")
    return values
