"""What a page can know of the work in progress: one immutable state after the other, each with a number."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from PIL import Image

from lora_unlearn import Adapter, Picture

Phase = Literal["idle", "running", "done", "stopped", "failed"]
Stage = Literal["", "waiting", "measuring", "recording", "training", "calibrating", "drawing", "steps"]


@dataclass(frozen=True)
class Preview:
    """A picture of the concept on the way: after `step` updates, 0 for the model as it was."""

    step: int
    image: Image.Image


@dataclass(frozen=True)
class Pair:
    """A prompt with its pictures from the same seeds.

    Attributes:
        before, after: without the eraser and with it.
        half: with it at half its strength; none where its gate stayed closed, and nothing differs.
    """

    prompt: str
    before: list[Picture]
    after: list[Picture]
    half: list[Picture] = field(default_factory=list)


@dataclass(frozen=True)
class State:
    """Everything that a page shows of a job.

    Attributes:
        version: rises with every change.
        phase: where the job is; "idle" before the first.
        job: what it is about, such as "Erasing cat".
        stage, done, total: what it does now, and how far that is.
        rate: steps of this stage a second; 0 while unknown.
        seconds_left: of the whole training, at most; None while unknown.
        losses, redirected: (update, value) so far.
        updates: of the training in all.
        previews, pairs: pictures so far.
        eraser: its file's name, "" while there is none.
        adapter: what was made; None while unfinished.
        message: one sentence for people.
        stopping: a stop was asked for.
        fields: what a training was ordered by, as the page's fields; empty for other jobs.
    """

    version: int = 0
    phase: Phase = "idle"
    job: str = ""
    stage: Stage = ""
    done: int = 0
    total: int = 0
    rate: float = 0.0
    seconds_left: float | None = None
    losses: tuple[tuple[int, float], ...] = ()
    redirected: tuple[tuple[int, float], ...] = ()
    updates: int = 0
    previews: tuple[Preview, ...] = ()
    pairs: tuple[Pair, ...] = ()
    eraser: str = ""
    adapter: Adapter | None = None
    message: str = ""
    stopping: bool = False
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def running(self) -> bool:
        """Whether a job is under way."""
        return self.phase == "running"


@dataclass
class Board:
    """Where a job writes its state and any number of pages read it.

    Attributes:
        state: the latest.
        clock: seconds, for rates.
        seen: number of the last state at a job's end that some page has shown.
    """

    state: State = field(default_factory=State)
    seen: int = -1
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self.changed = threading.Condition()
        self.began: tuple[str, int, float] = ("", 0, 0.0)

    def put(self, **changes: Any) -> None:
        """Change the state, and wake whoever waits for that."""
        with self.changed:
            self.state = replace(self.state, version=self.state.version + 1, **changes)
            self.changed.notify_all()

    def begin(self, job: str, **changes: Any) -> None:
        """Start afresh, as a running job."""
        with self.changed:
            self.state = State(self.state.version + 1, "running", job, "waiting", **changes)
            self.changed.notify_all()

    def clear(self) -> None:
        """Forget the last job."""
        with self.changed:
            self.state = State(self.state.version + 1)
            self.changed.notify_all()

    def step(self, stage: Stage, done: int, total: int, **changes: Any) -> None:
        """Say how far a stage is; its rate counts from the first step that was told of."""
        name, first, start = self.began
        if name != stage or done < first:
            self.began = (stage, done, self.clock())
            rate = 0.0
        else:
            rate = (done - first) / max(1e-9, self.clock() - start)
        self.put(stage=stage, done=done, total=total, rate=rate, **changes)

    def pause(self, seconds: float) -> None:
        """Let some time pass, unless the job ends before."""
        with self.changed:
            self.changed.wait_for(lambda: not self.state.running, seconds)

    def wait(self, version: int, seconds: float) -> State:
        """The latest state, as soon as its number differs from `version`, or when the time is over."""
        with self.changed:
            self.changed.wait_for(lambda: self.state.version != version, seconds)
            return self.state
