"""The accordion in txt2img and img2img: which erasers are on, how strong, and who decides."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from modules import scripts, shared
from modules.ui_common import create_refresh_button
from modules.ui_components import InputAccordion

from lora_unlearn import Adapter, Decision, Eraser, UnlearnError
from lora_unlearn.guidance import STRENGTH, STRONGEST
from lora_unlearn.opened import Opened
from lora_unlearn.report.readout import opened_line, readings
from lora_unlearn.written import called, written

from .. import compat
from . import loras, model, settings
from .erasers import SHELF, same
from .guide import Work, around_sampling
from .slots import AXES, GATES, NONE, PARTS, Slot, infotext_of, key, pasted, pasted_enabled, slots_of

TITLE = "Erase concepts"
PROBLEM = "Eraser problem"
OURS = {PROBLEM} | {key(number, part) for number in range(1, 9) for part in (*PARTS, "decision")}
"""What we write into infotexts."""
ABOUT = (
    "Erasers are small LoRAs, made in the tab Erase concept, that make the model stop drawing something. The gate "
    "looks at each picture's prompt: auto erases where it asks for the concept, on erases always, off never. A * "
    "stands for many: * is all erasers, artists/* all in the folder artists, *, -artists/* all but those. While this "
    "is off, every picture is as it would be without, to the last bit. This is no guarantee of safety."
)


class EraserScript(scripts.Script):
    """The always visible script. Its instances hold no state of a job; that lies on the job."""

    def title(self) -> str:
        """The name, which is also the API's, in small letters."""
        return TITLE

    def show(self, is_img2img: bool) -> Any:
        """In both tabs, always."""
        return scripts.AlwaysVisible

    def ui(self, is_img2img: bool) -> list[Any]:
        """The controls; their values arrive in this order wherever values arrive."""
        with InputAccordion(False, label=TITLE, elem_id=self.elem_id("enabled")) as enabled:
            gr.HTML(f"<p>{ABOUT}</p><p>Strength: {STRENGTH}</p>")
            slots = [self._slot_ui(number) for number in range(1, settings.slots() + 1)]
        names = [name for name, _, _ in slots]
        for event in (enabled.change, getattr(gr.context.Context.root_block, "load", None)):
            if event is not None:  # an eraser that was made meanwhile is offered without a restart
                compat.on(event, partial(_fresh, len(names)), None, names)
        self.infotext_fields: list[tuple[Any, Any]] = [(enabled, pasted_enabled)]
        for number, (name, strength, gate) in enumerate(slots, 1):
            self.infotext_fields += [
                (name, pasted(number, "", NONE)),
                (strength, pasted(number, "strength", 1.0)),
                (gate, pasted(number, "gate", "auto")),
            ]
        self.paste_field_names = [key(number, part) for number in range(1, 9) for part in PARTS]
        return [enabled, *(control for slot in slots for control in slot)]

    def _slot_ui(self, number: int) -> tuple[Any, Any, Any]:
        with gr.Row():
            name = gr.Dropdown(
                choices=[NONE, *SHELF.offered()],
                value=NONE,
                allow_custom_value=True,
                label=f"Eraser {number}",
                elem_id=self.elem_id(f"name_{number}"),
                min_width=120,
            )
            create_refresh_button(name, lambda: None, _choices, self.elem_id(f"refresh_{number}"))
            strength = gr.Slider(
                minimum=0,
                maximum=STRONGEST,
                step=0.05,
                value=1.0,
                label="Strength",
                elem_id=self.elem_id(f"strength_{number}"),
                min_width=120,
            )
            gate = gr.Radio(
                list(GATES), value="auto", label="Gate", elem_id=self.elem_id(f"gate_{number}"), min_width=230
            )
        return name, strength, gate

    def process_batch(self, p: Any, *args: Any, **kwargs: Any) -> None:
        """Before each batch of pictures: put the erasers to work for its sampling."""
        p.lora_unlearn_work = None
        for name in OURS & p.extra_generation_params.keys():  # some scripts give all their jobs one infotext
            del p.extra_generation_params[name]
        try:
            slots = slots_of(args, getattr(p, AXES, {}))
            p.extra_generation_params.update(infotext_of(slots))
            now = [slot.now() for slot in slots]
            slots = [slot for slot, _ in now]
            p.extra_generation_params.update(infotext_of(slots))
            opened = opened_for(slots)
        except UnlearnError as error:
            refuse(p, str(error))
            return
        for sentence in filter(None, (changed for _, changed in now)):
            note(p, sentence)
        for slot, found in zip(slots, opened, strict=True):
            for line in found.lines()[1:] if slot.is_set else ():
                p.comment(f"{slot.name}: {line}.")
        erasers = [eraser for found in opened for eraser in found.erasers]
        for name, lora in twice(p, [member.name for found in opened for member in found.members], erasers):
            note(
                p,
                f"The eraser {name!r} stands in the prompt too, as <lora:{lora}>, and so it works twice; take one out.",
            )
        if erasers:
            p.lora_unlearn_work = Work(erasers, partial(complain, p), partial(note, p), partial(tell, p))
            p.lora_unlearn_slots = [(slot, len(found.erasers)) for slot, found in zip(slots, opened, strict=True)]
            around_sampling(p, p.lora_unlearn_work)

    def post_sample(self, p: Any, ps: Any, *args: Any) -> None:
        """After the sampling: what the gates decided goes to the infotext of each picture."""
        work: Work | None = getattr(p, "lora_unlearn_work", None)
        if work is not None and settings.decisions_wanted():
            p.extra_generation_params.update(decided(work, p.lora_unlearn_slots, len(ps.samples)))


def opened_for(slots: Sequence[Slot]) -> list[Opened]:
    """The erasers of each slot, none for one that attaches nothing. What a slot names by itself no set takes, too.

    Raises:
        UnlearnError: as `Slot.open` does.
    """
    sets = any(slot.is_set for slot in slots)
    taken = {SHELF.file(slot.name) for slot in slots if sets and not slot.is_set}
    opened = list[Opened]()
    for slot in slots:
        found = slot.open(lambda: model.family_of(shared.sd_model), taken) if slot.works else Opened([], [], {})
        opened.append(found)
        if slot.is_set:
            taken.update(member.path for member in found.members)
    return opened


def twice(p: Any, names: Sequence[str], erasers: Sequence[Eraser]) -> list[tuple[str, str]]:
    """Erasers at work that a job's prompts call as LoRAs, too: each name, and the LoRA's, which may be another one."""
    listed = (getattr(p, "extra_network_data", None) or {}).get("lora", [])
    files = {str(lora.positional[0]): loras.file_of(str(lora.positional[0])) for lora in listed if lora.positional}
    return [
        (name, lora)
        for lora, path in files.items()
        for name, eraser in zip(names, erasers, strict=True)
        if path is not None and _holds(path, eraser.adapter)
    ]


def _holds(path: Path, adapter: Adapter) -> bool:
    """Whether a LoRA file is an eraser's own, or was exported from it or from one for the same thing."""
    try:
        if SHELF.is_eraser(path):
            return same(SHELF.read(path), adapter)
    except UnlearnError:
        return False  # the host says what it thinks of a damaged file
    found = written(path)
    return found is not None and found.family == adapter.family and called(adapter.concept) in found.concept.split(", ")


def _fresh(count: int) -> list[Any] | Any:
    """The list of erasers for each slot, as it is now."""
    updates = [gr.update(**_choices()) for _ in range(count)]
    return updates if count > 1 else updates[0]


def _choices() -> dict[str, Any]:
    return {"choices": [NONE, *SHELF.offered()]}


def complain(p: Any, sentence: str) -> None:
    """Draw nothing where an eraser that is on cannot work; or, if the user wants that, say it under the picture.

    Raises:
        UnlearnError: with the sentence.
    """
    if not settings.drawn_anyway():
        raise UnlearnError(sentence)
    note(p, sentence)


def note(p: Any, sentence: str) -> None:
    """Say something under the picture, and in its infotext."""
    p.comment(sentence)
    p.extra_generation_params[PROBLEM] = sentence


def tell(p: Any, sentence: str) -> None:
    """Say something under the picture alone."""
    if sentence:
        p.comment(sentence)


def refuse(p: Any, sentence: str) -> None:
    """As `complain`, when the job samples: the hosts let no script stop a job before."""
    own, sample = p.__dict__.get("sample"), p.sample

    def refused(*args: Any, **kwargs: Any) -> Any:
        if own is None:
            p.__dict__.pop("sample", None)
        else:
            p.sample = own
        complain(p, sentence)
        return sample(*args, **kwargs)

    p.sample = refused


def decided(work: Work, slots: Sequence[tuple[Slot, int]], pictures: int) -> dict[str, list[str | None]]:
    """What the gates decided: for each slot at work, one text a picture; `slots` with how many erasers each has."""
    found: dict[str, list[str | None]] = {}
    start = 0
    for number, (slot, count) in enumerate(slots, 1):
        if count:
            places = range(start, start + count)
            texts = [_told(work, places, slot.is_set, picture) for picture in range(pictures)]
            found[key(number, "decision")] = texts
        start += count
    return found


def _told(work: Work, places: range, is_set: bool, picture: int) -> str | None:
    """A slot's decisions for a picture in words: one for each of its prompts and passes that differ."""
    texts = []
    names = [work.erasers[place].adapter.concept.name for place in places]
    for each in work.passes:
        for decisions in each.decisions(picture):
            own: list[Decision] = [decisions[place] for place in places]
            found = readings(names, [[own]])
            texts.append(opened_line(found) if is_set else found[0].words)
    return " / ".join(dict.fromkeys(texts)) or None
