"""The table of what the extension touches: complete, and true of every host that is here."""

from __future__ import annotations

import ast

import pytest
from touched import TOUCHED, missing
from webui_server import KINDS, ROOT

pytestmark = pytest.mark.webui

OURS = ROOT / "extension" / "webui"
HOSTS = {"shared", "sd_models", "sd_unet", "devices", "prompt_parser", "scripts", "script_callbacks", "processing"}
HOSTS |= {"call_queue", "paths", "networks", "params"}
PARTS = {"state", "opts", "cmd_opts"}
"""Modules of the hosts, and what hangs on one of them."""


@pytest.mark.parametrize("name", list(KINDS))
def test_every_host_has_what_the_extension_touches(name):
    reason = KINDS[name].missing()
    if reason:
        pytest.skip(reason)
    assert missing(KINDS[name].home) == []


def test_a_name_that_is_gone_is_found(tmp_path):
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "call_queue.py").write_text("lock = None\n")
    assert "modules/call_queue.py: queue_lock" in missing(tmp_path)


def test_the_table_holds_whatever_the_extension_reads_of_the_hosts_modules():
    known = {name.removeprefix("--").replace("-", "_") for _, _, names in TOUCHED for name in names.split()}
    used = set()
    for path in OURS.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("modules."):
                used |= {alias.name for alias in node.names}
            if isinstance(node, ast.Attribute):
                of_module = isinstance(node.value, ast.Name) and node.value.id in HOSTS
                of_part = isinstance(node.value, ast.Attribute) and node.value.attr in PARTS
                used |= {node.attr} if of_module or of_part else set()
    assert "queue_lock" in used and "InputAccordion" in used
    assert used - known - {"get", "split"} == set()
