"""Makes CUDA builds of torchvision and torchaudio importable beside a CPU build of torch, in a host that tests use.

    /path/to/host/.venv/bin/python tests/torchvision_for_cpu.py

PyPI has no other builds of them for Linux. Their compiled parts need CUDA's libraries; without these torchvision stops
at the first operator that it misses, and torchaudio altogether. So the operators are declared, in a module that the
interpreter loads at its start, and torchaudio's compiled parts are taken away. Nothing in a host's tests calls either.
Where everything can be imported already, as with the CPU builds of PyTorch's own index, nothing is changed.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

PLACE = Path(sysconfig.get_paths()["purelib"])
NAME = "declared_for_torchvision"
SOURCE = '''"""Declares the operators of torchvision's compiled part, which does not load here."""

import sys

SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


class Declaring:
    """Looks for no module; it only learns that torchvision is about to be imported."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "torchvision":
            sys.meta_path.remove(Declaring)
            import torch

            for operator in ("nms", "qnms"):
                torch.library.define(f"torchvision::{operator}", SCHEMA)


sys.meta_path.insert(0, Declaring)
'''


def trouble(module: str) -> str:
    """Why a fresh interpreter can't import a module, in one line; empty if it can, or does not have it."""
    code = f"import importlib.util as u\nif u.find_spec('{module}'): import {module}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return done.stderr.strip().rpartition("\n")[2]


def main() -> int:
    """Mend what can't be imported; 0 if all can be afterwards."""
    if trouble("torchvision"):
        (PLACE / f"{NAME}.py").write_text(SOURCE, encoding="utf-8")
        (PLACE / f"{NAME}.pth").write_text(f"import {NAME}\n", encoding="utf-8")
    if trouble("torchaudio"):
        for part in (PLACE / "torchaudio").rglob("*.so"):
            part.unlink()
    left = {module: reason for module in ("torchvision", "torchaudio") if (reason := trouble(module))}
    sys.stdout.write("".join(f"{module} still can't be imported: {reason}\n" for module, reason in left.items()))
    return len(left)


if __name__ == "__main__":
    sys.exit(main())
