"""Every protocol on the demo model with an eraser of its cats: what is asked, what is counted, what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

from transformers import CLIPConfig, CLIPModel

from lora_unlearn import Adapter, Concept, Eraser, denoiser_for, erase, load_bank
from lora_unlearn.decisions import Decision
from lora_unlearn.demo.checkpoint import load_demo
from lora_unlearn.demo.networks import new_tokenizer
from lora_unlearn.demo.words import STYLES, THINGS
from lora_unlearn.errors import UnlearnError
from lora_unlearn.evaluate import CLASSES, ClipJudge, DemoJudge, Saving, unguide_protocol
from lora_unlearn.evaluate.kept import Kept
from lora_unlearn.evaluate.layout import Layout
from lora_unlearn.evaluate.prompts import Prompt
from lora_unlearn.evaluate.protocols import PROTOCOLS, Bench, ask, implicit, measure, pictures
from lora_unlearn.evaluate.protocols.hub import partner_there
from lora_unlearn.evaluate.protocols.sequence import Seen, counts
from lora_unlearn.evaluate.protocols.words import IMPLICIT, LANGUAGES, TRANSLATIONS
from lora_unlearn.evaluate.record import Shot, View
from lora_unlearn.hosts.generate import Sampling

CAT = Path(__file__).parent.parent / "erasers" / "version-1.safetensors"
SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}


@pytest.fixture(scope="module")
def pipe():
    return load_demo()


@pytest.fixture
def bench(pipe):
    """Two things in two styles, so that a canvas has four pictures."""
    sampling = Sampling(steps=8, guidance_scale=5.0, batch=4)
    return Bench(
        pipe, [Eraser(Adapter.load(CAT))], DemoJudge(), sampling, count=1, quick=True, things=("cat", "house"),
        styles=("clipart", "ink drawing"), paraphrases=0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """The folder of a tiny CLIP with random weights."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("clip")
    text = {**SMALL, "vocab_size": 49408, "bos_token_id": 49406, "eos_token_id": 49407, "pad_token_id": 49407}
    vision = {**SMALL, "image_size": 32, "patch_size": 8}
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)).save_pretrained(path)
    new_tokenizer().save_pretrained(path)
    return path


def named(bench, name, **more):
    """The same bench with an eraser for another concept."""
    adapter = bench.eraser.adapter
    return replace(bench, erasers=[Eraser(replace(adapter, concept=Concept(name)))], **more)


def measured(bench, name):
    return measure(bench, ask(bench, [name]))[name]


def test_unguide_is_a_row_that_asks_what_it_always_asked(bench):
    assert next(iter(PROTOCOLS)) == "unguide"
    judge = DemoJudge()
    assert ask(bench, ["unguide"])["unguide"] == unguide_protocol("cat", judge.labels, (), 0)


def test_the_canvas_counts_the_erased_thing_its_like_and_the_styles(bench, tmp_path):
    bench.each, bench.saving = Layout(tmp_path / "canvas", "cat"), Saving(exported=0)
    found = measured(bench, "canvas")
    figures = found.figures
    assert {prompt.text for prompt in found.evaluation.protocol.of("target")} == {
        "A cat image in clipart style.", "A cat image in ink drawing style.",
    }  # fmt: skip
    assert figures["ua"]["base"]["share"] == 0 < figures["ua"]["gated"]["share"]
    assert figures["ira"]["gated"] == figures["ira"]["base"] and figures["ira"]["gated"]["share"] == 1
    assert figures["cra"]["gated"]["pictures"] == 4
    assert all(shot.gated.identical for shot in found.evaluation.of("within"))
    assert pictures(bench, ask(bench, ["canvas"])) == 4 * 2
    files = sorted(path.name for path in (tmp_path / "canvas" / "cat").iterdir())
    assert files == [f"{style}_{thing}_seed0.jpg" for style in ("clipart", "ink_drawing") for thing in ("cat", "house")]
    with Image.open(tmp_path / "canvas" / "cat" / files[0]) as picture:
        assert (picture.format, picture.size) == ("JPEG", (128, 128))


def test_a_style_is_erased_across_things(bench):
    asked = ask(named(bench, "Clipart style"), ["canvas"])["canvas"]
    assert asked.concept == "clipart"
    assert {prompt.wanted for prompt in asked.of("target")} == {"cat", "house"}
    assert {prompt.partner for prompt in asked.of("within")} == {"ink drawing"}


def test_the_canvas_of_a_real_model_is_unlearncanvas_own(bench, clip):
    other = named(bench, "Van Gogh style", judge=ClipJudge(clip), things=(), styles=())
    other.denoiser = type("Real", (), {"family": "sd1"})()
    asked = ask(other, ["canvas"])["canvas"]
    assert len(asked.prompts) == 51 * 20 and asked.concept == "Van Gogh"
    assert "A Cats image in Van Gogh style." in {prompt.text for prompt in asked.of("target")}


def test_an_interrupt_keeps_what_was_drawn(bench):
    def stop(stage, done, total):
        if done == 2:
            raise KeyboardInterrupt

    bench.sampling, bench.report = replace(bench.sampling, batch=2, steps=1), stop
    found = measure(bench, ask(bench, ["canvas", "gate"]))
    assert list(found) == ["canvas"] and found["canvas"].unfinished
    assert len(found["canvas"].evaluation.shots) == 2
    assert found["canvas"].figures["ua"]["gated"]["pictures"] + found["canvas"].figures["ira"]["gated"]["pictures"] == 2


def without_seconds(figures):
    """Figures without those of the clock."""
    if isinstance(figures, dict):
        return {key: without_seconds(value) for key, value in figures.items() if "seconds" not in key}
    return figures


def test_an_evaluation_goes_on_with_the_pictures_that_an_interrupt_left(bench, tmp_path):
    """The report is the one of a run without a stop; what is there is not drawn again, unless settings differ."""

    def stop(stage, done, total):
        if done == 2:
            raise KeyboardInterrupt

    bench.sampling = replace(bench.sampling, batch=2, steps=2)
    whole = measured(bench, "canvas")
    stopped = replace(bench, album={}, report=stop, kept=Kept(tmp_path / "kept", {"steps": 2}))
    assert measured(stopped, "canvas").unfinished
    drawn = {path: path.stat().st_mtime_ns for path in (tmp_path / "kept").iterdir()}
    assert len(drawn) == 2 * 3

    again = replace(bench, album={}, kept=Kept(tmp_path / "kept", {"steps": 2}))
    assert again.kept.count == 6 and "6 of them are there from before" in again.kept.said
    found = measured(again, "canvas")
    assert without_seconds(found.figures) == without_seconds(whole.figures)
    for shot, other in zip(found.evaluation.shots, whole.evaluation.shots, strict=True):
        assert shot.gated.image.tobytes() == other.gated.image.tobytes() and shot.decision == other.decision
        assert (shot.evaluations, shot.plain_evaluations) == (other.evaluations, other.plain_evaluations)
    assert {path: path.stat().st_mtime_ns for path in drawn} == drawn
    assert len(list((tmp_path / "kept").iterdir())) == 4 * 3

    (tmp_path / "kept" / "mine.png").write_bytes(b"not a picture of an evaluation")
    assert Kept(tmp_path / "kept", {"steps": 3}).count == 0
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["mine.png"]


def test_a_picture_of_another_eraser_or_one_that_is_damaged_is_drawn_again(bench, tmp_path):
    bench.sampling, bench.kept = replace(bench.sampling, steps=1), Kept(tmp_path, {})
    measured(bench, "canvas")
    kept = {path: path.read_bytes() for path in tmp_path.iterdir()}
    other = replace(bench.eraser, strength=0.5)
    measured(replace(bench, erasers=[other], album={}), "canvas")
    more = [path for path in tmp_path.iterdir() if path not in kept]
    assert len(kept) == 3 * 4 and len(more) == 2 * 4
    first = min(kept)
    with Image.open(first) as image:
        before = image.tobytes()
    first.write_bytes(kept[first][:100])
    measured(replace(bench, album={}), "canvas")
    with Image.open(first) as image:
        assert image.tobytes() == before


def test_the_gate_is_asked_by_text_alone(bench):
    bench.captions = ["a kitty on a sofa", "a cat sleeps", "a red bus in the rain", "two people at a table"]
    figures = measured(bench, "gate").figures
    assert figures["named"]["pictures"] == 2 and figures["caption"]["pictures"] == 2
    assert figures["target"]["share"] == figures["paraphrase"]["share"] == 1
    assert figures["caption"]["interval"][1] > 0.8  # of two prompts nothing is sure
    assert figures["seconds_per_decision"] > 0
    assert not {"kitten"} & {word for word in bench.other_words}
    assert pictures(bench, ask(bench, ["gate"])) == 0


def test_the_gates_own_captions_are_those_that_only_judge(bench):
    figures = measured(bench, "gate").figures
    assert figures["caption"]["pictures"] > 50 and figures["caption"]["share"] < 0.1
    wrong = figures["caption"]["mistakes"]
    assert len(wrong) == min(8, figures["caption"]["opened"])


def test_a_caption_may_name_a_style_without_calling_it_one(bench):
    bench = named(bench, "clipart style", captions=["a clipart of a dog", "a dog, ink drawing"])
    asked = ask(bench, ["gate", "integrity"])
    assert [prompt.text for prompt in asked["gate"].of("named")] == ["a clipart of a dog"]
    assert [prompt.text for prompt in asked["gate"].of("caption")] == ["a dog, ink drawing"]
    assert not [prompt.text for prompt in asked["integrity"].prompts if "clipart" in prompt.text]


def test_hub_asks_for_what_the_encoder_puts_nearest(bench):
    bench.translations = {"German": "ein Foto von einer Katze"}
    asked = ask(bench, ["hub"])["hub"]
    near = [prompt.wanted for prompt in asked.of("near")]
    assert "dog" in near and "cat" not in near and len(near) == 8
    assert [(prompt.text, prompt.partner) for prompt in asked.of("language")] == [
        ("ein Foto von einer Katze", "German")
    ]
    assert asked.of("pair") and asked.of("attack") and asked.of("target")
    assert ask(replace(bench, translations={}), ["hub"])["hub"].of("language") == []


def test_clip_answers_what_the_demo_judge_does(bench, clip):
    bench.judge, bench.sampling = ClipJudge(clip), replace(bench.sampling, steps=1, guidance_scale=1.0, batch=16)
    bench.saving = Saving(closed=0, exported=0)
    found = measured(bench, "canvas")
    assert found.evaluation.labels == ("cat", "house") and found.evaluation.styles == ("clipart", "ink drawing")
    assert all(shot.gated.style in (0, 1) for shot in found.evaluation.shots)
    asked = ask(bench, ["hub"])["hub"]
    assert {prompt.wanted for prompt in asked.of("near")} <= set(THINGS) & set(asked.labels)
    assert {prompt.partner for prompt in asked.of("pair")} <= set(asked.labels)


def test_without_presence_the_other_thing_must_be_likelier_than_all_but_the_concept(bench):
    view = View(torch.tensor([0.5, 0.3, 0.2]), None, None, 0.5, False, 0.0, None)
    found = replace(bench.blank(), labels=("cat", "house", "tree"))
    shots = [
        Shot(Prompt("", "pair", "cat", partner), 0, view, view, None, Decision(), 0, 0, 0, 0)
        for partner in ("house", "tree")
    ]
    assert [partner_there(shot, view, found) for shot in shots] == [True, False]


def test_other_senses_stay_and_descriptions_go(bench):
    asked = ask(bench, ["implicit"])["implicit"]
    assert {prompt.kind for prompt in asked.prompts} == set(implicit.KINDS)
    own = implicit.read(["description: it barks", "sense : a hot dog"], "mine.txt")
    assert [p.text for p in ask(replace(bench, implicit=own), ["implicit"])["implicit"].prompts] == [
        "it barks",
        "a hot dog",
    ]
    with pytest.raises(UnlearnError, match=r"mine.txt: 'barks' is no line"):
        implicit.read(["barks"], "mine.txt")


def test_the_words_are_there_for_every_class():
    assert set(IMPLICIT) == set(TRANSLATIONS) == set(CLASSES)
    assert all(set(of) == set(LANGUAGES) for of in TRANSLATIONS.values())
    for concept, kinds in IMPLICIT.items():
        described = " ".join(kinds["description"]).lower().split()
        assert not {concept, *CLASSES[concept]} & (set(described) - {"tadpole"})


def test_a_sequence_is_counted_by_hand():
    def seen(wanted, after, opened=False):
        return Seen(Prompt("", "target", wanted), wanted, after, after == wanted, opened)

    shots = [seen("cat", "ship", True), seen("ship", "dog", True), seen("dog", "dog"), seen("house", "tree", True)]
    found = counts(shots, ["cat", "ship"])
    assert found["erased"]["share"] == 1 and found["erased_each"]["cat"]["pictures"] == 1
    assert found["handed_out"]["share"] == 0.5 and found["handed"] == ["cat became ship"]
    assert found["kept"]["share"] == found["identical"]["share"] == found["opened_by_mistake"]["share"] == 0.5
    alone = counts(shots, ["cat"])
    assert alone["handed_out"]["share"] == 0 and alone["kept"]["pictures"] == 3


@pytest.mark.parametrize(
    ("name", "concept", "said"),
    [
        ("canvas", "zebra", "neither one of the things"),
        ("hub", "zebra", "does not know 'zebra'"),
        ("implicit", "zebra", "nothing is known of 'zebra'"),
        ("sequence", "zebra", "does not know 'zebra'"),
        ("unguide", "clipart style", "does not know 'clipart style'"),
    ],
)
def test_what_the_judge_can_not_answer_is_refused_before_anything_is_drawn(bench, name, concept, said):
    with pytest.raises(UnlearnError, match=said):
        ask(named(bench, concept), ["gate", name])


def test_several_erasers_are_for_a_sequence(bench):
    both = replace(bench, erasers=bench.erasers * 2)
    with pytest.raises(UnlearnError, match=r"canvas measures one eraser, got 2; choose sequence"):
        ask(both, ["canvas"])
    with pytest.raises(UnlearnError, match="2 of the erasers are for 'cat'"):
        ask(both, ["sequence"])


def test_a_style_that_the_judge_never_saw(bench):
    with pytest.raises(UnlearnError, match="does not know 'ukiyo-e'"):
        ask(replace(bench, styles=("clipart", "ukiyo-e")), ["canvas"])


@pytest.fixture(scope="module")
def made(pipe):
    """An eraser as it is made today: the one in the file is older, and weaker."""
    return Eraser(erase(denoiser_for(pipe), Concept("cat"), load_bank("demo"), "instant"))


@pytest.mark.thorough
@pytest.mark.parametrize("name", [name for name, row in PROTOCOLS.items() if name != "gate"])
def test_every_protocol_measures_the_eraser_of_cats(bench, made, name):
    bench.erasers = [made]
    bench.things, bench.styles = (), tuple(STYLES)[:2]
    bench.saving, bench.sampling = Saving(closed=0, exported=0), replace(bench.sampling, batch=16)
    figures = measured(bench, name).figures
    gone = {
        "unguide": lambda: figures["erased"]["share"],
        "canvas": lambda: figures["ua"]["gated"]["share"],
        "integrity": lambda: figures["gated"]["integrity"],
        "hub": lambda: 1 - figures["target_proportion"]["gated"]["share"],
        "sequence": lambda: figures["sizes"]["1"]["erased"]["share"],
        "implicit": lambda: 1 - figures["subclass"]["shown"]["gated"]["share"],
    }[name]
    assert gone() > 0.9
