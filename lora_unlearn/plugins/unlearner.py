"""An unlearner for vision-unlearning: makes erasers where its own would change weights.

    from lora_unlearn.plugins.unlearner import LoraUnlearner

The class derives from the package's `Unlearner`, so it is made when it is asked for, and needs that package then.
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..adapter import Adapter
from ..bank import load_bank
from ..commands.models import find_device, output_folder
from ..concept import Concept
from ..erase import erase, usual_mode
from ..errors import UnlearnError
from ..files import inside
from ..hosts.attached import attach
from ..hosts.checkpoints import load_pipeline, usual_dtype
from ..hosts.diffusers import denoiser_for
from ..training.methods import row
from ..written import Written, check_replaceable

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline


class Asked(Protocol):
    """The unlearner's fields; those that its UCE has too are called as there.

    Attributes:
        pretrained_model_name_or_path: a diffusers folder, a safetensors file, or "demo".
        edit_concepts: what to erase, one or several with ";" between them.
        guide_concepts: what to draw instead: one for all, or as many; None: the nearest other thing.
        preserve_concepts: words of what must not suffer, with ";" between them.
        method: see `lora_unlearn.training.methods`; default: the usual one.
        output_dir: where the erasers are written, CONCEPT.safetensors each.
        device: default: a GPU where there is one.
        seed: of the training.
    """

    pretrained_model_name_or_path: str
    edit_concepts: str
    guide_concepts: str | None
    preserve_concepts: str | None
    method: str
    output_dir: str
    device: str | None
    seed: int


def __getattr__(name: str) -> Any:
    """`LoraUnlearner`, made when it is first asked for."""
    if name == "LoraUnlearner":
        return _unlearner()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@cache
def _unlearner() -> type:
    """The class.

    Raises:
        UnlearnError: if vision-unlearning, or one of the many packages that it imports, is missing.
    """
    try:
        from huggingface_hub.repocard_data import EvalResult
        from vision_unlearning.unlearner.base import Unlearner
    except ImportError as error:
        raise UnlearnError(f"{error.name} is missing; docs/hosts.md says how to install vision-unlearning.") from error

    class LoraUnlearner(Unlearner):
        pretrained_model_name_or_path: str
        edit_concepts: str
        guide_concepts: str | None = None
        preserve_concepts: str | None = None
        method: str = usual_mode(trains=False)
        output_dir: str = "erasers"
        device: str | None = None
        seed: int = 0

        def train(self) -> list[Any]:
            """Make and write the erasers; what it took, and what their gates measured."""
            return [EvalResult(**figure) for figure in train(self)]

        @staticmethod
        def get_pipeline(pretrained_model_name_or_path: str, output_dir: str, device: str | None = None) -> Any:
            """The model with all erasers of a folder on, as an evaluator wants it (`pipeline_unlearned`)."""
            return unlearned(pretrained_model_name_or_path, output_dir, device)

    LoraUnlearner.__doc__ = Asked.__doc__
    return LoraUnlearner


def train(asked: Asked) -> list[dict[str, Any]]:
    """Make the erasers and write them, each as soon as it is made; the arguments of an `EvalResult` for each figure.

    Raises:
        UnlearnError: if the model, a concept or the folder can't be used.
    """
    concepts, settings = concepts_of(asked), row(asked.method, None)
    folder = output_folder(asked.output_dir)
    files = [inside(folder, f"{concept.name}.safetensors") for concept in concepts]
    for file, concept in zip(files, concepts, strict=True):
        check_replaceable(file, Written("eraser", concept.name))
    denoiser = denoiser_for(_open(asked.pretrained_model_name_or_path, asked.device))
    settings, bank = replace(settings, seed=asked.seed), load_bank(denoiser.family)
    figures = list[dict[str, Any]]()
    for file, concept in zip(files, concepts, strict=True):
        started = time.perf_counter()
        adapter = erase(denoiser, concept, bank, asked.method, settings)
        adapter.save(file)
        figures += figures_of(adapter, time.perf_counter() - started)
    return figures


def concepts_of(asked: Asked) -> list[Concept]:
    """What to erase, each with what takes its place.

    Raises:
        UnlearnError: if nothing is to be erased, or replacements are neither one nor as many.
    """
    names, keep = _listed(asked.edit_concepts), tuple(_listed(asked.preserve_concepts))
    guides = _listed(asked.guide_concepts) or [""]
    if not names:
        raise UnlearnError('"edit_concepts" is empty; write what to erase, several with ";" between them.')
    if len(guides) == 1:
        guides *= len(names)
    if len(guides) != len(names):
        raise UnlearnError(
            f'"guide_concepts" has {len(guides)} for {len(names)} in "edit_concepts"; write one, or as many.'
        )
    return [
        Concept(name, replace_with=guide, keep=keep, avoid=tuple(other for other in names if other != name))
        for name, guide in zip(names, guides, strict=True)
    ]


def figures_of(adapter: Adapter, seconds: float) -> list[dict[str, Any]]:
    """What an eraser took, and what its gate measured on prompts that served for nothing else."""
    gate, arrow = adapter.gate, "\u2193"  # vision-unlearning marks so what is better low
    rows = [("runtime", f"Runtime training seconds ({arrow})", seconds)]
    if gate.judged:
        rows.append(("false-open-rate", f"Gate open for other prompts ({arrow})", gate.judged_open / gate.judged))
    if gate.heard:
        rows.append(("true-open-rate", "Gate open for the concept (\u2191)", gate.heard_open / gate.heard))
    common = {"task_type": "text-to-image", "dataset_type": "inline-prompts", "dataset_name": adapter.concept.name}
    return [{**common, "metric_type": kind, "metric_name": name, "metric_value": value} for kind, name, value in rows]


def unlearned(model: str, folder: str, device: str | None = None) -> DiffusionPipeline:
    """A model with all erasers of a folder on.

    Raises:
        UnlearnError: if one of them or the model can't be used, or there is none.
    """
    pipe = _open(model, device)
    attach(pipe, *sorted(Path(folder).glob("*.safetensors")))
    return pipe


def _open(model: str, device: str | None) -> Any:
    place = find_device(device)
    return load_pipeline(model, place, usual_dtype(model, place))


def _listed(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(";") if part.strip()]
