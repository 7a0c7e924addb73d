"""Workflows as ComfyUI's page saves them, and what the page would send of them to be run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from comfy_graphs import Graph

ROOT = Path(__file__).parents[2]
NOTES = {"Note", "MarkdownNote"}
"""Nodes that only the page knows."""
WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
OLDER: dict[str, tuple[str, dict[str, Any]]] = {
    "train-and-export": (
        "LoraUnlearnTrainEraser",
        {
            **{"concept": "cat", "mode": "fast", "iterations": 60, "replace_with": "", "keep": "", "also": ""},
            **{"batch": 16, "learning_rate": 0.002, "rank": 4, "scale": 1.0, "gamma": 1.0, "trajectories": 8},
            **{"trajectory_steps": 20, "guidance_scale": 4.0, "enough": 0.98, "objective": "unguide", "down": "edit"},
            **{"selector": "cross_v", "size": 0, "seed": 7, "cache": False},
        },
    ),
    "erase-concept-one-node": (
        "LoraUnlearnEraseConcept",
        {"concept": "cat", "strength": 1.0, "enabled": True, "preset": "balanced", "replace_with": "dog"},
    ),
}
"""Workflows as an older version of the pack saved them: the file that is there now, a node of it, and that node's
widgets of then, in their order of then. They are what people have: this table does not change with the schemas."""
CONTROL = "control_after_generate"
"""The widget that the page adds below a seed."""


def read(path: Path) -> dict[str, Any]:
    """One file."""
    return json.loads(path.read_text(encoding="utf-8"))


def inputs_of(kind: type) -> dict[str, tuple[str, dict[str, Any]]]:
    """A node's inputs by name, in the page's order: the type (COMBO for a list) and the options."""
    known = kind.INPUT_TYPES()
    found = {**known.get("required", {}), **known.get("optional", {})}
    return {name: as_combo(*spec) for name, spec in found.items()}


def as_combo(kind: Any, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
    """The older way to write a list of choices, in the newer one."""
    return ("COMBO", {**(options or {}), "options": kind}) if isinstance(kind, list) else (kind, options or {})


def widgets_of(kind: type) -> list[str]:
    """Names of a node's widgets, in the order of `widgets_values`."""
    names = []
    for name, (type_, options) in inputs_of(kind).items():
        if type_ in WIDGETS and not options.get("forceInput"):
            names.append(name)
            if type_ == "INT" and options.get(CONTROL, name in ("seed", "noise_seed")):
                names.append(CONTROL)
    return names


def slots_of(kind: type) -> list[str]:
    """Names of a node's input slots: first those without a widget, then those with one."""
    widgets = widgets_of(kind)
    return sorted(inputs_of(kind), key=lambda name: name in widgets)


def values_of(node: Mapping[str, Any], kind: type) -> dict[str, Any]:
    """A node's widget values by name; those that the file does not hold yet keep their defaults, as on the page."""
    names, saved = widgets_of(kind), node["widgets_values"]
    assert len(saved) <= len(names)
    missing = {name: inputs_of(kind)[name][1]["default"] for name in names[len(saved) :]}
    return {**dict(zip(names, saved, strict=False)), **missing}


def api_form(nodes: Iterable[Mapping[str, Any]], links: Mapping[int, Any], kinds: Mapping[str, type]) -> Graph:
    """What the page sends when Run is pressed.

    Args:
        nodes: the workflow's nodes.
        links: for every link where it comes from, as (node, slot); anything else is sent as the input's value.
        kinds: classes by the name of the node.
    """
    graph: Graph = {}
    for node in nodes:
        if node["type"] not in NOTES:
            values = values_of(node, kinds[node["type"]])
            linked = {slot["name"]: links[slot["link"]] for slot in node["inputs"] if slot["link"] is not None}
            values.pop(CONTROL, None)
            graph[str(node["id"])] = (node["type"], {**values, **linked})
    return graph


def origins(workflow: Mapping[str, Any]) -> dict[int, tuple[str, int]]:
    """Where each link of a workflow comes from."""
    return {link: (str(node), slot) for link, node, slot, *_ in workflow["links"]}


def older(name: str) -> dict[str, Any]:
    """A workflow of `OLDER` as the page of then saved it."""
    workflow, (kind, values) = read(ROOT / "workflows" / f"{name}.json"), OLDER[name]
    (node,) = [node for node in workflow["nodes"] if node["type"] == kind]
    node["widgets_values"] = list(values.values())
    node["inputs"] = [slot for slot in node["inputs"] if "widget" not in slot or slot["name"] in values]
    return workflow
