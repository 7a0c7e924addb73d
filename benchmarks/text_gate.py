"""The demo model's text gates, as erasers really have them: error rates for all ten classes.

`python -m benchmarks.text_gate` prints the counts and the prompts that open a gate by mistake.
"""

from __future__ import annotations

from benchmarks import common
from benchmarks.ordinary import BANKS
from lora_unlearn.bank import Parts, load_bank
from lora_unlearn.calibrate import text_scores
from lora_unlearn.concept import Concept
from lora_unlearn.denoiser import Denoiser
from lora_unlearn.evaluate.prompts import CLASSES
from lora_unlearn.hosts.diffusers import denoiser_for
from lora_unlearn.text_gate import text_gate

WITH = ("target", "synonyms", "pairs")


def main() -> None:
    """Print and keep a table: how many of each group's prompts open, over the ten classes."""
    options = common.options(__doc__ or "")
    denoiser = denoiser_for(common.pipeline(options.checkpoint))
    common.finish(options.out, "text_gate", opened(denoiser))


def opened(denoiser: Denoiser) -> list[dict[str, object]]:
    """How often the gates open: calibrated, mentions of the concept set aside."""
    rows: dict[str, list[tuple[int, int]]] = {}
    for name in CLASSES:
        gate = text_gate(denoiser, Concept(name), Parts.of(load_bank("demo")).without(Concept(name)))
        for group, prompts in asked(name).items():
            scores = text_scores(denoiser, gate, prompts)
            found = [prompt for prompt, score in zip(prompts, scores, strict=True) if score >= gate.threshold]
            rows.setdefault(group, []).append((len(found), len(prompts)))
            if group not in WITH and found:
                print(f"the gate for {name} opens ({group}): {'; '.join(found)}")
            if group in WITH and len(found) < len(prompts):
                print(f"the gate for {name} misses ({group}): {'; '.join(p for p in prompts if p not in found)}")
    return [
        {
            "group": group,
            "opens": sum(hits for hits, _ in counts),
            "of": sum(count for _, count in counts),
            "worst": (min if group in WITH else max)(round(hits / count, 3) for hits, count in counts),
        }
        for group, counts in rows.items()
    ]


def asked(name: str) -> dict[str, list[str]]:
    """The groups of prompts."""
    return {**common.concept_prompts(name), "others": common.other_prompts(name, hyponyms=False), **BANKS}


if __name__ == "__main__":
    main()
