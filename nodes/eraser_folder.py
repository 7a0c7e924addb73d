"""Eraser Folder: all erasers of a folder on one model, each with a gate of its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import folder_paths
from comfy_api.v0_0_2 import io

from ..lora_unlearn import Adapter, Eraser
from ..lora_unlearn.lora import check_targets
from ..lora_unlearn.opened import Opened, open_set
from ..lora_unlearn.sets import HEADS, SUFFIX, Choice, Member, counts, folders_of
from .families import family_of
from .guide import apply_erasers, encoded_for, targets
from .messages import readable, told
from .same_model import others_told
from .schema import GATES, advanced, at_work, clip_input, gate_input, model_input, schema, strength_inputs

EVERYTHING = "(all of loras)"
NONE = "There are no erasers in the loras folders yet; save some by Export Eraser, or by lora-unlearn erase --concepts."
OFF = "No eraser is on: the node is off, or its strength is 0."


class EraserFolder(io.ComfyNode):
    """Put a whole folder of erasers to work on a model."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs; the list of folders is made anew whenever the page asks for it."""
        return schema(
            node_id="LoraUnlearnEraserFolder",
            display_name="Eraser Folder (a whole set)",
            search_aliases=["eraser set", "hundred erasers", "load erasers", "groups"],
            description="Samples under all erasers in a folder of loras and the folders in it. Each decides by itself, "
            "picture by picture, whether it is needed. New files are noticed.",
            inputs=[
                model_input(),
                io.Combo.Input(
                    "folder",
                    options=folders(),
                    default=EVERYTHING,
                    tooltip="A folder in ComfyUI's loras folders that holds erasers. The folders in it are groups.",
                ),
                *strength_inputs(),
                *choice_inputs(),
                gate_input(),
                clip_input(optional=True),
            ],
            outputs=[
                io.Model.Output(display_name="model", tooltip="The model, under the erasers that are on."),
                io.String.Output(
                    display_name="text", tooltip="How many erasers are on, and what was left out and why."
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, folder: str) -> bool | str:
        """Accept folders that came after the page was loaded."""
        if members_in(folder):
            return True
        return NONE if folder == EVERYTHING else f"There are no erasers in {folder} any more; choose another folder."

    @classmethod
    def fingerprint_inputs(cls, folder: str = EVERYTHING, **values: Any) -> str:
        """Read the folder again when a file in it came, went or changed."""
        return " ".join(f"{member.name} {member.stamp}" for member in members_in(folder))

    @classmethod
    @readable
    def execute(
        cls,
        model: Any,
        folder: str,
        strength: float,
        enabled: bool,
        only: str = "",
        without: str = "",
        gate: str = "auto",
        clip: Any = None,
    ) -> io.NodeOutput:
        """Apply what is chosen and can be used."""
        if not enabled or strength == 0:
            return io.NodeOutput(model, OFF, ui=told(OFF))
        members, choice = members_in(folder), Choice.of(only, without)
        opened = opened_for(model, choice.of_all(members), strength, gate)
        changed = apply_erasers(model, opened.erasers, encoded_for(model, clip, opened.erasers))
        notes = filter(None, [others_told(model, opened.erasers)])
        said = said_of(opened, choice.unknown(members), at_work(strength, gate), *notes)
        return io.NodeOutput(changed, said, ui=told(said))


def choice_inputs() -> list[Any]:
    """Which of the folder's erasers are on."""
    return [
        io.String.Input(
            "only",
            default="",
            optional=True,
            placeholder="only: van*, characters",
            tooltip="Files, concepts or groups that are on, separated by commas; * stands for any letters. Empty: all.",
        ),
        advanced(
            io.String.Input(
                "without",
                default="",
                placeholder="without: van dyck",
                tooltip="Files, concepts or groups that are left out, in the same way.",
            )
        ),
    ]


def files(start: str = "") -> list[tuple[str, Path]]:
    """The names and paths of the LoRA files that the host lists, of those whose names begin so; without that part."""
    listed = {
        name.replace(os.sep, "/").removesuffix(SUFFIX): name
        for name in folder_paths.get_filename_list("loras")
        if name.endswith(SUFFIX)
    }
    named = [(shown, own) for shown, own in listed.items() if shown.startswith(start) and counts(shown)]
    found = [(shown.removeprefix(start), folder_paths.get_full_path("loras", own)) for shown, own in named]
    return [(shown, Path(path)) for shown, path in found if path]


def folders() -> list[str]:
    """Everything, and each folder that erasers lie in."""
    return [EVERYTHING, *folders_of([member for member in HEADS.of(files()) if not member.problem])]


def members_in(folder: str) -> list[Member]:
    """The erasers in a folder and the folders in it; their names begin below it."""
    return HEADS.of(files("" if folder == EVERYTHING else f"{folder}/"))


def opened_for(model: Any, members: list[Member], strength: float, gate: str) -> Opened:
    """Those of the members that fit a MODEL, read.

    Raises:
        UnlearnError: if not one does, or the MODEL is of no supported kind.
    """
    family, known = family_of(model), dict[str, dict[str, Any]]()

    def check(adapter: Adapter) -> None:
        selector = adapter.settings.selector
        if selector not in known:
            known[selector] = targets(model, family, Eraser(adapter))
        check_targets(adapter.lora, known[selector])

    return open_set(members, family, strength, GATES[gate], check)


def said_of(opened: Opened, unknown: list[str], how: str, *notes: str) -> str:
    """What the node tells: how many are on and how, words that mean nothing, what was left out, and notes."""
    on, *left = opened.lines()
    missed = [f"nothing there is called {', '.join(unknown)}"] if unknown else []
    return "\n".join([f"{on}; {how}", *missed, *left, *notes])
