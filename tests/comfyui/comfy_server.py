"""A ComfyUI that was really started: its HTTP interface and websocket, in a folder of its own."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import aiohttp
from comfy_graphs import Graph
from PIL import Image

ROOT = Path(__file__).parents[2]
ON_CPU = ["--cpu"] * (
    os.environ.get("COMFYUI_TEST_DEVICE") != "cuda"
)  # the card of tests/card.py is this process's own
START, RUN = 180, 300
"""Seconds that a start and a prompt may take, on a machine with much else to do."""
TEXT = 3
"""The websocket's mark for a node's line of text."""
ENDS = {"execution_success", "execution_error", "execution_interrupted"}


@dataclass
class Outcome:
    """What one prompt sent over the websocket, in order.

    Attributes:
        texts: (node, text) of every line that a node showed while it ran.
        steps: (node, value, maximum) of every move of a progress bar.
        ran: nodes that were executed.
        end: the last message's type, with its data in `data`.
        shown: what each node showed when it was done.
        picture: pixels of the first picture that Preview Image (node 8) showed.
    """

    texts: list[tuple[str, str]] = field(default_factory=list)
    steps: list[tuple[str, int, int]] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)
    shown: dict[str, Any] = field(default_factory=dict)
    picture: bytes = b""
    end: str = ""
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def trained(self) -> bool:
        """Whether a node said that it was training."""
        return any(": training " in text for _, text in self.texts)

    def take(self, kind: str, data: dict[str, Any]) -> None:
        """Note one message."""
        if kind == "executing" and data["node"]:
            self.ran.append(data["node"])
        elif kind == "progress":
            self.steps.append((data["node"], data["value"], data["max"]))
        elif kind == "executed":
            self.shown[data["node"]] = data["output"]
        elif kind in ENDS:
            self.end, self.data = kind, data


class Live:
    """A running ComfyUI with the pack in it.

    Args:
        host: ComfyUI's folder.
        base: an empty folder for models, outputs and the user's files; a second start in it is a restart.
    """

    def __init__(self, host: Path, base: Path) -> None:
        self.host, self.base = host, base
        for name in ("custom_nodes", "models/loras", "models/checkpoints", "input", "output", "user"):
            (base / name).mkdir(parents=True, exist_ok=True)
        pack = base / "custom_nodes" / "lora-unlearn"
        if not pack.exists():
            pack.symlink_to(ROOT, target_is_directory=True)
        self.process: subprocess.Popen[bytes] | None = None
        self.log = base / "log.txt"

    @property
    def address(self) -> str:
        """Where its page is."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start, and wait until it answers."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = [sys.executable, "main.py", *ON_CPU, "--listen", "127.0.0.1", "--port", str(self.port)]
        command += ["--base-directory", str(self.base), "--database-url", "sqlite:///:memory:", "--disable-api-nodes"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=self.host, stdout=log, stderr=log)
        for _ in range(4 * START):
            if self.process.poll() is not None:
                break
            try:
                self.get("/system_stats")
            except OSError:
                time.sleep(0.25)
            else:
                return
        raise RuntimeError(f"ComfyUI did not start:\n{self.log.read_text()[-3000:]}")

    def stop(self) -> None:
        """Stop it."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)
            self.process = None

    def get(self, path: str, **query: str) -> Any:
        """An answer, decoded if it is JSON."""
        with urlopen(f"{self.address}{path}?{urlencode(query)}", timeout=60) as answer:
            body = answer.read()
            return json.loads(body) if "json" in answer.headers["Content-Type"] else body

    def post(self, path: str, data: dict[str, Any]) -> dict[str, Any]:
        """An answer to JSON; an error's answer comes back as any other."""
        request = Request(f"{self.address}{path}", json.dumps(data).encode(), {"Content-Type": "application/json"})
        try:
            with urlopen(request, timeout=60) as answer:
                return json.loads(answer.read() or b"{}")
        except HTTPError as error:
            return json.loads(error.read())

    def run(self, graph: Graph, watch: Callable[[Outcome], None] = lambda outcome: None) -> Outcome:
        """Queue a graph and listen until it is done; `watch` is called after every message."""
        outcome = asyncio.run(self._run(api(graph), watch))
        shown = outcome.shown.get("8")
        outcome.picture = self.pixels(shown["images"][0]) if shown else b""
        return outcome

    async def _run(self, prompt: dict[str, Any], watch: Callable[[Outcome], None]) -> Outcome:
        client, outcome = uuid.uuid4().hex, Outcome()
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{self.address}/ws?clientId={client}", max_msg_size=0) as socket_,
        ):
            answer = await asyncio.to_thread(self.post, "/prompt", {"prompt": prompt, "client_id": client})
            if "prompt_id" not in answer:
                return Outcome(end="refused", data=answer)
            while not outcome.end:
                message = await socket_.receive(timeout=RUN)
                if message.type == aiohttp.WSMsgType.BINARY:
                    hear(message.data, outcome)
                else:
                    event = json.loads(message.data)
                    outcome.take(event["type"], event["data"])
                await asyncio.to_thread(watch, outcome)
        return outcome

    def pixels(self, image: dict[str, str]) -> bytes:
        """A picture that a node showed, without the graph that its file holds as well."""
        return Image.open(BytesIO(self.get("/view", **image))).tobytes()

    def kept(self) -> list[str]:
        """Names of the erasers in the cache."""
        return sorted(path.name for path in (self.base / "user" / "lora_unlearn").glob("*.safetensors"))


def hear(data: bytes, outcome: Outcome) -> None:
    """Note a node's line of text; other binary messages are previews."""
    kind, length = struct.unpack(">II", data[:8])
    if kind == TEXT:
        outcome.texts.append((data[8 : 8 + length].decode(), data[8 + length :].decode()))


def api(graph: Graph) -> dict[str, Any]:
    """A graph as the page sends it."""
    return {
        name: {"class_type": kind, "inputs": {k: list(v) if isinstance(v, tuple) else v for k, v in inputs.items()}}
        for name, (kind, inputs) in graph.items()
    }
