"""Erasers at work in the host's sampling: on the live network while pictures are made, and at no other time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from modules import shared
from torch import Tensor

from lora_unlearn import Adapter, Decision, Eraser, Guidance, UnlearnError
from lora_unlearn.decisions import Looking
from lora_unlearn.denoiser import Conditioning, Target
from lora_unlearn.describe import other_clip_skip
from lora_unlearn.families import FAMILIES
from lora_unlearn.guidance import asked_for
from lora_unlearn.hosts.layers import choose
from lora_unlearn.hosts.sampling import check_family
from lora_unlearn.look import Look
from lora_unlearn.lora import Attachment, Lora, check_targets

from . import model, neo
from .calls import Row, UNetCall
from .denoiser import WebDenoiser
from .flow import FlowCall, denoiser_of
from .same_model import others_told

Say = Callable[[str], None]
STRANGE = "Another extension asks the network for other rows than the web UI's own; the erasers left them alone."


class Pass:
    """One sampling pass of the host: a first pass, or that of hires fix.

    Attributes:
        denoiser: the host's own object for this pass.
        guidances: the state machine for each set of prompts that the host evaluates together: the pictures of its
            rows, their text, the machine.
    """

    def __init__(
        self,
        erasers: Sequence[Eraser],
        encode: Callable[[list[str]], Conditioning],
        denoiser: Any,
        look: Looking,
    ) -> None:
        self.erasers, self.encode, self.denoiser, self.look = erasers, encode, denoiser, look
        self.guidances: list[tuple[list[int], Tensor, Guidance]] = []

    def guidance(self, call: UNetCall) -> Guidance:
        """The state machine for a call's prompts; prompts that change on the way get one of their own."""
        text = call.conditioning.tensors["text"][call.positive]
        for pictures, known, guidance in self.guidances:
            if pictures == call.pictures and known.shape == text.shape and torch.equal(known, text):
                return guidance
        guidance = Guidance(self.erasers, self.encode, max(1, self.denoiser.total_steps), self.look)
        self.guidances.append((call.pictures, text.clone(), guidance))
        return guidance

    def decisions(self, picture: int) -> list[list[Decision]]:
        """What was decided for one picture: for each of its prompts, eraser by eraser."""
        return [
            guidance.decisions(row)
            for pictures, _, guidance in self.guidances
            for row, of in enumerate(pictures)
            if of == picture
        ]


class Work:
    """Erasers on the live network of one batch of pictures.

    Args:
        erasers: those that are on.
        say: takes one sentence for the page when the erasers cannot work; it may raise it.
        note: takes one for the page when they have worked, and go on without.
        tell: takes one for the page alone, or none, of what does not keep them from working.

    Attributes:
        passes: the host's sampling passes, with their decisions.
        strays: whether the network was asked for anything before the first of them.
    """

    def __init__(self, erasers: Sequence[Eraser], say: Say, note: Say, tell: Say = lambda sentence: None) -> None:
        self.erasers, self.say, self.note, self.tell = erasers, say, note, tell
        self.passes: list[Pass] = []
        self.unet: Any = None
        self.kind: neo.Kind | None = None
        self.attachments: list[Attachment] = []
        self.encoded: dict[str, Conditioning] = {}
        self.denoiser: WebDenoiser | None = None
        self.seen: dict[str, Tensor] = {}
        self.unwrap: Callable[[], None] | None = None
        self.rows: list[Row] | None = None
        self.cursor = 0
        self.strays = False

    def attach(self, sd_model: Any) -> None:
        """Attach to a model's network, after leaving the one before; a model that does not fit is left alone."""
        self.detach()
        self.unet = model.unet_of(sd_model)
        try:
            with torch.inference_mode(False):
                self._attach(sd_model)
        except UnlearnError as error:
            self._take_off()
            (self.note if self.passes else self.say)(str(error))  # a refiner goes on with what was erased before it

    def _attach(self, sd_model: Any) -> None:
        family, found = model.family_of(sd_model), model.linears(sd_model)
        self.kind = model.kind_of(sd_model)
        places: dict[Lora, dict[str, Target]] = {}
        for eraser in self.erasers:
            check_family(eraser, family)
            adapter = eraser.adapter
            if sentence := other_clip_skip(adapter, model.clip_skip_of(sd_model)):
                self.note(sentence)
            places[adapter.lora] = choose(found, FAMILIES[adapter.family].layers, adapter.settings.selector)
            check_targets(adapter.lora, places[adapter.lora])
        self._prepare(sd_model)
        self.attachments = [lora.attach(targets) for lora, targets in places.items()]
        self._wrap()

    def _prepare(self, sd_model: Any) -> None:
        """Have ready what gates need that do not decide by the text alone, before the host brings its network in."""
        self.encoded, self.denoiser = {}, None
        if prompts := asked_for(self.erasers):
            self.denoiser = denoiser_of(sd_model)
            self.encoded = {prompt: self.denoiser.encode([prompt]) for prompt in prompts}
        self.seen = {}

    def _wrap(self) -> None:
        """Stand in for the network's forward, whatever stands there already."""
        unet, own, plain = self.unet, self.unet.__dict__.get("forward"), self.unet.forward

        def forward(*args: Any, **kwargs: Any) -> Tensor:
            return self.evaluate(plain, args, kwargs) if self.unet is unet else plain(*args, **kwargs)

        def unwrap() -> None:
            if unet.__dict__.get("forward") is not forward:
                return  # something else was put over it since; it has gone silent
            if own is None:
                del unet.forward
            else:
                unet.forward = own

        unet.forward, self.unwrap = forward, unwrap

    def detach(self) -> None:
        """Leave the network as it was; a second time does nothing."""
        self._take_off()
        self.unet, self.rows = None, None
        if self.strays and not self.passes:
            self.strays = False
            self.say(STRANGE)  # somebody sampled without the host's own sampler

    def _take_off(self) -> None:
        if self.unwrap is not None:
            self.unwrap()
            self.unwrap = None
        while self.attachments:
            self.attachments.pop().detach()

    def watch(self, params: Any) -> None:
        """Before every step: a new pass, another model (the refiner's), and which row is whose."""
        if self.unet is not None and model.unet_of(shared.sd_model) is not self.unet:
            self.attach(shared.sd_model)
        denoiser, fresh = params.denoiser, not self.passes or self.passes[-1].denoiser is not params.denoiser
        if fresh:
            self.passes.append(Pass(self.erasers, self.look_up, denoiser, self.look))
        self.rows, self.cursor = rows_of_batch(params), 0
        if fresh and self.attachments:
            self.tell(others_told(shared.sd_model, model.linears(shared.sd_model), self.erasers))

    def look_up(self, prompts: list[str]) -> Conditioning:
        """Conditionings that were encoded before the sampling, in the order of the prompts."""
        return Conditioning.cat(self.encoded[prompt] for prompt in prompts)

    def look(self, adapter: Adapter, asked: Conditioning) -> Tensor:
        """The second look at some of the host's prompts, by the network without what others put over it."""
        assert self.denoiser is not None
        self.denoiser.ready = True  # the host has brought it where it must be
        forward = self.denoiser.unet.__dict__.pop("forward", None)
        try:
            return Look(self.denoiser, self.look_up, self.seen)(adapter, asked)
        finally:
            if forward is not None:
                self.denoiser.unet.forward = forward

    def evaluate(self, plain: Callable[..., Tensor], args: tuple, kwargs: dict[str, Any]) -> Tensor:
        """One evaluation: the guidance's step; the host's own result for what is no step of a sampler."""
        if not self.passes:
            self.strays = True
            return plain(*args, **kwargs)
        count = len(args[0] if args else kwargs["x"])
        rows = self._rows(count, kwargs)
        if rows is None:
            self.say(STRANGE)
        if rows is None or not any(positive for positive, _ in rows):
            return plain(*args, **kwargs)
        current = self.passes[-1]
        if self.kind is None:
            call = UNetCall(plain, args, kwargs, rows)
        else:
            call = FlowCall(plain, args, kwargs, rows, self.unet, self.kind)
        return current.guidance(call).step(call, current.denoiser.step)

    def _rows(self, count: int, kwargs: dict[str, Any]) -> list[Row] | None:
        """What the rows of this evaluation are; None if that cannot be told."""
        marks = (kwargs.get("transformer_options") or {}).get("cond_or_uncond")
        if marks:
            pictures = count // len(marks)
            return [(mark == 0, picture) for mark in marks for picture in range(pictures)]
        if self.rows is None or self.cursor + count > len(self.rows):
            return None
        start, self.cursor = self.cursor, self.cursor + count
        return self.rows[start : self.cursor]


def rows_of_batch(params: Any) -> list[Row] | None:
    """A1111's order of rows: the prompts of each picture, then the negative prompt of each.

    None if the host's rows are of another make; Forge says by itself, call by call.
    """
    conds = params.denoiser.sampler.sampler_extra_args.get("cond")
    listed = getattr(conds, "batch", None)
    if listed is None or isinstance(params.text_cond, list):
        return None
    rows = [(True, picture) for picture, prompts in enumerate(listed) for _ in prompts]
    rows += [(False, picture) for picture in range(len(listed))]
    return rows if len(rows) == len(params.x) else None


CURRENT: list[Work] = []
"""The work of the sampling that runs now; a job inside a job lies on top."""


def watch(params: Any) -> None:
    """The host's callback before every step."""
    if CURRENT:
        CURRENT[-1].watch(params)


@contextmanager
def at_work(work: Work, sd_model: Any) -> Iterator[Work]:
    """Within this block the host samples under the erasers; afterwards its network is as before."""
    CURRENT.append(work)
    try:
        work.attach(sd_model)
        yield work
    finally:
        CURRENT.remove(work)
        work.detach()


def around_sampling(p: Any, work: Work) -> None:
    """Put the erasers to work for the next sampling of a job, hires pass included, however it ends."""
    own, sample = p.__dict__.get("sample"), p.sample

    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            with at_work(work, shared.sd_model):
                return sample(*args, **kwargs)
        finally:
            if own is None:
                p.__dict__.pop("sample", None)
            else:
                p.sample = own

    p.sample = guarded
