"""Gates under prompts whose words are weighed by brackets: `python -m benchmarks.weighed --captions FILE`.

"(word:1.3)" multiplies a word's states in the web UIs, which then bring the mean of all states back ("original"), or do
not ("no norm"). Of captions without a concept, some words weighed, how many open its gate by mistake? Of captions with
it, the concept's own word or all words made weaker, how many are still heard? For the gate that hears every token at
one length, and for the one that hears each at its own. On the held-out concepts of `benchmarks.language`.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import common
from benchmarks.encoders import FOLDERS, TextOnly
from benchmarks.language import HELD_OUT, LEAST, grouped
from lora_unlearn.bank import Parts, load_bank
from lora_unlearn.concept import Concept
from lora_unlearn.denoiser import Conditioning
from lora_unlearn.gate import Gate, text_score_of_each
from lora_unlearn.text_gate import hearing, settled

WITHOUT = {"as they are": 1.0, "a word 1.3": 1.3, "three words 1.3": 1.3, "three words 1.5": 1.5, "all 1.2": 1.2,
           "all 0.5": 0.5}  # fmt: skip
WITH = {"as they are": 1.0, "own word 0.7": 0.7, "own word 0.3": 0.3, "all 0.7": 0.7, "all 0.3": 0.3}
GATES = ("at one length", "at its own")
Change = Callable[[Tensor, Tensor], Tensor]


def original(states: Tensor, weights: Tensor) -> Tensor:
    """A1111's usual way: (T,D) and (T,) to (T,D)."""
    weighed = states * weights[:, None]
    return weighed * (states.mean() / weighed.mean())


def no_norm(states: Tensor, weights: Tensor) -> Tensor:
    """The plain product."""
    return states * weights[:, None]


WAYS: dict[str, Change] = {"original": original, "no norm": no_norm}


def main() -> None:
    """Two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", choices=sorted(FOLDERS), default="minilm")
    parser.add_argument("--captions", type=Path, required=True, help="one caption a line")
    parser.add_argument("--most", type=int, default=1500, help="captions that are asked")
    parser.add_argument("--out", type=Path, default=Path("out/benchmarks"))
    options = parser.parse_args()
    captions = options.captions.read_text(encoding="utf-8").splitlines()
    captions = captions[:: max(1, len(captions) // options.most)]
    asked = Asked(TextOnly(options.encoder))
    counts = {group: {} for group in ("without", "with")}  # type: dict[str, dict[tuple[str, str], list[list[float]]]]
    for name, words in HELD_OUT.items():
        found, gates = grouped(name, captions, words), asked.gates(name)
        for group, given in (("without", found["without"]), ("with", found["own word"])):
            if len(given) >= LEAST:
                for way in WAYS:
                    for title, weight in (WITHOUT if group == "without" else WITH).items():
                        shares = asked.opened(gates, given, name, title, weight, WAYS[way])
                        counts[group].setdefault((way, title), []).append(shares)
    for group, rows in counts.items():
        common.finish(options.out, f"weighed_{options.encoder}_{group}", [row(*key, own) for key, own in rows.items()])


def row(way: str, title: str, shares: Sequence[Sequence[float]]) -> dict[str, Any]:
    """The mean over the concepts, the least and the most, for both gates."""
    found: dict[str, Any] = {"brackets": way, "weighed": title}
    for place, gate in enumerate(GATES):
        own = [share[place] for share in shares]
        found |= {gate: round(sum(own) / len(own), 4), f"{gate}, from": min(own), f"{gate}, to": max(own)}
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in found.items()}


class Asked:
    """Captions under weights, and gates that read them."""

    def __init__(self, denoiser: TextOnly) -> None:
        self.denoiser, self.draw = denoiser, random.Random(0)

    def gates(self, name: str) -> list[Gate]:
        """The gate that `erase` makes, and the same direction heard at each token's own length; each with its bound."""
        concept = Concept(name)
        usual = hearing(self.denoiser, concept, Parts.of(load_bank("sd1")).without(concept))  # type: ignore[arg-type]
        plain = replace(usual, gate=replace(usual.gate, unit=0.0))
        return settled(self.denoiser, [usual, plain])  # type: ignore[arg-type]

    def opened(
        self, gates: Sequence[Gate], captions: Sequence[str], name: str, title: str, weight: float, change: Change
    ) -> list[float]:
        """The share of captions that open each gate."""
        states = [self.denoiser.encode([caption]).tensors["text"][0] for caption in captions]
        rows = [
            change(own, self.weights(caption, len(own), name, title, weight))
            for caption, own in zip(captions, states, strict=True)
        ]
        asked = Conditioning({"text": torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)})
        scores = text_score_of_each(asked, gates)
        return [float((own >= gate.threshold).float().mean()) for own, gate in zip(scores, gates, strict=True)]

    def weights(self, caption: str, count: int, name: str, title: str, weight: float) -> Tensor:
        """A caption's tokens' weights, (count,); its first and last token have no brackets."""
        found, inside = torch.ones(count), list(range(1, count - 1))
        if title.startswith("own"):
            ids = self.denoiser.tokenizer(caption, truncation=True).input_ids
            words = self.denoiser.tokenizer.convert_ids_to_tokens(ids)
            inside = [place for place, word in enumerate(words) if name.lower() in word]
        elif not title.startswith("all"):
            inside = self.draw.sample(inside, min(len(inside), 3 if title.startswith("three") else 1))
        found[inside] = weight
        return found


if __name__ == "__main__":
    main()
