"""Commands as processes of their own, to be interrupted and killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

COMMAND = [sys.executable, "-c", "import sys; from lora_unlearn.cli import main; sys.exit(main())"]
SOURCE = Path(__file__).parents[2]


def start(*words, **options):
    """Start a command."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*COMMAND, *map(str, words)], env=environment, **pipes, **options)


def wait_for(path, process):
    """Wait until a path is there, while the process runs."""
    for _ in range(6000):
        if path.exists():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError(f"{path} did not appear")


def interrupt(process, number=signal.SIGINT):
    """Send a signal and wait for the end: (exit code, stdout, stderr)."""
    process.send_signal(number)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err
