"""`lora-unlearn inspect`: what an eraser's file says of itself."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..adapter import Adapter
from ..describe import describe
from .console import say

INF = float("inf")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    path = Path(args.file)
    adapter = Adapter.load(path)
    say(json.dumps(everything(adapter, path), indent=2) if args.json else "\n".join(lines(adapter, path)))
    return 0


def everything(adapter: Adapter, path: Path) -> dict[str, Any]:
    """The metadata and the layers' shapes as plain values; infinite thresholds become null."""
    names = ("family", "base_hash", "prediction_type", "mode", "partial", "redirected", "iterations", "evaluations")
    gate = {name: None if value in (INF, -INF) else value for name, value in adapter.gate.to_dict().items()}
    return {
        "file": str(path), "bytes": path.stat().st_size, "concept": asdict(adapter.concept),
        **{name: getattr(adapter, name) for name in names},
        "settings": asdict(adapter.settings), "gate": gate,
        "layers": {name: {"rank": layer.rank, "alpha": layer.alpha} for name, layer in adapter.lora.items()},
    }  # fmt: skip


def lines(adapter: Adapter, path: Path) -> list[str]:
    """The same in words, as far as people want to know it."""
    about, *rest = describe(adapter)
    return [f"{path}: {about} ({path.stat().st_size / 1000:.0f} kB)", *rest]
