"""Erase Concept: the whole thing in one node."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import comfy.utils
from comfy_api.v0_0_2 import io
from comfy_execution.graph import ExecutionBlocker
from PIL import Image

from ..lora_unlearn import Adapter, Eraser, UnlearnError
from ..lora_unlearn.erase import PRESETS, USUAL_PRESET
from ..lora_unlearn.families import FAMILIES
from .before_after import Studio, compare, usual_prompts
from .guide import apply_erasers, encoded_for, erased
from .messages import readable, told
from .outcome import kept, outcome
from .pictures import shown, to_pillow
from .schema import (
    EraserType,
    at_work,
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
from .stages import COMPARING, DRAWING, SUGGESTING
from .training import Order, known_eraser, stages_of, train_eraser


class EraseConcept(io.ComfyNode):
    """Train an eraser for the loaded model, or take the kept one, and sample under it."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        preset = io.Combo.Input(
            "preset",
            options=list(PRESETS),
            default=USUAL_PRESET,
            tooltip="quick: from the text alone, in seconds. balanced: a short training. thorough: no training, "
            "but a few hundred looks by the model; turns further away, so what appears instead is less clear, and the "
            "model itself looks at prompts whose words say nothing.",
        )
        vae = io.Vae.Input(
            "vae",
            optional=True,
            tooltip="Optional: with it the node shows before and after, drawn once when an eraser is made.",
        )
        concept, *further = concept_inputs()
        return schema(
            node_id="LoraUnlearnEraseConcept",
            display_name="Erase Concept",
            also_called="negative LoRA, remove",
            search_aliases=ALIASES,
            description="Makes the model stop drawing something, and only that: put it between the checkpoint loader "
            "and the sampler, type a concept, press Run. Made once for each concept and checkpoint.",
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
    @readable
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
            words = concept_of(concept, replace_with, keep, also, erased(model))
            mode, settings, promise = PRESETS[preset]
            promise = replace(promise, own=bank_of(bank, words))
            order = Order(words, mode, replace(settings, seed=seed), promise, None, cache, may_lower_batch=True)
            adapter = known_eraser(model, clip, order)
        except UnlearnError:
            if not off:
                raise
            adapter = None
        if off:
            return io.NodeOutput(model, adapter or ExecutionBlocker(NOT_TRAINED), ui=told(OFF))
        if adapter is not None:
            shows = told("\n".join(kept(adapter, at_work(strength, gate), vae is not None)))
            return io.NodeOutput(applied(model, clip, adapter, strength, gate), adapter, ui=shows)
        return made(cls, model, clip, vae, order, strength, gate)


def applied(model: Any, clip: Any, adapter: Adapter, strength: float, gate: str) -> Any:
    """The MODEL under an eraser."""
    erasers = [eraser_of(adapter, strength, gate)]
    return apply_erasers(model, erasers, encoded_for(model, clip, erasers))


def made(node: Any, model: Any, clip: Any, vae: Any, order: Order, strength: float, gate: str) -> io.NodeOutput:
    """Train, apply, and tell what has become of it; with an autoencoder also show it, on the way and at the end."""
    if vae is not None:
        order = replace(order, sketch=lambda unfinished: sketch(model, clip, vae, unfinished))
    further = [SUGGESTING] if vae is None else [SUGGESTING, COMPARING, DRAWING]
    with stages_of(order, further) as stages:
        adapter = train_eraser(model, clip, order, stages)
        stages.then = "the eraser is finished and kept"
        under = applied(model, clip, adapter, strength, gate)
        said = outcome(model, clip, adapter, order.promise.own, stages.passes(SUGGESTING))
        if vae is None:
            return io.NodeOutput(under, adapter, ui=told("\n".join(said)))
        prompts = usual_prompts(model, clip, adapter, stages)
        pairs = compare(model, under, prompts, studio_for(clip, vae, adapter), stages)
    page = pairs.page(at_work(strength, gate))
    if adapter.settings.trains:  # the classic canvas would show the last sketch instead
        comfy.utils.ProgressBar(1).update_absolute(1, preview=("JPEG", to_pillow(page)[0], None))
    return io.NodeOutput(under, adapter, ui=shown(node, "\n".join([*said, *pairs.labels]), page))


def sketch(model: Any, clip: Any, vae: Any, unfinished: Adapter) -> Image.Image:
    """The concept as an eraser in training has it drawn now."""
    under = apply_erasers(model, [Eraser(unfinished, mode="on")])
    return to_pillow(studio_for(clip, vae, unfinished).draw(under, unfinished.concept.probe))[0]


def studio_for(clip: Any, vae: Any, adapter: Adapter) -> Studio:
    """How the node draws for itself: quickly."""
    cfg = FAMILIES[adapter.family].guidance_scale
    return Studio(clip, vae, seed=0, steps=PREVIEW_STEPS, cfg=cfg, sampler_name="euler", scheduler="normal")


ALIASES = ["erase", "unlearn", "forget concept", "remove concept", "negative lora", "concept erasure", "UnGuide"]
"""What people may call it. No other node has one of these: the search puts the shortest name that it finds first."""
PREVIEW_STEPS = 12
OFF = "Off: the model passes through as it came."
NOT_TRAINED = "There is no eraser yet: switch Erase Concept on and run it once."
