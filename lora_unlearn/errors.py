"""The one exception that users see."""

from __future__ import annotations


class UnlearnError(ValueError):
    """Something that the user can mend: the message is one sentence saying what, where and what to do."""

    __module__ = "lora_unlearn"  # hosts put the full name before the sentence, and may call the package by its path


def is_memory(error: Exception) -> bool:
    """Whether memory ran out, on a GPU (torch's own class, a RuntimeError) or on the host."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "allocate memory" in text
