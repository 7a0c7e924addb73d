"""The page as a person uses it: find the node, open a template, press Run, read the result, export, find the file."""

from __future__ import annotations

import re
from io import BytesIO

import pytest
from conftest import HOST
from PIL import Image

pytest.importorskip("selenium", reason="the browser tests need selenium")

from comfy_page import CHROME, DRIVER, Page, browser
from comfy_server import Live
from comfy_workflows import OLDER, older

pytestmark = [
    pytest.mark.comfyui,
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROME and DRIVER), reason="there is no chromium with its chromedriver"),
]
ERASE = "LoraUnlearnEraseConcept"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of a server, both started once."""
    live = Live(HOST, tmp_path_factory.mktemp("live"))
    live.start()
    try:
        with browser() as driver:
            yield Page(live, driver)
    finally:
        live.stop()


@pytest.fixture(autouse=True)
def opened(page):
    """Every test begins with the page as it is after a reload, and an empty canvas."""
    page.open()
    page.driver.execute_script("app.graph.clear()")


@pytest.mark.parametrize("words", ["erase", "eras", "forget", "remove concept", "negative lora", "concept erasure"])
def test_a_double_click_and_a_word_find_the_node_before_any_other(page, words):
    assert page.search(words)[0].startswith("Erase Concept")


@pytest.mark.parametrize("words", ["remove", "unlearn"])
def test_a_word_that_other_nodes_have_in_their_names_finds_it_too(page, words):
    assert any(name.startswith("Erase Concept") for name in page.search(words))


def test_the_node_that_was_found_is_put_on_the_canvas(page):
    page.search("erase concept")
    page.choose()
    page.until(lambda: page.node(ERASE), "the node")
    assert page.node(ERASE)["values"]["preset"] == "quick"


def pictures(page, node):
    """Pixels of every picture that a node of the latest run showed."""
    history = page.live.get("/history", max_items="1")
    (run,) = history.values()
    return [page.live.pixels(image) for image in run["outputs"][str(node["id"])]["images"]]


def sheet(page, node):
    """Width and height of the picture that the latest run left in a node."""
    (run,) = page.live.get("/history", max_items="1").values()
    return list(Image.open(BytesIO(page.live.get("/view", **run["outputs"][str(node["id"])]["images"][0]))).size)


def run(page):
    """Press Run and wait until all is done; returns the texts that the first of our nodes showed on the way."""
    before, seen = len(page.live.get("/history")), []

    def over():
        text = page.text_on(ERASE) if any(node["type"] == ERASE for node in page.nodes()) else ""
        if text and text not in seen:
            seen.append(text)
            if ": training " in text:
                page.shoot("progress")
        return page.finished() and len(page.live.get("/history")) > before

    page.press_run()
    page.until(over, "the run to end")
    (status,) = page.live.get("/history", max_items="1").values()
    assert status["status"]["status_str"] == "success", status["status"]["messages"]
    return seen


def test_a_template_erases_by_one_press_and_shows_how_far_it_is(page):
    page.template("erase-concept-one-node")
    assert len(page.nodes()) == 9
    page.shoot("one-node")
    seen = run(page)
    assert any(": calibrating the gate " in text for text in seen)
    page.until(lambda: page.node("PreviewImage")["pictures"], "the pictures in the node")
    erased = pictures(page, page.node("PreviewImage"))
    assert "(gate open)" in page.text_on(ERASE)
    page.until(lambda: page.picture_on(ERASE) == sheet(page, page.node(ERASE)), "before and after, not a sketch")
    page.shoot("one-node-done")
    page.set(ERASE, "enabled", False)
    assert run(page) is not None
    plain = pictures(page, page.node("PreviewImage"))
    assert len(erased) == len(plain) == 4 and not set(erased) & set(plain)
    page.set("CLIPTextEncode", "text", "a photo of a dog")
    run(page)
    dogs = pictures(page, page.node("PreviewImage"))
    page.set(ERASE, "enabled", True)
    assert not any(": calibrating " in text for text in run(page))
    assert pictures(page, page.node("PreviewImage")) == dogs


def test_a_cancelled_training_says_where_it_stopped_and_run_goes_on_from_there(page):
    page.template("erase-concept-one-node")
    page.set(ERASE, "concept", "ship")
    page.set(ERASE, "preset", "balanced")
    page.press_run()
    page.until(lambda: ": training 1" in page.text_on(ERASE), "the training")
    page.command("Comfy.Interrupt")
    page.until(page.finished, "the end")
    said = page.until(
        lambda: re.search(r"ship: stopped at (\d+) of 60 \(training\); Run continues", page.text_on(ERASE))
    )
    page.shoot("cancelled")
    seen = run(page)
    assert any(": training " in text and " left" in text for text in seen)
    steps = [int(found[1]) for text in seen if (found := re.search(r": training (\d+) of 60", text))]
    assert steps and min(steps) > int(said[1])


def test_nodes_2_folds_what_is_advanced_and_shows_text_and_sheet(page):
    """Nodes that the page draws as elements of its own; older pages do not, or had begun to."""
    page.live.post("/api/settings/Comfy.VueNodes.Enabled", True)
    try:
        page.open()
        page.template("erase-concept-one-node")
        page.set(ERASE, "preset", "quick")
        page.set(ERASE, "concept", "frog")
        page.set("CLIPTextEncode", "text", "a photo of a frog")
        folded = page.until(lambda: page.element("Erase Concept"), "the node").text
        unfold = page.find("button", "Show advanced inputs")
        if unfold is None:
            pytest.skip("the page of this ComfyUI has no finished Nodes 2.0")
        assert "preset" in folded and "replace_with" not in folded
        page.driver.execute_script("arguments[0].click()", unfold)
        page.until(lambda: "replace_with" in page.element("Erase Concept").text, "the advanced inputs")
        run(page)
        page.until(lambda: "a photo of a frog (gate open);" in page.element("Erase Concept").text, "the text")
        page.until(lambda: len(page.element("Erase Concept").find_elements("tag name", "img")) == 1, "the sheet, once")
        page.shoot("nodes-2")
    finally:
        page.live.post("/api/settings/Comfy.VueNodes.Enabled", False)


def test_an_exported_file_is_in_the_stock_loaders_list(page):
    page.template("train-and-export")
    page.set("LoraUnlearnTrainEraser", "mode", "instant")
    page.set("LoraUnlearnExportEraser", "name", "no more cats")
    run(page)
    assert "no more cats.safetensors" in page.text_on("LoraUnlearnExportEraser")
    page.driver.execute_script("app.graph.clear()")
    page.command("Comfy.RefreshNodeDefinitions")
    page.until(lambda: "no more cats.safetensors" in listed(page), "the file in the list of Load LoRA")


def listed(page):
    """The files that a new Load LoRA offers."""
    return page.driver.execute_script(
        "app.graph.clear(); const n = LiteGraph.createNode('LoraLoader'); app.graph.add(n);"
        "return n.widgets.find(w => w.name == 'lora_name').options.values"
    )


@pytest.mark.parametrize("name", OLDER)
def test_a_workflow_of_an_older_version_opens_with_the_values_it_was_saved_with(page, name):
    kind, saved = OLDER[name]
    page.driver.execute_async_script("app.loadGraphData(arguments[0]).then(arguments[1])", older(name))
    assert saved.items() <= page.node(kind)["values"].items()
    sent = page.driver.execute_async_script("app.graphToPrompt().then(p => arguments[0](p.output))")
    (own,) = [node["inputs"] for node in sent.values() if node["class_type"] == kind]
    assert saved.items() <= own.items()
    assert {key: own[key] for key in own.keys() - saved.keys() if not isinstance(own[key], list)} == NEW[kind]


NEW = {
    "LoraUnlearnTrainEraser": {
        "offload": False,
        "bank": "",
        "false_open_rate": 0.01,
        "reference": "nearest",
        "look": "text",
        "method_options": "",
    },
    "LoraUnlearnEraseConcept": {"keep": "", "also": "", "seed": 0, "gate": "auto", "cache": True, "bank": ""},
}
"""What came later, with its defaults."""


def test_before_and_after_are_seen_side_by_side_in_the_node(page):
    page.template("before-after-with-neighbours")
    run(page)
    page.until(lambda: page.node("LoraUnlearnBeforeAfter")["pictures"] == 1, "the sheet in the node")
    lines = [line.rstrip(";") for line in page.text_on("LoraUnlearnBeforeAfter").splitlines()]
    assert lines[0].endswith("(gate open)") and all(line.endswith("(gate closed)") for line in lines[1:])
    page.shoot("before-after")


def test_the_read_out_is_seen_in_its_node(page):
    page.template("strength-and-toggle-stack")
    page.look_at("LoraUnlearnGateReadout")
    run(page)
    page.until(lambda: page.node("LoraUnlearnGateReadout")["pictures"] == 1, "the chart in the node")
    assert "opens from" in page.text_on("LoraUnlearnGateReadout")
    page.shoot("gate-read-out")


ADD = """
const node = LiteGraph.createNode(arguments[0]);
node.pos = arguments[1];
app.graph.add(node);
for (const [name, kind, slot] of arguments[2])
    app.graph._nodes.find(n => n.type == kind).connect(slot, node, node.inputs.findIndex(i => i.name == name));
app.canvas.ds.scale = 0.8; app.canvas.centerOnNode(node);
"""


def test_words_are_suggested_and_a_prompt_is_tried_in_their_nodes(page):
    suggest, attempt, demo = "LoraUnlearnSuggestWords", "LoraUnlearnTryPrompt", "LoraUnlearnDemoCheckpoint"
    page.template("erase-concept-one-node")
    page.set(ERASE, "seed", 7)  # no other test's, whose eraser would be kept
    loaded = [["model", demo, 0], ["clip", demo, 1]]
    page.driver.execute_script(ADD, attempt, [700, -420], [*loaded, ["eraser", ERASE, 1]])
    page.driver.execute_script(ADD, suggest, [300, -420], loaded)
    page.set(suggest, "concept", "cat")
    page.set(attempt, "prompt", "a cat, and a dog on a red background")
    run(page)
    page.until(lambda: "feline, kitty, kitten" in page.text_on(suggest), "the words")
    page.until(lambda: "prompt: a [cat], and a dog" in page.text_on(attempt), "the word that opens the gate")
    assert page.text_on(attempt).startswith('Opens because of "cat"')
    assert "Also to this model: feline, kitty, kitten" in page.text_on(ERASE)
    page.shoot("words")
    page.look_at(ERASE)
    page.shoot("words-after-a-training")


@pytest.mark.parametrize("words", ["suggest", "try prompt"])
def test_the_smaller_nodes_are_found_too(page, words):
    assert any(name in ("Suggest Words", "Try Prompt") for name in page.search(words))


def test_a_mistake_is_told_on_the_page_and_the_next_run_works(page):
    page.template("erase-concept-one-node")
    page.set(ERASE, "concept", " ")
    page.press_run()
    page.until(lambda: "The concept is empty; type what" in page.driver.page_source, "the sentence")
    page.shoot("mistake")
    assert "UnlearnError" not in page.driver.page_source
    assert page.text_on(ERASE).startswith("The concept is empty; type what")
    page.driver.switch_to.active_element.send_keys("\ue00c")
    page.set(ERASE, "concept", "cat")
    page.set(ERASE, "preset", "quick")
    run(page)
