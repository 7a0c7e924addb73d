"""The same prompts, seeds and judge under `lora-unlearn evaluate` and under eval-unlearn, picture by picture.

`python -m benchmarks.evaluators --python PATH`: an *instant* eraser of the demo model's cat at half strength, so that
some cats stay. PATH is the interpreter of an environment with eval-unlearn and this package (`docs/hosts.md`).
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from lora_unlearn import Concept, Sampling, denoiser_for, erase, load_bank
from lora_unlearn.demo.checkpoint import load_demo
from lora_unlearn.evaluate import DemoJudge, evaluate, unguide_protocol

ROOT = Path(__file__).resolve().parent.parent
STEPS, SCALE, STRENGTH = 10, 5.0, 0.5
TECHNIQUE, METRIC = "lora_unlearn", "ua_ira_judged"


def main() -> None:
    """Print both programs' figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", required=True)
    parser.add_argument("--count", type=int, default=4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        ours, theirs = compared(options.python, Path(name), options.count)
    right = sum(picture["gated"] == seen for picture, seen in zip(ours, theirs["details"]["seen"], strict=True))
    for title, (ua, ira) in {
        "lora-unlearn evaluate": accuracies(ours),
        "eval-unlearn": (theirs["details"]["ua_score"], theirs["details"]["ira_score"]),
    }.items():
        print(f"{title}: UA {ua:.4f}, IRA {ira:.4f}")
    print(f"the same label on {right} of {len(ours)} pictures")


def compared(
    python: str, folder: Path, count: int, kept: int | None = None
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Our report's pictures, and eval-unlearn's result on the same prompts and seeds.

    Args:
        python: eval-unlearn's interpreter.
        folder: to write to.
        count: pictures for each prompt, seeds 0, 1, and so on.
        kept: of the prompts without the concept, at most so many; None for all.
    """
    pipe, judge = load_demo(), DemoJudge()
    adapter = erase(denoiser_for(pipe), Concept("cat"), load_bank("demo"), "instant")
    file = adapter.save(folder / "cat.safetensors")
    protocol = unguide_protocol("cat", judge.labels)
    protocol = replace(protocol, prompts=(*protocol.of("target", "synonym"), *protocol.of("other")[:kept]))
    sampling = Sampling(STEPS, SCALE, batch=count)
    ours = evaluate(pipe, adapter, protocol, judge, sampling, count, strength=STRENGTH).figures["pictures"]
    return ours, under_eval_unlearn(python, folder, file, ours, count)


def under_eval_unlearn(
    python: str, folder: Path, file: Path, pictures: list[dict[str, Any]], count: int
) -> dict[str, Any]:
    """What eval-unlearn's own command makes of the same pictures: its metric's result.

    It numbers seeds from 0 in every batch, so a batch is one prompt as often as there are seeds.
    """
    rows = [("prompt", "concept"), *((picture["prompt"], picture["wanted"]) for picture in pictures)]
    with (folder / "prompts.csv").open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows(rows)
    technique = {
        "checkpoint": "demo", "adapter": str(file), "strength": STRENGTH, "erase_concept": "cat",
        "num_inference_steps": STEPS, "guidance_scale": SCALE, "batch": count, "seed": 0,
    }  # fmt: skip
    metric = {"prompts_path": str(folder / "prompts.csv"), "target_concept": "cat", "batch_size": count}
    asked = {
        "output_dir": str(folder / "results"),
        "technique": {"name": TECHNIQUE, "config": technique},
        "metric": {"name": METRIC, "config": metric},
    }
    (folder / "run.json").write_text(json.dumps(asked), encoding="utf-8")
    eval_unlearn(python, "run", "--config", str(folder / "run.json"))
    (report,) = (folder / "results").glob("*_report_full.json")
    return json.loads(report.read_text(encoding="utf-8"))["metric_result"]


def eval_unlearn(python: str, *arguments: str) -> str:
    """What its command says, with this checkout's package; its metrics' hubs stay out of it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [python, "-m", "eval_unlearn.cli", *arguments]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def accuracies(pictures: list[dict[str, Any]]) -> tuple[float, float]:
    """UA and IRA of a report's pictures, by the judge's labels: 1 - acc_e_all over all words, and acc_s_all."""
    with_cat = [picture["gated"] != "cat" for picture in pictures if picture["wanted"] == "cat"]
    others = [picture["gated"] == picture["wanted"] for picture in pictures if picture["wanted"] != "cat"]
    return sum(with_cat) / len(with_cat), sum(others) / len(others)


if __name__ == "__main__":
    main()
