"""A started server: what is trained when, what the user sees meanwhile, and that no mistake stops the queue."""

from __future__ import annotations

import json
import re
import time
from html import escape

import pytest
from comfy_graphs import one_node, plain
from comfy_server import Live, api
from conftest import HOST
from safetensors import safe_open
from safetensors.torch import save_file

pytestmark = pytest.mark.comfyui

SHORT = {"mode": "fast", "iterations": 40, "batch": 4, "trajectories": 2, "trajectory_steps": 4, "enough": 1.0}
CAT = "a photo of a cat"


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """The server, started once."""
    server = Live(HOST, tmp_path_factory.mktemp("live"))
    server.start()
    yield server
    server.stop()


def short(prompt=CAT, strength=1.0, concept="cat", **settings):
    """Train Eraser, a few steps, then Apply Eraser and one picture."""
    graph = one_node(prompt, 1)
    words = {"model": ("1", 0), "clip": ("1", 1), "concept": concept, **SHORT, **settings}
    graph["10"] = ("LoraUnlearnTrainEraser", words)
    apply = {"model": ("1", 0), "eraser": ("10", 0), "strength": strength, "enabled": True}
    graph["2"] = ("LoraUnlearnApplyEraser", apply)
    return graph


@pytest.fixture(scope="module")
def first(live):
    """The first run of a graph: the one that trains."""
    return live.run(short())


def done(outcome):
    assert outcome.end == "execution_success", outcome.data
    return outcome


def test_a_training_shows_how_far_it_is_and_what_is_left(first):
    texts = [text for node, text in done(first).texts if node == "10"]
    assert texts[0] == "Erasing cat: loading the model"
    assert texts[1].startswith("Erasing cat: training takes at most ") and " of memory beside the model; " in texts[1]
    assert "Erasing cat: recording 4 of 4, at most " in " ".join(texts)
    assert any(text.startswith("Erasing cat: training 40 of 40") and "% redirected" in text for text in texts)
    bar = [(value, most) for node, value, most in first.steps if node == "10"]
    assert len(bar) > 4 and bar == sorted(bar) and bar[-1][0] <= bar[-1][1]  # newer hosts show ten moves a second


def change(graph, node, **values):
    """The same graph with other values of one node."""
    kind, inputs = graph[node]
    return {**graph, node: (kind, {**inputs, **values})}


@pytest.mark.parametrize(
    "again",
    [
        short(),
        short(strength=0.5),
        short("a photo of a dog"),
        change(short(), "6", seed=99),
        change(short(), "6", sampler_name="heun", scheduler="karras", steps=3, cfg=2.0),
        change(short(), "5", batch_size=2),
        change(short(), "2", enabled=False),
    ],
    ids=["queued again", "strength", "prompt", "seed", "sampler", "batch", "toggle"],
)
def test_nothing_of_this_trains_again(live, first, again):
    outcome = done(live.run(again))
    assert not outcome.trained and "10" not in outcome.ran


def test_a_graph_without_the_training_does_not_make_it_forgotten(live, first):
    done(live.run(plain(count=1)))
    outcome = done(live.run(short()))
    assert not outcome.trained
    assert any(text.startswith("Eraser for cat: kept from before, not trained again") for _, text in outcome.texts)


def test_another_concept_is_trained(live, first):
    assert done(live.run(short("a photo of a dog", concept="dog", iterations=12))).trained


def test_an_interrupted_training_stops_between_steps_and_is_gone_on_with(live, first):
    kept = live.kept()

    def cancel(outcome):
        if any("training 5 of 40" in text for _, text in outcome.texts):
            live.post("/interrupt", {})

    graph = short("a photo of a frog", concept="frog")
    outcome = live.run(graph, cancel)
    assert outcome.end == "execution_interrupted" and outcome.data["node_id"] == "10"
    stopped = re.fullmatch(r"Erasing frog: stopped at (\d+) of 40 \(training\); Run continues", outcome.texts[-1][1])
    (partial,) = set(live.kept()) - set(kept)
    assert partial.endswith(".partial.safetensors")
    with safe_open(live.base / "user" / "lora_unlearn" / partial, framework="pt") as file:
        assert json.loads(file.metadata()["lora_unlearn"])["partial"] is True
    done(live.run(plain(count=1)))
    outcome = done(live.run(graph))
    steps = [text for _, text in outcome.texts if "training " in text]
    first_step = int(re.search(r"training (\d+) of 40", " ".join(steps))[1])
    assert first_step in (int(stopped[1]), int(stopped[1]) + 1)  # the interrupt may fall into an update
    assert set(live.kept()) - set(kept) == {partial.replace(".partial", "")}


def test_a_training_that_is_killed_is_gone_on_with(tmp_path):
    graph = short(iterations=5000, learning_rate=1e-5)  # it never ends by itself
    server = Live(HOST, tmp_path)
    server.start()
    try:
        server.post("/prompt", {"prompt": api(graph)})
        end = time.monotonic() + 120
        while not any(name.endswith(".partial.safetensors") for name in server.kept()):
            assert time.monotonic() < end, server.log.read_text()[-2000:]
            time.sleep(0.2)
        server.process.kill()
        server.process.wait(20)
    finally:
        server.stop()
    (partial,) = server.kept()
    with safe_open(server.base / "user" / "lora_unlearn" / partial, framework="pt") as file:
        told = json.loads(file.metadata()["lora_unlearn"])
    assert told["partial"] is True and told["iterations"] > 0


def test_an_export_is_in_the_stock_loaders_list_at_once(live, first):
    def listed():
        return live.get("/object_info/LoraLoader")["LoraLoader"]["input"]["required"]["lora_name"][0]

    graph = {**short(), "11": ("LoraUnlearnExportEraser", {"eraser": ("10", 0), "name": "no cats", "format": "LoRA"})}
    assert "no cats.safetensors" not in listed()
    outcome = done(live.run(graph))
    assert "no cats.safetensors" in listed()
    (text,) = outcome.shown["11"]["text"]
    assert text.startswith("no cats.safetensors (") and text.endswith(f" kB) in {live.base / 'models' / 'loras'}")
    stock = plain(count=1)
    stock["9"] = ("LoraLoaderModelOnly", {"model": ("1", 0), "lora_name": "no cats.safetensors", "strength_model": 1.0})
    erased = done(live.run(change(stock, "6", model=("9", 0)))).picture
    assert erased != done(live.run(plain(count=1))).picture


def test_an_export_may_lie_in_a_folder_of_the_loras(live, first):
    outcome = done(live.run(exported("styles/old/cats")))
    assert (live.base / "models" / "loras" / "styles" / "old" / "cats.safetensors").is_file()
    assert outcome.shown["11"]["text"][0].startswith("styles/old/cats.safetensors (")
    graph = short()
    graph["10"] = ("LoraUnlearnLoadEraser", {"file": "styles/old/cats.safetensors"})
    assert done(live.run(graph)).picture == first.picture


def test_what_a_graph_says_is_shown_as_text(live, first):
    """The page takes what it is sent for HTML."""
    attempt = {"model": ("1", 0), "clip": ("1", 1), "eraser": ("10", 0), "prompt": "a <b>cat</b> & <img src=x>"}
    outcome = done(live.run({**short(), "11": ("LoraUnlearnTryPrompt", attempt)}))
    (sent,) = [text for node, text in outcome.texts if node == "11"]
    assert "<" not in sent and "&lt;b&gt;" in sent and "&amp;" in sent
    assert "<b>" in outcome.shown["11"]["text"][0]


def test_a_closed_gate_gives_the_very_picture_that_the_bare_graph_gives(live, first):
    dog = "a photo of a dog"
    assert done(live.run(short(dog))).picture == done(live.run(plain(dog, 1))).picture


def test_a_restart_trains_nothing_again_and_a_damaged_eraser_with_a_notice(live, first):
    live.stop()
    live.start()
    outcome = done(live.run(short()))
    assert not outcome.trained and outcome.picture == first.picture
    live.stop()
    for name in live.kept():
        path = live.base / "user" / "lora_unlearn" / name
        path.write_bytes(path.read_bytes()[:200])
    live.start()
    outcome = done(live.run(short()))
    assert outcome.trained and outcome.picture == first.picture
    assert any("damaged" in text for node, text in outcome.texts if node == "10")


def spoilt(live, name, **claims):
    """A file in the loras folder: an eraser with other claims about itself, or an ordinary LoRA."""
    source = live.base / "models" / "loras" / "source.safetensors"
    if not source.exists():
        graph = {
            **short(),
            "11": ("LoraUnlearnExportEraser", {"eraser": ("10", 0), "name": "source", "format": "LoRA"}),
        }
        done(live.run(graph))
    with safe_open(source, framework="pt") as file:
        tensors, metadata = {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118
    own = {**json.loads(metadata["lora_unlearn"]), **claims}
    metadata = {**metadata, "lora_unlearn": json.dumps(own)} if claims else {}
    save_file(tensors, source.with_name(f"{name}.safetensors"), metadata)


def loaded(name):
    """One picture under a loaded eraser."""
    graph = short()
    graph["10"] = ("LoraUnlearnLoadEraser", {"file": f"{name}.safetensors"})
    return graph


def exported(name):
    """An export of the kept eraser."""
    return {**short(), "11": ("LoraUnlearnExportEraser", {"eraser": ("10", 0), "name": name, "format": "LoRA"})}


MISTAKES = {
    "empty concept": (one_node(count=1, concept=" "), "2", "The concept is empty"),
    "another family": (loaded("another"), "2", "was made for sd1, the loaded model is demo"),
    "an ordinary LoRA": (loaded("ordinary"), "10", "not one of our erasers"),
    "a name that leads out": (exported("styles/../../cats"), "11", "can't be a file name"),
    "a name that is too long": (exported("c" * 300), "11", "is too long"),
    "nothing to redirect": (short(down="random", iterations=1, learning_rate=1e-6), "10", "redirected only 0 %"),
    "nothing to erase": (one_node(count=1, concept="xyzzy"), "2", "nothing to erase: the model hardly reacts"),
}


@pytest.mark.parametrize(("graph", "node", "sentence"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_sentence_on_its_node_and_the_queue_goes_on(live, first, graph, node, sentence):
    spoilt(live, "another", family="sd1")
    spoilt(live, "ordinary")
    outcome = live.run(graph)
    assert outcome.end == "execution_error", outcome.end
    assert outcome.data["node_id"] == node, outcome.data["exception_message"]
    told = outcome.data["exception_message"].strip()
    assert sentence in told and told.endswith(".") and "\n" not in told
    assert outcome.data["exception_type"] == "lora-unlearn" and outcome.texts[-1] == (node, escape(told, quote=False))
    assert done(live.run(short())).picture == first.picture


def test_a_missing_text_encoder_is_told_before_anything_runs(live):
    graph = one_node(count=1)
    del graph["2"][1]["clip"]
    answer = live.run(graph)
    assert answer.end == "refused" and answer.data["node_errors"]["2"]["errors"][0]["details"] == "clip"
    done(live.run(plain(count=1)))


STAGES = [
    "reading prompts", "recording", "training", "sketching", "calibrating the gate", "looking for further words",
    "looking for neighbours", "drawing before and after",
]  # fmt: skip


def test_every_stage_is_named_and_counted_and_the_bar_never_goes_back(live):
    outcome = done(live.run(one_node(count=1, concept="truck", preset="balanced", vae=("1", 2))))
    texts = [text for node, text in outcome.texts if node == "2"]
    counted = [re.fullmatch(r"Erasing truck: (\D+) (\d+) of (\d+).*", text) for text in texts]
    assert list(dict.fromkeys(found[1] for found in counted if found)) == STAGES
    assert {found[1] for found in counted if found and found[2] == found[3]} >= {*STAGES} - {
        "reading prompts",
        "training",
    }
    bar = [value / most for node, value, most in outcome.steps if node == "2"]
    assert bar == sorted(bar) and bar[-1] == 1
    before = [text for text in texts if "drawing before and after" in text]
    assert before[0].endswith("0 of 6") and before[-1].endswith("6 of 6")
