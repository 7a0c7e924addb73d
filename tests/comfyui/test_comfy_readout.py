"""Gate Read-out: what it tells, and of which run."""

from __future__ import annotations

import pytest
import torch
from comfy_graphs import read_out, sampling, stacked

pytestmark = pytest.mark.comfyui

CAT, DOG, HOUSE = "a photo of a cat", "a photo of a dog", "a photo of a house"


def test_the_read_out_tells_decision_and_cost_in_words_then_scores_and_draws_them(run, files, pack):
    graph = stacked(CAT, file_1=files[0])
    graph["9"][1]["images"] = ("7", 0)
    done = run(graph)
    first, cost, details = read_out(done)
    assert first == "picture 1: cat: open, erases it" and details.startswith("details, picture 1: cat: score ")
    score, opens_from = (float(part.split()[-1]) for part in details.split(", ")[-2:])
    assert score >= opens_from
    assert cost == "cost: 16 network evaluations, 0 of them for erasing (0 % more)"
    assert torch.equal(done.outputs["9"][0][0]["samples"], done.outputs["6"][0][0]["samples"])
    drawn = {tuple(colour) for colour in (done.outputs["9"][2][0][0] * 255).round().int().flatten(0, 1).tolist()}
    readout = pack("lora_unlearn.report.readout")
    assert readout.OPEN in drawn and readout.CLOSED not in drawn
    shown = next(data["output"] for event, data in done.sent if event == "executed" and data["node"] == "9")
    assert shown["text"][0].startswith(first) and len(shown["images"]) == 1


def test_above_strength_1_the_read_out_counts_what_erasing_added(run, files):
    assert read_out(run(stacked(CAT, file_1=files[0], strength_1=2.0)))[1] == (
        "cost: 24 network evaluations, 8 of them for erasing (50 % more)"
    )


def test_two_prompts_through_one_model_are_read_apart_and_again_when_the_samplers_are_kept(run, files):
    def graph(second):
        drawn = {name: value for name, value in sampling("2", second, 1, 4, 5.0).items() if name in ("3", "6")}
        positive, sampler = drawn["3"], drawn["6"]
        sampler[1]["positive"] = ("13", 0)
        both = {**stacked(CAT, file_1=files[0]), "13": positive, "16": sampler}
        return both | {"19": ("LoraUnlearnGateReadout", {"model": ("2", 0), "latent": ("16", 0)})}

    def verdict(done, node):
        assert done.error is None
        return done.outputs[node][1][0].split(",")[0]

    both = graph(DOG)
    done = run(both)
    assert [verdict(done, "9"), verdict(done, "19")] == ["picture 1: cat: open", "picture 1: cat: closed"]
    done = run(graph(HOUSE))  # the first sampler stays as it is, the second one runs: the first is asked anew
    done = run({**graph(HOUSE), "20": ("LoraUnlearnGateReadout", {"model": ("2", 0), "latent": ("6", 0)})})
    assert "6" not in done.ran and "16" not in done.ran and verdict(done, "20") == "picture 1: cat: open"


def test_pictures_taken_out_of_a_latent_keep_their_read_out(run, files):
    graph = stacked(CAT, file_1=files[0])
    graph["5"][1]["batch_size"] = 3
    graph["11"] = ("LatentFromBatch", {"samples": ("6", 0), "batch_index": 1, "length": 1})
    graph["9"][1]["latent"] = ("11", 0)
    assert read_out(run(graph))[:2] == [
        "picture 1: cat: open, erases it",
        "cost: 16 network evaluations, 0 of them for erasing (0 % more)",
    ]
    graph["12"] = ("LatentUpscaleBy", {"samples": ("6", 0), "upscale_method": "bilinear", "scale_by": 2.0})
    graph["9"][1]["latent"] = ("12", 0)
    lines = read_out(run(graph))
    assert lines[0].startswith("Of this model's latest run") and lines[3] == "picture 3: cat: open, erases it"
