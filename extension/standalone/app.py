"""The app: the tab and the panel to draw with, served to this machine and to nobody else."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lora_unlearn import UnlearnError

from .brake import MESSAGE, Brake, BrakedLogin
from .guard import Guard, check_bind, is_loopback

HINT = "Try it on the page Draw, or export it for other programs."
USER = "me"
"""The name that goes with the password."""


def offline() -> None:
    """Have gradio and the hub ask nobody for anything; to be called before gradio is imported."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


def serve(
    pipe: Any,
    checkpoint: str,
    folder: Path,
    host: str = "127.0.0.1",
    port: int | None = None,
    password: str | None = None,
    ready: Callable[[str], None] = lambda address: None,
) -> None:
    """Serve the page until the program is told to end; a training under way is then stopped and kept.

    Args:
        pipe: the loaded pipeline.
        checkpoint: its name.
        folder: for erasers and exported files.
        host, port: where to listen; without a port the first free one from 7860 on.
        password: asked for with the name "me"; needed where other machines can reach `host`.
        ready: called with the page's address.

    Raises:
        UnlearnError: for an address that is not allowed, or taken.
    """
    check_bind(host, password)
    with tempfile.TemporaryDirectory(prefix="lora-unlearn-") as scratch:
        os.environ["GRADIO_TEMP_DIR"] = scratch
        blocks, studio = make(pipe, checkpoint, folder)
        try:
            address = launch(blocks, host, port, password)
            ready(address)
            blocks.block_thread()
        finally:
            studio.close()
            blocks.close(verbose=False)


def make(pipe: Any, checkpoint: str, folder: Path) -> tuple[Any, Any]:
    """The page over a pipeline, and the studio behind it."""
    from ..orders import order_of
    from ..studio import Studio
    from ..tab import build
    from .draw_page import DrawPage
    from .host import PipelineHost

    host = PipelineHost(pipe, checkpoint, folder)
    studio = Studio(host)
    studio.gauge(order_of({"concept": "anything"}))
    studio.join()
    studio.board.clear()
    return build(studio, [("Draw", lambda blocks: DrawPage(studio, host, blocks))], HINT), studio


def launch(blocks: Any, host: str, port: int | None, password: str | None) -> str:
    """Start the server in the background; returns its address.

    Raises:
        UnlearnError: if the port is taken.
    """
    from starlette.middleware import Middleware

    from .. import compat

    logging.getLogger("httpx").setLevel(logging.WARNING)
    names = frozenset({"localhost", "127.0.0.1", "[::1]", host}) if is_loopback(host) else None
    wanted = compat.accepted(
        blocks.launch, theme=compat.theme(), ssr_mode=False, show_api=False, footer_links=[], pwa=False,
        mcp_server=False, max_file_size=1, enable_monitoring=False,
    )  # fmt: skip
    compat.queue(blocks)
    try:
        _, address, _ = blocks.launch(
            server_name=host, server_port=port, share=False, inbrowser=False, prevent_thread_lock=True, quiet=True,
            show_error=False, auth=(USER, password) if password else None, allowed_paths=[],
            auth_message=MESSAGE,
            app_kwargs={
                "middleware": [Middleware(Guard, names=names), Middleware(BrakedLogin, brake=Brake())],
                "docs_url": None, "redoc_url": None,
            },
            **wanted,
        )  # fmt: skip
    except OSError as error:
        raise UnlearnError(
            f"The port {port or 'range 7860-7959'} is taken or may not be used; choose another with --port."
        ) from error
    return address
