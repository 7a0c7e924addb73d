"""What a command shows: lines on stdout, progress bars on a terminal's stderr, and nothing of the libraries' own."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from tqdm import tqdm

from .launched import rank

TOGETHER = "name them all to generate"
"""How several erasers are used at once from the command line, for `lora_unlearn.concept.notices`."""


def say(text: str) -> None:
    """Write a line to stdout, whatever characters it can show; nobody need listen."""
    if sys.stdout is None:
        return
    encoding = sys.stdout.encoding or "utf-8"
    try:
        sys.stdout.write(text.encode(encoding, "replace").decode(encoding) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:  # the work goes on, for its files
        _discard(sys.stdout)


def settle() -> None:
    """Write what is left to stdout and stderr, and drop what they can't take: Python's own end would fail over it."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            _discard(stream)


def _discard(stream: TextIO) -> None:
    """Lead a stream that can't be written to into the void."""
    with suppress(OSError, ValueError):
        void = os.open(os.devnull, os.O_WRONLY)
        os.dup2(void, stream.fileno())
        os.close(void)


class Bars:
    """Progress bars with rate and time to go, one for each stage; none where stderr is no terminal.

    Of several processes on one terminal the first shows its own.
    """

    def __init__(self) -> None:
        self.stage = ""
        self.bar: Any = None

    def show(self, stage: str, done: int, total: int, **figures: float | None) -> None:
        """Draw where a stage is, with figures beside it."""
        if sys.stderr is None or rank():
            return
        if stage != self.stage or self.bar is None:
            self.close()
            self.stage = stage
            width, height = shutil.get_terminal_size()  # tqdm would draw nothing where the terminal does not tell
            self.bar = tqdm(total=total, desc=stage, disable=None, ncols=width, nrows=height)
        known = {name: f"{value:.3g}" for name, value in figures.items() if value is not None}
        self.bar.set_postfix(known, refresh=False)
        self.bar.update(done - self.bar.n)

    def of(self, stage: str) -> Callable[[int, int], None]:
        """A function that draws one stage, given (done, total)."""
        return lambda done, total: self.show(stage, done, total)

    def close(self) -> None:
        """Leave the last bar as it is."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None


@contextmanager
def bars() -> Iterator[Bars]:
    """Bars that are closed when the block ends, however it ends."""
    shown = Bars()
    try:
        yield shown
    finally:
        shown.close()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep warnings, logs and progress bars of the libraries off the terminal within this block."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    changed = _progress_bars()
    for library in changed:
        library.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
        for library in changed:
            library.enable_progress_bar()


def _progress_bars() -> list[Any]:
    """The logging modules of diffusers and transformers whose progress bars are on."""
    try:
        from diffusers.utils import logging as of_diffusers
        from transformers.utils import logging as of_transformers
    except ImportError:
        return []
    return [library for library in (of_diffusers, of_transformers) if library.is_progress_bar_enabled()]
