"""The ComfyUI pack. One module a node or a few; what they share lies in `schema.py`, what they do in the others.

What only a running node needs, reports and the demo, is imported when it runs: the host waits for this import.
`denoiser.py` is the core's Denoiser over MODEL and CLIP, `guide.py` the core's Guidance in the host's sampling,
`training.py` a training inside a running node, `cache.py` where its results are kept.
"""

from comfy_api.v0_0_2 import ComfyExtension, io

from .apply_eraser import ApplyEraser
from .before_after import BeforeAfter
from .calibrate_eraser import CalibrateEraser
from .demo_checkpoint import DemoCheckpoint
from .erase_concept import EraseConcept
from .eraser_files import ExportEraser, LoadEraser
from .eraser_folder import EraserFolder
from .eraser_stack import EraserStack
from .gate_readout import GateReadout
from .inspect_eraser import InspectEraser
from .merge_erasers import MergeErasers
from .suggest_words import SuggestWords
from .train_eraser import TrainEraser
from .try_prompt import TryPrompt

WEB_DIRECTORY = "./nodes/web"
NODES: list[type[io.ComfyNode]] = [
    EraseConcept,
    SuggestWords,
    TrainEraser,
    ApplyEraser,
    EraserStack,
    EraserFolder,
    LoadEraser,
    ExportEraser,
    TryPrompt,
    GateReadout,
    BeforeAfter,
    CalibrateEraser,
    InspectEraser,
    MergeErasers,
    DemoCheckpoint,
]


class Unlearn(ComfyExtension):
    """What ComfyUI asks the pack for."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """All nodes."""
        return NODES


async def comfy_entrypoint() -> Unlearn:
    """The pack's entry point."""
    return Unlearn()
