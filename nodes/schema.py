"""What the nodes share: the type ERASER, inputs that more than one of them has, and schemas of any host version."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from comfy_api.v0_0_2 import io

from ..lora_unlearn import Concept, Eraser
from ..lora_unlearn.bank import own_prompts
from ..lora_unlearn.checks import check_own, check_words
from ..lora_unlearn.guidance import Mode as GateMode

CATEGORY = "unlearn"
EraserType = io.Custom("ERASER")
"""The socket that carries an `Adapter`."""


def schema(also_called: str = "", **values: Any) -> io.Schema:
    """A schema of what the running ComfyUI knows; fields that came later are left out where they are unknown.

    Args:
        also_called: words to be found by, for the name of the node where the search knows no aliases yet.
    """
    known = {field.name for field in fields(io.Schema)}
    values = {"category": CATEGORY, **values}
    if also_called and "search_aliases" not in known:
        values["display_name"] += f" ({also_called})"
    return io.Schema(**{name: value for name, value in values.items() if name in known})


def advanced(widget: Any) -> Any:
    """Fold an input away until the user asks for the advanced ones; graphs may leave it out."""
    widget.optional = True
    widget.extra_dict = {**(widget.extra_dict or {}), "advanced": True}
    return widget


def model_input() -> Any:
    """The MODEL to work on."""
    return io.Model.Input(
        "model",
        tooltip="The loaded model: Stable Diffusion 1.x, 2.x, XL, 3.x, Flux, FLUX.2, Z-Image, Anima, Qwen-Image or "
        "Krea 2.",
    )


def clip_input(optional: bool = False) -> Any:
    """The CLIP that goes with it."""
    return io.Clip.Input("clip", optional=optional, tooltip="The text encoder that belongs to the model.")


def concept_inputs() -> list[Any]:
    """Words: what to erase, and everything else that the user may say about it."""
    return [
        io.String.Input(
            "concept",
            default="",
            placeholder="cat",
            tooltip="What the model must stop drawing, in plain words, without articles: cat, Van Gogh style, red car.",
        ),
        advanced(
            io.String.Input(
                "replace_with",
                default="",
                tooltip="What to draw instead, in plain words. Empty: the nearest other thing that the model draws.",
            )
        ),
        advanced(
            io.String.Input("keep", default="", tooltip="Things that must not suffer, separated by commas: dog, tiger.")
        ),
        advanced(
            io.String.Input(
                "also", default="", tooltip="More words for the same concept, separated by commas: kitten, tomcat."
            )
        ),
    ]


def concept_of(
    concept: str, replace_with: str = "", keep: str = "", also: str = "", avoid: tuple[str, ...] = ()
) -> Concept:
    """The concept that the inputs describe; `avoid` is what the MODEL's erasers have erased already.

    Raises:
        UnlearnError: if it is empty, or its words cannot be meant.
    """
    words = Concept(concept.strip(), _words(also), replace_with.strip(), _words(keep), avoid=avoid)
    check_words(words)
    return words


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def bank_input() -> Any:
    """The user's own prompts; behind the inputs that were there before, for saved widgets are told by their order."""
    return advanced(
        io.String.Input(
            "bank",
            default="",
            multiline=True,
            placeholder="bank: prompts that you usually draw, one a line",
            tooltip="Prompts that you usually draw, one a line: they must stay closed, beside the pack's own. Those "
            "that name the concept do not count.",
        )
    )


def bank_of(text: str, concept: Concept) -> tuple[str, ...]:
    """The user's own prompts, without those that name the concept; none if nothing was typed.

    Raises:
        UnlearnError: if it is no text, or every prompt names the concept.
    """
    return tuple(check_own(own_prompts(text, "'bank'"), concept, "'bank'")) if text.strip() else ()


def strength_inputs() -> list[Any]:
    """How an eraser works while sampling; none of these trains anything anew."""
    return [
        io.Float.Input(
            "strength",
            default=1.0,
            min=0.0,
            max=3.0,
            step=0.05,
            tooltip="How strongly to erase, 0 to 3. 0: not at all. 1: the eraser as trained, at no extra cost. "
            "2: UnGuide's extrapolation; above 1 an erased picture takes half as long again.",
        ),
        io.Boolean.Input(
            "enabled",
            default=True,
            label_on="on",
            label_off="off",
            tooltip="Off: the model passes through as it came, and nothing is trained.",
        ),
    ]


def gate_input() -> Any:
    """The gate's mode."""
    return advanced(
        io.Combo.Input(
            "gate",
            options=["auto", "always", "never"],
            default="auto",
            tooltip="auto: erase only in pictures whose prompt asks for the concept; all others stay as they are, bit "
            "for bit. always: in every picture. never: in none.",
        )
    )


TOGETHER = "connect them to Eraser Stack"
"""How several erasers are used at once, for `lora_unlearn.concept.notices`."""
GATES: dict[str, GateMode] = {"auto": "auto", "always": "on", "never": "off"}
"""The gate's modes, as the nodes and as the core call them."""


def eraser_of(adapter: Any, strength: float, gate: str) -> Eraser:
    """An adapter at work, as the inputs say."""
    return Eraser(adapter, strength, GATES[gate])


def at_work(strength: float, gate: str) -> str:
    """The same in words: "strength 0.5, gate always"."""
    return f"strength {strength:g}" + ("" if gate == "auto" else f", gate {gate}")


def seed_input() -> Any:
    """The seed of a training, fixed unless the user changes it."""
    return advanced(
        io.Int.Input(
            "seed",
            default=0,
            min=0,
            max=2**31 - 1,
            control_after_generate=False,
            tooltip="Of the training's noise. Another seed trains another eraser; the seed of the pictures has no "
            "part in it.",
        )
    )


def cache_input() -> Any:
    """Whether erasers are kept on disk."""
    return advanced(
        io.Boolean.Input(
            "cache",
            default=True,
            label_on="keep on disk",
            label_off="this session only",
            tooltip="Keep the eraser in ComfyUI/user/lora_unlearn (512 MB at most), so that it is not trained again "
            "after a restart.",
        )
    )
