"""One job at a time in a thread of its own, whatever happens to the pages that watch it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from lora_unlearn import UnlearnError
from lora_unlearn.errors import is_memory
from lora_unlearn.estimate import Cost

from .host import Host
from .library import Library
from .state import Board, State
from .work import End, Stopped, Work

SHORTAGE = "The memory is too small for this; lower the batch under Advanced, or choose the preset quick."
CRASHED = "Something went wrong that should not have; the program's log says what."
STOPPED = "Stopped; nothing was changed."


class Jobs:
    """Begins jobs, stops them, and says how they ended.

    Attributes:
        host: where everything happens.
        library: the erasers on disk.
        board: the state of the job, see `State`.
        costs: of an evaluation, by checkpoint, as far as measured.
    """

    plenty = "one training at a time is enough"
    """Why a second job has to wait."""
    shortage, stopped = SHORTAGE, STOPPED
    """What is said where memory runs out, and of a job that was stopped and kept nothing."""

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
            raise UnlearnError(f"{self.state.job} is under way, and {self.plenty}; wait for its end, or press Stop.")

    def join(self, seconds: float | None = None) -> State:
        """Wait until no job is under way, at most so long; returns the state then."""
        if self._thread is not None:
            self._thread.join(seconds)
        return self.state

    def close(self) -> None:
        """Stop what is under way and wait for it, for the end of the program."""
        self.stop()
        self.join(30)

    def _start(self, title: str, name: str, job: Callable[[Work], End], **shown: object) -> None:
        """Begin a job that works on the eraser of a name, unless one is under way; `shown` is of its `State`."""
        with self._lock:
            self.check_free()
            self._name = name
            self._work = Work(self.host, self.library, self.board, self.costs)
            self.board.begin(title, **shown)
            self._thread = threading.Thread(target=self._run, args=(job, self._work), name="lora-unlearn", daemon=True)
            self._thread.start()

    def _run(self, job: Callable[[Work], End], given: Work) -> None:
        """Do a job; however it ends, the state says so. What nobody foresaw goes to the log as a traceback."""
        end: End = {"phase": "failed", "message": CRASHED}
        try:
            end = {"phase": "done", **job(given)}
        except Stopped:
            end = {"phase": "stopped", "message": self.stopped}
        except UnlearnError as error:
            end = {"phase": "failed", "message": str(error)}
        except OSError as error:
            end = {"phase": "failed", "message": f"The system refused ({error.strerror or error}); free some space."}
        except (MemoryError, RuntimeError) as error:
            if not is_memory(error):
                raise
            end = {"phase": "failed", "message": self.shortage}
        finally:
            self.board.put(stage="", stopping=False, seconds_left=None, **end)
