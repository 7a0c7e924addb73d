"""Processes that share a folder: a claim is one process's alone, and free again however that process ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from lora_unlearn.claims import claimed

HOLDING = """
import sys, time
from pathlib import Path
from lora_unlearn.claims import claimed
with claimed(Path(sys.argv[1])) as mine:
    print(mine, flush=True)
    time.sleep(600)
"""


def test_a_claim_is_one_process_alone_and_a_kill_frees_it(tmp_path):
    path = tmp_path / "cat.claim"
    words = [sys.executable, "-c", HOLDING, str(path)]
    other = subprocess.Popen(words, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "True\n"
        with claimed(path) as mine:
            assert not mine
        assert str(other.pid) in path.read_text(encoding="ascii")
    finally:
        other.kill()
        other.communicate()
    with claimed(path, wait=True) as mine:
        assert mine
    assert not path.exists()


def test_a_claim_can_be_taken_again_and_again(tmp_path):
    for _ in range(3):
        with claimed(tmp_path / "ship.claim") as mine, claimed(tmp_path / "ship.claim") as again:
            assert mine and not again
