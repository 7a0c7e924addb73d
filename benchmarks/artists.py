"""Does the gate of one artist's style open for another's? `python -m benchmarks.artists --encoder minilm`.

The eighteen artists of `benchmarks/hundred.py` on a real text encoder, each erased by name alone: the share of the
others' prompts for which its gate opens, and which of them open it most; then with all the others named under "keep",
and with every other one, asked about those that were not named.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks import common
from benchmarks.encoders import FOLDERS, TextOnly
from benchmarks.hundred import NAMES
from lora_unlearn.bank import Parts, load_bank
from lora_unlearn.calibrate import text_scores
from lora_unlearn.concept import Concept
from lora_unlearn.text_gate import text_gate

ARTISTS = [name for name in NAMES if name.endswith(" style")]
SENTENCES = (
    "a painting of a house by {0}", "a house in the style of {0}", "a portrait of a woman, {0} style", "{0}",
    "A dog image in {0} style.", "{0}, landscape, masterpiece",
)  # fmt: skip


def main() -> None:
    """Both tables, one row an artist."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", choices=sorted(FOLDERS), default="minilm")
    parser.add_argument("--out", type=Path, default=Path("out/benchmarks"))
    options = parser.parse_args()
    encoder, rows = TextOnly(options.encoder), list[dict[str, Any]]()
    for place, artist in enumerate(ARTISTS):
        others = [other for other in ARTISTS if other != artist]
        halves = others[place % 2 :: 2], others[1 - place % 2 :: 2]
        alone, kept, half = (opened(encoder, Concept(artist, keep=tuple(keep))) for keep in ((), others, halves[0]))
        worst = sorted(others, key=lambda other: -alone[other])[:2]
        rows.append(
            {
                "erased": artist,
                "own": alone[artist],
                "the others": mean(alone[other] for other in others),
                "most": ", ".join(f"{other} {alone[other]:.2g}" for other in worst),
                "kept: own": kept[artist],
                "kept: the others": mean(kept[other] for other in others),
                "half kept: own": half[artist],
                "half kept: the other half": mean(half[other] for other in halves[1]),
            }
        )
    shares = [key for key, value in rows[0].items() if isinstance(value, float)]
    rows.append({key: mean(row[key] for row in rows) if key in shares else "" for key in rows[0]} | {"erased": "mean"})
    common.finish(options.out, f"artists_{options.encoder}", rows)


def opened(encoder: TextOnly, concept: Concept) -> dict[str, float]:
    """For each artist the share of the prompts that open the gate of a concept."""
    gate = text_gate(encoder, concept, Parts.of(load_bank("language")).without(concept), concept.kept())
    return {
        artist: share(text_scores(encoder, gate, prompts_for(artist)).ge(gate.threshold).tolist()) for artist in ARTISTS
    }


def prompts_for(artist: str) -> list[str]:
    """What people ask for by an artist."""
    return [sentence.format(artist.removesuffix(" style")) for sentence in SENTENCES]


def share(hits: Sequence[bool]) -> float:
    """How many of them, of one."""
    return sum(hits) / len(hits)


if __name__ == "__main__":
    main()
