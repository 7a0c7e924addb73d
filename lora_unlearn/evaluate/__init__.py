"""How well an eraser works: UnGuide's protocol, the gate's error rates, integrity, cost and quality."""

from .drawing import Album, Saving
from .judge import ClipJudge, DemoJudge, Judge, Verdict
from .prompts import CLASSES, Prompt, Protocol, unguide_protocol
from .record import Evaluation, Shot, View
from .unguide import evaluate

__all__ = [
    "CLASSES",
    "Album",
    "ClipJudge",
    "DemoJudge",
    "Evaluation",
    "Judge",
    "Prompt",
    "Protocol",
    "Saving",
    "Shot",
    "Verdict",
    "View",
    "evaluate",
    "unguide_protocol",
]
