"""The words that the loaded model reads like the one that was typed, as boxes to tick."""

from __future__ import annotations

from typing import Any

import gradio as gr

from lora_unlearn import Suggestion, UnlearnError

from . import compat, panels, words
from .orders import order_of
from .studio import Studio

Updates = list[Any]


class Named:
    """Builds the components in the current gradio context; `connect` gives them life.

    Attributes:
        near, neighbours: the ticked words; they count while `meant` is the concept that is typed.
        meant: the words that the boxes belong to.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.ask = gr.Button(words.ASK, size="sm", elem_id="lora_unlearn_ask")
        self.near = gr.CheckboxGroup(
            [], label=words.NEAR, info=words.INFO["near"], visible=False, elem_id="lora_unlearn_near"
        )
        self.told = gr.HTML(visible=False, elem_id="lora_unlearn_named")
        self.neighbours = gr.CheckboxGroup(
            [], label=words.NEIGHBOURS, info=words.INFO["neighbours"], visible=False, elem_id="lora_unlearn_neighbours"
        )
        self.meant = gr.Textbox(visible=False, elem_id="lora_unlearn_meant")

    def connect(self, concept: Any, also: Any, keep: Any, of: Any) -> None:
        """Look when the concept was typed, and when the button is pressed."""
        inputs = [concept, also, keep, of, self.near, self.neighbours, self.meant]
        outputs = [self.told, self.near, self.neighbours, self.meant]
        compat.on(concept.blur, self.glance, inputs, outputs, checked=False)
        compat.on(self.ask.click, self.look, inputs, outputs, checked=False)

    def glance(self, *values: Any) -> Updates:
        """The same as `look`, unless nothing has changed, nothing is typed or a job has the model, or takes it."""
        concept, meant = str(values[0] or "").strip(), str(values[-1] or "")
        same = [gr.update()] * 3 + [meant]
        if concept == meant or (concept and self.studio.state.running):
            return same
        found = self.look(*values) if concept else self._shown("", "")
        return same if self.studio.state.running else found

    def look(
        self, concept: str, also: str, keep: str, of: str, near: list[str], neighbours: list[str], meant: str
    ) -> Updates:
        """Boxes for the words that the model names; a sentence where it names none. What was ticked stays so."""
        try:
            asked = order_of({"concept": concept, "also": also, "keep": keep, "of": of}).concept
            found = self.studio.suggest(asked)
        except UnlearnError as error:
            return self._shown(str(concept or "").strip(), panels.expected(str(error)))
        of_kind = {kind: [one.word for one in found if one.kind == kind] for kind in ("near", "neighbour")}
        ticked = {*(near or []), *(neighbours or [])} if asked.name == meant else set()
        return self._shown(asked.name, told(asked.name, found), of_kind["near"], of_kind["neighbour"], ticked)

    def _shown(
        self, concept: str, said: str, near: list[str] | None = None, neighbours: list[str] | None = None,
        ticked: set[str] | None = None,
    ) -> Updates:  # fmt: skip
        boxes = [
            gr.update(choices=found or [], value=[word for word in found or [] if word in (ticked or ())],
                      visible=bool(found))
            for found in (near, neighbours)
        ]  # fmt: skip
        return [compat.html(said), *boxes, concept]


def told(concept: str, found: list[Suggestion]) -> str:
    """What stands beside the boxes: which words go in by themselves, or that there are none at all."""
    forms = [one.word for one in found if one.kind == "inflection"]
    if forms:
        return panels.expected(f"Other forms of the word go in by themselves: {', '.join(forms)}.")
    return "" if found else panels.expected(f"The model has no word that it reads like {concept}.")
