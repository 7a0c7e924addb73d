"""Who works on what, among processes that share a folder: a lock on a file, which the system frees when they die."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import UnlearnError

WAIT = 0.5
"""Seconds between two looks at what another process holds."""


@contextmanager
def claimed(path: Path, wait: bool = False, stop: Callable[[], bool] = lambda: False) -> Iterator[bool]:
    """Within this block what `path` stands for is this process's alone, if the block is told so.

    The file lies there for as long as somebody works, with the process's number for people to read. No process has to
    guess whether another one still lives: a lock ends with its process, however that ends.

    Args:
        path: the claim's file, in a folder that is there.
        wait: for whoever holds it, instead of going without; `stop` ends the waiting.

    Raises:
        UnlearnError: if the folder can't be written to.
    """
    held = _take(path)
    while held is None and wait and not stop():
        time.sleep(WAIT)
        held = _take(path)
    try:
        yield held is not None
    finally:
        if held is not None:
            _free(path, held)


def _take(path: Path) -> int | None:
    """The claim's open file, or None while somebody else has it."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise UnlearnError(
            f"{path} can't be written ({error.strerror}); choose a folder that you may write to."
        ) from error
    if not _lock(file) or not _is_there(path, file):
        os.close(file)
        return None
    os.truncate(file, 0)
    os.write(file, f"process {os.getpid()}\n".encode("ascii"))
    return file


def _is_there(path: Path, file: int) -> bool:
    """Whether an open file still has its name: whoever had it before takes it away when it is done."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(file))
    except FileNotFoundError:
        return False


def _free(path: Path, file: int) -> None:
    if os.name != "nt":
        path.unlink(missing_ok=True)  # while it is locked, so that nobody locks a file without a name
    os.close(file)
    if os.name == "nt":
        with suppress(OSError):  # somebody else has it by now
            path.unlink()


def _lock(file: int) -> bool:
    """Lock an open file without waiting; whether that went well."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
