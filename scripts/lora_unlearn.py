"""The door for A1111, Forge and their kin, which load every file in `scripts/` by its path.

The core and `extension/` are loaded by path too: the host has this folder on its path only while it loads this file,
and other extensions may have folders called `extension`. What fails here costs one line in the log, and the host goes
on without us.
"""

import importlib.util
import logging
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {"lora_unlearn": ROOT / "lora_unlearn", "lora_unlearn_extension": ROOT / "extension"}


def load_packages():
    """Load the core and the extension afresh, so that Reload UI takes up an update."""
    for name in [name for name in sys.modules if name.partition(".")[0] in PACKAGES]:
        del sys.modules[name]
    for name, folder in PACKAGES.items():
        place = [str(folder)]
        spec = importlib.util.spec_from_file_location(name, folder / "__init__.py", submodule_search_locations=place)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])


try:
    load_packages()
    from lora_unlearn_extension.webui.callbacks import register
    from lora_unlearn_extension.webui.script import EraserScript  # noqa: F401 (the host looks for it here)

    register()
except (ImportError, AttributeError, SyntaxError, TypeError, OSError) as error:
    logging.getLogger("lora_unlearn").error(
        "LoRA Unlearn could not be loaded into this web UI (%s: %s); everything else works as usual.",
        type(error).__name__,
        error,
    )
