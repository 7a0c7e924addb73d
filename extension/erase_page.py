"""The page where a concept is typed and watched going."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from lora_unlearn import Concept, UnlearnError
from lora_unlearn.concept import notices
from lora_unlearn.erase import PRESETS, USUAL_PRESET

from . import compat, panels
from .fields import FIELDS, Values, methods, numbers, ordered, promises, text
from .named import Named
from .orders import order_of, promise_of
from .state import State
from .studio import Studio
from .trying import TryField
from .words import INFO, OF_PRESET

QUIET = 20.0
"""Seconds after which a page that watches is sent something even if nothing changed."""
PACE = 0.25
"""Seconds between two looks at a job."""
Updates = list[Any]


class ErasePage:
    """Builds the components in the current gradio context; `connect` gives them life.

    What a button causes is said beneath it, on a laptop's screen: so the buttons come before the finer words.
    """

    def __init__(self, studio: Studio, hint: str = "") -> None:
        self.studio, self.hint = studio, hint
        with gr.Row(elem_id="lora_unlearn_erase_row"):
            with gr.Column(scale=2, min_width=300):
                found = self._main()
                self._buttons()
                found |= self._words() | self._advanced()
                self.fields = [found[name] for name in FIELDS]
            with gr.Column(scale=3, min_width=320):
                self._results()

    def _main(self) -> dict[str, Any]:
        """What to erase, and how thoroughly."""
        concept = text("concept", "What should the model stop drawing?", placeholder="cat")
        self.notice = gr.HTML(visible=False, elem_id="lora_unlearn_notice")
        preset = gr.Radio(
            list(PRESETS), value=USUAL_PRESET, label="How thorough", info=INFO["preset"], elem_id="lora_unlearn_preset"
        )
        return {"concept": concept, "preset": preset}

    def _words(self) -> dict[str, Any]:
        """What else to say of it."""
        self.named = Named(self.studio)
        found = {
            "near": self.named.near,
            "neighbours": self.named.neighbours,
            "meant": self.named.meant,
            "also": text("also", "Also called (optional)", placeholder="kitten, tomcat"),
            "replace_with": text("replace_with", "Draw instead (optional)", placeholder="dog"),
            "keep": text("keep", "Keep unharmed (optional)", placeholder="tiger, dog"),
        }
        self.further = gr.HTML(visible=False, elem_id="lora_unlearn_further_notice")
        return found

    def _advanced(self) -> dict[str, Any]:
        """What most people leave alone; empty numbers mean the preset's own."""
        with gr.Accordion("Advanced", open=False, elem_id="lora_unlearn_advanced"):
            gr.HTML(panels.expected("Empty numbers are the preset's own."))
            found = {
                "of": text("of", "Only of this thing", placeholder="apple"),
                **numbers(),
                **promises(),
                **methods(),
            }
            self.measure = gr.Button("Measure time and memory", size="sm", elem_id="lora_unlearn_measure")
            self.measured = gr.HTML(visible=False, elem_id="lora_unlearn_measured")
        return found

    def _buttons(self) -> None:
        with gr.Row():
            self.erase = gr.Button("Erase", variant="primary", min_width=80, elem_id="lora_unlearn_erase")
            self.stop = gr.Button("Stop", interactive=False, min_width=80, elem_id="lora_unlearn_stop")
            self.resume = gr.Button("Resume", interactive=False, min_width=80, elem_id="lora_unlearn_resume")
        self.note = gr.HTML(visible=False, elem_id="lora_unlearn_note")
        self.progress = gr.HTML(visible=False, elem_id="lora_unlearn_progress")
        self.estimate = gr.HTML(visible=False, elem_id="lora_unlearn_estimate")

    def _results(self) -> None:
        self.invitation = gr.HTML(visible=False, elem_id="lora_unlearn_invitation")
        self.sheet = gr.HTML(visible=False, elem_id="lora_unlearn_sheet")
        self.gate = gr.HTML(visible=False, elem_id="lora_unlearn_gate")
        self.trying = TryField(self.studio, "try", visible=False)
        with gr.Row(visible=False, elem_id="lora_unlearn_export_row") as self.exporting:
            self.name = gr.Textbox(label="Export as", info=INFO["export"], elem_id="lora_unlearn_export_name", scale=3)
            self.export = gr.Button("Export LoRA", elem_id="lora_unlearn_export", scale=2)
        self.exported = gr.HTML(visible=False, elem_id="lora_unlearn_exported")
        self.course = gr.HTML(visible=False, elem_id="lora_unlearn_course")

    @property
    def live(self) -> list[Any]:
        """What a watching page is sent, in the order of `view`."""
        return [
            self.note, self.progress, self.invitation, self.course, self.sheet, self.gate, self.erase, self.stop,
            self.resume, self.measure, self.exporting, self.name, self.estimate, self.trying.row, self.trying.answer,
            self.exported,
        ]  # fmt: skip

    def connect(self, blocks: gr.Blocks, page: Any) -> None:
        """Connect every event; loading the blocks, or coming back to the page, attaches it to a running training."""
        fields = dict(zip(FIELDS, self.fields, strict=True))
        words = [fields[name] for name in ("concept", "also", "replace_with", "keep", "of")]
        compat.on(blocks.load, self.greet, self.fields, [*self.live, *self.fields], checked=False)
        compat.on(page.select, self.attach, self.fields, self.live, checked=False)
        compat.on(self.erase.click, self.start, self.fields, self.live, checked=False)
        compat.on(fields["concept"].submit, self.start, self.fields, self.live, checked=False)
        compat.on(self.resume.click, self.go_on, self.fields, self.live, checked=False)
        compat.on(self.measure.click, self.gauge, self.fields, [*self.live, self.measured], checked=False)
        compat.on(self.stop.click, self.halt, None, [self.stop])
        compat.on(self.export.click, self.write, [self.name], [self.exported])
        self.named.connect(*(fields[name] for name in ("concept", "also", "keep", "of")))
        self.trying.connect([], lambda: self.studio.state.eraser)
        for event in (self.erase.click, *(word.blur for word in words)):
            compat.on(event, self.notify, words, [self.notice, self.further])
        for name in ("preset", "iterations", "batch"):
            compat.on(fields[name].change, self.expect, self.fields, [self.estimate], checked=False)

    def greet(self, *values: Any) -> Iterator[Updates]:
        """A page that was loaded: show what there is, with the fields that a training under way was ordered by.

        What failed is told once; who comes later did not ask for it.
        """
        state = self.studio.state
        fields = state.fields if state.running else {}
        filled = [gr.update(value=fields[name]) if name in fields else gr.update() for name in FIELDS]
        for updates in self._watch(values, fresh=True):
            yield [*updates, *filled]
            filled = [gr.update()] * len(FIELDS)

    def attach(self, *values: Any) -> Iterator[Updates]:
        """Show what there is, and go on showing it while a job is under way."""
        yield from self._watch(values)

    def start(self, *values: Any) -> Iterator[Updates]:
        """Begin a training and watch it."""
        yield from self._begin(values, lambda: self.studio.erase(ordered(values)))

    def go_on(self, *values: Any) -> Iterator[Updates]:
        """Go on with the latest unfinished training and watch it."""
        fields = dict(zip(FIELDS, values, strict=True))

        def resume() -> str:
            changed = fields["own"] or fields["false_open_rate"] or fields["look"] != OF_PRESET
            promise = promise_of(fields) if changed else None
            return self.studio.resume(None, fields["previews"] is not False, fields["pictures"] or 0, promise)

        yield from self._begin(values, resume)

    def gauge(self, *values: Any) -> Iterator[Updates]:
        """Measure what a training takes and watch that, beside the button; the concept may be missing."""
        try:
            self.studio.gauge(ordered(values, concept="anything"))
        except UnlearnError as error:
            for updates in self._watch(values):
                yield [*updates, compat.html(panels.note(str(error)))]
            return
        for updates in self._watch(values):
            yield [*updates, compat.html(panels.progress(self.studio.state))]

    def _begin(self, values: Values, begin: Callable[[], Any]) -> Iterator[Updates]:
        sentence = ""
        try:
            begin()
        except UnlearnError as error:
            sentence = str(error)
        yield from self._watch(values, sentence)

    def _watch(self, values: Values, sentence: str = "", fresh: bool = False) -> Iterator[Updates]:
        """The state now, and every later one until nothing is under way."""
        board = self.studio.board
        shown: State | None = None
        while True:
            state, first = board.wait(-1 if shown is None else shown.version, QUIET), shown is None
            if first and state.phase == "failed" and state.version <= board.seen:
                state, shown = (State(state.version), None) if fresh or sentence else (state, state)
            yield self.view(state, shown, values, sentence if first else None)
            shown = state
            if not state.running:
                board.seen = max(board.seen, state.version)
                return
            board.pause(PACE)

    def view(self, state: State, shown: State | None, values: Values, sentence: str | None) -> Updates:
        """Updates for `live`: what differs from the state that the page shows already."""

        def part(render: Callable[[State], str], *names: str) -> Any:
            same = shown is not None and all(getattr(shown, name) is getattr(state, name) for name in names)
            return gr.update() if same else compat.html(render(state))

        waiting = [] if state.running else self.studio.library.unfinished()
        ready = state.adapter is not None and not state.running
        fresh = ready and (shown is None or shown.running)
        return [
            gr.update() if sentence is None else compat.html(panels.note(sentence)),
            gr.update() if shown is state else compat.html(panels.progress(state, self.hint)),
            part(panels.invitation, "phase"),
            part(panels.course, "losses", "previews"),
            part(panels.sheet, "pairs", "adapter"),
            part(panels.gate, "pairs", "adapter"),
            gr.update(interactive=not state.running),
            gr.update(interactive=state.running and not state.stopping),
            gr.update(interactive=bool(waiting), value=f"Resume {waiting[0]}" if waiting else "Resume"),
            gr.update(interactive=not state.running),
            gr.update(visible=ready),
            gr.update(value=f"erase {state.eraser}") if fresh else gr.update(),
            gr.update() if state.running else compat.html("" if sentence else self.expectation(values)),
            gr.update(visible=ready),
            compat.html("") if state.running else gr.update(),
            compat.html("") if state.running else gr.update(),
        ]

    def notify(self, concept: str, also: str, replace_with: str, keep: str, of: str) -> Updates:
        """What may be meant otherwise than it was typed: of the concept, and of the other words."""
        try:
            asked = order_of(
                {"concept": concept, "also": also, "replace_with": replace_with, "keep": keep, "of": of}
            ).concept
        except UnlearnError:
            return [compat.html(""), compat.html("")]  # Erase says what is wrong
        of_name, every = notices(Concept(asked.name)), notices(asked)
        further = [sentence for sentence in every if sentence not in of_name]
        return [compat.html(panels.note(" ".join(each))) for each in (of_name, further)]

    def halt(self) -> Any:
        """Ask the job to end."""
        self.studio.stop()
        return gr.update(interactive=False)

    def write(self, name: str) -> Any:
        """Export what was made last."""
        try:
            path = self.studio.library.export(self.studio.state.eraser, name or "")
        except UnlearnError as error:
            return compat.html(panels.note(str(error)))
        return compat.html(panels.note(f"Exported: {path}", good=True))

    def expect(self, *values: Any) -> Any:
        """The estimate for the fields as they are."""
        return compat.html(self.expectation(values))

    def expectation(self, values: Values) -> str:
        """What a training would take, in words."""
        try:
            order = ordered(values, concept="anything")
        except UnlearnError as error:
            return panels.note(str(error))
        if not order.settings.trains:
            return panels.expected("Takes a few seconds, and next to no memory beside the model.")
        found = self.studio.estimate(order)
        checkpoint = self.studio.host.checkpoint() or "the checkpoint"
        if found is None:
            return panels.expected(f"Measure, under Advanced, tells what this takes with {checkpoint}.")
        return panels.expected(f"Training on {checkpoint} takes {found}; the pictures come on top.")
