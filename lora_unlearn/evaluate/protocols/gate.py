"""The gate alone: how often it opens by mistake and when it should, with exact intervals. Only text is read."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

from ...bank import Parts, load_bank
from ...bounds import clopper_pearson
from ...decisions import Decision
from ...look import decide_prompts
from ..counting import Counted
from ..prompts import HELD_OUT, Kind, Prompt, Protocol
from .bench import Bench
from .row import Measured, asking

AT_ONCE = 32
TOLD = 8
"""Mistakes of a kind that are named."""
OPEN: tuple[Kind, ...] = ("target", "synonym", "paraphrase", "named")
"""Kinds for which the gate should open; for the others it should stay shut."""


def ask(bench: Bench) -> Protocol:
    """The concept, its other words, paraphrases, and captions without it: the user's, else the bank's held-out part.

    Captions that hold one of the concept's words count apart: the gate should open for them.
    """
    concept = bench.eraser.adapter.concept
    others = bench.other_words
    prompts = [Prompt(pair[0], "target", bench.concept) for pair in concept.pairs()]
    prompts += [Prompt(sentence, "paraphrase", bench.concept) for sentence in bench.sentences(len(HELD_OUT))]
    if bench.style is None:
        prompts += [Prompt(sentence.format(word), "synonym", bench.concept) for word in others for sentence in HELD_OUT]
    captions = bench.captions or Parts.of(load_bank(bench.denoiser.family)).judge
    known = bench.known
    prompts += [Prompt(text, "named" if known.named_in(text) else "caption", "") for text in captions]
    return asking(bench, prompts)


def measure(bench: Bench, asked: Protocol, seeds: Sequence[int]) -> Measured:
    """Every prompt's decision, before anything is drawn."""
    decisions, started = list[Decision](), time.perf_counter()
    try:
        for start in range(0, len(asked.prompts), AT_ONCE):
            texts = [prompt.text for prompt in asked.prompts[start : start + AT_ONCE]]
            decisions += decide_prompts(bench.denoiser, bench.eraser.adapter, texts)
            bench.report("gate", len(decisions), len(asked.prompts))
    except KeyboardInterrupt:
        if not decisions:
            raise
    seconds = time.perf_counter() - started
    found = list(zip(asked.prompts, decisions, strict=False))
    kinds = list(dict.fromkeys(prompt.kind for prompt in asked.prompts))
    figures: dict[str, Any] = {
        kind: group([pair for pair in found if pair[0].kind == kind], kind in OPEN) for kind in kinds
    }
    gate = bench.eraser.adapter.gate
    figures |= {
        "seconds_per_decision": seconds / len(decisions),
        "threshold": gate.text_open if math.isfinite(gate.text_open) else None,
        "bound": gate.false_open_rate,
        "source": "the user's captions" if bench.captions else "the bank's held-out part",
    }
    return Measured(figures, unfinished=len(decisions) < len(asked.prompts))


def group(found: Sequence[tuple[Prompt, Decision]], wanted: bool) -> Counted:
    """Of prompts of a kind: how often the gate opened, its scores, and the first of its mistakes.

    Args:
        found: prompts with what the gate made of them; what only a picture's own run could tell is undecided.
        wanted: whether it should open.
    """
    opened = sum(decision.open is True for _, decision in found)
    wrong = [prompt.text for prompt, decision in found if decision.open is (not wanted)]
    block = Counted(
        {(prompt.text, 0): float(decision.open is True) for prompt, decision in found},
        lambda values: clopper_pearson(opened, len(found)) if found else None,
    )
    block |= {
        "should_open": wanted,
        "opened": opened,
        "undecided": sum(decision.open is None for _, decision in found),
        "scores": [decision.score for _, decision in found if decision.score is not None and decision.by == "text"],
        "mistakes": wrong[:TOLD],
    }
    return block
