"""Where gradio 3.41, 4 and later differ. Nothing else in this folder asks for a version."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import gradio as gr

VERSION = tuple(int(part) for part in gr.__version__.split(".")[:2])


def accepted(function: Callable[..., Any], **wanted: Any) -> dict[str, Any]:
    """Those of the wanted arguments that a function knows."""
    known = inspect.signature(function).parameters
    return {name: value for name, value in wanted.items() if name in known}


def on(event: Callable[..., Any], handler: Callable[..., Any], inputs: Any, outputs: Any, checked: bool = True) -> None:
    """Connect an event: no overlay of gradio's own, no limit to how many pages may wait at once, no public name.

    Args:
        checked: whether gradio looks at the values first. It refuses a tick whose box was replaced while the click was
            on its way, so who checks for itself takes them as they come.
    """
    plain = getattr(event, "replaced_event", event)  # Forge and Forge Neo put one around it that takes anything
    further = accepted(plain, show_progress="hidden", concurrency_limit=None, api_visibility="private")
    if "api_visibility" not in further:
        further |= accepted(plain, api_name=False)
    event(handler, inputs=inputs, outputs=outputs, preprocess=checked, **further)


def html(markup: str) -> Any:
    """An update for a gr.HTML: empty ones are taken off the page, where they would leave a gap."""
    return gr.update(value=markup, visible=bool(markup))


def theme() -> gr.themes.Base:
    """A calm theme with the system's own fonts: gradio's would be fetched from elsewhere."""
    return gr.themes.Base(
        primary_hue="orange", neutral_hue="stone", radius_size="md",
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif"],
        font_mono=["ui-monospace", "Menlo", "Consolas", "monospace"],
    ).set(body_text_color_subdued="*neutral_500", block_info_text_color="*neutral_500")  # fmt: skip


def queue(blocks: gr.Blocks) -> None:
    """Let many pages watch at once."""
    name = "concurrency_count" if VERSION < (4, 0) else "default_concurrency_limit"
    blocks.queue(**{name: 16, "api_open": False})
