"""The whole way from words to an adapter, by any method, calibration included."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from torch import Tensor

from .adapter import Adapter
from .bank import Parts, load_bank, without_concept
from .bounds import FALSE_OPEN_RATE, least
from .calibrate import Count, calibrate
from .concept import Concept
from .denoiser import Conditioning, Denoiser, base_hash, clip_skip_of
from .errors import UnlearnError
from .gate import Gate
from .look import Asked, LookMode, with_look
from .lora import Lora
from .namesakes import without_namesakes
from .order import NOBODY, Order, Save, Watch
from .promise import USUAL, Promise
from .replacement import Neighbours, neighbours, plain_nouns
from .settings import GAMMA, Settings, for_concept, for_family
from .text_gate import hearing, prompts_read, settled
from .training.methods import METHODS, row
from .training.progress import Progress, Report, Stop
from .training.prompts import EDIT_PROMPTS, PUT_BESIDE, Prompts, encode
from .training.train import solve, train
from .training.typed import checked

Mode = str
"""The name of a method."""
MODES: dict[str, Settings] = {name: method.settings for name, method in METHODS.items()}
"""Hyper-parameters of each method."""


class Preset(NamedTuple):
    """What the hosts offer to people who want no hyper-parameters."""

    mode: Mode
    settings: Settings
    promise: Promise = USUAL


PRESETS: dict[str, Preset] = {
    "quick": Preset("instant", MODES["instant"]),
    "balanced": Preset("fast", MODES["fast"]),
    "thorough": Preset("firm", MODES["firm"], Promise(false_open_rate=2 * FALSE_OPEN_RATE, look="careful")),
}
"""By name. Thorough is for those who expect people to try (`docs/evaluation.md`): turned further, with a second look
beside the whole bound of the text."""
USUAL_PRESET = "quick"
"""Chosen from the table in `docs/methods.md`: of things, a style and an attribute the closed form leaves least."""


def usual_mode(trains: bool) -> Mode:
    """The method where nobody names one: as `USUAL_PRESET`, or a training where something of one is asked for."""
    return "fast" if trains else PRESETS[USUAL_PRESET].mode


RECIPE = 9
"""Which way of making erasers this is. To be raised where the same words and settings come to give another eraser:
hosts that keep erasers then make them anew, and after any other update they do not."""
LEAST_CHANGE = 0.3
"""The redirected share below which a training has erased nothing."""


class CountingDenoiser:
    """A denoiser that counts how many rows it has evaluated."""

    def __init__(self, denoiser: Denoiser, evaluations: int = 0) -> None:
        self.denoiser, self.evaluations = denoiser, evaluations

    def __getattr__(self, name: str) -> Any:
        return getattr(self.denoiser, name)

    def predict(self, x: Tensor, sigma: Tensor, conditioning: Conditioning) -> Tensor:
        """As the denoiser's, counted."""
        self.evaluations += len(x)
        return self.denoiser.predict(x, sigma, conditioning)


def erase(
    denoiser: Denoiser,
    concept: Concept,
    bank: Sequence[str],
    mode: Mode = "",
    settings: Settings | None = None,
    report: Report = lambda progress: None,
    stop: Stop = lambda: False,
    resume: Adapter | None = None,
    calibrated: Callable[[int, int], None] = lambda done, total: None,
    save: Save = lambda adapter: None,
    promise: Promise = USUAL,
) -> Adapter:
    """Make an eraser for a concept: train (or solve) it, then calibrate its gate.

    Args:
        denoiser: the loaded model; its weights stay as they are.
        concept: what to erase.
        bank: ordinary prompts of all kinds. Those that hold one of the concept's words are left out; some of the others
            shape adapter and gate, some set its threshold, some only judge it (see `lora_unlearn.bank.Parts`).
        mode: the name of a method, see `lora_unlearn.training.methods`; default: `usual_mode`.
        settings: its parts and hyper-parameters, see `lora_unlearn.training.typed.changed`; default: the method's own.
        report, stop, calibrated, save: see `lora_unlearn.order.Watch`.
        resume: a partial adapter to go on from.
        promise: of the gate.

    Returns:
        The adapter; still marked as partial if the training was stopped, or changed less than `LEAST_CHANGE`.

    Raises:
        UnlearnError: if there is no such method, the settings are out of their ranges or name parts that do not fit
            together, too few of the bank's prompts are left for the calibration, a loss is not finite, or the model
            does not draw the concept.
    """
    mode = mode or usual_mode(bool(resume) or (settings is not None and settings.trains))
    order = Order(concept, mode, row(mode, settings), promise)
    return fulfil(denoiser, order, bank, Watch(report, stop, calibrated, save), resume)


@dataclass
class Begun:
    """An eraser that has its layers, but no gate yet.

    Attributes:
        adapter: what there is; partial, and not `finished` where a training was stopped or changed too little.
        denoiser: counts what it evaluates for this eraser.
        parts: the bank's prompts without the concept.
        promise: of the gate, without prompts of the user that ask for the concept.
    """

    adapter: Adapter
    denoiser: CountingDenoiser
    parts: Parts
    promise: Promise
    finished: bool

    @property
    def concept(self) -> Concept:
        """With its neighbours among the things to keep, see `keeping`."""
        return keeping(self.adapter)


def fulfil(
    denoiser: Denoiser, order: Order, bank: Sequence[str], watch: Watch = NOBODY, resume: Adapter | None = None
) -> Adapter:
    """As `erase`, which says more, for whoever has an order already.

    Raises:
        UnlearnError: as `erase`.
    """
    begun = begin(denoiser, order, bank, watch, resume)
    if begun.finished:
        watch.save(begun.adapter)
        finish([begun], watch.calibrated)
    return begun.adapter


def begin(
    denoiser: Denoiser, order: Order, bank: Sequence[str], watch: Watch = NOBODY, resume: Adapter | None = None
) -> Begun:
    """The layers of an eraser, trained or solved; see `erase`.

    Raises:
        UnlearnError: as `erase`.
    """
    counted = CountingDenoiser(denoiser, (resume.evaluations if resume else {}).get("training", 0))
    settings, promise = fitting(order, denoiser.family, resume), order.promise
    settings = checked(settings)
    parts = Parts.of(bank).without(order.concept)
    promise = replace(promise, own=tuple(without_concept(promise.own, order.concept)))
    check_negatives(len(parts.calibrate), promise.share)
    adapter = _unfinished(denoiser, order.concept, settings, order.mode)
    near = Neighbours(resume.instead, resume.nearest) if resume else _neighbours(counted, order.concept, settings, bank)
    adapter.instead, adapter.nearest = near.instead, near.nearest if near.nearest != near.instead else ""
    prompts = encode(counted, replace(order.concept, replace_with=adapter.instead), parts.shape[:EDIT_PROMPTS])
    prompts = without_namesakes(counted, order.concept, prompts)
    if settings.trains:
        complete = _train(counted, adapter, prompts, watch, resume)
    else:
        adapter.lora, complete = solve(counted, prompts, settings), True
    finished = complete and (adapter.redirected is None or adapter.redirected >= LEAST_CHANGE)
    adapter.lora = adapter.lora.with_one_alpha() if finished else adapter.lora
    adapter.lora.round_to_half()
    adapter.evaluations = {"training": counted.evaluations}
    return Begun(adapter, counted, parts, promise, finished)


def fitting(order: Order, family: str, resume: Adapter | None = None) -> Settings:
    """What an order's eraser is made with on a model of a family: see `for_family`, `for_concept`.

    Args:
        resume: a partial adapter to go on from.
    """
    settings = for_family(row(order.mode, order.settings), family)
    if METHODS[order.mode].settings.gamma != GAMMA:  # a method of another usual gamma: what is asked for is meant
        return settings
    return for_concept(settings, order.concept, resume.settings if resume else None)


def finish(begun: Sequence[Begun], report: Callable[[int, int], None] = lambda done, total: None) -> None:
    """Give erasers on one model, of one promised rate, their gates: what they have in common is read once for all.

    Raises:
        UnlearnError: if there are too few prompts for the rate.
    """
    denoiser, promise = begun[0].denoiser, begun[0].promise
    count = Count(sum(prompts_read(denoiser, own.concept, own.parts, own.promise.own) for own in begun), report)
    hearings = [hearing(own.denoiser, own.concept, own.parts, own.promise.own, count) for own in begun]
    gates = settled(denoiser, hearings, promise.share, count)
    count.finish()
    for own, heard, gate in zip(begun, hearings, gates, strict=True):
        asked = Asked(own.parts.calibrate, [own.promise.own, own.concept.kept()], heard.asked, own.parts.judge)
        looking = replace(own.adapter, gate=gate)
        gate = with_look(own.denoiser, looking, asked, promise.share, promise.look, report)
        own.adapter.gate = replace(gate, false_open_rate=promise.false_open_rate)
        trained = own.adapter.evaluations["training"]
        own.adapter.evaluations["calibration"] = own.denoiser.evaluations - trained
        own.adapter.partial = False


def _neighbours(denoiser: Denoiser, concept: Concept, settings: Settings, bank: Sequence[str]) -> Neighbours:
    """The nearest thing, and what takes the concept's place: the user's choice, or the settings'."""
    named = concept.replace_with.strip()
    if settings.reference != "nearest":
        return Neighbours(named, "")
    found = neighbours(denoiser, concept, without_concept(bank, concept))
    return found._replace(instead=named) if named else found


def prompts_first(family: str, concept: Concept, settings: Settings) -> int:
    """About how many prompts `erase` reads before it trains anything: more if many nouns are asked, none twice."""
    bank, words = load_bank(family), 2 * len(concept.pairs())
    shaping = min(EDIT_PROMPTS, len(Parts.of(bank).without(concept).shape)) + len(concept.kept())
    asking = settings.reference == "nearest" and not concept.is_manner
    return (
        words
        + shaping
        + 2 * PUT_BESIDE
        + (len(plain_nouns(without_concept(bank, concept))) + words // 2 if asking else 0)
    )


def keeping(adapter: Adapter) -> Concept:
    """An adapter's concept with what takes its place, and the nearest thing, among the things to keep.

    Who asks for them must find the gate closed; for the nearest even where another eraser has taken it, whose gate then
    opens, or the user lets something else take the concept's place.
    """
    concept = adapter.concept
    fresh = [word for word in dict.fromkeys((adapter.instead, adapter.nearest)) if word]
    known = {*concept.words, *concept.keep}
    return replace(concept, keep=(*concept.keep, *(word for word in fresh if word not in known)))


def _unfinished(denoiser: Denoiser, concept: Concept, settings: Settings, mode: Mode) -> Adapter:
    """An adapter without layers yet, marked as partial."""
    return Adapter(
        lora=Lora({}),
        concept=concept,
        settings=settings,
        gate=Gate(),
        family=denoiser.family,
        base_hash=base_hash(denoiser),
        prediction_type=denoiser.prediction_type,
        clip_skip=clip_skip_of(denoiser),
        mode=mode,
        partial=True,
    )


def _train(counted: CountingDenoiser, adapter: Adapter, prompts: Prompts, watch: Watch, resume: Adapter | None) -> bool:
    """Fill an adapter by training, telling `watch.save` of every update; returns whether it ran to its end."""

    def keep_progress(progress: Progress) -> None:
        if progress.loss is not None and not math.isfinite(progress.loss):
            raise UnlearnError(
                f"Update {progress.step} gave a loss of {progress.loss}; lower the learning rate, or load the model in "
                "float32."
            )
        if progress.lora is not None:
            adapter.lora, adapter.iterations = progress.lora, progress.step
            adapter.redirected = adapter.redirected if progress.redirected is None else progress.redirected
            adapter.evaluations = {"training": counted.evaluations}
            watch.save(adapter)
        watch.report(progress)

    start, done = (resume.lora, resume.iterations) if resume else (None, 0)
    trained = train(counted, prompts, adapter.settings, keep_progress, watch.stop, start, done)
    adapter.lora, adapter.redirected, adapter.iterations = trained.lora, trained.redirected, trained.iterations
    return trained.complete


def recalibrated(
    denoiser: Denoiser,
    adapter: Adapter,
    negatives: Sequence[str] | None = None,
    positives: Sequence[str] | None = None,
    false_open_rate: float = FALSE_OPEN_RATE,
    report: Callable[[int, int], None] = lambda done, total: None,
    look: LookMode | None = None,
) -> Adapter:
    """A copy of an adapter, with the same layers, whose gate was measured anew on a model; see `calibrate`.

    Args:
        negatives: prompts that must leave the gate closed; default: `usual_negatives`.
        look: whether the network is asked about prompts, too; default: as before.

    Raises:
        UnlearnError: if there are too few negatives for the rate.
    """
    if negatives is None:
        negatives = usual_negatives(denoiser.family, adapter.concept)
    asked = replace(adapter, concept=keeping(adapter))
    gate = calibrate(denoiser, asked, negatives, positives, false_open_rate, report=report, look=look)
    return replace(adapter, gate=gate, base_hash=base_hash(denoiser), clip_skip=clip_skip_of(denoiser))


def usual_negatives(family: str, concept: Concept) -> list[str]:
    """The bank's prompts without the concept's words, of them those that have not shaped the eraser."""
    parts = Parts.of(load_bank(family)).without(concept)
    return parts.calibrate + parts.judge


def check_negatives(count: int, false_open_rate: float) -> None:
    """Refuse a bank that is too small for the calibration, before any training.

    Raises:
        UnlearnError: saying how many prompts are left.
    """
    needed = least(false_open_rate)
    if count < needed:
        raise UnlearnError(
            f"Only {count} prompts without the concept's words are left to calibrate the gate, {needed} are needed; "
            "name the concept by words that fewer ordinary prompts hold."
        )
