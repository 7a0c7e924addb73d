"""The adapter file: a kohya LoRA that every loader takes, with metadata that lets the gate work anywhere."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .concept import Concept
from .errors import UnlearnError
from .families import FAMILIES
from .files import read_safetensors, write_safetensors
from .formats import from_stock, to_stock
from .gate import MOST_NOISES, Gate, decode_direction
from .lora import Lora
from .settings import Settings
from .strict import fields_of, lacking, read_json
from .training.method import check_parts
from .training.methods import METHODS
from .version import __version__

FORMAT_VERSION = 1
KEY = "lora_unlearn"
PLAIN = ("family", "base_hash", "prediction_type", "mode", "partial", "redirected", "iterations", "evaluations")
"""Fields of `Adapter` in the metadata as they are; "instead" came later and may be missing."""
SELDOM = ("nearest", "clip_skip")
"""Fields that are written only where they say something."""


@dataclass
class Adapter:
    """A trained eraser.

    Attributes:
        lora: the low-rank residuals, by canonical module name.
        concept: what it erases.
        settings: how it was trained.
        gate: how it decides; calibrated on the model named by `base_hash`.
        family: of the base model, a name in `lora_unlearn.families.FAMILIES`.
        base_hash: of the base weights, see `lora_unlearn.denoiser.base_hash`.
        prediction_type: "epsilon", "v_prediction" or "flow".
        mode: the method's name, see `lora_unlearn.training.methods`.
        partial: the training was interrupted.
        redirected: the matched filter on held-out states at the end of the training.
        iterations: updates made.
        evaluations: network evaluations spent, by stage ("training", "calibration").
        instead: what it was trained to draw instead; empty: the empty prompt, or the sentence without the style.
        nearest: the nearest other thing, if that is another one; its prompts leave the gate closed, too.
        clip_skip: which of CLIP's layers prompts were read from, counted from the last; 0: the model's own.
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
    nearest: str = ""
    clip_skip: int = 0

    def save(self, path: str | Path) -> Path:
        """Write a kohya-format safetensors, atomically; returns its path.

        Raises:
            UnlearnError: if the file cannot be written, or half precision cannot hold the values.
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
        path = Path(path)
        tensors, metadata = read_safetensors(path, True, lambda found: parse_metadata(found, path))
        values = parse_metadata(metadata, path)
        try:
            return cls(lora=from_stock(tensors, values["modules"], values["family"]), **_parts(values))
        except UnlearnError as error:
            raise UnlearnError(f"{path} cannot be used: {error}") from error

    def metadata(self) -> dict[str, str]:
        """Our own block under "lora_unlearn", and the fields that other tools show."""
        own = {
            "format_version": FORMAT_VERSION,
            "concept": _written(self.concept),
            "settings": _written(self.settings),
            "gate": self.gate.to_dict(),
            "modules": self.lora.names,
        }
        own["instead"] = self.instead
        own |= {name: value for name in SELDOM if (value := getattr(self, name))}
        own |= {name: getattr(self, name) for name in PLAIN}
        rank, known = self.lora.rank, FAMILIES[self.family]
        return {
            KEY: json.dumps(own),
            "format": "pt",
            "modelspec.sai_model_spec": "1.0.0",
            "modelspec.title": f"Erase {self.concept.name}",
            "modelspec.architecture": f"{known.architecture or self.family}/lora",
            "modelspec.implementation": "https://github.com/kohya-ss/sd-scripts",
            "modelspec.description": f"Makes a model stop drawing {self.concept.name}; lora_unlearn {__version__}.",
            "ss_network_module": "networks.lora",
            "ss_network_dim": str(rank),
            "ss_network_alpha": str(next(self.lora.items())[1].alpha),
            "ss_base_model_version": known.base_version or self.family,
            "ss_v2": str(self.family == "sd2"),
        }


def parse_metadata(metadata: Mapping[str, str], path: Path) -> dict[str, Any]:
    """Our own block of a file's metadata, checked: `Adapter.load` can't fail over it any more.

    Raises:
        UnlearnError: if there is none, it is damaged, or its version is newer.
    """
    if KEY not in metadata:
        raise UnlearnError(f"{path} is not one of our erasers but an ordinary file; load it with a LoRA loader.")
    try:
        values = read_json(metadata[KEY])
        version = values.pop("format_version")
        if version != FORMAT_VERSION:
            raise UnlearnError(
                f"{path} has format version {str(version)[:20]}, this program reads {FORMAT_VERSION}; update it."
            )
        if found := lacking(values.get("mode"), values["settings"]):
            raise UnlearnError(
                f"{path} was made with the {found}, which there is none of here; update this program, or use the file "
                "with the one that made it."
            )
        _check_modules(values["modules"])
        Adapter(Lora({}), **_parts(values))
    except UnlearnError as error:
        raise error if str(path) in str(error) else _damaged(path, error) from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _damaged(path, error) from error
    return values


def _damaged(path: Path, error: Exception) -> UnlearnError:
    reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
    return UnlearnError(f"The metadata of {path} is damaged ({reason[:300].rstrip('.')}); export the eraser again.")


def _parts(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an `Adapter` but for its LoRA, from our block.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: if something is missing, unknown or not what it should be.
    """
    gate = Gate.from_dict(values["gate"])
    fields_of(Gate, values["gate"])
    _check_gate(gate)
    parts = {name: value for name, value in values.items() if name not in ("modules", "concept", "settings", "gate")}
    return {
        "concept": Concept(**fields_of(Concept, values["concept"])),
        "settings": _settings(values["settings"], parts.get("mode", "")),
        "gate": gate,
        **fields_of(Adapter, parts),
    }


LATER = {"source": ("recorded",), "terms": ("goal",), "update": "total", "average": "last", "options": {}, "avoid": ()}
"""Fields that the first version did not know, with what it did; they are written only where they say more."""


def _written(part: Settings | Concept) -> dict[str, Any]:
    """Settings and concept as the metadata have them."""
    return {name: value for name, value in asdict(part).items() if name not in LATER or value != LATER[name]}


def _settings(values: Mapping[str, Any], mode: str) -> Settings:
    """A method's row and numbers; what the first version did not write is the mode's own.

    Raises:
        TypeError, UnlearnError: if something is unknown or does not fit.
    """
    if "source" not in values and mode in METHODS:
        values = {**values, "source": METHODS[mode].settings.source}
    settings = Settings(**fields_of(Settings, values))
    check_parts(settings)
    return settings


def _check_modules(names: Any) -> None:
    if not isinstance(names, list) or not all(isinstance(name, str) and 0 < len(name) < 1000 for name in names):
        raise TypeError("modules are no list of names")
    if not names or len(set(names)) < len(names):
        raise TypeError("modules are missing or named twice")


def _check_gate(gate: Gate) -> None:
    """Refuse a gate that could not decide.

    Raises:
        ValueError: saying why.
    """
    if gate.text_closed > gate.text_open:
        raise ValueError(f"the gate closes below {gate.text_closed:g} and opens from {gate.text_open:g} up")
    if gate.statistic == "text" and not (math.isfinite(gate.text_closed) and math.isfinite(gate.text_open)):
        raise ValueError("the gate reads the text and has no bounds for it")
    if gate.look is not None and (len(gate.look_shape) != 3 or not all(0 < side <= 65536 for side in gate.look_shape)):
        raise ValueError(f"the gate looks at noise of the shape {str(gate.look_shape)[:40]}")
    if not 0 < gate.look_noises <= MOST_NOISES:
        raise ValueError(f"the gate looks at {gate.look_noises} noises, and {MOST_NOISES} is the most")
    if not decode_direction(gate.direction).isfinite().all():
        raise ValueError("the gate's direction is not finite")
