"""The page where a concept is typed and watched going."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from lora_unlearn import UnlearnError
from lora_unlearn.erase import PRESETS
from lora_unlearn.promise import USUAL

from . import compat, panels
from .library import FORMATS
from .named import Named
from .orders import Order, order_of, promise_of
from .state import State
from .studio import Studio
from .trying import TryField
from .words import INFO, LOOKS, OWN

QUIET = 20.0
"""Seconds after which a page that watches is sent something even if nothing changed."""
PACE = 0.25
"""Seconds between two looks at a job."""
FIELDS = (
    "concept", "also", "replace_with", "keep", "preset", "of", "iterations", "rank", "batch", "learning_rate", "seed",
    "pictures", "previews", "own", "false_open_rate", "look", "near", "neighbours", "meant",
)  # fmt: skip
"""What an order is made of, in the order of the page's components."""
Updates = list[Any]


class ErasePage:
    """Builds the components in the current gradio context; `connect` gives them life."""

    def __init__(self, studio: Studio, hint: str = "") -> None:
        self.studio, self.hint = studio, hint
        with gr.Row(elem_id="lora_unlearn_erase_row"):
            with gr.Column(scale=2, min_width=300):
                self.fields = self._words() + self._advanced()
                self.estimate = gr.HTML(visible=False, elem_id="lora_unlearn_estimate")
                self._buttons()
            with gr.Column(scale=3, min_width=320):
                self._results()

    def _words(self) -> list[Any]:
        """What to erase."""
        concept = _text("concept", "What should the model stop drawing?", placeholder="cat")
        self.named = Named(self.studio)
        return [
            concept,
            _text("also", "Also called (optional)", placeholder="kitten, tomcat"),
            _text("replace_with", "Draw instead (optional)", placeholder="dog"),
            _text("keep", "Keep unharmed (optional)", placeholder="tiger, dog"),
            gr.Radio(
                list(PRESETS),
                value="balanced",
                label="How thorough",
                info=INFO["preset"],
                elem_id="lora_unlearn_preset",
            ),
        ]

    def _advanced(self) -> list[Any]:
        """What most people leave alone; empty numbers mean the preset's own."""
        with gr.Accordion("Advanced", open=False, elem_id="lora_unlearn_advanced"):
            gr.HTML(panels.expected("Empty numbers are the preset's own."))
            of = _text("of", "Only of this thing", placeholder="apple")
            numbers = [
                _number("iterations", "Updates"),
                _number("rank", "Rank"),
                _number("batch", "Batch"),
                _number("learning_rate", "Learning rate"),
                _number("seed", "Seed"),
            ]
            pictures = gr.Slider(
                0, 4, value=2, step=1, label="Pictures on the sheet", info=INFO["pictures"],
                elem_id="lora_unlearn_pictures",
            )  # fmt: skip
            previews = gr.Checkbox(True, label="Previews", info=INFO["previews"], elem_id="lora_unlearn_previews")
            own = gr.Textbox(
                label=OWN, info=INFO["own"], lines=3, max_lines=8, elem_id="lora_unlearn_own",
                placeholder="portrait of a woman, soft light",
            )  # fmt: skip
            rate = gr.Textbox(
                label="How often may it open by mistake", info=INFO["false_open_rate"], max_lines=1, placeholder="0.01",
                elem_id="lora_unlearn_false_open_rate",
            )  # fmt: skip
            look = gr.Radio(
                LOOKS, value="text", label="Who decides whether a prompt asks for it", info=INFO["look"],
                elem_id="lora_unlearn_look",
            )  # fmt: skip
            self.measure = gr.Button("Measure time and memory", size="sm", elem_id="lora_unlearn_measure")
        named = [self.named.near, self.named.neighbours, self.named.meant]
        return [of, *numbers, pictures, previews, own, rate, look, *named]

    def _buttons(self) -> None:
        with gr.Row():
            self.erase = gr.Button("Erase", variant="primary", min_width=80, elem_id="lora_unlearn_erase")
            self.stop = gr.Button("Stop", interactive=False, min_width=80, elem_id="lora_unlearn_stop")
            self.resume = gr.Button("Resume", interactive=False, min_width=80, elem_id="lora_unlearn_resume")
        self.note = gr.HTML(visible=False, elem_id="lora_unlearn_note")

    def _results(self) -> None:
        self.progress = gr.HTML(visible=False, elem_id="lora_unlearn_progress")
        self.sheet = gr.HTML(visible=False, elem_id="lora_unlearn_sheet")
        self.gate = gr.HTML(visible=False, elem_id="lora_unlearn_gate")
        self.trying = TryField(self.studio, "try", visible=False)
        with gr.Row(visible=False, elem_id="lora_unlearn_export_row") as self.exporting:
            self.name = gr.Textbox(label="Export as", elem_id="lora_unlearn_export_name", scale=3)
            self.format = gr.Dropdown(
                list(FORMATS), value="kohya", label="Format", elem_id="lora_unlearn_format", scale=2
            )
            self.export = gr.Button("Export LoRA", elem_id="lora_unlearn_export", scale=2)
        self.exported = gr.HTML(visible=False, elem_id="lora_unlearn_exported")
        self.course = gr.HTML(visible=False, elem_id="lora_unlearn_course")

    @property
    def live(self) -> list[Any]:
        """What a watching page is sent, in the order of `view`."""
        return [
            self.note, self.progress, self.course, self.sheet, self.gate, self.erase, self.stop, self.resume,
            self.measure, self.exporting, self.name, self.estimate, self.trying.row, self.trying.answer, self.exported,
        ]  # fmt: skip

    def connect(self, blocks: gr.Blocks, page: Any) -> None:
        """Connect every event; loading the blocks, or coming back to the page, attaches it to a running training."""
        compat.on(blocks.load, self.attach, self.fields, self.live)
        compat.on(page.select, self.attach, self.fields, self.live)
        compat.on(self.erase.click, self.start, self.fields, self.live)
        compat.on(self.fields[0].submit, self.start, self.fields, self.live)
        compat.on(self.resume.click, self.go_on, self.fields, self.live)
        compat.on(self.measure.click, self.gauge, self.fields, self.live)
        compat.on(self.stop.click, self.halt, None, [self.stop])
        compat.on(self.export.click, self.write, [self.name, self.format], [self.exported])
        self.named.connect(*(self.fields[FIELDS.index(name)] for name in ("concept", "also", "keep", "of")))
        self.trying.connect([], lambda: self.studio.state.eraser)
        for field in (self.fields[FIELDS.index(name)] for name in ("preset", "iterations", "batch")):
            compat.on(field.change, self.expect, self.fields, [self.estimate])

    def attach(self, *values: Any) -> Iterator[Updates]:
        """Show what there is, and go on showing it while a job is under way."""
        yield from self._watch(values)

    def start(self, *values: Any) -> Iterator[Updates]:
        """Begin a training and watch it."""
        yield from self._begin(values, lambda: self.studio.erase(_order(values)))

    def go_on(self, *values: Any) -> Iterator[Updates]:
        """Go on with the latest unfinished training and watch it."""
        pictures, previews = values[FIELDS.index("pictures")], values[FIELDS.index("previews")]

        def resume() -> str:
            fields = dict(zip(FIELDS, values, strict=True))
            changed = fields["own"] or fields["false_open_rate"] or fields["look"] != USUAL.look
            promise = promise_of(fields) if changed else None
            return self.studio.resume(None, previews is not False, int(pictures or 0), promise)

        yield from self._begin(values, resume)

    def gauge(self, *values: Any) -> Iterator[Updates]:
        """Measure what a training takes and watch that; the concept may be missing."""
        yield from self._begin(values, lambda: self.studio.gauge(_order(values, concept="anything")))

    def _begin(self, values: tuple[Any, ...], begin: Callable[[], Any]) -> Iterator[Updates]:
        sentence = ""
        try:
            begin()
        except UnlearnError as error:
            sentence = str(error)
        yield from self._watch(values, sentence)

    def _watch(self, values: tuple[Any, ...], sentence: str = "") -> Iterator[Updates]:
        """The state now, and every later one until nothing is under way."""
        shown: State | None = None
        while True:
            state = self.studio.board.wait(-1 if shown is None else shown.version, QUIET)
            yield self.view(state, shown, values, sentence if shown is None else None)
            shown = state
            if not state.running:
                return
            self.studio.board.pause(PACE)

    def view(self, state: State, shown: State | None, values: tuple[Any, ...], sentence: str | None) -> Updates:
        """Updates for `live`: what differs from the state that the page shows already."""

        def part(render: Callable[[State], str], *names: str) -> Any:
            same = shown is not None and all(getattr(shown, name) is getattr(state, name) for name in names)
            return gr.update() if same else compat.html(render(state))

        waiting = [] if state.running else self.studio.library.unfinished()
        ready = state.adapter is not None and not state.running
        fresh = ready and (shown is None or shown.running)
        return [
            gr.update() if sentence is None else compat.html(panels.note(sentence)),
            compat.html(panels.progress(state, self.hint)),
            part(panels.course, "losses", "previews"),
            part(panels.sheet, "pairs"),
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

    def halt(self) -> Any:
        """Ask the job to end."""
        self.studio.stop()
        return gr.update(interactive=False)

    def write(self, name: str, kind: str) -> Any:
        """Export what was made last."""
        try:
            path = self.studio.library.export(self.studio.state.eraser, name or "", kind)
        except UnlearnError as error:
            return compat.html(panels.note(str(error)))
        return compat.html(panels.note(f"Exported: {path}", good=True))

    def expect(self, *values: Any) -> Any:
        """The estimate for the fields as they are."""
        return compat.html(self.expectation(values))

    def expectation(self, values: tuple[Any, ...]) -> str:
        """What a training would take, in words."""
        try:
            order = _order(values, concept="anything")
        except UnlearnError as error:
            return panels.note(str(error))
        if order.mode == "instant":
            return panels.expected("Takes a few seconds, and next to no memory beside the model.")
        found = self.studio.estimate(order)
        checkpoint = self.studio.host.checkpoint() or "the checkpoint"
        if found is None:
            return panels.expected(f"Measure, under Advanced, tells what this takes with {checkpoint}.")
        return panels.expected(f"Training on {checkpoint} takes {found}; the pictures come on top.")


def _order(values: tuple[Any, ...], **instead: str) -> Order:
    """The order that the page's values stand for; `instead` fills fields that are empty."""
    fields = dict(zip(FIELDS, values, strict=True))
    fields |= {name: text for name, text in instead.items() if not fields.get(name)}
    if fields["meant"] and fields["meant"] == " ".join(str(fields["concept"] or "").split()):
        for name, ticked in (("also", "near"), ("keep", "neighbours")):
            fields[name] = ", ".join([*filter(None, [fields[name]]), *(fields[ticked] or [])])
    return order_of(fields)


def _text(name: str, label: str, **further: Any) -> gr.Textbox:
    return gr.Textbox(label=label, info=INFO[name], max_lines=1, elem_id=f"lora_unlearn_{name}", **further)


def _number(name: str, label: str) -> gr.Textbox:
    """A number that may be left empty: gradio's own number fields cannot, in some versions."""
    return gr.Textbox(
        label=label, info=INFO[name], max_lines=1, elem_id=f"lora_unlearn_{name}", placeholder="preset's own"
    )
