"""What the running node shows: lines of text, and a bar."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import comfy.model_management
import comfy.utils
from comfy_api.v0_0_2 import ui
from comfy_execution.utils import get_executing_context


def show(text: str) -> None:
    """Show a line in the running node; without a server (tests, scripts) it goes nowhere."""
    from server import PromptServer

    server, context = getattr(PromptServer, "instance", None), get_executing_context()
    if server is not None and context is not None:
        server.send_progress_text(text, context.node_id)


def told(text: str) -> dict[str, Any]:
    """What a node shows when it has run: the page shows text that came while it ran, the history keeps this."""
    show(re.sub(r"(?<![.:;])\n", ";\n", text))  # Nodes 2.0 runs the lines together
    return ui.PreviewText(text).as_dict()


def progress() -> Callable[[int, int], None]:
    """Something that moves the node's progress bar, and stops when the user interrupts."""
    bar = comfy.utils.ProgressBar(1)

    def report(done: int, total: int) -> None:
        bar.update_absolute(done, total)
        comfy.model_management.throw_exception_if_processing_interrupted()

    return report
