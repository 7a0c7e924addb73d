"""The app as a process of its own, and a page of it without a browser."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import uuid
from itertools import islice

import httpx


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """`lora-unlearn ui` on a port of its own; what it writes is in `log`."""

    def __init__(self, folder, *words, start=()):
        self.folder, self.port = folder, free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.log = folder / "log.txt"
        command = [*(start or (sys.executable, "-m", "lora_unlearn.cli", "ui", "--folder", str(folder)))]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*command, "--port", str(self.port), *words],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )

    def wait(self, seconds=180):
        """Return when the page answers."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            try:
                httpx.get(self.address, timeout=5)
                return self
            except httpx.TransportError:
                time.sleep(0.3)
        raise AssertionError(f"no answer from {self.address}: {self.log.read_text()}")

    def faults(self):
        """Failures that the log tells of, but for gradio's own when a page is reloaded while it is sent something."""
        parts = self.log.read_text().split("Exception in ASGI application")
        reloaded = ("in sse_stream", "404: Not Found")
        return [part for part in parts if "Traceback" in part and not all(words in part for words in reloaded)]

    def end(self, number, seconds=60):
        """Send a signal, and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(seconds)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Page:
    """One browser tab's part of gradio's protocol: components by elem_id, their events, what these yield."""

    def __init__(self, address, **options):
        self.client = httpx.Client(base_url=address, timeout=120, **options)
        self.config = self.client.get("/config").json()
        self.session = uuid.uuid4().hex[:11]
        self.ids = {c["props"].get("elem_id"): c["id"] for c in self.config["components"] if c["props"].get("elem_id")}
        self.props = {}
        self.names = {number: name for name, number in self.ids.items()}

    def event(self, name, kind="click"):
        """The page's dependency that an event of a component starts."""
        wanted = [self.ids[name], kind]
        return next(found for found in self.config["dependencies"] if wanted in [list(t) for t in found["targets"]])

    def values(self, event, **given):
        """An event's inputs: what is given by elem_id without its prefix, else what the page begins with."""
        props = {c["id"]: c["props"] for c in self.config["components"]}
        return [
            given.get((self.names.get(number) or "").removeprefix("lora_unlearn_"), props[number].get("value"))
            for number in event["inputs"]
        ]

    def load(self, steps=10**9):
        """What the page Erase is sent when it is loaded: after so many steps, or the last one."""
        *_, outputs = islice(self._run(self.greeting(), None, {}), steps)
        return outputs

    def greeting(self):
        """The event of loading that fills the page Erase."""
        loads = [found for found in self.config["dependencies"] if found["targets"][0][1] == "load"]
        return next(found for found in loads if self.ids["lora_unlearn_progress"] in found["outputs"])

    def do(self, name, kind="click", **given):
        """Start an event and yield the outputs of each of its steps, by elem_id."""
        yield from self._run(self.event(name, kind), name, given)

    def _run(self, event, name, given):
        body = {
            "data": self.values(event, **given), "fn_index": event["id"], "session_hash": self.session,
            "trigger_id": self.ids.get(name),
        }  # fmt: skip
        answer = self.client.post("/gradio_api/queue/join", json=body)
        answer.raise_for_status()
        with self.client.stream("GET", "/gradio_api/queue/data", params={"session_hash": self.session}) as stream:
            outputs, end = {}, time.monotonic() + LONGEST
            for line in stream.iter_lines():
                assert time.monotonic() < end, f"{name} goes on for ever: {outputs}"
                message = json.loads(line[5:]) if line.startswith("data:") else {}
                if message.get("msg") in ("process_generating", "process_completed"):
                    if not message["success"]:
                        raise AssertionError(message)
                    outputs = self._merged(event, message, outputs)
                    yield outputs
                if message.get("msg") == "process_completed":
                    return

    def _merged(self, event, message, before):
        """Outputs after a step; steps but the first one tell only what changed."""
        after = dict(before)
        for number, value in zip(event["outputs"], message["output"].get("data", []), strict=False):
            name = (self.names.get(number) or str(number)).removeprefix("lora_unlearn_")
            if isinstance(value, dict) and value.get("__type__") == "update":
                self.props[name] = {**self.props.get(name, {}), **value}
                if "value" in value:
                    after[name] = value["value"]
            elif isinstance(value, list) and value and isinstance(value[0], list) and value[0][0] in CHANGES:
                for change, path, new in value:
                    if path == ["value"] and change != "delete":
                        after[name] = new
            elif value not in ([], None):
                after[name] = value
        return after

    def last(self, name, kind="click", **given):
        """What is left after an event's last step."""
        *_, outputs = self.do(name, kind, **given)
        return outputs


LONGEST = 120.0
"""Seconds that an event may take."""
CHANGES = ("replace", "append", "add", "delete")
