"""`lora-unlearn erase`: make an eraser, keep what there is when interrupted, go on from it later."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..adapter import Adapter
from ..bank import load_bank
from ..bounds import FALSE_OPEN_RATE
from ..checks import check_rate, check_words
from ..concept import Concept, notices
from ..denoiser import base_hash
from ..describe import gate_lines, percent
from ..erase import LEAST_CHANGE, fitting, fulfil, usual_mode
from ..errors import UnlearnError
from ..hosts.diffusers import denoiser_for
from ..keep import Keeper, unfinished_beside
from ..options import chosen
from ..order import Order, Watch
from ..promise import Promise
from ..settings import Settings
from ..suggest import suggest
from ..training.method import CALLED, PARTS
from ..training.methods import METHODS
from ..training.progress import Progress
from ..training.typed import changed, read_option
from ..written import Written, called, check_replaceable
from .console import TOGETHER, Bars, bars, quiet, say
from .models import check_no_source, check_size, open_model, output_file, read_own
from .planning import plan
from .signals import INTERRUPTED, graceful


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    if args.concepts:
        from . import erase_list  # which needs this file

        return erase_list.run(args)
    if args.joint:
        raise UnlearnError("--joint joins the erasers of a list; give one by --concepts, or leave it out.")
    started = time.perf_counter()
    concept = Concept(args.concept, tuple(args.also), args.replace_with, tuple(args.keep), args.of, tuple(args.avoid))
    check_words(concept)
    for notice in notices(concept, TOGETHER):
        say(notice)
    settings = settings_for(args)
    promise = Promise(tuple(read_own(args.bank, concept)), args.false_open_rate or FALSE_OPEN_RATE, args.look)
    out = output_file(args.out)
    check_no_source(out, args.checkpoint)
    check_replaceable(out, Written("eraser", called(concept)), args.overwrite)
    check_begun(args, out, settings.trains)
    begun = next((path for path in (unfinished_beside(out), out) if path.exists()), out)
    resumed = Adapter.load(begun) if args.resume else None
    with quiet():
        pipe = open_model(args)
        check_length(pipe.tokenizer, concept)
        size = (args.resolution,) * 2 if args.resolution else None
        denoiser = denoiser_for(pipe, size)
        check_size(denoiser, size)
        check_rate(promise, denoiser.family, concept)
        check_replaceable(out, Written("eraser", called(concept), denoiser.family), args.overwrite)
        if resumed is not None:
            asked = fitting(Order(concept, args.mode, settings, promise), denoiser.family, resumed)
            check_resumed(resumed, begun, concept, args.mode, asked, (denoiser.family, base_hash(denoiser)))
        settings = plan(denoiser, settings, may_change=args.batch is None)
        again = "repeat the command with --resume to go on" if settings.trains else "repeat the command"
        adapter = erase_to(out, denoiser, Order(concept, args.mode, settings, promise), resumed, again)
        seconds = time.perf_counter() - started
        further = near_words(denoiser, concept) if adapter else []
    if adapter is None:
        return INTERRUPTED
    say_done(adapter, out, seconds)
    if further:
        say(f"The model also reads as nearly the same: {', '.join(further)}; add them with --also if you mean them.")
    return 0


def near_words(denoiser: Any, concept: Concept) -> list[str]:
    """Words that the model reads as nearly the same and that were not given; none where it names none."""
    try:
        return [suggestion.word for suggestion in suggest(denoiser, concept) if suggestion.kind == "near"]
    except UnlearnError:
        return []


def settings_for(args: argparse.Namespace) -> Settings:
    """The mode's hyper-parameters with those that were typed.

    Raises:
        UnlearnError: for an option that the mode has no use for.
    """
    trains = any(getattr(args, name) for name in ("iterations", "learning_rate", "batch", "offload", "resume"))
    args.mode = args.mode or usual_mode(trains)
    method = chosen("method", args.mode, METHODS)
    names = ("objective", "rank", "selector", "iterations", "learning_rate", "gamma", "batch", "seed")
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    if args.offload:
        given["offload"] = True
    if args.resume and not method.settings.trains:
        raise UnlearnError(f"The method {args.mode} trains nothing and has nothing to go on from; leave --resume out.")
    return changed(method.settings, {**given, **dict(map(read_option, args.method_option))})


def check_begun(args: argparse.Namespace, out: Path, trains: bool) -> None:
    """Refuse to begin anew where an unfinished training lies.

    Raises:
        UnlearnError: naming its file.
    """
    begun = unfinished_beside(out)
    if begun.exists() and trains and not (args.resume or args.overwrite):
        raise UnlearnError(
            f"{begun} holds an unfinished training; add --resume to go on with it, or --overwrite to begin anew."
        )


def check_length(tokenizer: Any, concept: Concept) -> None:
    """Refuse words that don't fit into the text encoder's one piece together with the sentences around them.

    Raises:
        UnlearnError: saying how many tokens there are and how many fit.
    """
    limit = tokenizer.model_max_length
    for word, prompts in (("concept", concept.pairs()), ("thing to keep", [(kept, "") for kept in concept.kept()])):
        longest = max((len(tokenizer(text, verbose=False).input_ids) for pair in prompts for text in pair), default=0)
        if longest > limit:
            raise UnlearnError(
                f"The {word} has up to {longest} tokens with a sentence around it, the text encoder reads {limit}; "
                f"shorten it by at least {longest - limit}."
            )


def check_resumed(
    begun: Adapter, out: Path, concept: Concept, mode: str, settings: Settings, base: tuple[str, str]
) -> None:
    """Refuse to go on from a training that is finished, or that was begun otherwise.

    Raises:
        UnlearnError: naming what differs.
    """
    if not begun.partial:
        raise UnlearnError(f"{out} is finished already; leave --resume out to make it anew.")
    pairs: dict[str, tuple[Any, Any]] = {
        "concept": (begun.concept, concept),
        "mode": (begun.mode, mode),
        "model": ((begun.family, begun.base_hash), base),
    }
    for name in ("gamma", "rank", "scale", *PARTS):
        pairs[CALLED.get(name, name)] = getattr(begun.settings, name), getattr(settings, name)
    for name in begun.settings.options | settings.options:
        pairs[name] = begun.settings.options.get(name), settings.options.get(name)
    different = [name for name, (before, now) in pairs.items() if before != now]
    if different:
        raise UnlearnError(
            f"The training in {out} was begun with another {different[0]}; use the same options as then, or "
            "--overwrite instead of --resume to begin anew."
        )


def erase_to(
    out: Path,
    denoiser: Any,
    order: Order,
    resumed: Adapter | None = None,
    again: str = "repeat the command",
) -> Adapter | None:
    """Make an eraser and write it, with progress bars; an interrupted training is kept beside it.

    Args:
        out: the file; an older one stays until the new one is finished.
        denoiser, order: see `lora_unlearn.erase.fulfil`.
        resumed: an unfinished adapter to go on from.
        again: what to do after an interruption.

    Returns:
        The finished adapter, or None after an interruption.

    Raises:
        UnlearnError: if the training changed too little.
    """
    keeper = Told(out, again, order.settings.trains)
    try:
        with bars() as shown, graceful() as stop:
            watch = Watch(lambda progress: show(shown, progress), stop, calibrating(shown, stop), keeper)
            adapter = fulfil(denoiser, order, load_bank(denoiser.family), watch, resumed)
            if not (adapter.partial and stop()):
                if not adapter.partial:
                    adapter.save(out)
                    keeper.out.unlink(missing_ok=True)
                    return adapter
                keeper.latest = adapter
                keeper.save()
                raise UnlearnError(too_little(adapter, keeper.out))
    except KeyboardInterrupt:
        pass  # a second signal, or one during calibration
    say(keeper.interrupted())
    return None


def show(shown: Bars, progress: Progress) -> None:
    """Draw a training's progress."""
    shown.show(progress.stage, progress.step, progress.steps, loss=progress.loss, redirected=progress.redirected)


def calibrating(shown: Bars, stop: Callable[[], bool]) -> Callable[[int, int], None]:
    """Draw the calibration's progress; it has no use for half of the prompts, so a stop ends it by an exception."""

    def report(done: int, total: int) -> None:
        shown.show("calibrating", done, total)
        if stop():
            raise KeyboardInterrupt

    return report


class Told(Keeper):
    """A keeper beside the finished file that says how an interrupted training is gone on from.

    Attributes:
        finished: the file that a finished training gets.
        again: what to do after an interruption.
        keeps: whether anything unfinished is worth keeping.
    """

    def __init__(self, out: Path, again: str, keeps: bool = True) -> None:
        super().__init__(unfinished_beside(out))
        self.finished, self.again, self.keeps = out, again, keeps

    def save(self) -> None:
        """Write what there is, if that is of use.

        Raises:
            UnlearnError: if the file cannot be written.
        """
        if self.keeps:
            super().save()

    def interrupted(self) -> str:
        """Save what there is, and say where it is and how to go on."""
        if self.latest is None or not self.keeps:
            kept = "is as it was" if self.finished.exists() else "was not written"
            return f"Interrupted before there was anything to keep: {self.finished} {kept}; repeat the command."
        self.save()
        return (
            f"Interrupted after {self.latest.iterations} of {self.latest.settings.iterations} updates: {self.out} "
            f"holds what there is; {self.again}."
        )


def too_little(adapter: Adapter, out: Path) -> str:
    """What to tell when a training ran to its end and changed next to nothing."""
    return (
        f"The training redirected {percent(adapter.redirected)} of the concept, less than the {percent(LEAST_CHANGE)} "
        f"that count as an erasure, so {out} holds it as unfinished; go on with --resume and more --iterations, or "
        "begin anew with --overwrite and a higher --learning-rate."
    )


def say_done(adapter: Adapter, out: Path, seconds: float) -> None:
    """Tell what was made."""
    say(f"Erased {adapter.concept.name!r} from this {adapter.family} model in {seconds:.0f} s ({adapter.mode} mode).")
    if adapter.instead:
        say(f"draws instead: {adapter.instead} (--replace-with names another thing)")
    if adapter.redirected is not None:
        say(f"redirected: {percent(adapter.redirected)} of the concept, after {adapter.iterations} updates")
    for line in gate_lines(adapter):
        say(line)
    evaluations = ", ".join(f"{count} for {stage}" for stage, count in adapter.evaluations.items())
    say(f"network evaluations: {evaluations}")
    say(f"file: {out} ({out.stat().st_size / 1000:.0f} kB)")
