"""Finding erasers among many: a search, a tick for each group, and a folder that is taken in."""

from __future__ import annotations

from typing import Any

import gradio as gr

from lora_unlearn import UnlearnError
from lora_unlearn.sets import groups_of

from . import compat, lists
from .library import Library
from .words import INFO

LOOSE = "in no group"
"""What the erasers are called that lie in no folder."""
Updates = list[Any]


class Switches:
    """Builds the components in the current gradio context; `LibraryPage` gives them life.

    What is ticked holds for everyone who looks at the page, as all of the library does.
    """

    def __init__(self, library: Library) -> None:
        self.library = library
        with gr.Row():
            with gr.Column(scale=1, min_width=240):
                self.search = gr.Textbox(
                    label="Search", info=INFO["search"], max_lines=1, elem_id="lora_unlearn_search"
                )
                with gr.Row(visible=False, elem_id="lora_unlearn_switching") as self.row:
                    self.all_on = gr.Button("All on", size="sm", min_width=80, elem_id="lora_unlearn_all_on")
                    self.all_off = gr.Button("All off", size="sm", min_width=80, elem_id="lora_unlearn_all_off")
            with gr.Column(scale=3, min_width=320):
                self.groups = gr.CheckboxGroup(
                    [], label="Groups that are on", info=INFO["groups"], visible=False, elem_id="lora_unlearn_groups"
                )
                self.told = gr.HTML(visible=False, elem_id="lora_unlearn_switched")

    def loading(self) -> None:
        """The fields that take a folder in, in a place of their own."""
        with gr.Accordion("Load a folder", open=False, elem_id="lora_unlearn_loading"):
            self.folder = gr.Textbox(
                label="Folder", info=INFO["folder"], max_lines=1, placeholder="/home/me/erasers",
                elem_id="lora_unlearn_folder",
            )  # fmt: skip
            self.load = gr.Button("Load", elem_id="lora_unlearn_load")
            self.loaded = gr.HTML(visible=False, elem_id="lora_unlearn_loaded")

    @property
    def every(self) -> list[Any]:
        """What `view` updates."""
        return [self.search, self.groups, self.row, self.told]

    def view(self) -> Updates:
        """The groups as they are now; an older search is over."""
        counted = groups_of(self.library.members())
        choices = [(f"{group or LOOSE} ({count})", group or LOOSE) for group, count in counted.items()]
        on = [group or LOOSE for group in counted if group not in self.library.off]
        several = len(counted) > 1
        return [
            gr.update(value=""),
            gr.update(choices=choices, value=on, visible=several),
            gr.update(visible=several),
            compat.html(self.said() if several else ""),
        ]

    def switch(self, on: list[str] | None) -> None:
        """Take note of what is ticked."""
        groups = groups_of(self.library.members())
        self.library.off = {group for group in groups if (group or LOOSE) not in (on or [])}

    def said(self) -> str:
        """How many erasers are on, and what they are called together."""
        members, words = self.library.members(), self.library.switched_on()
        count = sum(member.group not in self.library.off for member in members)
        return lists.switched(count, len(members), words)

    def take_in(self, folder: str | None) -> tuple[str, bool]:
        """Take a folder's erasers in; what to say of it, and whether it went well."""
        try:
            if not (folder or "").strip():
                raise UnlearnError("The folder is empty; type where the erasers lie.")
            return str(self.library.take_in(folder or "")), True
        except UnlearnError as error:
            return str(error), False
