"""The tab: its frame, its style, and the pages in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import gradio as gr

from . import panels
from .erase_page import ErasePage
from .library_page import LibraryPage
from .studio import Studio

Page = tuple[str, Callable[[gr.Blocks], object]]


def build(studio: Studio, further: Sequence[Page] = (), hint: str = "") -> gr.Blocks:
    """The tab as gradio blocks, to be launched or put into another page.

    Args:
        studio: shared by everyone who looks at the tab.
        further: more pages, each a name and a function that builds it inside the given blocks.
        hint: where a finished eraser is switched on in this host, in a sentence.
    """
    with gr.Blocks(analytics_enabled=False, title="LoRA Unlearn") as blocks:
        gr.HTML(panels.style() + panels.head(), elem_id="lora_unlearn_head")
        with gr.Tabs(elem_id="lora_unlearn_pages"):
            with gr.Tab("Erase", elem_id="lora_unlearn_erase_page") as first:
                erasing = ErasePage(studio, hint)
            for name, fill in further:
                with gr.Tab(name, elem_id=f"lora_unlearn_{name.lower()}_page"):
                    fill(blocks)
            with gr.Tab("My erasers", elem_id="lora_unlearn_library_page") as shown:
                library = LibraryPage(studio)
            with gr.Tab("Help", elem_id="lora_unlearn_help_page"):
                gr.HTML(panels.families() + panels.questions())
        erasing.connect(blocks, first)
        library.connect(blocks, shown)
    return blocks
