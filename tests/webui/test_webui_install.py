"""The two steps of the README: the host's own Install from URL with a clone of this tree, then a restart."""

from __future__ import annotations

import os
import shutil
import subprocess
import time

import pytest
from test_webui_accordion import CAT, same
from test_webui_training import API
from webui_server import KINDS, ROOT, Server, furnish

pytestmark = [pytest.mark.webui, pytest.mark.slow]

INSTALLER = """
from modules import script_callbacks, ui_extensions


def install(body: dict):
    return {"said": ui_extensions.install_extension_from_url(*body["values"])[1]}


script_callbacks.on_app_started(lambda demo, app: app.add_api_route("/test/install", install, methods=["POST"]))
"""
"""What the page's button calls, with the values of its fields."""
GIT = ("git", "-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "init.defaultBranch=main")


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """This tree, with what was not committed yet, as a repository that can be cloned."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("there is no git, or this is no clone")
    place = tmp_path_factory.mktemp("there") / "lora-unlearn"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, os.fsdecode(listed.stdout).split("\0")):
        if (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, place / name)
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "as it is"]):
        subprocess.run([*GIT, *words], cwd=place, check=True)
    return f"file://{place}"


def tabs(server):
    """The labels of all that is on the page."""
    return {part["props"].get("label") for part in server.call("/config")["components"]}


def works(server):
    """Erase, and use the eraser."""
    plain = server.draw(CAT)
    name = server.call(f"{API}/erase", {"concept": "cat", "preset": "quick"})["name"]
    assert server.wait_for_job()["phase"] == "done"
    erased = server.draw(CAT, True, name, 1.0, "auto")
    assert 'Eraser 1 decision: "open' in erased.infotexts[0]
    assert not same(plain.pictures, erased.pictures) and same(plain.pictures, server.draw(CAT).pictures)


@pytest.mark.parametrize("name", list(KINDS))
def test_install_from_url_then_restart(name, address, tmp_path):
    if reason := KINDS[name].missing():
        pytest.skip(reason)
    furnish(tmp_path)
    ours = tmp_path / "extensions" / "lora-unlearn"
    shutil.rmtree(ours)
    (tmp_path / "extensions" / "installer" / "scripts").mkdir(parents=True)
    (tmp_path / "extensions" / "installer" / "scripts" / "installer.py").write_text(INSTALLER)
    server = Server(KINDS[name], tmp_path)
    try:
        server.wait()
        assert "Erase concept" not in tabs(server)
        said = server.call("/test/install", {"values": ["", address, ""]})["said"]
        assert said.startswith(f"Installed into {ours}")
        assert (ours / "scripts" / "lora_unlearn.py").is_file() and not (ours / "scripts").is_symlink()
        server.ask("/test/reload", {})  # Apply and restart UI, in the same process
        end = time.monotonic() + 240
        while server.said().count("Startup time") < 2:
            assert time.monotonic() < end and server.process.poll() is None, server.said()[-2000:]
            time.sleep(0.5)
        assert {"Erase concept", "Erase concepts"} <= tabs(server)
        works(server)
        assert "could not be loaded" not in server.said()
    finally:
        server.stop()
    server = Server(KINDS[name], tmp_path)  # and in a new one
    try:
        server.wait()
        assert {"Erase concept", "Erase concepts"} <= tabs(server)
        works(server)
        assert "Traceback" not in server.said()
    finally:
        server.stop()
