"""A concept of many words: its prompts need more than one piece of the text encoder."""

from __future__ import annotations

import pytest

from lora_unlearn import Adapter, Concept, Eraser, denoiser_for, erase, load_bank

pytestmark = pytest.mark.thorough

LONG = "cat " + "of the kind that sits by the window and looks at the rain for hours without a sound " * 5


def test_a_concept_longer_than_one_piece_is_erased(pipe, draw, seen, tmp_path):
    adapter = erase(denoiser_for(pipe), Concept("cat", also=(LONG,)), load_bank("demo"), "instant")
    adapter = Adapter.load(adapter.save(tmp_path / "long.safetensors"))
    assert "cat" not in seen(draw("a photo of a cat", 4, Eraser(adapter)))
    assert seen(draw("a photo of a house", 2, Eraser(adapter))) == ["house", "house"]
