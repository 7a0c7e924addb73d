"""lora_unlearn: make a text-to-image model stop drawing something, behind a gate.

adapter = erase(denoiser_for(pipe), Concept("cat"), load_bank("sd1"))
with erasing(pipe, [Eraser(adapter)]):
image = pipe("a photo of a cat").images[0]
"""

from . import early  # noqa: F401 (comes first: it answers Ctrl-C during all that follows)
from .adapter import Adapter
from .bank import load_bank
from .calibrate import calibrate
from .concept import Concept
from .erase import erase
from .errors import UnlearnError
from .gate import Gate
from .guidance import Decision, Eraser, Guidance
from .hosts.attached import Attached, attach
from .hosts.diffusers import denoiser_for
from .hosts.generate import Picture, Sampling, generate
from .hosts.sampling import erasing
from .settings import Settings
from .suggest import Suggestion, suggest
from .version import __version__

__all__ = [
    "Adapter",
    "Attached",
    "Concept",
    "Decision",
    "Eraser",
    "Gate",
    "Guidance",
    "Picture",
    "Sampling",
    "Settings",
    "Suggestion",
    "UnlearnError",
    "__version__",
    "attach",
    "calibrate",
    "denoiser_for",
    "erase",
    "erasing",
    "generate",
    "load_bank",
    "suggest",
]
