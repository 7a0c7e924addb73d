"""The sections of a report that explain figures in words, tables and charts."""

from __future__ import annotations

from ..evaluate.record import Evaluation
from . import tables
from .chart import bars, histogram
from .headline import Figures
from .markup import Html, Part, number, percent, score, span, tag
from .page import legend

COST = (
    "Work is counted in evaluations of the diffusion network, which do not depend on the machine; seconds are this "
    "machine's."
)

STAGES = {
    "text": "It reads the prompt's text alone, before the first step. ",
    "probe": "It probes the network during the picture's first steps. ",
}


def accuracy(figures: Figures) -> list[Part]:
    """Acc_e, Acc_g, Acc_s and H, and what is counted apart."""
    judged = f"Judged by {figures['settings']['judge']}. An arrow says which way is better; small figures are "
    pairs = tables.pairs(figures)
    return [
        tag("h2", "The score"),
        tag("p", judged, "95", "\u202f", "% intervals."),
        tables.scores(figures),
        tables.details(figures),
        [tag("h3", "Two things in one prompt"), pairs] if pairs else None,
    ]


def gate(figures: Figures) -> list[Part]:
    """How often the gate was right, with its scores as a histogram."""
    found, concept = figures["gate"], figures["concept"]
    opened, wrongly = (f"{percent(found[key])} ({span(found[key + '_interval'])})" for key in ("tpr", "fpr"))
    said = (
        f"It opened for {opened} of {number(found['positives'])} pictures whose prompt asks for {concept}, and for "
        f"{wrongly} of {number(found['negatives'])} whose prompt does not."
    )
    parts: list[Part] = [tag("h2", "The gate"), tag("p", STAGES.get(found["stage"] if found["auc"] else "", ""), said)]
    asked, others = found["scores"]["concept"], found["scores"]["unrelated"]
    if asked or others:
        parts += [histogram(asked, others, found["threshold"]), legend(concept)]
    notes = []
    if found["auc"] is not None:
        notes.append(f"Area under the ROC curve: {score(found['auc'])}.")
    if found["stage"] == "probe" and found["decided_by"].get("text"):
        notes.append(f"{number(found['decided_by']['text'])} pictures were decided by their prompts alone.")
    return [*parts, tag("p", " ".join(notes), class_="note")]


def instead(figures: Figures) -> list[Part]:
    """What appears where the concept would have been."""
    found = figures["quality"]
    if not found["pictures"]:
        return []
    sure, before, colour, paler = (
        percent(found[key]) for key in ("confidence", "base_confidence", "saturation", "base_saturation")
    )
    said = [
        f"What the judge sees on the {number(found['pictures'])} pictures for which the gate opened.",
        f"On average it is {sure} sure ({before} without the eraser); the saturation is {colour} ({paler} without).",
    ]
    if found["style_kept"] is not None:
        said.append(f"The style stayed the same on {percent(found['style_kept'])}.")
    return [tag("h2", "What appears instead"), tag("p", " ".join(said)), bars(found["instead"])]


def cost(figures: Figures) -> list[Part]:
    """Network evaluations and seconds."""
    return [tag("h2", "What it costs"), tag("p", COST), tables.cost(figures)]


def notes(evaluation: Evaluation) -> list[Html]:
    """What the figures mean and how to measure them again."""
    definitions, settings = evaluation.figures["definitions"], dict(evaluation.figures["settings"])
    eraser = settings.pop("adapter")
    return [
        tag("h2", "How this was measured"),
        tag("details", tag("summary", "What the figures mean"), tables.listing(definitions)),
        tag("details", tag("summary", "How to repeat it"), tag("pre", command(evaluation)), tables.listing(settings)),
        tag("details", tag("summary", "The eraser"), tables.listing(eraser)),
    ]


def command(evaluation: Evaluation) -> str:
    """The command line that measures the same again."""
    sampling, eraser, protocol = evaluation.sampling, evaluation.eraser, evaluation.protocol
    sentences = len(protocol.of("paraphrase")) // max(len(protocol.of("target", "synonym")), 1)
    return (
        f"lora-unlearn evaluate --checkpoint MODEL --adapter ERASER:{eraser.strength:g} --protocol unguide \\\n"
        f"    --count {len(evaluation.seeds)} --seed {evaluation.seeds[0]} --steps {sampling.steps} "
        f"--guidance-scale {sampling.guidance_scale:g} --paraphrases {sentences} --out report"
    )
