"""E0: which statistic decides best, and after how many steps? `python -m benchmarks.gate_statistics`."""

from __future__ import annotations

import torch

from benchmarks import common
from lora_unlearn.calibrate import combine, conformal_threshold, measure
from lora_unlearn.concept import Concept
from lora_unlearn.erase import erase
from lora_unlearn.evaluate.scores import auc
from lora_unlearn.hosts.diffusers import denoiser_for
from lora_unlearn.settings import Settings

STATISTICS = ("raw", "kappa", "rho", "both", "text")


def main() -> None:
    """Print and keep a table: concept x directions x step x statistic."""
    options = common.options(__doc__ or "", steps=30)
    pipe = common.pipeline(options.checkpoint)
    denoiser = denoiser_for(pipe)
    table = []
    for name in options.concepts:
        for down, rank in (("random", 1), ("discriminant", 1), ("edit", 1), ("edit", 4)):
            concept = Concept(name)
            settings = Settings(down=down, rank=rank, scale=8.0 if down == "random" else 1.0)
            adapter = erase(denoiser, concept, common.demo_bank(), settings=settings)
            table += rows(denoiser, adapter, name, f"{down} {rank}", options.steps)
    common.write(options.out, "gate_statistics", table)


def rows(denoiser, adapter, name: str, label: str, steps: int) -> list[dict]:
    """AUC and true-open rate at a conformal 1 % false-open rate, for every statistic and step."""
    _, calibration = common.banks(adapter.concept)
    groups = {"calibration": calibration, **common.concept_prompts(name), "others": common.other_prompts(name)[::3]}
    prompts = [prompt for group in groups.values() for prompt in group]
    found = measure(denoiser, adapter, prompts, (1, 2, 4, 8), steps, 5.0, 7)
    table = []
    for index, scores in found.items():
        for statistic in STATISTICS:
            parts = dict(zip(groups, combine(scores, statistic).split([len(g) for g in groups.values()]), strict=True))
            threshold = conformal_threshold(parts["calibration"], 0.01)
            row = {"concept": name, "directions": label, "step": index, "statistic": statistic}
            for group in ("target", "synonyms", "pairs"):
                row[f"{group}.auc"] = auc(parts[group].tolist(), parts["others"].tolist())
                row[f"{group}.tpr"] = float((parts[group] >= threshold).float().mean())
            row["fpr"] = float((parts["others"] >= threshold).float().mean())
            table.append(row)
            print(row)
    return table


if __name__ == "__main__":
    torch.set_grad_enabled(True)
    main()
