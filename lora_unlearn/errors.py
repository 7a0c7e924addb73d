"""The one exception that users see."""

from __future__ import annotations


class UnlearnError(ValueError):
    """Something that the user can mend: the message is one sentence saying what, where and what to do."""
