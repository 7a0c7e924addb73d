"""What is known of an eraser, in lines for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .adapter import Adapter
from .guidance import Eraser
from .training.methods import METHODS
from .training.typed import written

MENTIONS = 3
"""How many of the prompts that calibration set aside are shown."""


def describe(adapter: Adapter) -> list[str]:
    """What it erases, how it was made, what its gate promises and where it sits, as far as people want to know it."""
    concept, settings = adapter.concept, adapter.settings
    said = {
        "also": ", ".join(concept.also), "of": concept.of, "draws instead": adapter.instead or concept.replace_with,
        "kept": ", ".join(concept.keep),
    }  # fmt: skip
    return [
        f"erases {concept.name!r} from {adapter.family} models",
        *(["NOT FINISHED: the training was interrupted or changed too little"] if adapter.partial else []),
        *(f"{name}: {value}" for name, value in said.items() if value),
        f"made in {adapter.mode} mode, {adapter.iterations} updates, objective {settings.objective}, "
        f"gamma {settings.gamma:g}, learning rate {settings.learning_rate:g}, seed {settings.seed}",
        *([f"unlike the method: {', '.join(unlike)}"] if (unlike := _unlike(adapter)) else []),
        f"redirected: {percent(adapter.redirected)}",
        *gate_lines(adapter),
        f"layers: {len(adapter.lora.names)} of rank {adapter.lora.rank}, selected as {settings.selector}",
        f"base model: {adapter.base_hash}, {adapter.prediction_type}"
        + (f", clip skip {adapter.clip_skip}" if adapter.clip_skip else ""),
        "network evaluations: " + ", ".join(f"{count} for {stage}" for stage, count in adapter.evaluations.items()),
    ]


def _unlike(adapter: Adapter) -> list[str]:
    """Parts, and numbers of parts, by which an eraser was not made as its method's row says: as they were typed."""
    own = METHODS[adapter.mode].settings
    found = written(replace(adapter.settings, selector=own.selector, objective=own.objective), own)
    return [option for option in found if option not in written(own, own)]


def other_clip_skip(adapter: Adapter, clip_skip: int) -> str:
    """What to know if prompts are read from another of CLIP's layers than when an eraser was made; else nothing.

    Args:
        clip_skip: of the pictures, as in `Adapter.clip_skip`.
    """
    if clip_skip == adapter.clip_skip:
        return ""
    made, used = (str(value) if value else "the model's own" for value in (adapter.clip_skip, clip_skip))
    return (
        f"The eraser for {adapter.concept.name!r} was made with another clip skip ({made}) than is set now ({used}); "
        "it may erase less and its gate err more; set the same, or calibrate it again."
    )


def other_base(erasers: Sequence[Eraser], base: str) -> str:
    """What to know of gates that are asked on another model, with this `base_hash`, than they were measured on."""
    asked = [eraser.adapter for eraser in erasers if eraser.mode == "auto" and eraser.strength != 0]
    adapters = [adapter for adapter in asked if adapter.base_hash != base]
    names = list(dict.fromkeys(adapter.concept.name for adapter in adapters))
    if not names:
        return ""
    named = ", ".join(map(repr, names[:MENTIONS])) + f" and {len(names) - MENTIONS} more" * (len(names) > MENTIONS)
    gates, them = ("gate of the eraser for", "it") if len(names) == 1 else ("gates of the erasers for", "them")
    return (
        f"The {gates} {named} {'was' if them == 'it' else 'were'} measured on another {adapters[0].family} model than "
        f"this one; calibrate {them} again to know how often {'it opens' if them == 'it' else 'they open'} here."
    )


def gate_lines(adapter: Adapter) -> list[str]:
    """What is known of an eraser's gate: first in words, then the numbers behind them."""
    return [*gate_promise(adapter), *gate_details(adapter)]


def gate_promise(adapter: Adapter) -> list[str]:
    """What the gate will do, in words for people who never heard of one."""
    gate, name = adapter.gate, adapter.concept.name
    if gate.false_open_rate is None:
        return ["gate: not calibrated, so nobody knows yet when it opens"]
    if not gate.judged:
        return [
            f"gate: opened for {percent(gate.true_open_rate)} of {gate.positives} sentences with {name}, and opens for "
            f"at most {percent(gate.false_open_rate)} of ordinary prompts"
        ]
    return [
        f"gate: would have opened for {gate.heard_open} of {gate.heard} new sentences with {name}, and for "
        f"{gate.judged_open} of {gate.judged} ordinary prompts without"
    ]


def gate_details(adapter: Adapter) -> list[str]:
    """The numbers behind the promise."""
    gate = adapter.gate
    when = {
        "text": "from the text alone" if gate.look is None else "from the text",
        "look": "by the network in pure noise",
    }.get(gate.statistic, f"by {gate.statistic}, {100 * gate.step:.0f} % into a run")
    score = f"gate, details: opens from a score of {gate.threshold:.3f} ({when})"
    if gate.false_open_rate is None:
        return [score]
    shown = ", ".join(repr(prompt) for prompt in gate.mentions[:MENTIONS])
    aside = f"; {len(gate.mentions)} more were set aside, being too like it, such as {shown}" if shown else ""
    look = (
        f"gate, second look: what the text leaves closed opens from a score of {gate.look or 0:.3f} in pure noise, set "
        f"by {gate.look_prompts} prompts; text and look share the bound"
    )
    others = f", together with the {gate.shared_by - 1} others of its list" if gate.shared_by > 1 else ""
    return [
        score,
        *([look] if gate.look_mode == "careful" else []),
        f"gate, false openings: at most {percent(gate.false_open_rate)} of prompts like the {gate.negatives} "
        f"without the concept that it was calibrated on{others}{aside}",
        f"gate, true openings: {percent(gate.true_open_rate)} of {gate.positives} prompts with the concept "
        f"(95 % interval {percent(gate.true_open_low)} to {percent(gate.true_open_high)})",
    ]


def percent(share: float | None) -> str:
    """A share in words for people."""
    return "not measured" if share is None else f"{100 * share:.1f} %"
