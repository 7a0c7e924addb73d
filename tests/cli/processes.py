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


LAUNCH = [sys.executable, "-m", "accelerate.commands.launch", "--num_machines", "1", "--mixed_precision", "no"]
LAUNCH += ["--dynamo_backend", "no", "--multi_gpu", "--main_process_port", "0"]


def start(*words, before=COMMAND, **options):
    """Start a command; `before` stands before its words."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*before, *map(str, words)], env=environment, **pipes, **options)


def launch(count, *words):
    """Start a command in several processes, as accelerate does for as many GPUs; none is needed."""
    before = [*LAUNCH, "--num_processes", str(count), "-m", "lora_unlearn"]
    return start(*words, "--device", "cpu", before=before)


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
