"""The demo model in the standalone host, a studio over it, and short orders."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

from extension_parts import part

from lora_unlearn import Sampling
from lora_unlearn.hosts.checkpoints import load_pipeline

ENDLESS = 5000
"""Updates of a training that is stopped; it learns so slowly that it never has redirected enough before."""


@pytest.fixture(scope="session")
def pipe():
    return load_pipeline("demo")


@pytest.fixture
def host(pipe, tmp_path):
    return part("standalone.host").PipelineHost(pipe, "demo", tmp_path)


@pytest.fixture
def studio(host):
    made = part("studio").Studio(host)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def sketches(monkeypatch):
    """Pictures of fewer steps than people would want to see."""
    for name in ("work", "training"):
        monkeypatch.setattr(part(name), "PREVIEW", Sampling(3, 7.0))
    monkeypatch.setattr(part("work"), "SHEET", Sampling(3, 7.0))


@pytest.fixture
def order():
    """A training of a second or two, or one that never ends by itself; fields of the page may be given."""

    def short(concept="cat", iterations=3, **fields):
        rate = 1e-5 if iterations == ENDLESS else 0.1
        fields = {"concept": concept, "pictures": 0, "previews": False, "batch": 4, "learning_rate": rate, **fields}
        found = part("orders").order_of({**fields, "iterations": iterations})
        return replace(found, settings=replace(found.settings, trajectories=2, trajectory_steps=2))

    return short


@pytest.fixture
def erased(studio, order):
    """A studio with a finished eraser, "cat"."""
    studio.erase(order())
    assert studio.join(60).phase == "done", studio.state.message
    return studio


@pytest.fixture
def refused():
    """Check that something is refused in one sentence, and return that."""
    from lora_unlearn import UnlearnError

    def check(action, *args):
        with pytest.raises(UnlearnError) as caught:
            action(*args)
        sentence = str(caught.value)
        assert sentence.endswith(".") and "\n" not in sentence and "Traceback" not in sentence
        return sentence

    return check
