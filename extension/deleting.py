"""Deleting an eraser: asked about before, and taken back afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from lora_unlearn import UnlearnError
from lora_unlearn.sets import TRASH

from . import compat, panels
from .studio import Studio

Updates = list[Any]
Show = Callable[..., Updates]
"""As `LibraryPage.view`."""


class Deleting:
    """Builds the components in the current gradio context; `connect` gives them life."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        with gr.Row(visible=False, elem_id="lora_unlearn_deleting") as self.asking:
            self.yes = gr.Button("Delete it", variant="stop", min_width=90, elem_id="lora_unlearn_delete_yes")
            self.no = gr.Button("Keep it", min_width=90, elem_id="lora_unlearn_delete_no")
        self.undo = gr.Button("Undo", visible=False, elem_id="lora_unlearn_undo")
        self.meant, self.gone = gr.State(""), gr.State("")

    def connect(self, delete: Any, chosen: Any, note: Any, view: Show, every: list[Any]) -> None:
        """Connect every event.

        Args:
            delete: the button that begins it.
            chosen: the list with the eraser.
            note: where sentences go.
            view, every: of the page: updates, and what they are for.
        """
        own, self.note, self.view = [self.asking, self.undo, self.meant, self.gone], note, view
        compat.on(delete.click, self._ask, [chosen], [note, *own])
        compat.on(self.yes.click, self._delete, [self.meant], [*every, *own])
        compat.on(self.no.click, self._forget, None, [note, *own])
        compat.on(self.undo.click, self._undo, [self.gone], [*every, *own])
        compat.on(chosen.change, self._hide, [self.meant, chosen], [self.asking, self.meant])

    def _ask(self, chosen: str | None) -> Updates:
        """Before anything happens."""
        try:
            self.studio.check_idle(chosen)
            library = self.studio.library
            name = library.name(library.existing(chosen))
        except UnlearnError as error:
            return [compat.html(panels.note(str(error))), *_shown("", "")]
        return [compat.html(panels.note(f"Delete the eraser {name!r}?")), *_shown(name, "")]

    def _forget(self) -> Updates:
        return [compat.html(""), *_shown("", "")]

    def _hide(self, meant: str, chosen: str | None) -> Updates:
        """Another eraser was chosen: the question was not about it."""
        same = meant == chosen
        return [gr.update() if same else gr.update(visible=False), meant if same else ""]

    def _delete(self, meant: str) -> Updates:
        """Move the eraser that was asked about to the trash; nothing is chosen then."""
        try:
            self.studio.check_idle(meant)
            library = self.studio.library
            gone = library.name(library.trash(meant)).removeprefix(f"{TRASH}/")
        except UnlearnError as error:
            return [*self.view(meant, str(error), self.note), *_shown("", "")]
        return [*self.view(None, f"Deleted {meant!r}.", self.note, good=True), *_shown("", gone)]

    def _undo(self, gone: str) -> Updates:
        """Take it out of the trash again."""
        try:
            name = self.studio.library.restore(gone or "")
        except UnlearnError as error:
            return [*self.view(None, str(error), self.note), *_shown("", "")]
        return [*self.view(name, f"{name!r} is back.", self.note, good=True), *_shown("", "")]


def _shown(meant: str, gone: str) -> Updates:
    """The question for an eraser, the button that brings one back, and the names of both."""
    return [gr.update(visible=bool(meant)), gr.update(visible=bool(gone)), meant, gone]
