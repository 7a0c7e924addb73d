"""What the running node shows in lines of text, mistakes included."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from html import escape
from typing import Any

from comfy_api.v0_0_2 import ui
from comfy_execution.utils import get_executing_context

from ..lora_unlearn import UnlearnError


class Mistake(UnlearnError):
    """The same for the page, which puts an error's full name before its sentence: there the pack's name stands."""

    __module__, __qualname__ = "builtins", "lora-unlearn"


def readable(execute: Callable[..., Any]) -> Callable[..., Any]:
    """Around a node's `execute`: a mistake is told in the node, too, whose earlier text belongs to other settings."""

    @wraps(execute)
    def told_apart(*args: Any, **kwargs: Any) -> Any:
        try:
            return execute(*args, **kwargs)
        except UnlearnError as error:
            show(str(error))
            raise Mistake(str(error)).with_traceback(error.__traceback__) from None

    return told_apart


def show(text: str) -> None:
    """Show a line in the running node; without a server (tests, scripts) it goes nowhere.

    The page takes it for HTML, and a graph from elsewhere may hold any words.
    """
    from server import PromptServer

    server, context = getattr(PromptServer, "instance", None), get_executing_context()
    if server is not None and context is not None:
        server.send_progress_text(escape(text, quote=False), context.node_id)


def told(text: str) -> dict[str, Any]:
    """What a node shows when it has run: the page shows text that came while it ran, the history keeps this."""
    show(re.sub(r"(?<![.:;])\n", ";\n", text))  # Nodes 2.0 runs the lines together
    return ui.PreviewText(text).as_dict()
