"""A training as a job: the core's own, watched step by step, with pictures on the way."""

from __future__ import annotations

from lora_unlearn import Adapter, Concept, Eraser, Settings, UnlearnError, load_bank
from lora_unlearn.checks import check_rate
from lora_unlearn.denoiser import Denoiser, base_hash
from lora_unlearn.describe import percent
from lora_unlearn.erase import LEAST_CHANGE, fulfil
from lora_unlearn.estimate import Estimate, Remaining, free_memory, lowered, planned
from lora_unlearn.hosts.sampling import check_family
from lora_unlearn.keep import Keeper
from lora_unlearn.order import Watch
from lora_unlearn.settings import for_family
from lora_unlearn.sketches import Sketcher, moments
from lora_unlearn.suggest import suggest
from lora_unlearn.training.progress import Progress

from .host import Lent
from .orders import Order
from .state import Preview, Stage
from .work import PREVIEW, End, Stopped, Work, compare, fitting


def train(work: Work, order: Order, name: str, begun: Adapter | None) -> End:
    """Make an eraser, or go on with one, and draw what it does; returns how it ended.

    Raises:
        UnlearnError: for what the user can mend.
        Stopped: if the user stopped before there was anything to keep.
    """
    with work.host.lend(work.board.state.job) as lent:
        if begun is not None:
            check_begun(begun, lent.denoiser)
        check_rate(order.promise, lent.denoiser.family, order.concept)
        settings, expected = fitted(work, lent.denoiser, order)
        keeper = Keeper(work.library.path(name))
        watcher = Watcher(work, lent, order, expected)
        watcher.preview(0, None)
        sketcher = Sketcher(lambda adapter: watcher.preview(adapter.iterations, adapter), watcher.moments)

        def save(adapter: Adapter) -> None:
            keeper(adapter)
            sketcher(adapter)

        adapter: Adapter | None
        try:
            watch = Watch(
                watcher.report,
                work.stopped,
                lambda done, total: work.step_or_stop("calibrating", done, total),
                save,
            )
            bank = load_bank(lent.denoiser.family)
            adapter = fulfil(lent.denoiser, order.fitted(settings), bank, watch, begun)
        except Stopped:
            adapter = keeper.latest
        kept = adapter is not None and (not adapter.partial or adapter.iterations > 0)
        if adapter is None or not kept:
            raise Stopped
        adapter.save(keeper.out)
        work.host.changed(keeper.out)
        work.board.put(eraser=name, seconds_left=None)
        if adapter.partial:
            return unfinished(adapter, work.stopped())
        work.board.put(adapter=adapter)
        compare(work, lent, adapter, order.pictures)
        return {"message": f"{done_message(adapter, name)}{further(lent.denoiser, order.concept)}"}


def check_begun(begun: Adapter, denoiser: Denoiser) -> None:
    """Refuse to go on with an eraser on another model.

    Raises:
        UnlearnError: naming what differs.
    """
    check_family(Eraser(begun), denoiser.family)
    if begun.base_hash != base_hash(denoiser):
        raise UnlearnError(
            f"The training of the eraser for {begun.concept.name!r} was begun on another checkpoint; load that one to "
            "resume it, or begin anew."
        )


def fitted(work: Work, denoiser: Denoiser, order: Order) -> tuple[Settings, Estimate]:
    """The settings to train with, fitted to the memory, and what that takes; says what was changed.

    Raises:
        UnlearnError: if not even the smallest batch fits.
    """
    ordered = for_family(order.settings, denoiser.family)
    settings, expected = planned(ordered, lambda: work.cost(denoiser, ordered), lambda needed: free_memory(denoiser))
    work.board.put(job=work.board.state.job + lowered(ordered, settings))
    return settings, expected


class Watcher:
    """Shows a training while it runs: its numbers, and now and then a picture."""

    def __init__(self, work: Work, lent: Lent, order: Order, expected: Estimate) -> None:
        self.work, self.lent, self.order = work, lent, order
        self.remaining = Remaining(expected)
        updates = order.settings.iterations
        self.moments = moments(updates)
        work.board.put(updates=updates, eraser="")

    def report(self, progress: Progress) -> None:
        """Show one step of the training."""
        state, changes = self.work.board.state, dict[str, object]()
        if progress.loss is not None:
            changes["losses"] = (*state.losses, (progress.step, progress.loss))
        if progress.redirected is not None:
            changes["redirected"] = (*state.redirected, (progress.step, progress.redirected))
        left = self.remaining.after(progress)
        stage: Stage = "recording" if progress.stage == "recording" else "training"
        self.work.step(stage, progress.step, progress.steps, seconds_left=left, **changes)

    def preview(self, step: int, adapter: Adapter | None) -> None:
        """Draw the concept as it comes out now."""
        if not self.order.previews or not self.moments or self.work.stopped():
            return
        erasers = [] if adapter is None else [Eraser(adapter, mode="on")]
        sampling = fitting(PREVIEW, self.lent.denoiser)
        picture = self.lent.draw([self.order.concept.probe], [0], sampling, erasers)[0]
        self.work.board.put(previews=(*self.work.board.state.previews, Preview(step, picture.image)))


def unfinished(adapter: Adapter, stopped: bool) -> End:
    """What to show of a training that has not come to its end."""
    updates = f"{adapter.iterations} of {adapter.settings.iterations} updates"
    if stopped:
        return {
            "phase": "stopped",
            "message": f"Stopped after {updates}; what there is was kept: press Resume to go on.",
        }
    return {
        "phase": "failed",
        "message": f"The training redirected {percent(adapter.redirected)} of {adapter.concept.name!r}, less than the "
        f"{percent(LEAST_CHANGE)} that count as an erasure: the model may not draw it at all, or needs the preset "
        "thorough.",
    }


def further(denoiser: Denoiser, concept: Concept) -> str:
    """A sentence on words that the model reads as nearly the same and that were not given, if there are any."""
    try:
        found = [suggestion.word for suggestion in suggest(denoiser, concept) if suggestion.kind == "near"]
    except UnlearnError:
        return ""
    named = ", ".join(found)
    return (
        f" This model also reads as nearly the same: {named}; name them under Also called if you mean them."
        if found
        else ""
    )


def done_message(adapter: Adapter, name: str) -> str:
    """The sentence at the end of a training."""
    return f"Done: with the eraser {name!r} on, the model steers away from {adapter.concept.name!r}."
