"""Erase Concept: the whole thing in one node."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import comfy.utils
from comfy_api.v0_0_2 import io
from comfy_execution.graph import ExecutionBlocker
from PIL import Image

from ..lora_unlearn import Adapter, Eraser, UnlearnError
from ..lora_unlearn.erase import PRESETS
from ..lora_unlearn.promise import Promise
from .before_after import Studio, compare, usual_prompts
from .guide import apply_erasers, encoded_for
from .messages import told
from .outcome import outcome
from .pictures import shown, to_pillow
from .schema import (
    EraserType,
    bank_input,
    bank_of,
    cache_input,
    clip_input,
    concept_inputs,
    concept_of,
    eraser_of,
    gate_input,
    model_input,
    schema,
    seed_input,
    strength_inputs,
)
from .training import Order, known_eraser, train_eraser


class EraseConcept(io.ComfyNode):
    """Train an eraser for the loaded model, or take the kept one, and sample under it."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        preset = io.Combo.Input(
            "preset",
            options=list(PRESETS),
            default="balanced",
            tooltip="quick: from the text alone, in seconds. balanced: a short training. thorough: a long one, for "
            "concepts that resist.",
        )
        vae = io.Vae.Input(
            "vae",
            optional=True,
            tooltip="Optional: with it the node shows before and after, drawn once when a training is done.",
        )
        concept, *further = concept_inputs()
        return schema(
            node_id="LoraUnlearnEraseConcept",
            display_name="Erase Concept",
            also_called="negative LoRA, remove",
            description="Makes the model stop drawing something, and only that: put it between the checkpoint loader "
            "and the sampler, type a concept, press Run. Trained once for each concept and checkpoint.",
            inputs=[
                model_input(),
                clip_input(),
                vae,
                concept,
                *strength_inputs(),
                preset,
                *further,
                seed_input(),
                gate_input(),
                cache_input(),
                bank_input(),
            ],
            outputs=[
                io.Model.Output(display_name="model", tooltip="The model, under the eraser."),
                EraserType.Output(display_name="eraser", tooltip="The eraser, to export or to apply elsewhere."),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        clip: Any,
        concept: str,
        strength: float,
        enabled: bool,
        preset: str,
        replace_with: str = "",
        keep: str = "",
        also: str = "",
        seed: int = 0,
        gate: str = "auto",
        cache: bool = True,
        bank: str = "",
        vae: Any = None,
    ) -> io.NodeOutput:
        """Train if need be, then apply; off, or at strength 0, the model passes through whatever else is set."""
        off = not enabled or strength == 0
        try:
            words = concept_of(concept, replace_with, keep, also)
            mode, settings = PRESETS[preset]
            promise = Promise(bank_of(bank, words))
            order = Order(words, mode, replace(settings, seed=seed), None, cache, may_lower_batch=True, promise=promise)
            known = known_eraser(model, clip, order)
        except UnlearnError:
            if not off:
                raise
            known = None
        if off:
            return io.NodeOutput(model, known or ExecutionBlocker(NOT_TRAINED))
        if vae is not None:
            order = replace(order, sketch=lambda unfinished: sketch(model, clip, vae, unfinished))
        adapter: Adapter = known or train_eraser(model, clip, order)
        erasers = [eraser_of(adapter, strength, gate)]
        erased = apply_erasers(model, erasers, encoded_for(model, clip, erasers))
        if known is not None:
            return io.NodeOutput(erased, adapter)
        said = outcome(model, clip, adapter, order.promise.own)
        shows = told(said) if vae is None else preview(cls, model, erased, clip, vae, adapter, said)
        return io.NodeOutput(erased, adapter, ui=shows)


def preview(node: Any, model: Any, erased: Any, clip: Any, vae: Any, adapter: Adapter, said: str) -> dict[str, Any]:
    """What the node shows after a training: the concept and its nearest neighbours, before and after, and a text."""
    pairs = compare(model, erased, usual_prompts(model, clip, adapter), studio_for(clip, vae, adapter))
    page = pairs.page()
    if adapter.mode != "instant":  # the classic canvas would show the last sketch instead
        comfy.utils.ProgressBar(1).update_absolute(1, preview=("JPEG", to_pillow(page)[0], None))
    return shown(node, "\n".join([said, *pairs.labels]), page)


def sketch(model: Any, clip: Any, vae: Any, unfinished: Adapter) -> Image.Image:
    """The concept as an eraser in training has it drawn now."""
    erased = apply_erasers(model, [Eraser(unfinished, mode="on")])
    return to_pillow(studio_for(clip, vae, unfinished).draw(erased, unfinished.concept.probe))[0]


def studio_for(clip: Any, vae: Any, adapter: Adapter) -> Studio:
    """How the node draws for itself: quickly."""
    cfg = 1.0 if adapter.family == "flux" else 7.0
    return Studio(clip, vae, seed=0, steps=PREVIEW_STEPS, cfg=cfg, sampler_name="euler", scheduler="normal")


PREVIEW_STEPS = 12
NOT_TRAINED = "There is no eraser yet: switch Erase Concept on and run it once."
