"""The page with the erasers that there are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from lora_unlearn import UnlearnError
from lora_unlearn.merging import MERGES
from lora_unlearn.sets import groups_of

from . import compat, lists, panels
from .deleting import Deleting
from .library import FORMATS
from .studio import Studio
from .switches import LOOSE, Switches
from .trying import TryField
from .words import INFO

Updates = list[Any]


class LibraryPage:
    """Builds the components in the current gradio context; `connect` gives them life.

    Beneath each row of buttons is a place for what they have to say.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio, self.library = studio, studio.library
        self.switches = Switches(self.library)
        self.table = gr.HTML(elem_id="lora_unlearn_table")
        with gr.Row():
            with gr.Column(scale=2, min_width=300):
                self.chosen = gr.Dropdown(
                    [], label="Eraser", info=INFO["chosen"], allow_custom_value=True,
                    elem_id="lora_unlearn_chosen",
                )  # fmt: skip
                with gr.Row():
                    self.show = _button("Before / after", "show")
                    self.calibrate = _button("Calibrate", "calibrate")
                    self.resume = _button("Resume", "resume_chosen")
                    self.delete = _button("Delete", "delete")
                self.note = _place("library_note")
                self.deleting = Deleting(studio)
                self._exporting()
                self._merging()
                self.switches.loading()
            with gr.Column(scale=3, min_width=320):
                self.trying = TryField(studio, "library_try")
                self.details = gr.HTML(elem_id="lora_unlearn_details")

    def _exporting(self) -> None:
        self.name = gr.Textbox(
            label="New name", info="For Rename and Export; empty exports under a name of its own.", max_lines=1,
            elem_id="lora_unlearn_new_name",
        )  # fmt: skip
        with gr.Row():
            self.rename = _button("Rename", "rename")
            self.export = _button("Export LoRA", "library_export")
        self.written = _place("library_written")
        with gr.Accordion("For programs in Python", open=False, elem_id="lora_unlearn_python"):
            self.format = gr.Radio(
                list(FORMATS[1:]), value=FORMATS[1], label="Format", info=INFO["format"],
                elem_id="lora_unlearn_library_format",
            )  # fmt: skip
            self.program = _button("Export for Python", "python_export")
            self.programmed = _place("python_written")

    def _merging(self) -> None:
        with gr.Accordion("Merge several into one LoRA", open=False, elem_id="lora_unlearn_merging"):
            self.parts = gr.CheckboxGroup(
                [], label="Erasers", info="Of one model family. The file has no gate: it works on every prompt.",
                elem_id="lora_unlearn_parts",
            )  # fmt: skip
            self.strengths = gr.Textbox(
                label="Strengths (optional)", info="One for each, separated by commas; empty: 1 each.", max_lines=1,
                placeholder="1, 0.8", elem_id="lora_unlearn_strengths",
            )  # fmt: skip
            self.method = gr.Dropdown(
                list(MERGES), value="stack", label="Method", info=INFO["merging"], elem_id="lora_unlearn_merge_method"
            )
            self.merged = gr.Textbox(label="Name", value="erase several", max_lines=1, elem_id="lora_unlearn_merged")
            self.merge = gr.Button("Merge", elem_id="lora_unlearn_merge")
            self.joined = _place("merge_note")

    @property
    def every(self) -> list[Any]:
        """What each action may change, in the order of `view`."""
        return [*self.places, *self.switches.every, self.table, self.chosen, self.parts, self.details]

    @property
    def places(self) -> list[Any]:
        """Where sentences may stand."""
        return [self.note, self.written, self.programmed, self.joined, self.switches.loaded]

    def connect(self, blocks: gr.Blocks, shown: Any) -> None:
        """Connect every event; `shown` is the page's own tab."""
        chosen, every = self.chosen, self.every
        compat.on(blocks.load, self.look, [chosen], every)
        compat.on(shown.select, self.look, [chosen], every)
        compat.on(chosen.change, self.inspect, [chosen], [self.details])
        self._connect_switches()
        compat.on(chosen.change, lambda: compat.html(""), None, [self.trying.answer])
        self.trying.connect([chosen], lambda chosen: chosen)
        compat.on(self.rename.click, self._rename, [chosen, self.name], every)
        compat.on(self.export.click, self._export, [chosen, self.name], every)
        compat.on(self.program.click, self._program, [chosen, self.name, self.format], every)
        fields = [self.parts, self.strengths, self.merged, self.method]
        compat.on(self.merge.click, self._merge, [chosen, *fields], every)
        self.deleting.connect(self.delete, chosen, self.note, self.view, every)
        for button, begin in (
            (self.show, self.studio.show),
            (self.calibrate, self.studio.calibrate),
            (self.resume, self._resume),
        ):
            compat.on(button.click, self._begin(begin), [chosen], every)

    def _connect_switches(self) -> None:
        own, shown = self.switches, [self.switches.groups, self.switches.told, self.table]
        compat.on(own.search.change, self._search, [own.search], [self.table, self.chosen])
        compat.on(own.groups.input, self._switch, [own.groups, own.search], shown)
        compat.on(own.all_on.click, lambda text: self._switch_all(True, text), [own.search], shown)
        compat.on(own.all_off.click, lambda text: self._switch_all(False, text), [own.search], shown)
        compat.on(own.load.click, self._take_in, [self.chosen, own.folder], self.every)

    def _search(self, text: str | None) -> Updates:
        names = [entry.name for entry in self.library.found(text or "") if not entry.problem]
        return [gr.update(value=self._table(text)), gr.update(choices=names)]

    def _table(self, text: str | None) -> str:
        """What a search finds, as the page shows it."""
        return lists.erasers(self.library.found(text or ""), self.library.off, searched=bool(text))

    def _switch(self, on: list[str] | None, text: str | None) -> Updates:
        self.switches.switch(on)
        return [gr.update(value=on or []), compat.html(self.switches.said()), gr.update(value=self._table(text))]

    def _switch_all(self, on: bool, text: str | None) -> Updates:
        groups = [group or LOOSE for group in groups_of(self.library.members())]
        return self._switch(groups if on else [], text)

    def _take_in(self, chosen: str | None, folder: str | None) -> Updates:
        sentence, good = self.switches.take_in(folder)
        return self.view(chosen, sentence, self.switches.loaded, good)

    def look(self, chosen: str | None) -> Updates:
        """The list as it is now; the latest eraser is chosen where none is."""
        return self.view(chosen or next(iter(self.library.names()), None))

    def view(self, chosen: str | None, sentence: str = "", place: Any = None, good: bool = False) -> Updates:
        """Updates for `every`; the sentence goes to its place, and the other places are cleared."""
        entries = self.library.entries()
        names = [entry.name for entry in entries if not entry.problem]
        chosen = chosen if chosen in names else None
        said = [compat.html(panels.note(sentence, good) if each is place else "") for each in self.places]
        return [
            *said,
            *self.switches.view(),
            gr.update(value=lists.erasers(entries, self.library.off)),
            gr.update(choices=names, value=chosen),
            gr.update(choices=names),
            gr.update(value=self.details_of(chosen)),
        ]

    def inspect(self, chosen: str | None) -> Any:
        """What the chosen eraser says of itself."""
        return gr.update(value=self.details_of(chosen))

    def details_of(self, chosen: str | None) -> str:
        """The same as markup; a sentence where it can't be read."""
        if not chosen:
            return ""
        try:
            said = panels.inspected(self.library.load(chosen))
        except UnlearnError as error:
            return panels.note(str(error))
        state = self.studio.state
        return said if state.eraser != chosen else panels.sheet(state) + panels.gate(state) + said

    def _said(self, chosen: str | None, place: Any, act: Callable[[], tuple[str | None, str]]) -> Updates:
        """Do something that gives the eraser to choose next and a sentence; or say why it did not work."""
        try:
            after, sentence = act()
        except UnlearnError as error:
            return self.view(chosen, str(error), place)
        return self.view(after, sentence, place, good=True)

    def _rename(self, chosen: str | None, new: str) -> Updates:
        def act() -> tuple[str | None, str]:
            self.studio.check_idle(chosen)
            name = self.library.rename(chosen, new or "")
            return name, f"Renamed {chosen!r} to {name!r}."

        return self._said(chosen, self.written, act)

    def _export(self, chosen: str | None, new: str) -> Updates:
        return self._said(chosen, self.written, lambda: (chosen, f"Exported: {self.library.export(chosen, new or '')}"))

    def _program(self, chosen: str | None, new: str, kind: str) -> Updates:
        return self._said(
            chosen, self.programmed, lambda: (chosen, f"Exported: {self.library.export(chosen, new or '', kind)}")
        )

    def _merge(
        self, chosen: str | None, parts: list[str] | None, strengths: str, name: str, method: str | None
    ) -> Updates:
        def act() -> tuple[str | None, str]:
            numbers = strengths_of(strengths or "", len(parts or []))
            path = self.library.merge(parts or [], numbers, name or "", method or "stack")
            return chosen, f"Merged into {path}"

        return self._said(chosen, self.joined, act)

    def _resume(self, chosen: str | None) -> None:
        self.studio.resume(self.library.name(self.library.existing(chosen)))

    def _begin(self, begin: Callable[[str | None], None]) -> Callable[[str | None], Iterator[Updates]]:
        """A handler that begins a job, shows where it is, and at its end what it left."""

        def handle(chosen: str | None) -> Iterator[Updates]:
            try:
                begin(chosen)
            except UnlearnError as error:
                yield self.view(chosen, str(error), self.note)
                return
            board, version = self.studio.board, -1
            quiet = [gr.update()] * (len(self.every) - 2)
            while (state := board.wait(version, 20.0)).running:
                yield [compat.html(panels.progress(state)), *quiet, gr.update(value=panels.sheet(state))]
                version = state.version
                board.pause(0.5)
            yield self.view(chosen, state.message, self.note, state.phase == "done")
            board.seen = max(board.seen, state.version)

        return handle


def _place(name: str) -> gr.HTML:
    """Where something is said."""
    return gr.HTML(visible=False, elem_id=f"lora_unlearn_{name}")


def _button(label: str, name: str) -> gr.Button:
    return gr.Button(label, min_width=90, elem_id=f"lora_unlearn_{name}")


def strengths_of(text: str, count: int) -> list[float]:
    """Numbers separated by commas, one for each of `count` erasers; none mean 1 each.

    Raises:
        UnlearnError: if they are no numbers, or not so many.
    """
    if not text.strip():
        return [1.0] * count
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = [math.nan]
    if len(numbers) != count or not all(-10 <= number <= 10 for number in numbers):
        raise UnlearnError(
            f"The strengths must be {count} numbers from -10 to 10, separated by commas; or leave them out."
        )
    return numbers
