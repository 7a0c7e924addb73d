"""Interrupts: usually the command ends at once; a training ends at its next step and keeps what it has."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

INTERRUPTED, TERMINATED = 130, 143
"""Exit codes of a command that Ctrl-C or SIGTERM ended, whatever it could keep."""


@dataclass
class Noted:
    """What became of signals while a command ran.

    Attributes:
        last: the number of the last one; 0 without any.
        raised: whether one ended the command at once. A library may have made another exception of it since.
    """

    last: int = 0
    raised: bool = False

    @property
    def code(self) -> int:
        """The exit code after an interruption."""
        return TERMINATED if self.last == signal.SIGTERM else INTERRUPTED


NOTED = Noted()
"""Of the command that runs."""


@contextmanager
def terminable() -> Iterator[Noted]:
    """Within this block SIGTERM does what Ctrl-C does: KeyboardInterrupt."""
    NOTED.last, NOTED.raised = 0, False
    with _handled(_raise):
        yield NOTED


@contextmanager
def graceful() -> Iterator[Callable[[], bool]]:
    """Within this block the first Ctrl-C or SIGTERM is only noted; a second one raises KeyboardInterrupt.

    Yields:
        A function that says whether one was noted.
    """
    noted: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if noted:
            _raise(number, frame)
        NOTED.last = number
        noted.append(number)

    with _handled(note):
        yield lambda: bool(noted)


def _raise(number: int, frame: FrameType | None) -> None:
    NOTED.last, NOTED.raised = number, True
    raise KeyboardInterrupt


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handle both signals within a block; Python allows that in the main thread alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
