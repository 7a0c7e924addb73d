"""What the host calls of us; registered once, when the door's script is loaded."""

from __future__ import annotations

from typing import Any

from modules import script_callbacks

from ..studio import Studio
from ..tab import build
from .guide import CURRENT, watch
from .host import WebHost
from .routes import add_routes
from .settings import add_settings
from .xyz import add_axes

NAME, PLACE = "Erase concept", "lora_unlearn"
"""The tab's title, and its name in the page."""
HINT = "Switch it on in the accordion under txt2img or img2img."


def register() -> None:
    """Register everything but the script itself, which the host finds in the door."""
    studio = Studio(WebHost())

    def unload() -> None:
        studio.close()
        while CURRENT:
            CURRENT.pop().detach()

    def app_started(demo: Any, app: Any) -> None:
        add_routes(app, studio)

    script_callbacks.on_ui_settings(add_settings)
    script_callbacks.on_before_ui(add_axes)
    script_callbacks.on_ui_tabs(lambda: [(build(studio, hint=HINT), NAME, PLACE)])
    script_callbacks.on_app_started(app_started)
    script_callbacks.on_cfg_denoiser(watch)
    script_callbacks.on_script_unloaded(unload)
