"""The host with its weights on a card and its encoded prompts in main memory, as it has them on every graphics card.

There is no card here: `tests/card.py` is one that refuses to mix what lies on it with what does not. Some tests of this
folder run on it, in a process of their own; `COMFYUI_TEST_DEVICE=card` runs any of them so (those that compare tensors
of both, or count memory, fail there by themselves).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from torch.utils import backend_registration

NEEDED = "_setup_privateuseone_for_python_backend"
pytestmark = [
    pytest.mark.comfyui,
    pytest.mark.skipif(not hasattr(backend_registration, NEEDED), reason="this torch knows no device in Python"),
    pytest.mark.skipif("COMFYUI_TEST_DEVICE" in os.environ, reason="runs on another device than the CPU by itself"),
]
FOLDER = Path(__file__).parent


@pytest.mark.parametrize(
    "tests",
    [
        ["test_comfy_training.py", "-k", "test_an_interruption_keeps"],
        ["test_comfy_models.py", "-k", "stored_in_fp8 or a_lora_before"],
        ["test_comfy_guidance.py", "-k", "every_sampler and (euler-normal or heun)"],
    ],
    ids=["training", "other weights", "pictures"],
)
def test_on_a_card(tests):
    words = [sys.executable, "-m", "pytest", "-q", "-m", "comfyui", str(FOLDER / tests[0]), *tests[1:]]
    ended = subprocess.run(
        words, cwd=FOLDER.parents[1], env=os.environ | {"COMFYUI_TEST_DEVICE": "card"}, capture_output=True, text=True
    )
    assert ended.returncode == 0 and " passed" in ended.stdout, ended.stdout[-3000:]
