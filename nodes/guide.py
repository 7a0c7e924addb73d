"""Erasers at work in ComfyUI's sampling: an adapter injected into the network, and wrappers around its evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from comfy.patcher_extension import PatcherInjection, WrappersMP
from torch import Tensor

from ..lora_unlearn import Adapter, Decision, Eraser, Guidance, UnlearnError
from ..lora_unlearn.denoiser import Conditioning
from ..lora_unlearn.families import FAMILIES
from ..lora_unlearn.guidance import asked_for
from ..lora_unlearn.hosts.layers import choose
from ..lora_unlearn.hosts.sampling import check_family
from ..lora_unlearn.lora import Attachment, Lora, check_targets
from .calls import ApplyCall
from .denoiser import ComfyDenoiser
from .families import family_of, linears
from .look import HostLook
from .made import Made, Pictures
from .messages import readable
from .reading import count_of

KEY = "lora_unlearn"
Encoded = dict[str, Conditioning]
Seen = dict[Any, dict[str, Tensor]]
"""What the second look has seen, for each set of patches that the MODEL carried."""


def apply_erasers(model: Any, erasers: Sequence[Eraser], encoded: Encoded | None = None) -> Any:
    """A clone of a MODEL that samples under erasers, after those that it already has.

    Args:
        model: the MODEL; it stays as it is.
        erasers: adapters with strength and mode; those of strength 0 are left out.
        encoded: conditionings that gates will ask for, by prompt.

    Returns:
        The clone; the MODEL itself if nothing is left to do.

    Raises:
        UnlearnError: if an adapter belongs to another family, or does not fit the network.
    """
    erasers = [eraser for eraser in erasers if eraser.strength != 0]
    if not erasers:
        return model
    family = family_of(model)
    for eraser in erasers:
        check_family(eraser, family)
    for eraser, places in placed(model, family, erasers):
        check_targets(eraser.adapter.lora, places)
    before = model.get_attachment(KEY)
    work = Work((*before.erasers, *erasers), {**before.encoded, **(encoded or {})}) if before else None
    work = work or Work(tuple(erasers), encoded or {})
    clone = model.clone()
    clone.set_attachments(KEY, work)
    clone.set_injections(KEY, [PatcherInjection(work.inject, work.eject)])
    for place, wrapper in ((WrappersMP.OUTER_SAMPLE, work.outer), (WrappersMP.CALC_COND_BATCH, work.conditions)):
        clone.remove_wrappers_with_key(place, KEY)
        clone.add_wrapper_with_key(place, KEY, wrapper)
    clone.remove_wrappers_with_key(WrappersMP.APPLY_MODEL, KEY)
    clone.add_wrapper_with_key(WrappersMP.APPLY_MODEL, KEY, work.apply)
    return clone


def erased(model: Any) -> tuple[str, ...]:
    """The names of the concepts that a MODEL's erasers erase already."""
    work = model.get_attachment(KEY)
    return tuple(dict.fromkeys(eraser.adapter.concept.name for eraser in work.erasers)) if work else ()


def placed(model: Any, family: str, erasers: Iterable[Eraser]) -> Iterator[tuple[Eraser, dict[str, Any]]]:
    """Erasers with the layers of a MODEL that each sits in; the layers are named once for all."""
    known: dict[str, dict[str, Any]] = {}
    for eraser in erasers:
        selector = eraser.adapter.settings.selector
        if selector not in known:
            known[selector] = targets(model, family, eraser)
        yield eraser, known[selector]


def targets(model: Any, family: str, eraser: Eraser) -> dict[str, Any]:
    """The layers of a MODEL that an eraser sits in."""
    return choose(linears(model, family), FAMILIES[family].layers, eraser.adapter.settings.selector)


class Run:
    """The state of one sampling run.

    Attributes:
        guidances: the state machine of every group of conditions that the host evaluates together.
    """

    def __init__(self, erasers: Sequence[Eraser], encoded: Encoded, guider: Any, seen: Seen) -> None:
        self.erasers, self.encode = erasers, partial(look_up, encoded)
        self.guider, self.seen = guider, seen
        self.guidances: dict[tuple, Guidance] = {}
        self.positive: list[bool] = []
        self.counts: dict[Any, int | None] = {}

    def watch(self, conds: Sequence[Any]) -> None:
        """Note which of the conditions about to be evaluated are positive prompts'."""
        known = self.guider.conds.items()
        names = {cond["uuid"]: name for name, listed in known for cond in listed}
        by_list = {id(listed): name for name, listed in known}
        self.positive = []
        self.counts.update((one["uuid"], count_of(one)) for listed in conds for one in listed or () if "uuid" in one)
        for index, cond in enumerate(conds):
            uuid = cond[0].get("uuid") if cond else None
            name = by_list.get(id(cond), names.get(uuid, "positive" if index == 0 else "negative"))
            self.positive.append("negative" not in name)

    def guidance(self, call: ApplyCall, steps: int) -> Guidance:
        """The state machine for a call's conditions."""
        rows = (call.positive // call.pictures).unique_consecutive().tolist()
        key = (*(call.options["uuids"][row] for row in rows), call.pictures)
        if key not in self.guidances:
            self.guidances[key] = Guidance(self.erasers, self.encode, steps, self.look)
        return self.guidances[key]

    def look(self, adapter: Adapter, asked: Conditioning) -> Tensor:
        """The second look at some of the host's prompts, by the MODEL that it samples with."""
        patcher = self.guider.model_patcher
        return HostLook(patcher, self.encode, self.seen.setdefault(patcher.patches_uuid, {}))(adapter, asked)

    def decisions(self, picture: int) -> list[list[Decision]]:
        """What was decided for one picture: for each positive condition, eraser by eraser."""
        return [guidance.decisions(row) for guidance, row in self._rows(picture)]

    def made(self) -> list[Made]:
        """All that is known of each picture."""
        count = max((key[-1] for key in self.guidances), default=0)
        return [
            Made(
                self.decisions(picture),
                sum(guidance.evaluations[row] for guidance, row in self._rows(picture)),
                sum(guidance.extra[row] for guidance, row in self._rows(picture)),
            )
            for picture in range(count)
        ]

    def _rows(self, picture: int) -> list[tuple[Guidance, int]]:
        """Where a picture's positive conditions are."""
        return [
            (guidance, row)
            for key, guidance in self.guidances.items()
            for row in range(picture, key[-1] * (len(key) - 1), key[-1])
        ]


class Work:
    """What one MODEL carries: its erasers, the conditionings their gates may need, and the current run.

    Attributes:
        last: the latest run, with its decisions; None before the first.
        pictures: what was decided for every picture.
    """

    def __init__(self, erasers: tuple[Eraser, ...], encoded: Encoded) -> None:
        self.erasers, self.encoded = erasers, encoded
        self.attachments: list[Attachment] = []
        self.family = ""
        self.run: Run | None = None
        self.last: Run | None = None
        self.pictures = Pictures()
        self.seen: Seen = {}

    def inject(self, model: Any) -> None:
        """Attach the adapters to the network that is about to be used."""
        self.eject(model)
        self.family, attached = family_of(model), set[Lora]()
        for eraser, places in placed(model, self.family, self.erasers):
            if eraser.adapter.lora not in attached:
                attached.add(eraser.adapter.lora)
                self.attachments.append(eraser.adapter.lora.attach(places))
                eraser.adapter.lora.to(model.load_device)  # weights may lie elsewhere

    def eject(self, model: Any) -> None:
        """Detach them; ComfyUI may ask for it before it ever injected."""
        while self.attachments:
            self.attachments.pop().detach()

    @readable
    def outer(self, executor: Any, *args: Any, **kwargs: Any) -> Tensor:
        """Around one sampling run: a state of its own.

        Raises:
            UnlearnError: on several devices at once: they would share that state.
        """
        if getattr(executor.class_obj.model_patcher, "get_additional_models_with_key", lambda _: [])("multigpu"):
            raise UnlearnError(
                "Erasers work on one GPU at a time; take the node that spreads the model over several out of the graph."
            )
        before, self.run = self.run, Run(self.erasers, self.encoded, executor.class_obj, self.seen)
        try:
            samples = executor(*args, **kwargs)
            self.pictures.keep(samples, self.run.made())
            return samples
        finally:
            self.run.guider = None  # it holds the MODEL: a circle would keep the host from freeing it
            self.last, self.run = self.run, before

    def conditions(self, executor: Any, *args: Any, **kwargs: Any) -> Any:
        """Around one evaluation of conditions: which of them are positive."""
        if self.run is not None:
            self.run.watch(args[1] if len(args) > 1 else kwargs["conds"])
        return executor(*args, **kwargs)

    def apply(self, executor: Any, *args: Any, **kwargs: Any) -> Tensor:
        """Around one evaluation of the network: the guidance's step."""
        options = args[5] if len(args) > 5 else kwargs.get("transformer_options", {})
        if self.run is None or "cond_or_uncond" not in options or "sample_sigmas" not in options:
            return executor(*args, **kwargs)
        positive = [self.run.positive[index] for index in options["cond_or_uncond"]]
        if not any(positive):
            return executor(*args, **kwargs)
        counts = [self.run.counts.get(uuid) for uuid in options.get("uuids", [])]
        call, sigmas = ApplyCall(executor, args, kwargs, positive, self.family, counts), options["sample_sigmas"]
        guidance = self.run.guidance(call, max(1, len(sigmas) - 1))
        return guidance.step(call, step_of(sigmas, float(call.kwargs["t"][0])))


def look_up(encoded: Encoded, prompts: list[str]) -> Conditioning:
    """Conditionings that were encoded beforehand, in the order of the prompts."""
    return Conditioning.cat(encoded[prompt] for prompt in prompts)


def step_of(sigmas: Tensor, sigma: float) -> int:
    """The step of a run that a noise level belongs to: the latest that starts at or above it."""
    return max(0, int((sigmas >= sigma * (1 - 1e-5)).sum()) - 1)


def encoded_for(model: Any, clip: Any, erasers: Sequence[Eraser]) -> Encoded:
    """The conditionings that erasers will ask for while sampling: only gates that ask the network need any.

    Raises:
        UnlearnError: if some are needed and there is no text encoder.
    """
    prompts = asked_for(erasers)
    if prompts and clip is None:
        asking = next(eraser for eraser in erasers if eraser.mode == "auto" and eraser.adapter.gate.asks_network)
        raise UnlearnError(
            f"The gate of the eraser for {asking.adapter.concept.name!r} compares prompts; connect CLIP to this node."
        )
    denoiser = ComfyDenoiser(model, clip) if prompts else None
    return {prompt: denoiser.encode([prompt]) for prompt in prompts} if denoiser else {}
