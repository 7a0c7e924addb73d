"""How well an eraser works: UnGuide's protocol, the gate's error rates, integrity, cost and quality."""

from .judge import ClipJudge, DemoJudge, Judge, Verdict
from .prompts import CLASSES, Prompt, Protocol, unguide_protocol
from .record import Evaluation, Shot, View
from .unguide import evaluate

__all__ = [
    "CLASSES",
    "ClipJudge",
    "DemoJudge",
    "Evaluation",
    "Judge",
    "Prompt",
    "Protocol",
    "Shot",
    "Verdict",
    "View",
    "evaluate",
    "unguide_protocol",
]
