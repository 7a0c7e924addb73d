"""E7, in part: the text gate's error rates for all ten classes. `python -m benchmarks.text_gate`.

How many prompts put the concept beside something else, how strong the ridge is, and where in the gap between the
classes the threshold sits: 0 is the conformal threshold itself, 0.5 the middle.
"""

from __future__ import annotations

import itertools

import torch

from benchmarks import common
from benchmarks.ordinary import BANKS
from lora_unlearn.bank import load_bank
from lora_unlearn.calibrate import conformal_threshold, default_positives, text_scores
from lora_unlearn.concept import Concept
from lora_unlearn.denoiser import Conditioning, Denoiser
from lora_unlearn.directions import discriminant
from lora_unlearn.erase import erase
from lora_unlearn.evaluate.prompts import CLASSES
from lora_unlearn.hosts.diffusers import denoiser_for
from lora_unlearn.train import encode

BESIDE, RIDGES, GAPS = (0, 24), (0.01, 0.03, 0.1), (0.0, 0.4, 0.5, 0.6)
GROUPS = ("target", "synonyms", "pairs", "others", *BANKS)


def main() -> None:
    """Print and keep a table: mean and worst open rates over the ten classes."""
    options = common.options(__doc__ or "")
    denoiser = denoiser_for(common.pipeline(options.checkpoint))
    found: dict[tuple, list[list[float]]] = {}
    for name in CLASSES:
        for setting, rates in measured(denoiser, name).items():
            found.setdefault(setting, []).append(rates)
    table = []
    for setting, rows in found.items():
        columns = torch.tensor(rows).T
        row = dict(zip(("beside", "ridge", "gap"), setting, strict=True))
        row |= {f"{group}.mean": round(float(c.mean()), 4) for group, c in zip(GROUPS, columns, strict=True)}
        worst = [*(c.min() for c in columns[:3]), *(c.max() for c in columns[3:])]
        row |= {f"{group}.worst": round(float(c), 4) for group, c in zip(GROUPS, worst, strict=True)}
        row["cells"] = " | ".join(f"{row[f'{g}.mean']:.3f} / {row[f'{g}.worst']:.3f}" for g in GROUPS)
        table.append(row)
        print(f"| {' | '.join(map(str, setting))} | {row['cells']} |")
    common.write(options.out, "text_gate", table)
    common.finish(options.out, "text_gate_default", opened(denoiser))


def opened(denoiser: Denoiser) -> list[dict[str, object]]:
    """How often the gates open as erasers really have them: calibrated, mentions of the concept set aside."""
    rows: dict[str, list[int]] = {}
    for name in CLASSES:
        gate = erase(denoiser, Concept(name), load_bank("demo"), "instant").gate
        for group, prompts in asked(name).items():
            found = [
                p for p, s in zip(prompts, text_scores(denoiser, gate, prompts), strict=True) if s >= gate.threshold
            ]
            rows.setdefault(group, []).extend((len(found), len(prompts)))
            if group not in GROUPS[:3] and found:
                print(f"the gate for {name} opens ({group}): {'; '.join(found)}")
    return [{"group": group, "opens": sum(n[::2]), "of": sum(n[1::2])} for group, n in rows.items()]


def asked(name: str) -> dict[str, list[str]]:
    """The groups of prompts."""
    return {**common.concept_prompts(name), "others": common.other_prompts(name, hyponyms=False), **BANKS}


def measured(denoiser: Denoiser, name: str) -> dict[tuple, list[float]]:
    """Open rates of the four groups of prompts, for every setting."""
    concept = Concept(name)
    keep, calibration = common.banks(concept)
    prompts = encode(denoiser, concept, keep)
    groups = asked(name) | {"calibration": calibration, "positives": default_positives(concept, calibration)}
    texts = {group: denoiser.encode(rows).tensors["text"].float() for group, rows in groups.items()}
    rates = {}
    for count, ridge in itertools.product(BESIDE, RIDGES):
        target = Conditioning.cat([prompts.target, prompts.beside[:count]])
        direction = discriminant(target, prompts.keep, prompts.empty, ridge)[0]
        scores = {group: (text @ direction).amax(1) for group, text in texts.items()}
        conformal = conformal_threshold(scores["calibration"], 0.01)
        gap = max(0.0, float(scores["positives"].quantile(0.05)) - conformal)
        for share in GAPS:
            threshold = conformal + share * gap
            rates[count, ridge, share] = [float((scores[group] >= threshold).float().mean()) for group in GROUPS]
    return rates


if __name__ == "__main__":
    main()
