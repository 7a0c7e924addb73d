"""The demo model, a judge of its pictures, and an eraser of its cats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from lora_unlearn import Adapter, Concept, Eraser, Picture, Sampling, denoiser_for, erase, generate, load_bank
from lora_unlearn.demo.checkpoint import load_demo
from lora_unlearn.evaluate import DemoJudge

SAMPLING = Sampling(steps=10, guidance_scale=5.0, batch=8)


@pytest.fixture(scope="session")
def pipe() -> Any:
    return load_demo()


@pytest.fixture(scope="session")
def cat(pipe: Any) -> Adapter:
    return erase(denoiser_for(pipe), Concept("cat"), load_bank("demo"))


@pytest.fixture(scope="session")
def seen() -> Callable[[Sequence[Picture]], list[str]]:
    """What the judge sees on pictures."""
    judge = DemoJudge()

    def see(pictures: Sequence[Picture]) -> list[str]:
        best = judge.verdict([picture.image for picture in pictures]).probabilities.argmax(dim=1)
        return [judge.labels[index] for index in best.tolist()]

    return see


@pytest.fixture(scope="session")
def draw(pipe: Any) -> Callable[..., list[Picture]]:
    """Pictures of one prompt: draw(prompt, count, *erasers)."""

    def make(prompt: str, count: int, *erasers: Eraser, **changes: Any) -> list[Picture]:
        from dataclasses import replace

        return generate(pipe, [prompt] * count, list(range(count)), replace(SAMPLING, **changes), erasers)

    return make
