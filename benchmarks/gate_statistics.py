"""E0: which statistic decides best, and after how many steps? `python -m benchmarks.gate_statistics`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from benchmarks import common
from lora_unlearn.adapter import Adapter
from lora_unlearn.bank import load_bank
from lora_unlearn.bounds import conformal_threshold
from lora_unlearn.calibrate import measure
from lora_unlearn.concept import Concept
from lora_unlearn.denoiser import Denoiser
from lora_unlearn.erase import erase
from lora_unlearn.evaluate.scores import auc
from lora_unlearn.hosts.diffusers import denoiser_for

STATISTICS = ("raw", "kappa", "rho", "both", "text")
ERASERS = {
    "random": replace(common.FORMER, down="random", scale=8.0, rank=1, learning_rate=3e-3, selector="cross_kv"),
    "default": common.FORMER,
}
INDICES = (1, 2, 4)
"""Steps whose latents are probed, 0 being the first."""


def main() -> None:
    """Print and keep a table: concept x eraser x step x statistic."""
    options = common.options(__doc__ or "", steps=30, every=8)
    denoiser, table = denoiser_for(common.pipeline(options.checkpoint)), []
    for name in options.concepts:
        for label, settings in ERASERS.items():
            adapter = erase(denoiser, Concept(name), load_bank("demo"), settings=settings)
            found = rows(denoiser, adapter, options.steps, options.every)
            table += [{"concept": name, "eraser": label, **row} for row in found]
            print(common.markdown(table[-len(found) :]), flush=True)
    common.finish(options.out, "gate_statistics", table)


def rows(denoiser: Denoiser, adapter: Adapter, steps: int, every: int) -> list[dict[str, Any]]:
    """AUC and true-open rate at a conformal 1 % false-open rate, for every statistic and step."""
    name = adapter.concept.name
    _, calibration = common.banks(adapter.concept)
    groups = {"calibration": calibration[:100], **common.concept_prompts(name)}
    groups["synonyms"], groups["pairs"] = groups["synonyms"][::2], groups["pairs"][::2]
    groups["others"] = common.other_prompts(name)[::every]
    sizes = [len(prompts) for prompts in groups.values()]
    print(name, dict(zip(groups, sizes, strict=True)), flush=True)
    found = measure(denoiser, adapter, [p for prompts in groups.values() for p in prompts], INDICES, steps, 5.0, 7)
    table = []
    for index, scores in found.items():
        for statistic in STATISTICS:
            parts = dict(zip(groups, scores[statistic].split(sizes), strict=True))
            threshold = conformal_threshold(parts["calibration"], 0.01)
            row: dict[str, Any] = {"step": index, "statistic": statistic}
            for group in ("target", "synonyms", "pairs"):
                area = auc(parts[group].tolist(), parts["others"].tolist())
                row[group] = f"{area:.3f}, {float((parts[group] >= threshold).float().mean()):.2f}"
            row["others open"] = round(float((parts["others"] >= threshold).float().mean()), 3)
            table.append(row)
    return table


if __name__ == "__main__":
    main()
