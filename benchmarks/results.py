"""The results table: `python -m benchmarks.results` erases and evaluates, `--table` prints what there is.

One JSON file for each mode, concept and training seed is kept, so that an interrupted run goes on. The pictures of a
prompt are shared out among the training seeds: `--count 17` with three seeds makes 51 of each.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import common
from lora_unlearn.bank import load_bank
from lora_unlearn.concept import Concept
from lora_unlearn.erase import MODES, erase
from lora_unlearn.evaluate import CLASSES, Album, DemoJudge, Saving, evaluate, unguide_protocol
from lora_unlearn.files import write_text
from lora_unlearn.hosts.diffusers import denoiser_for
from lora_unlearn.hosts.generate import Sampling

COLUMNS = (
    "acc_e",
    "acc_g",
    "acc_s",
    "h",
    "acc_e_all",
    "acc_g_all",
    "h_all",
    "exported.h",
    "gate.tpr",
    "gate.fpr",
    "integrity.identical_share",
    "pairs.gated.concept",
    "pairs.gated.partner",
    "evaluations.training",
)
LOW_IS_GOOD = ("acc_e", "acc_g", "acc_e_all", "acc_g_all", "gate.fpr", "pairs.gated.concept", "evaluations.training")
SWEPT = replace(MODES["paper"], learning_rate=3e-4)
"""Paper mode with the learning rate that `benchmarks.paper_mode` found best; judged at strength 1."""
ERASERS: dict[str, tuple[str, Any]] = {
    **{mode: (mode, settings) for mode, settings in MODES.items()},
    "swept": ("paper", SWEPT),
}
SAVING = Saving(closed=1, exported=2, extra=1)


def main() -> None:
    """Erase and evaluate, or print the table."""
    options = common.options(__doc__ or "", modes="fast,instant", seeds="0,1,2", count=17, paraphrases=3, table=False)
    if options.table:
        print(table(options.out))
        return
    pipe, judge, albums = common.pipeline(options.checkpoint), DemoJudge(), dict[int, Album]()
    concepts = list(CLASSES) if options.concepts == ["all"] else options.concepts
    for seed in map(int, options.seeds.split(",")):
        for concept in concepts:
            for mode in options.modes.split(","):
                path = options.out / f"{mode}-{concept}-{seed}.json"
                if path.is_file():
                    continue
                album = albums.setdefault(seed, Album())
                figures = measured(pipe, judge, concept, mode, seed, options.count, options.paraphrases, album)
                write_text(path, json.dumps(figures))
                print(path.name, {name: _value(figures, name) for name in COLUMNS}, flush=True)


def measured(pipe, judge, name: str, mode: str, seed: int, count: int, paraphrases: int, album: Album) -> dict:
    """One eraser, trained and evaluated; without the list of pictures."""
    started = time.perf_counter()
    way, settings = ERASERS[mode]
    adapter = erase(denoiser_for(pipe), Concept(name), load_bank("demo", seed), way, replace(settings, seed=seed))  # type: ignore[arg-type]
    trained = time.perf_counter() - started
    protocol = unguide_protocol(name, judge.labels, paraphrases=paraphrases)
    evaluation = evaluate(
        pipe,
        adapter,
        protocol,
        judge,
        Sampling(steps=20, guidance_scale=5.0, batch=17),
        count,
        first_seed=1000 * (seed + 1),
        training_seconds=trained,
        saving=SAVING,
        album=album,
    )
    figures = evaluation.figures
    figures["scores"] = [[row["kind"], row["wanted"], row["score"], row["open"]] for row in figures.pop("pictures")]
    return figures


def table(folder: Path) -> str:
    """A Markdown table: every concept's mean over the seeds, then the mean and the worst of all."""
    rows: dict[tuple[str, str], list[dict]] = {}
    for path in sorted(folder.glob("*-*-*.json")):
        mode, concept, _ = path.stem.split("-")
        rows.setdefault((mode, concept), []).append(json.loads(path.read_text(encoding="utf-8")))
    lines = [f"| mode | concept | seeds | {' | '.join(COLUMNS)} |", "| --- " * (len(COLUMNS) + 3) + "|"]
    modes: dict[str, list[list[float]]] = {}
    for (mode, concept), runs in rows.items():
        means = [sum(_value(run, name) for run in runs) / len(runs) for name in COLUMNS]
        modes.setdefault(mode, []).append(means)
        lines.append(_line(mode, concept, len(runs), means))
    for mode, all_means in modes.items():
        columns = list(zip(*all_means, strict=True))
        lines.append(_line(mode, "**mean**", "", [sum(column) / len(column) for column in columns]))
        worst = [max(c) if name in LOW_IS_GOOD else min(c) for c, name in zip(columns, COLUMNS, strict=True)]
        lines.append(_line(mode, "**worst**", "", worst))
    return "\n".join(lines)


def _line(mode: str, concept: str, seeds: object, values: list[float]) -> str:
    texts = [f"{value:.3f}" if value <= 1 else f"{value:.0f}" for value in values]
    return f"| {mode} | {concept} | {seeds} | {' | '.join(texts)} |"


def _value(figures: dict, name: str) -> float:
    for part in name.split("."):
        figures = figures[part]
    return float(figures or 0.0)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
