"""The whole evaluation on a random demo pipeline: what is closed stays the same, what is open is counted."""

from __future__ import annotations

import json
import re

import pytest
import torch

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

from lora_unlearn.adapter import Adapter
from lora_unlearn.concept import Concept
from lora_unlearn.demo import networks
from lora_unlearn.demo.checkpoint import load_pipeline, save_checkpoint
from lora_unlearn.demo.judge import LABELS, Judge
from lora_unlearn.denoiser import base_hash
from lora_unlearn.errors import UnlearnError
from lora_unlearn.evaluate import CLASSES, Album, DemoJudge, Prompt, Protocol, Saving, evaluate
from lora_unlearn.gate import Gate
from lora_unlearn.hosts.diffusers import denoiser_for
from lora_unlearn.hosts.generate import Sampling, generate
from lora_unlearn.lora import new_lora
from lora_unlearn.report import write_report
from lora_unlearn.settings import Settings

PROTOCOL = Protocol(
    "cat",
    tuple(CLASSES),
    (Prompt("a photo of the cat", "target", "cat"), Prompt("a photo of the ship", "other", "ship")),
)
SAMPLING = Sampling(steps=2, guidance_scale=4.0, batch=2)


@pytest.fixture(scope="module")
def pipe(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("demo") / "demo.safetensors"
    save_checkpoint(path, networks.new_unet(), networks.new_vae(), networks.new_text_encoder())
    return load_pipeline(path)


@pytest.fixture(scope="module")
def adapter(pipe):
    denoiser, generator = denoiser_for(pipe), torch.Generator().manual_seed(0)
    lora = new_lora(denoiser.linears(), 2, 1.0, generator)
    for _, layer in lora.items():
        layer.up.data = 0.3 * torch.randn(layer.up.shape, generator=generator)
    spent = {"training": 100, "calibration": 30}
    return Adapter(
        lora,
        Concept("cat"),
        Settings(selector="cross_kv"),
        Gate(),
        denoiser.family,
        base_hash(denoiser),
        evaluations=spent,
    )


@pytest.fixture(scope="module")
def judge():
    torch.manual_seed(0)
    return DemoJudge(Judge())


@pytest.fixture
def with_threshold(adapter):
    """The adapter with a gate that opens from some score on."""

    def change(threshold):
        adapter.gate = Gate(threshold=threshold)
        return adapter

    return change


@pytest.fixture(scope="module")
def off(pipe, adapter, judge):
    return evaluate(pipe, adapter, PROTOCOL, judge, SAMPLING, seeds_per_prompt=2, mode="off")


def test_a_gate_that_is_off_leaves_every_byte(off):
    figures = off.figures
    assert figures["integrity"] == {
        "identical_share": 1.0, "closed": 4, "unrelated_identical_share": 1.0, "unrelated": 2,
    }  # fmt: skip
    for name in ("acc_e", "acc_s", "acc_e_all", "acc_e_probability"):
        assert figures[name] == figures["base"][name]
    assert figures["evaluations"]["closed"] == figures["evaluations"]["plain"] == 4.0
    assert figures["evaluations"]["open"] is None
    assert figures["gate"]["tpr"] == figures["gate"]["fpr"] == 0.0
    assert figures["gate"]["auc"] is None


def test_the_plain_file_changes_what_the_gate_spares(off):
    assert off.figures["exported"]["identical_share"] == 0.0


def test_a_gate_that_stays_closed_costs_its_probes(pipe, with_threshold, judge):
    figures = evaluate(pipe, with_threshold(1e9), PROTOCOL, judge, SAMPLING, seeds_per_prompt=2).figures
    assert figures["integrity"]["identical_share"] == 1.0
    assert figures["integrity"]["closed"] == 4
    assert 4.0 < figures["evaluations"]["closed"] <= 7.0
    assert figures["gate"]["threshold"] == 1e9
    assert len(figures["gate"]["scores"]["concept"]) == len(figures["gate"]["scores"]["unrelated"]) == 2
    assert 0 <= figures["gate"]["auc"] <= 1


def test_an_open_gate_changes_pictures(pipe, with_threshold, judge):
    figures = evaluate(pipe, with_threshold(-1e9), PROTOCOL, judge, SAMPLING, seeds_per_prompt=1).figures
    assert figures["gate"]["tpr"] == figures["gate"]["fpr"] == 1.0
    assert figures["integrity"]["identical_share"] is None
    assert figures["integrity"]["unrelated_identical_share"] == 0.0
    assert figures["quality"]["pictures"] == 1
    assert figures["quality"]["change"] > 0
    assert sum(figures["quality"]["instead"].values()) == pytest.approx(1)


def test_strength_zero_is_off(pipe, adapter, judge):
    figures = evaluate(pipe, adapter, PROTOCOL, judge, SAMPLING, seeds_per_prompt=1, strength=0.0).figures
    assert figures["integrity"]["identical_share"] == 1.0


def test_exported_pictures_are_those_of_the_merged_model(pipe, adapter, off):
    """What is called the plain file draws what the weights with the LoRA added draw."""
    before = {}
    for name, target in denoiser_for(pipe).linears().items():
        layer = dict(adapter.lora.items())[name]
        before[name] = target.linear.weight.data.clone()
        target.linear.weight.data += layer.scale * layer.up.data @ layer.down.data
    prompt = PROTOCOL.prompts[0].text
    merged = generate(pipe, [prompt, prompt], [0, 1], SAMPLING)
    for name, target in denoiser_for(pipe).linears().items():
        target.linear.weight.data = before[name]
    for picture, shot in zip(merged, off.of("target"), strict=True):
        found, expected = (
            torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).int()
            for image in (shot.exported.image, picture.image)
        )
        assert (found - expected).abs().max() <= 1
        assert shot.exported.image.tobytes() != shot.base.image.tobytes()


def test_many_sentences_get_one_picture_and_no_plain_file(pipe, adapter, judge):
    prompts = (
        Prompt("the nice cat", "paraphrase", "cat"), Prompt("the nice ship", "ordinary", "ship"),
        Prompt("a cat and a house", "pair", "cat", "house"),
    )  # fmt: skip
    protocol, seen = Protocol("cat", tuple(CLASSES), prompts), []
    evaluation = evaluate(
        pipe, adapter, protocol, judge, SAMPLING, 2, lambda done, total: seen.append((done, total)), mode="off",
        first_seed=5,
    )  # fmt: skip
    assert [(shot.prompt.kind, shot.seed) for shot in evaluation.shots] == [
        ("paraphrase", 5), ("ordinary", 5), ("pair", 5), ("pair", 6),
    ]  # fmt: skip
    assert [shot.exported is None for shot in evaluation.shots] == [True, True, False, False]
    assert seen == [(1, 4), (2, 4), (4, 4)]
    assert evaluation.figures["paraphrases"]["pictures"] == 1
    assert evaluation.figures["pairs"]["base"] == evaluation.figures["pairs"]["gated"]
    assert evaluation.figures["acc_e"] is evaluation.figures["h"] is None


def test_saving_leaves_out_what_is_known_and_says_so(pipe, adapter, judge, off):
    saving, album = Saving(closed=1, exported=1), Album()
    saved = evaluate(pipe, adapter, PROTOCOL, judge, SAMPLING, 2, mode="off", saving=saving, album=album)
    assert saved.figures["acc_e"] == off.figures["acc_e"]
    assert saved.figures["acc_s"] == off.figures["acc_s"]
    assert saved.figures["integrity"] == {
        "identical_share": 1.0, "closed": 2, "unrelated_identical_share": 1.0, "unrelated": 1,
    }  # fmt: skip
    assert [shot.compared for shot in saved.shots] == [shot.exported is not None for shot in saved.shots]
    assert saved.figures["settings"]["saving"] == {"closed": 1, "exported": 1, "extra": None}


def test_an_album_spares_the_pictures_that_were_drawn_before(pipe, with_threshold, judge):
    album = Album()
    first, second = (
        evaluate(pipe, with_threshold(-1e9), PROTOCOL, judge, SAMPLING, 1, album=album, strength=strength)
        for strength in (1.0, 0.5)
    )
    for before, after in zip(first.shots, second.shots, strict=True):
        assert after.base.image is before.base.image
        assert after.gated.image.tobytes() != before.gated.image.tobytes()


def test_the_report_of_a_real_run(off, tmp_path):
    page = write_report(off, tmp_path / "new" / "report")
    text, figures = page.read_text(encoding="utf-8"), json.loads(page.with_name("report.json").read_text())
    assert {
        "acc_e", "acc_s", "acc_g", "h", "base", "exported", "integrity", "gate", "evaluations", "seconds", "neighbours",
        "hyponyms", "pairs", "quality", "settings", "definitions", "pictures",
    } <= set(figures)  # fmt: skip
    assert figures["evaluations"] | {"plain": 4, "training": 100, "calibration": 30} == figures["evaluations"]
    assert figures["settings"]["sampling"]["steps"] == 2
    assert len(figures["pictures"]) == 4
    assert all(picture["base"] in LABELS for picture in figures["pictures"])
    assert len(re.findall("<img ", text)) == 2 * 2 * 3
    assert "never calibrated" not in text
    assert "stayed the same, byte for byte" in text


def test_no_pictures_at_all_is_refused(pipe, adapter, judge):
    with pytest.raises(UnlearnError, match="at least 1 picture"):
        evaluate(pipe, adapter, PROTOCOL, judge, SAMPLING, seeds_per_prompt=0)
