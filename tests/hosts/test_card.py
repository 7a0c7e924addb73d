"""Weights on a card and texts in main memory: what mixes them up is found without a card (`tests/card.py`)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from torch.utils import backend_registration

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

NEEDED = "_setup_privateuseone_for_python_backend"
pytestmark = pytest.mark.skipif(
    not hasattr(backend_registration, NEEDED), reason="this torch knows no device in Python"
)


@pytest.mark.parametrize(
    "mode, where",
    [
        ("instant", "apart"),
        pytest.param("fast", "apart", marks=pytest.mark.thorough),
        pytest.param("fast", "turns", marks=pytest.mark.thorough),
    ],
)
def test_an_eraser_is_made_and_works_with_its_weights_on_a_card(mode, where):
    if where == "turns":
        pytest.importorskip("accelerate")
    script = Path(__file__).parent / "on_card.py"
    ended = subprocess.run([sys.executable, script, mode, where], capture_output=True, text=True, timeout=600)
    assert ended.returncode == 0, ended.stderr[-2000:]
