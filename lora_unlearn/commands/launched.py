"""What accelerate and torchrun tell each of the processes that they start, in its environment."""

from __future__ import annotations

import os


def local_rank() -> int:
    """Which of several processes on this machine this one is; 0 without a launcher."""
    return _number("LOCAL_RANK", 0)


def rank() -> int:
    """Which of all processes this one is; 0 without a launcher. What is said once, the first one says."""
    return _number("RANK", 0)


def processes() -> int:
    """How many were started, on all machines together."""
    return max(1, _number("WORLD_SIZE", 1))


def _number(name: str, default: int) -> int:
    told = os.environ.get(name, "")
    return int(told) if told.isdecimal() else default
