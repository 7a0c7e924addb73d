"""One training at a time in a thread of its own, whatever happens to the pages that watch it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from lora_unlearn import UnlearnError
from lora_unlearn.errors import is_memory
from lora_unlearn.estimate import Cost, Estimate, estimate

from . import training, work
from .host import Host
from .library import Library
from .orders import Order, continued
from .state import Board, State
from .work import End, Stopped, Work

SHORTAGE = "The memory is too small for this; lower the batch under Advanced, or choose the preset quick."
CRASHED = "Something went wrong that should not have; the program's log says what."
STOPPED = "Stopped; nothing was changed."


class Studio:
    """What the pages of one host share: the job in progress, what it has shown so far, and the library.

    Attributes:
        host: where everything happens.
        library: the erasers on disk.
        board: the state of the job, see `State`.
        costs: of an evaluation, by checkpoint, as far as measured.
    """

    def __init__(self, host: Host) -> None:
        self.host, self.library, self.board = host, Library(host), Board()
        self.costs: dict[str, Cost] = {}
        self._lock = threading.Lock()
        self._work: Work | None = None
        self._thread: threading.Thread | None = None
        self._name = ""

    @property
    def state(self) -> State:
        """The latest state."""
        return self.board.state

    def erase(self, order: Order) -> str:
        """Begin a training; returns the name that the eraser will have.

        Raises:
            UnlearnError: if another job is under way.
        """
        self.check_free()
        name = self.library.free_name(order.concept.name)
        self._start(f"Erasing {order.concept.name}", name, lambda job: training.train(job, order, name, None))
        return name

    def resume(self, name: str | None = None, previews: bool = True, pictures: int = 2) -> str:
        """Go on with an unfinished eraser, by default with the latest; returns its name.

        Raises:
            UnlearnError: if there is none, it is finished, or another job is under way.
        """
        self.check_free()
        waiting = self.library.unfinished()
        if not name and not waiting:
            raise UnlearnError("There is no unfinished training to go on with; type a concept and press Erase.")
        name = name or waiting[0]
        begun = self.library.load(name)
        if not begun.partial:
            raise UnlearnError(f"The eraser {name!r} is finished already; there is nothing to resume.")
        order = continued(begun, previews, pictures)
        self._start(f"Erasing {begun.concept.name}", name, lambda job: training.train(job, order, name, begun))
        return name

    def calibrate(self, name: str | None) -> None:
        """Measure an eraser's gate anew on the loaded checkpoint.

        Raises:
            UnlearnError: if it is not there, or another job is under way.
        """
        path = self.library.existing(name)
        self._start(f"Calibrating {path.stem}", path.stem, lambda job: work.calibrate(job, path.stem))

    def show(self, name: str | None, pictures: int = 2) -> None:
        """Draw before and after for an eraser.

        Raises:
            UnlearnError: if it is not there, or another job is under way.
        """
        path = self.library.existing(name)
        self._start(f"Drawing with {path.stem}", path.stem, lambda job: work.show(job, path.stem, pictures))

    def gauge(self, order: Order) -> None:
        """Measure what a training takes on this machine.

        Raises:
            UnlearnError: if another job is under way.
        """
        self._start("Measuring", "", lambda job: work.gauge(job, order.settings, order.mode))

    def estimate(self, order: Order) -> Estimate | None:
        """What a training will take at most; None while the checkpoint was not measured."""
        cost = self.costs.get(self.host.checkpoint())
        if order.mode == "instant":
            cost = Cost(0, 0, 0, 0, 0)
        return None if cost is None else estimate(cost, order.settings, order.mode)

    def stop(self) -> None:
        """Ask the job to end at its next step; what is worth keeping is kept."""
        with self._lock:
            if self._work is not None and self.state.running:
                self._work.stop.set()
                self.board.put(stopping=True)

    def check_idle(self, name: str | None) -> None:
        """Refuse while a job works on an eraser.

        Raises:
            UnlearnError: saying what to wait for.
        """
        if self.state.running and self._name == name:
            raise UnlearnError(f"{self.state.job} is under way with this eraser; wait for its end, or press Stop.")

    def check_free(self) -> None:
        """Refuse while a job is under way.

        Raises:
            UnlearnError: saying which.
        """
        if self.state.running:
            raise UnlearnError(
                f"{self.state.job} is under way, and one training at a time is enough; wait for its end, or press Stop."
            )

    def join(self, seconds: float | None = None) -> State:
        """Wait until no job is under way, at most so long; returns the state then."""
        if self._thread is not None:
            self._thread.join(seconds)
        return self.state

    def close(self) -> None:
        """Stop what is under way and wait for it, for the end of the program."""
        self.stop()
        self.join(30)

    def _start(self, title: str, name: str, job: Callable[[Work], End]) -> None:
        """Begin a job that works on the eraser of a name, unless one is under way."""
        with self._lock:
            self.check_free()
            self._name = name
            self._work = Work(self.host, self.library, self.board, self.costs)
            self.board.begin(title)
            self._thread = threading.Thread(target=self._run, args=(job, self._work), name="lora-unlearn", daemon=True)
            self._thread.start()

    def _run(self, job: Callable[[Work], End], given: Work) -> None:
        """Do a job; however it ends, the state says so. What nobody foresaw goes to the log as a traceback."""
        end: End = {"phase": "failed", "message": CRASHED}
        try:
            end = {"phase": "done", **job(given)}
        except Stopped:
            end = {"phase": "stopped", "message": STOPPED}
        except UnlearnError as error:
            end = {"phase": "failed", "message": str(error)}
        except OSError as error:
            end = {"phase": "failed", "message": f"The system refused ({error.strerror or error}); free some space."}
        except (MemoryError, RuntimeError) as error:
            if not is_memory(error):
                raise
            end = {"phase": "failed", "message": SHORTAGE}
        finally:
            self.board.put(stage="", stopping=False, seconds_left=None, **end)
