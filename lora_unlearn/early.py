"""Ctrl-C while the command is still importing torch: a sentence instead of a traceback.

Only the process of the command `lora-unlearn` itself is concerned; its own handlers take over once it runs.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType


def _leave(number: int, frame: FrameType | None) -> None:
    sys.stderr.write("Interrupted before anything was begun.\n")
    sys.stderr.flush()
    os._exit(130)


if Path((sys.argv or [""])[0]).stem == "lora-unlearn" and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, _leave)
