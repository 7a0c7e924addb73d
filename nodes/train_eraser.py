"""Train Eraser: the long form, with every hyper-parameter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from comfy_api.v0_0_2 import io

from ..lora_unlearn import Settings
from ..lora_unlearn.bounds import FALSE_OPEN_RATE
from ..lora_unlearn.checks import check_rate
from ..lora_unlearn.erase import MODES, Mode
from ..lora_unlearn.look import LOOK_MODES, LookMode
from ..lora_unlearn.options import options_of
from ..lora_unlearn.promise import Promise
from ..lora_unlearn.training.method import PARTS
from ..lora_unlearn.training.methods import row
from ..lora_unlearn.training.typed import changed, read_option
from .families import family_of
from .guide import erased
from .messages import readable, told
from .outcome import kept, outcome
from .schema import (
    EraserType,
    advanced,
    bank_input,
    bank_of,
    cache_input,
    clip_input,
    concept_inputs,
    concept_of,
    model_input,
    schema,
    seed_input,
)
from .stages import SUGGESTING
from .training import Order, known_eraser, stages_of, train_eraser

DEFAULT = MODES["fast"]


STEPS = {"learning_rate": 1e-6, "scale": 0.01, "gamma": 0.1, "guidance_scale": 0.5, "enough": 0.005}
"""By how much a widget moves a number; whole numbers by 1."""
NUMBERS = (
    "batch", "learning_rate", "rank", "scale", "gamma", "trajectories", "trajectory_steps", "guidance_scale", "enough",
)  # fmt: skip
"""Hyper-parameters in the order in which saved widgets have them, behind iterations."""


def number(name: str) -> Any:
    """A hyper-parameter as the core declares it."""
    declared = options_of(Settings)[name]
    low, high = declared.low, declared.high
    bounds = f", {low:.6f} to {high:g}." if name == "learning_rate" else f", {low:g} to {high:g}."
    kind, step = (io.Int, 1) if declared.whole else (io.Float, STEPS[name])
    return kind.Input(name, default=declared.default, min=low, max=high, step=step, tooltip=declared.help + bounds)


def setting_inputs() -> list[Any]:
    """Every field of `Settings` that was there in the first version, but for the seed and offload; their defaults are
    those of the method fast.
    """
    return [
        number("iterations"),
        *(advanced(number(name)) for name in NUMBERS),
        *choice_inputs(),
    ]


def choice_inputs() -> list[Any]:
    """The settings that are chosen from a list, and the pictures' size."""
    return [
        advanced(
            io.Combo.Input(
                "objective", options=list(PARTS["objective"]), default=DEFAULT.objective, tooltip="The loss's target."
            )
        ),
        advanced(
            io.Combo.Input(
                "down",
                options=list(PARTS["down"]),
                default=DEFAULT.down,
                tooltip="Where the input directions come from: solved from the closed form, trained as well; "
                "selective, scaled and random from chance, trained as well, the first among those that other prompts "
                "hardly answer, the last as in UnGuide; edit, discriminant, uce and speed from the text; slug from one "
                "gradient.",
            )
        ),
        advanced(
            io.Combo.Input(
                "selector",
                options=list(PARTS["selector"]),
                default=DEFAULT.selector,
                tooltip="Which layers: the values of the prompt's attention, its keys and values, the text's entrance "
                "(SD3, Flux, FLUX.2, Z-Image, Qwen-Image, Krea 2), or all others (with random directions).",
            )
        ),
        advanced(
            io.Int.Input(
                "size",
                default=0,
                min=0,
                max=2048,
                step=64,
                tooltip="Side of the training pictures in pixels, 64 to 2048; 0: what the model was made for.",
            )
        ),
    ]


def offload_input() -> Any:
    """Comes last: the page tells saved widgets by their order, so what is new goes behind what was there before."""
    return advanced(
        io.Boolean.Input(
            "offload",
            default=DEFAULT.offload,
            tooltip="Keep what the backward pass needs in main memory: slower, for graphics cards that cannot hold it "
            "even with a batch of 1.",
        )
    )


def rate_input() -> Any:
    """How often the gate may open where it should not."""
    return advanced(
        io.Float.Input(
            "false_open_rate",
            default=FALSE_OPEN_RATE,
            min=0.001,
            max=0.1,
            step=0.001,
            tooltip="Largest share of ordinary prompts that may open the gate, 0.001 to 0.1 (0.01 is 1 %). A smaller "
            "one also misses more prompts with the concept.",
        )
    )


def look_input() -> Any:
    """Who decides whether a prompt asks for the concept."""
    return advanced(
        io.Combo.Input(
            "look",
            options=list(LOOK_MODES),
            default="text",
            tooltip="Who decides whether a prompt asks for the concept. text: its words, for nothing. careful: the "
            "network looks again at what the words leave closed, two to eight evaluations for a new prompt. always: "
            "the network alone.",
        )
    )


def reference_input() -> Any:
    """What the concept becomes where the user names nothing."""
    return advanced(
        io.Combo.Input(
            "reference",
            options=list(PARTS["reference"]),
            default=DEFAULT.reference,
            tooltip="What takes the concept's place if replace_with is empty. nearest: the nearest other thing that "
            "the model draws. empty: whatever the model draws without a prompt.",
        )
    )


def options_input() -> Any:
    """Parts and their numbers, for whoever reads docs/methods.md."""
    return advanced(
        io.String.Input(
            "method_options",
            default="",
            multiline=True,
            placeholder="method options: average=ema",
            tooltip="Further parts and numbers of the method, one name=value a line: average=ema, retain.weight=2.",
        )
    )


def settings_of(mode: Mode, values: dict[str, Any], options: str = "") -> Settings:
    """A method's settings with what the user changed: a value left as the node shows it at first is the method's own.

    Raises:
        UnlearnError: for an unknown option, one out of its range, or parts that do not fit together.
    """
    fields = {name: value for name, value in values.items() if value != getattr(DEFAULT, name)}
    lines = [line for line in options.splitlines() if line.strip()]
    return changed(row(mode, replace(row(mode), **fields)), dict(map(read_option, lines)))


class TrainEraser(io.ComfyNode):
    """Train an eraser for the loaded model."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        mode = io.Combo.Input(
            "mode",
            options=list(MODES),
            default="fast",
            tooltip="The method. fast: recorded trajectories. instant: from the text alone. paper: UnGuide as "
            "released, slow. The others are what related works propose, see docs/methods.md. Settings that you leave "
            "as they are take the method's own values.",
        )
        return schema(
            node_id="LoraUnlearnTrainEraser",
            display_name="Train Eraser",
            description="Trains an eraser with every setting at hand; Apply Eraser puts it to work, Export Eraser "
            "saves it.",
            inputs=[
                model_input(),
                clip_input(),
                *concept_inputs(),
                mode,
                *setting_inputs(),
                seed_input(),
                cache_input(),
                offload_input(),
                bank_input(),
                rate_input(),
                reference_input(),
                look_input(),
                options_input(),
            ],
            outputs=[EraserType.Output(display_name="eraser", tooltip="The trained eraser.")],
        )

    @classmethod
    @readable
    def execute(
        cls,
        model: Any,
        clip: Any,
        concept: str,
        mode: Mode,
        replace_with: str = "",
        keep: str = "",
        also: str = "",
        size: int = 0,
        cache: bool = True,
        bank: str = "",
        false_open_rate: float = FALSE_OPEN_RATE,
        look: LookMode = "text",
        method_options: str = "",
        **settings: Any,
    ) -> io.NodeOutput:
        """Train, or take the kept eraser."""
        words = concept_of(concept, replace_with, keep, also, erased(model))
        sides = (size, size) if size else None
        promise = Promise(bank_of(bank, words), false_open_rate, look)
        check_rate(promise, family_of(model), words)
        order = Order(words, mode, settings_of(mode, settings, method_options), promise, sides, cache)
        known = known_eraser(model, clip, order)
        with stages_of(order, [SUGGESTING]) as stages:
            adapter = known or train_eraser(model, clip, order, stages)
            stages.then = "the eraser is finished and kept"
            said = kept(adapter) if known else outcome(model, clip, adapter, promise.own, stages.passes(SUGGESTING))
        return io.NodeOutput(adapter, ui=told("\n".join(said)))
