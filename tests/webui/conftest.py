"""Real web UIs, each started once, headless, on the CPU, with the demo model and this extension; all by HTTP.

Each runs in its own interpreter, the tests in any that has the project's core. A host that is missing is skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from webui_server import KINDS, Server, furnish

MISSING = {name: reason for name, kind in KINDS.items() if (reason := kind.missing())}


def pytest_report_header() -> list[str]:
    """Say at the top which hosts there are, also in a quiet run."""
    return [f"{kind.name}: {MISSING.get(name) or kind.home}" for name, kind in KINDS.items()]


@pytest.fixture(scope="session", params=list(KINDS))
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running web UI with the demo model chosen."""
    if request.param in MISSING:
        pytest.skip(MISSING[request.param])
    data = tmp_path_factory.mktemp(request.param)
    furnish(data)
    running = Server(KINDS[request.param], data)
    try:
        running.wait()
        running.draw("a photo of a dog")  # Forge loads the model now
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def cat(server: Server) -> str:
    """The name of an eraser of cats, made by the extension itself."""
    return made(server, "cat")


@pytest.fixture(scope="session")
def dog(server: Server) -> str:
    """The same for dogs."""
    return made(server, "dog")


def made(server: Server, concept: str, preset: str = "quick", **more: object) -> str:
    """Erase a concept by the extension's route; the eraser's name."""
    answer = server.call("/lora-unlearn/v1/erase", {"concept": concept, "preset": preset, **more})
    state = server.wait_for_job()
    assert state["phase"] == "done", state
    return answer["name"]


@pytest.fixture(scope="session")
def seen() -> Callable[[list[np.ndarray]], list[str]]:
    """What the demo's judge sees on pictures."""
    from lora_unlearn.demo.judge import LABELS, load_judge

    network = load_judge()

    def see(pictures: list[np.ndarray]) -> list[str]:
        stack = torch.from_numpy(np.stack(pictures)).movedim(-1, 1).float() / 255
        with torch.no_grad():
            return [LABELS[index] for index in network(stack)["thing"].argmax(dim=1).tolist()]

    return see
