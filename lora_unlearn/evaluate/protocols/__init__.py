"""The house of protocols: what an eraser is measured by, a row each; what is asked, drawn, judged and counted."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import UnlearnError
from ..prompts import Protocol, unguide_protocol
from ..summary import summarise
from . import canvas, gate, hub, implicit, integrity, sequence
from .bench import Bench
from .row import Measured, Row, by_pictures


def _unguide(bench: Bench) -> Protocol:
    return unguide_protocol(bench.concept, bench.judge.labels, bench.synonyms, bench.paraphrases)


PROTOCOLS: dict[str, Row] = {
    "unguide": Row(
        _unguide, by_pictures("unguide", summarise), "erased, spared, synonyms, H, and the gate",
        "MACE (arXiv 2403.06135), UnGuide (2508.05755)", (10, 2),
    ),
    "canvas": Row(
        canvas.ask, by_pictures("canvas", canvas.count), "every thing in every style: UA, IRA and CRA of one of them",
        "UnlearnCanvas (arXiv 2402.11846)",
    ),
    "integrity": Row(
        integrity.ask, by_pictures("integrity", integrity.count, integrity.ALL),
        "what else changes from the same noise: distances, identical pictures, the worst pairs",
        "model integrity (arXiv 2411.02068)", (2, 1),
    ),
    "gate": Row(
        gate.ask, gate.measure, "how often the gate opens, by mistake and when it should; reads text alone",
        "made for this gate", (1, 1), pictures=lambda bench, asked, seeds: 0,
    ),
    "hub": Row(
        hub.ask, by_pictures("hub", hub.count),
        "target proportion, nearest words, the other thing of a prompt, languages, forms that people try",
        "HUB (arXiv 2410.05664)",
    ),
    "sequence": Row(
        sequence.ask, sequence.measure, "the first 1, 2, 4, 8, 10 of several erasers at once: gone, handed out, kept",
        "continual unlearning, after MUSE's sustainability", several=True,
        pictures=sequence.pictures,
    ),
    "implicit": Row(
        implicit.ask, by_pictures("implicit", implicit.count),
        "descriptions without the name, kinds and genus, other senses of its words",
        "EMMA, SEE (arXiv 2508.15124), CAEB",
    ),
}  # fmt: skip
"""By name; the first is the usual one."""


def ask(bench: Bench, names: Sequence[str]) -> dict[str, Protocol]:
    """What some protocols ask: all of them before the first is measured, so that none fails late.

    Raises:
        UnlearnError: if a protocol does not fit the erasers, or the judge can't answer it.
    """
    for name in names:
        if len(bench.erasers) > 1 and not PROTOCOLS[name].several:
            several = ", ".join(name for name, row in PROTOCOLS.items() if row.several)
            raise UnlearnError(f"{name} measures one eraser, got {len(bench.erasers)}; choose {several}, or name one.")
    return {name: PROTOCOLS[name].ask(bench) for name in names}


def measure(bench: Bench, asked: dict[str, Protocol]) -> dict[str, Measured]:
    """Measure what was asked, one protocol after the other.

    An interrupt ends the protocol at work, which counts what it has, and leaves out those that follow.

    Raises:
        KeyboardInterrupt: before there was anything to count.
    """
    found = dict[str, Measured]()
    try:
        for name, protocol in asked.items():
            row = PROTOCOLS[name]
            found[name] = row.measure(bench, protocol, bench.seeds_of(row.seeds))
            if found[name].unfinished:
                break
    except KeyboardInterrupt:
        if not found:
            raise
    return found


def pictures(bench: Bench, asked: dict[str, Protocol]) -> int:
    """How many pictures are drawn at most: those without an eraser that protocols share count each time."""
    return sum(
        PROTOCOLS[name].pictures(bench, protocol, bench.seeds_of(PROTOCOLS[name].seeds))
        for name, protocol in asked.items()
    )


__all__ = ["PROTOCOLS", "Bench", "Measured", "Row", "ask", "measure", "pictures"]
