"""`lora-unlearn evaluate`: what an eraser erases and what it spares, as a page and as JSON."""

from __future__ import annotations

import argparse
from typing import Any

from ..describe import percent
from ..errors import UnlearnError
from ..evaluate import CLASSES, ClipJudge, DemoJudge, Saving, evaluate, unguide_protocol
from ..evaluate.drawing import pictures, plan
from ..evaluate.judge import Judge
from ..hosts.diffusers import denoiser_for
from ..hosts.generate import Sampling
from ..report import write_report
from ..written import Written, check_replaceable
from .console import bars, quiet, say
from .models import open_eraser, open_model, output_folder, usual_guidance

USUAL, QUICK = (10, 18, Saving()), (2, 3, Saving(closed=1, exported=1, extra=1))
"""Pictures of a prompt, further sentences for a word, and what is left out."""


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    usual_count, usual_paraphrases, saving = QUICK if args.quick else USUAL
    count = usual_count if args.count is None else args.count
    paraphrases = usual_paraphrases if args.paraphrases is None else args.paraphrases
    folder = output_folder(args.out)
    check_replaceable(folder / "report.json", Written("report"), args.overwrite)
    check_replaceable(folder / "report.html", Written("page"), args.overwrite)
    with quiet(), bars() as shown:
        pipe = open_model(args)
        denoiser = denoiser_for(pipe)
        scale = usual_guidance(denoiser) if args.guidance_scale is None else args.guidance_scale
        sampling = Sampling(args.steps, scale, batch=args.batch)
        eraser = open_eraser(args.adapter, denoiser)
        concept = eraser.adapter.concept.name
        check_replaceable(folder / "report.json", Written("report", concept), args.overwrite)
        judge = find_judge(args, denoiser.family, concept)
        protocol = unguide_protocol(concept, judge.labels, args.synonym, paraphrases)
        drawn = pictures(plan(pipe, eraser, protocol, range(count), saving))
        advice = "" if args.quick else " (--quick draws about a tenth)"
        say(f"{drawn} pictures of {args.steps} steps are to be drawn and judged{advice}.")
        evaluation = evaluate(
            pipe,
            eraser.adapter,
            protocol,
            judge,
            sampling,
            count,
            shown.of("evaluating"),
            eraser.strength,
            first_seed=args.seed,
            saving=saving,
        )
        write_report(evaluation, folder)
    for line in lines(evaluation.figures):
        say(line)
    say(f"report.html and report.json are in {folder}.")
    return 0


def find_judge(args: argparse.Namespace, family: str, concept: str) -> Judge:
    """The demo model's own judge, or CLIP from the folder that was named.

    Raises:
        UnlearnError: if a real model is to be judged and no folder was named.
    """
    if family == "demo":
        return DemoJudge()
    if args.judge is None:
        raise UnlearnError(
            f"Pictures of a {family} model are judged by CLIP; name the folder of one with --judge, for example a "
            "download of openai/clip-vit-base-patch32."
        )
    return ClipJudge(args.judge, tuple(dict.fromkeys((*CLASSES, concept))), args.device or "cpu")


def lines(figures: dict[str, Any]) -> list[str]:
    """The first figures of a report, for people."""
    gate = figures["gate"]
    return [
        f"H: {percent(figures['h'])} (erased {percent(figures['acc_e'])}, spared {percent(figures['acc_s'])}, "
        f"synonyms {percent(figures['acc_g'])}; before: {percent(figures['base']['acc_e'])}, "
        f"{percent(figures['base']['acc_s'])}, {percent(figures['base']['acc_g'])})",
        f"gate: opened for {percent(gate['tpr'])} of {gate['positives']} pictures with the concept and "
        f"{percent(gate['fpr'])} of {gate['negatives']} without it",
        f"identical to the byte where the gate stayed closed: {percent(figures['integrity']['identical_share'])}",
    ]
