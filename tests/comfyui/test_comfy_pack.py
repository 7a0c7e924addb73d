"""What a user of the registry gets: the right files, nothing a scanner objects to, and a pack that loads."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from shutil import copyfile

import pytest
from comfy_workflows import ROOT
from packaging.specifiers import SpecifierSet

pytestmark = pytest.mark.comfyui

BANNED_MODULES = {
    *("subprocess", "socket", "pickle", "shelve", "marshal", "dill", "cloudpickle", "joblib", "ctypes", "pty"),
    *("requests", "urllib", "http", "aiohttp", "ftplib", "smtplib", "socketserver", "pip", "multiprocessing"),
}
BANNED_NAMES = {"eval", "exec", "compile", "__import__"}
BANNED_ATTRIBUTES = {("os", "system"), ("os", "popen"), ("os", "fork"), ("torch", "load"), ("torch", "save")}
LEFT_OUT = ("tests", "docs", "benchmarks", ".ci", ".github", "extension", "CONTRIBUTING.md", "lora_unlearn/demo/recipe")


def listed(*options: str) -> set[str]:
    """Files that git lists; -z keeps names with spaces as they are."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", *options]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")) - {""}


@pytest.fixture(scope="module")
def published() -> list[str]:
    """What the registry's client packs: git's files, less those that .comfyignore names."""
    kept = listed("--exclude-standard") - listed("--ignored", "--exclude-from=.comfyignore")
    return sorted(name for name in kept if (ROOT / name).is_file())


LOAD = """
import asyncio, json, sys
host, pack = sys.argv[1:]
sys.argv = sys.argv[:1]
sys.path.insert(0, host)
from comfy.cli_args import args
args.cpu = True
import utils.install_util
import nodes
asyncio.run(nodes.init_extra_nodes(init_custom_nodes=False, init_api_nodes=False))
from comfy_api.v0_0_2 import io
import tomllib
before, known = set(sys.modules), set(nodes.NODE_CLASS_MAPPINGS)
assert asyncio.run(nodes.load_custom_node(pack, module_parent="custom_nodes"))
new = {name.removeprefix(pack).split(".")[0] for name in set(sys.modules) - before if not name.startswith(pack)}
loaded = [name.rpartition("lora-unlearn.")[2] for name in sys.modules]
late = ("lora_unlearn.report", "lora_unlearn.evaluate", "lora_unlearn.demo.checkpoint")
heavy = [name for name in loaded if name.startswith(late)]
import torch
model, clip, vae = nodes.NODE_CLASS_MAPPINGS["LoraUnlearnDemoCheckpoint"].execute().result
found = {
    "heavy": heavy,
    "cuda": torch.cuda.is_initialized(),
    "nodes": sorted(set(nodes.NODE_CLASS_MAPPINGS) - known),
    "new": sorted(new),
    "parameters": sum(value.numel() for value in model.model.parameters()),
    "web": nodes.EXTENSION_WEB_DIRS,
}
print("FOUND", json.dumps(found))
"""


@pytest.fixture(scope="module")
def loaded(published, host, tmp_path_factory):
    """A fresh ComfyUI with nothing but the published files; what it found, and the folder."""
    pack = tmp_path_factory.mktemp("custom_nodes") / "lora-unlearn"
    for name in published:
        (pack / name).parent.mkdir(parents=True, exist_ok=True)
        copyfile(ROOT / name, pack / name)
    folder = str(Path(host.__file__).parent)
    command = [sys.executable, "-c", LOAD, folder, str(pack)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("FOUND ")] or [done.stderr[-2000:]]
    return json.loads(line.removeprefix("FOUND ")), pack


def test_only_what_the_pack_needs_is_published(published):
    assert [name for name in published if name.startswith(LEFT_OUT)] == []
    needed = {"__init__.py", "pyproject.toml", "README.md", "LICENSE", "lora_unlearn/demo/weights/demo.safetensors"}
    assert needed <= set(published)
    assert sum((ROOT / name).stat().st_size for name in published) < 40e6


def test_the_published_files_load_in_a_fresh_host(loaded, host):
    found, pack = loaded
    assert found["nodes"] == sorted(name for name in host.NODE_CLASS_MAPPINGS if name.startswith("LoraUnlearn"))
    assert len(found["nodes"]) == 15
    assert found["parameters"] > 1_000_000
    (web,) = [folder for folder in found["web"].values() if folder.startswith(str(pack))]
    assert {page.stem for page in (Path(web) / "docs").glob("*.md")} == set(found["nodes"])


def test_loading_imports_no_library_that_the_host_has_not_imported(loaded):
    found, _ = loaded
    assert set(found["new"]) - set(sys.stdlib_module_names) == set()


def test_loading_touches_no_graphics_card_and_leaves_what_only_running_nodes_need(loaded):
    found, _ = loaded
    assert not found["cuda"] and found["heavy"] == []


def test_nothing_runs_in_the_browser(published):
    assert [name for name in published if name.endswith((".js", ".mjs", ".ts", ".vue"))] == []


def imported(tree: ast.AST) -> set[str]:
    """Top-level modules that a file imports, wherever the import stands."""
    plain = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    froms = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level}
    return {name.split(".")[0] for name in plain | froms if name}


def called(tree: ast.AST) -> set[str | tuple[str, str]]:
    """Names that a file calls: `eval`, or ("os", "system")."""
    functions = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    plain = {function.id for function in functions if isinstance(function, ast.Name)}
    return plain | {
        (function.value.id, function.attr)
        for function in functions
        if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name)
    }


def objections(text: str) -> set[str | tuple[str, str]]:
    """What the registry's rules forbid in a source file."""
    tree = ast.parse(text)
    return imported(tree) & BANNED_MODULES | called(tree) & (BANNED_NAMES | BANNED_ATTRIBUTES)


def test_a_scanner_finds_nothing_to_object_to(published):
    sources = [name for name in published if name.endswith(".py")]
    assert len(sources) > 60
    found = {name: objections((ROOT / name).read_text(encoding="utf-8")) for name in sources}
    assert {name: what for name, what in found.items() if what} == {}


def test_the_scanner_sees_what_it_looks_for():
    text = (
        "def f():\n    import urllib.request\n    from pickle import loads\n    os.system('ls')\n    return eval('1')"
    )
    assert objections(text) == {"urllib", "pickle", ("os", "system"), "eval"}
    assert objections("model.eval()\nre.compile('a')\nfrom .files import read") == set()


def test_the_host_reads_the_registry_fields(host):
    from comfy_config.config_parser import extract_node_configuration
    from comfyui_version import __version__

    config = extract_node_configuration(str(ROOT))
    assert config.project.name == "lora-unlearn"
    assert config.project.license.text == "MIT"
    assert config.tool_comfy.publisher_id and config.tool_comfy.display_name == "LoRA Unlearn"
    assert __version__ in SpecifierSet(config.project.supported_comfyui_version)
    assert "0.3.0" not in SpecifierSet(config.project.supported_comfyui_version)
