"""E1, E2: UnGuide's gate against ours, and what its closed strength costs. `python -m benchmarks.gate_in_run`.

UnGuide's gate works on the adapter of its own training: `--rate` and `--iterations` name one that
`benchmarks.paper_mode` has left in the folder `--out`, or that is trained here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from benchmarks import common
from benchmarks.paper_mode import snapshots
from lora_unlearn.adapter import Adapter
from lora_unlearn.bank import load_bank
from lora_unlearn.calibrate import calibrate, measure, text_scores
from lora_unlearn.concept import Concept
from lora_unlearn.denoiser import Denoiser
from lora_unlearn.erase import erase
from lora_unlearn.evaluate import DemoJudge
from lora_unlearn.gate import Gate
from lora_unlearn.guidance import Eraser
from lora_unlearn.hosts.diffusers import denoiser_for
from lora_unlearn.hosts.generate import generate
from lora_unlearn.paper import PAPER, changes

STEPS = common.SAMPLING.steps
PROBED = (1, 2, 3)
REPEATS, STEPS_RUN = 30, 10
"""UnGuide's, of which the second are of 50."""


def main() -> None:
    """Print and keep two tables: decisions, and unrelated pictures under a closed gate."""
    options = common.options(__doc__ or "", rate=3e-4, iterations=50, targets=9, synonyms=2)
    pipe, decisions, closed = common.pipeline(options.checkpoint), [], []
    for name in options.concepts:
        settings = replace(PAPER, learning_rate=options.rate)
        paper = snapshots(pipe, name, settings, [options.iterations], options.out)[0]
        ours = erase(denoiser_for(pipe), Concept(name), load_bank("demo"))
        sets = common.prompt_sets(name, options.targets, options.synonyms, others=1)
        decisions += [{"concept": name, **row} for row in unguide_rows(pipe, paper, sets) + our_rows(pipe, ours, sets)]
        print(common.markdown(decisions), flush=True)
        closed += [{"concept": name, **row} for row in _closed(pipe, paper, ours, sets["others"])]
        print(common.markdown(closed), flush=True)
    common.finish(options.out, "gate_in_run", decisions)
    common.finish(options.out, "gate_closed", closed)


def unguide_rows(pipe: Any, paper: Adapter, sets: common.Sets) -> list[dict[str, Any]]:
    """UnGuide's gate with one run and with all of them."""
    asked, unrelated = sets["target"][0] + sets["synonyms"][0], sets["others"][0]
    rows = []
    for repeats, opened in unguide_decisions(denoiser_for(pipe), paper, [*asked, *unrelated]).items():
        rates = [float(part.mean()) for part in opened.split([len(asked), len(unrelated)])]
        rows.append(_row(f"UnGuide's, R = {repeats}", rates, repeats * (4 * STEPS_RUN + 4), {}))
    return rows


def our_rows(pipe: Any, ours: Adapter, sets: common.Sets) -> list[dict[str, Any]]:
    """The probe in the picture's own run, and the text; with what is drawn when the adapter starts that late."""
    denoiser, negatives = denoiser_for(pipe), common.banks(ours.concept)[1][:120]
    asked, unrelated = sets["target"][0] + sets["synonyms"][0], sets["others"][0]
    rows = []
    for index in PROBED:
        gate = Gate(statistic="both", step=index / STEPS)
        gate = calibrate(denoiser, replace(ours, gate=gate), negatives, steps=STEPS, guidance_scale=5.0)
        scores = measure(denoiser, ours, [*asked, *unrelated], [index], STEPS, 5.0, 11)[index]
        rates = _rates(scores["both"], gate, len(asked))
        rows.append(_row(f"probe after {index} of {STEPS} steps", rates, 2, _drawn(pipe, ours, gate, sets)))
    rates = _rates(text_scores(denoiser, ours.gate, [*asked, *unrelated]), ours.gate, len(asked))
    return [*rows, _row("text", rates, 0, _drawn(pipe, ours, ours.gate, sets))]


def unguide_decisions(denoiser: Denoiser, adapter: Adapter, prompts: list[str]) -> dict[int, torch.Tensor]:
    """How often UnGuide's gate opens for each prompt, with one run (over `REPEATS` of them) and with all of them."""
    settings = replace(adapter.settings, guidance_scale=7.5, trajectory_steps=50)
    empty = changes(denoiser, adapter, "", settings, REPEATS, STEPS_RUN, 0)
    norms = [changes(denoiser, adapter, prompt, settings, REPEATS, STEPS_RUN, 0) for prompt in prompts]
    return {
        REPEATS: torch.stack([(norm.mean() > empty.mean()).float() for norm in norms]),
        1: torch.stack([(norm > empty).float().mean() for norm in norms]),
    }


def _rates(scores: torch.Tensor, gate: Gate, asked: int) -> list[float]:
    opened = (scores >= gate.threshold).float()
    return [float(opened[:asked].mean()), float(opened[asked:].mean())]


def _row(label: str, rates: list[float], spent: int, drawn: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {"gate": label, "opens with the concept": round(rates[0], 3), "without": round(rates[1], 3)}
    row["evaluations for the decision"] = spent
    return row | {"still drawn": drawn.get("target", ""), "synonyms": drawn.get("synonyms", "")}


def _drawn(pipe: Any, adapter: Adapter, gate: Gate, sets: common.Sets) -> dict[str, Any]:
    asked = {group: sets[group] for group in ("target", "synonyms")}
    return common.judged(pipe, asked, [Eraser(replace(adapter, gate=gate))], common.SAMPLING)


def _closed(pipe: Any, paper: Adapter, ours: Adapter, others: tuple[list[str], list[str]]) -> list[dict[str, Any]]:
    """Unrelated pictures beside the base model's: UnGuide's mixture at w2 = 1.5 and 2, and our gate."""
    (prompts, wanted), judge = others, DemoJudge()
    seeds, sampling = range(len(prompts)), common.QUICK
    base = [picture.image for picture in generate(pipe, prompts, seeds, sampling)]
    before, rows = judge.verdict(base).features, []
    for label, eraser in (
        ("1, text gate, ours", Eraser(ours)),
        ("1.5", Eraser(paper, -0.5, "on", both_rows=True)),
        ("2, UnGuide's", Eraser(paper, -1.0, "on", both_rows=True)),
    ):
        pictures = generate(pipe, prompts, seeds, sampling, [eraser])
        images = [picture.image for picture in pictures]
        after = judge.verdict(images).features
        identical = [a.tobytes() == b.tobytes() for a, b in zip(images, base, strict=True)]
        found = common.seen(images)
        row: dict[str, Any] = {"w2": label, "pictures": len(images), "identical": sum(identical) / len(images)}
        row["feature distance"] = round(float(((after - before).norm(dim=1) / before.norm(dim=1)).mean()), 3)
        row["judged right"] = round(sum(a == b for a, b in zip(found, wanted, strict=True)) / len(found), 3)
        row["evaluations"] = sum(picture.evaluations or 0 for picture in pictures) / len(pictures)
        rows.append(row)
    return rows


if __name__ == "__main__":
    main()
