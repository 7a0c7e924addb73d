"""`lora-unlearn ui`: the tab by itself, in a browser on this machine."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module, util
from pathlib import Path
from types import ModuleType

from ..errors import UnlearnError
from .console import quiet, say
from .models import open_model, output_folder

NAME = "lora_unlearn_extension"
"""What a checkout's folder `extension` is called when it is loaded by its path."""


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    if util.find_spec("gradio") is None:
        raise UnlearnError("gradio is missing; run: pip install 'lora-unlearn[ui]'")
    extension = find_extension()
    guard = import_module(f"{extension.__name__}.standalone.guard")
    app = import_module(f"{extension.__name__}.standalone.app")
    password = args.password or os.environ.get(guard.VARIABLE) or None
    guard.check_bind(args.host, password)
    folder = output_folder(Path(args.folder).expanduser())
    app.offline()
    say(f"Loading {args.checkpoint} ...")
    with quiet():
        pipe = open_model(args)
        checkpoint = Path(args.checkpoint).name

        def ready(address: str) -> None:
            name = f" (name: {app.USER})" if password else ""
            say(f"Open {address} in a browser{name}; Ctrl-C ends it. Erasers are kept in {folder}.")

        app.serve(pipe, checkpoint, folder, args.host, args.port, password, ready)
    return 0


def find_extension() -> ModuleType:
    """The tab's package: installed as a part of this one, or in a checkout the folder beside it.

    Raises:
        UnlearnError: if it is in neither place.
    """
    installed = f"{__package__.partition('.')[0]}.extension"
    if util.find_spec(installed) is not None:
        return import_module(installed)
    folder = Path(__file__).parents[2] / "extension"
    start = folder / "__init__.py"
    if not start.is_file():
        raise UnlearnError(f"The page is missing: there is no {folder}; install lora-unlearn again.")
    if NAME not in sys.modules:
        spec = util.spec_from_file_location(NAME, start, submodule_search_locations=[str(folder)])
        assert spec is not None and spec.loader is not None
        sys.modules[NAME] = util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[NAME])
    return sys.modules[NAME]
