"""The interpreters of other people's evaluators, which have environments of their own (`docs/hosts.md`)."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOSTS = Path.home() / ".cache" / "lora-unlearn" / "hosts"


def interpreter(variable, folder):
    """The interpreter that a variable names, else the one in a folder beside the other hosts; or the test skips."""
    found = Path(os.environ.get(variable, HOSTS / folder / "bin" / "python"))
    if not found.is_file():
        pytest.skip(f"there is no interpreter {found} ({variable} may name another)")
    return str(found)


def run(python, *arguments, check=True):
    """A command of such an interpreter with this checkout's package; what it wrote to stdout and stderr."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([python, *arguments], env=environment, capture_output=True, text=True)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done.stdout, done.stderr
