"""The example workflows and the blueprint: everything in them exists, and they run to pictures by one press."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from comfy_workflows import (
    CONTROL,
    NOTES,
    OLDER,
    ROOT,
    api_form,
    inputs_of,
    older,
    origins,
    read,
    slots_of,
    values_of,
    widgets_of,
)
from PIL import Image

pytestmark = pytest.mark.comfyui

FILES = sorted((ROOT / "workflows").glob("*.json"))
BLUEPRINTS = sorted((ROOT / "subgraphs").glob("*.json"))
LOADER, DEMO = "CheckpointLoaderSimple", "LoraUnlearnDemoCheckpoint"
QUICK = {"steps": 4, "preset": "quick", "mode": "instant", "width": 128, "height": 128, "batch_size": 1, "pictures": 1}
"""What the runs here change, to save time."""
each = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
each_blueprint = pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.stem)


def real_nodes(holder):
    return [node for node in holder["nodes"] if node["type"] not in NOTES]


def check_node(node, kind):
    """A node says the same as its schema: slots, outputs, and values that the schema allows."""
    assert [slot["name"] for slot in node["inputs"]] == slots_of(kind)
    assert [slot["type"] for slot in node["inputs"]] == [inputs_of(kind)[name][0] for name in slots_of(kind)]
    outputs = [slot["type"] for slot in node["outputs"]]
    assert outputs == list(kind.RETURN_TYPES)[: len(outputs)]  # newer hosts let Preview Image hand its pictures on
    assert len(outputs) == len(kind.RETURN_TYPES) or getattr(kind, "OUTPUT_NODE", False)
    assert len(node["widgets_values"]) == len(widgets_of(kind))
    for name, value in values_of(node, kind).items():
        if name == CONTROL:
            assert value == "fixed"
        else:
            check_value(value, *inputs_of(kind)[name])
    required = kind.INPUT_TYPES().get("required", {})
    linked = {slot["name"] for slot in node["inputs"] if slot["link"] is not None}
    assert set(required) <= linked | set(widgets_of(kind))


def check_value(value, kind, options):
    """A widget's value is of its kind, and in its range or among its choices (where those are no files)."""
    expected = {"INT": int, "FLOAT": (int, float), "STRING": str, "BOOLEAN": bool, "COMBO": str}[kind]
    assert isinstance(value, expected)
    if kind in ("INT", "FLOAT"):
        assert options["min"] <= value <= options["max"]
    if kind == "COMBO" and not value.endswith(".safetensors"):
        assert value in options["options"]


def check_link(nodes, link, origin, origin_slot, target, target_slot, kind):
    """Both ends of a link know of it."""
    output, slot = nodes[origin]["outputs"][origin_slot], nodes[target]["inputs"][target_slot]
    assert link in output["links"]
    assert slot["link"] == link
    assert output["type"] == slot["type"] == kind
    assert nodes[origin]["order"] < nodes[target]["order"]


def box(node):
    (left, top), (width, height) = node["pos"], node["size"]
    return left, top - 30, left + width, top + height


def apart(one, other):
    return one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


def inside(inner, outer):
    return outer[0] <= inner[0] and outer[1] <= inner[1] and inner[2] <= outer[2] and inner[3] <= outer[3]


@each
def test_a_workflow_says_what_the_schemas_say(path, host):
    workflow = read(path)
    nodes = {node["id"]: node for node in workflow["nodes"]}
    assert workflow["version"] == 0.4
    for node in real_nodes(workflow):
        check_node(node, host.NODE_CLASS_MAPPINGS[node["type"]])
    for link in workflow["links"]:
        check_link(nodes, *link)
    assert sum(slot["link"] is not None for node in nodes.values() for slot in node["inputs"]) == len(workflow["links"])
    assert workflow["last_node_id"] == max(nodes)
    assert workflow["last_link_id"] == max(link[0] for link in workflow["links"])


@each
def test_a_workflow_is_tidy_and_says_what_to_do(path):
    workflow = read(path)
    (note,) = [node for node in workflow["nodes"] if node["type"] in NOTES]
    assert "**Run**" in note["widgets_values"][0]
    boxes = [box(node) for node in workflow["nodes"]]
    assert all(apart(one, other) for index, one in enumerate(boxes) for other in boxes[:index])
    groups = [
        (left, top, left + width, top + height)
        for left, top, width, height in (group["bounding"] for group in workflow["groups"])
    ]
    assert all(apart(one, other) for index, one in enumerate(groups) for other in groups[:index])
    for node in real_nodes(workflow):
        assert any(inside(box(node), group) for group in groups), node["type"]


@each
def test_a_workflow_has_a_thumbnail(path):
    with Image.open(path.with_suffix(".jpg")) as picture:
        assert picture.format == "JPEG"
        assert min(picture.size) >= 256
        assert np.asarray(picture.convert("L")).std() > 10
    assert path.with_suffix(".jpg").stat().st_size < 100_000


def test_thumbnails_belong_to_workflows():
    assert {picture.stem for picture in (ROOT / "workflows").iterdir()} == {path.stem for path in FILES}
    assert len(FILES) == 9


def quick(graph):
    """The same graph in a minute: less of everything, and the demo checkpoint where files would be needed."""
    for name, (kind, inputs) in graph.items():
        shorter = {
            key: QUICK[key] if key in QUICK and not isinstance(value, tuple) else value for key, value in inputs.items()
        }
        graph[name] = (DEMO, {}) if kind == LOADER else (kind, shorter)
    return graph


def pictures(done, graph):
    """All decoded pictures (B,H,W,3)."""
    return torch.cat([done.outputs[name][0][0] for name, (kind, _) in graph.items() if kind == "VAEDecode"])


@pytest.mark.parametrize("path", [path for path in FILES if not path.stem.startswith("before")], ids=lambda p: p.stem)
def test_a_workflow_runs_to_pictures(path, host, run, files):
    """By one press of Run; two erasers lie in the loras folder, which one of them is about."""
    workflow = read(path)
    graph = quick(api_form(workflow["nodes"], origins(workflow), host.NODE_CLASS_MAPPINGS))
    done = run(graph)
    assert done.error is None
    assert {name for name, (_kind, inputs) in graph.items() if inputs} <= set(done.ran)
    found = pictures(done, graph)
    assert found.shape[1:] == (128, 128, 3)
    assert all(picture.std() > 0.02 for picture in found)


@pytest.mark.parametrize("name", OLDER)
def test_a_workflow_of_an_older_version_still_runs_with_the_values_it_was_saved_with(name, host, run):
    (kind, saved), workflow = OLDER[name], older(name)
    graph = api_form(workflow["nodes"], origins(workflow), host.NODE_CLASS_MAPPINGS)
    (own,) = [inputs for type_, inputs in graph.values() if type_ == kind]
    added = set(widgets_of(host.NODE_CLASS_MAPPINGS[kind])) - set(saved)
    assert saved.items() <= own.items() and added <= set(own)
    done = run(quick(graph))
    (own,) = [inputs for type_, inputs in graph.values() if type_ == kind]
    assert done.error is None and added
    for new in added:  # a graph that was saved for the API knows nothing of them
        del own[new]
    again = run(graph)
    assert again.error is None
    assert torch.equal(pictures(again, graph), pictures(done, graph))


def test_the_sheet_of_before_and_after_has_a_row_for_each_neighbour(host, run):
    path = ROOT / "workflows" / "before-after-with-neighbours.json"
    workflow = read(path)
    graph = quick(api_form(workflow["nodes"], origins(workflow), host.NODE_CLASS_MAPPINGS))
    done = run(graph)
    assert done.error is None
    (name,) = [name for name, (kind, _) in graph.items() if kind == "LoraUnlearnBeforeAfter"]
    _sheet, before, after = (output[0] for output in done.outputs[name])
    assert before.shape == after.shape == (3, 128, 128, 3)
    assert [torch.equal(*pair) for pair in zip(before, after, strict=True)] == [False, True, True]


def test_the_cats_are_gone_where_they_were_erased(host, run, seen):
    workflow = read(ROOT / "workflows" / "erase-concept-one-node.json")
    for enabled, expected in ((True, set()), (False, {"cat"})):
        graph = quick(api_form(workflow["nodes"], origins(workflow), host.NODE_CLASS_MAPPINGS))
        (name,) = [name for name, (kind, _) in graph.items() if kind == "LoraUnlearnEraseConcept"]
        graph[name][1]["enabled"] = enabled
        for kind, inputs in graph.values():
            if kind == "KSampler":
                inputs["steps"] = 8
        assert set(seen(pictures(run(graph), graph))) & {"cat"} == expected


def inner_links(subgraph, outer):
    """Where each link inside a subgraph comes from: a node of it, or what the outside gives."""
    names = [slot["name"] for slot in subgraph["inputs"]]
    return {
        link["id"]: outer[names[link["origin_slot"]]]
        if link["origin_id"] == -10
        else (str(link["origin_id"]), link["origin_slot"])
        for link in subgraph["links"]
    }


def outside(node):
    """The values of a subgraph node's own widgets, by name."""
    names = [slot["name"] for slot in node["inputs"] if "widget" in slot]
    return dict(zip(names, node["widgets_values"], strict=True))


@each_blueprint
def test_a_blueprint_is_one_node_that_says_what_is_inside(path, host):
    blueprint = read(path)
    (node,), (subgraph,) = blueprint["nodes"], blueprint["definitions"]["subgraphs"]
    assert node["type"] == subgraph["id"]
    assert node["title"] == subgraph["name"] == path.stem
    for end in ("inputs", "outputs"):
        assert [(slot["name"], slot["type"]) for slot in node[end]] == [
            (slot["name"], slot["type"]) for slot in subgraph[end]
        ]
    inner = {node["id"]: node for node in subgraph["nodes"]}
    for one in inner.values():
        check_node(one, host.NODE_CLASS_MAPPINGS[one["type"]])
    for link in subgraph["links"]:
        check_inner_link(subgraph, inner, **link)


def check_inner_link(subgraph, inner, id, origin_id, origin_slot, target_id, target_slot, type):
    """Both ends of a link inside a subgraph know of it; -10 is the subgraph's entrance, -20 its exit."""
    if origin_id == -10:
        start = subgraph["inputs"][origin_slot]
        assert id in start["linkIds"]
    else:
        start = inner[origin_id]["outputs"][origin_slot]
        assert id in start["links"]
    if target_id == -20:
        end = subgraph["outputs"][target_slot]
        assert id in end["linkIds"]
    else:
        end = inner[target_id]["inputs"][target_slot]
        assert end["link"] == id
    assert start["type"] == end["type"] == type


@each_blueprint
def test_a_blueprint_runs_to_a_picture(path, host, run):
    blueprint = read(path)
    (node,), (subgraph,) = blueprint["nodes"], blueprint["definitions"]["subgraphs"]
    loaded = {"model": ("demo", 0), "clip": ("demo", 1), "vae": ("demo", 2)}
    outer = {**outside(node), **loaded, **{name: QUICK[name] for name in ("steps", "preset", "width", "height")}}
    graph = api_form(subgraph["nodes"], inner_links(subgraph, outer), host.NODE_CLASS_MAPPINGS)
    (decoder,) = [name for name, (kind, _) in graph.items() if kind == "VAEDecode"]
    done = run({"demo": (DEMO, {}), **graph, "shown": ("PreviewImage", {"images": (decoder, 0)})})
    assert done.error is None
    assert pictures(done, graph).shape == (1, 128, 128, 3)


def test_there_is_a_blueprint():
    assert BLUEPRINTS
