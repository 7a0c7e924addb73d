"""Interrupts: usually the command ends at once; a training ends at its next step and keeps what it has."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

INTERRUPTED = 130
"""Exit code of a command that was interrupted, whatever it could keep."""


def terminable() -> Any:
    """Within this block SIGTERM does what Ctrl-C does: KeyboardInterrupt."""
    return _handled(_raise)


@contextmanager
def graceful() -> Iterator[Callable[[], bool]]:
    """Within this block the first Ctrl-C or SIGTERM is only noted; a second one raises KeyboardInterrupt.

    Yields:
        A function that says whether one was noted.
    """
    noted: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if noted:
            raise KeyboardInterrupt
        noted.append(number)

    with _handled(note):
        yield lambda: bool(noted)


def _raise(number: int, frame: FrameType | None) -> None:
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
