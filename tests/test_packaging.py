"""The wheel: what it installs, what it asks of a host, and what importing it brings along."""

import re
import subprocess
import sys
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from shutil import copy, copytree
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement

from lora_unlearn import __version__

ROOT = Path(__file__).parents[1]
EXTRAS = {"accelerate", "diffusers", "gradio", "matplotlib", "peft", "resvg_py", "transformers"}
HOSTS = {
    "A1111 1.10": {"torch": "2.1.2", "numpy": "1.26.2", "pillow": "9.5.0", "safetensors": "0.4.2", "tqdm": "4.65.0"},
    "ComfyUI": {"torch": "2.9.1", "numpy": "1.25.0", "pillow": "12.0.0", "safetensors": "0.4.2", "tqdm": "4.67.1"},
}


def build_wheel(project: Path, folder: Path) -> ZipFile:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w"]
    done = subprocess.run([*command, str(folder), str(project)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("lora_unlearn-*.whl")
    return ZipFile(wheel)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    with build_wheel(ROOT, tmp_path_factory.mktemp("wheel")) as archive:
        yield archive


def top_level(archive: ZipFile) -> set[str]:
    return {name.split("/")[0] for name in archive.namelist() if ".dist-info/" not in name}


def sources(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]


def test_wheel_installs_one_top_level_package(wheel):
    assert top_level(wheel) == {"lora_unlearn"}


def test_wheel_holds_every_module_and_data_file(wheel):
    kinds = {".py", ".txt", ".json", ".yaml", ".html", ".safetensors"}
    package = [path for path in sources(ROOT / "lora_unlearn") if path.suffix in kinds or path.name == "LICENSE"]
    assert {path.relative_to(ROOT).as_posix() for path in package} <= set(wheel.namelist())


def metadata(archive: ZipFile) -> Message:
    (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    return message_from_bytes(archive.read(name))


def test_type_checkers_are_told_that_the_package_has_types(wheel):
    assert "lora_unlearn/py.typed" in wheel.namelist()


@pytest.fixture(scope="module")
def changed(tmp_path_factory):
    """A copy of the project under another version, with little in it, and its wheel, installed."""
    folder = tmp_path_factory.mktemp("changed")
    project, installed = folder / "project", folder / "installed"
    copytree(ROOT / "lora_unlearn", project / "lora_unlearn", ignore=lambda *_: {"weights", "recipe", "__pycache__"})
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        copy(ROOT / name, project / name)
    for name in ("extension", "nodes", "tests"):
        (project / name).mkdir()
        (project / name / "__init__.py").write_text("")
    text = (ROOT / "pyproject.toml").read_text()
    (project / "pyproject.toml").write_text(text.replace(f'\nversion = "{__version__}"\n', '\nversion = "98.7.6"\n'))
    with build_wheel(project, folder / "wheel") as archive:
        archive.extractall(installed)
    return project, installed


def test_wheel_carries_the_extension_inside_the_package_and_no_nodes(changed):
    _, installed = changed
    assert {path.name for path in installed.iterdir() if path.suffix != ".dist-info"} == {"lora_unlearn"}
    assert (installed / "lora_unlearn" / "extension" / "__init__.py").is_file()
    assert not [path for path in installed.rglob("*") if {"nodes", "tests"} & set(path.parts[len(installed.parts) :])]


@pytest.mark.parametrize("place", ["a checkout", "an installed wheel"])
def test_the_version_is_what_pyproject_says(changed, place):
    folder = changed[place == "an installed wheel"]
    command = [sys.executable, "-c", "import lora_unlearn; print(lora_unlearn.__version__, lora_unlearn.__file__)"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.stdout.split() == ["98.7.6", str(folder / "lora_unlearn" / "__init__.py")], done.stderr


def test_the_changelog_begins_with_this_version():
    (newest, *_) = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert newest in {__version__, "Unreleased"}


def test_an_index_shows_the_readme_without_links_that_lead_nowhere(wheel):
    text = metadata(wheel).get_payload()
    assert '*Six prompts, same seeds: before, and after erasing "cat"*' in text
    assert re.findall(r"\]\((?!https:)", text) == []


@pytest.mark.parametrize("host", HOSTS)
def test_an_install_moves_no_version_of_a_host(wheel, host):
    requirements = [Requirement(text) for text in metadata(wheel).get_all("Requires-Dist")]
    core = {requirement.name.lower(): requirement.specifier for requirement in requirements if not requirement.marker}
    assert core.keys() == HOSTS[host].keys()
    assert all(specifier.contains(HOSTS[host][package]) for package, specifier in core.items())


IMPORT_ALL = """
from importlib import import_module
from pkgutil import walk_packages
for module in walk_packages(lora_unlearn.__path__, "lora_unlearn."):
    if not module.name.endswith("__main__"):
        import_module(module.name)
"""


@pytest.mark.parametrize("more", ["", IMPORT_ALL], ids=["package", "every module"])
def test_imports_bring_no_optional_library(more):
    code = f"import sys, lora_unlearn\n{more}\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert EXTRAS.isdisjoint(done.stdout.split())


LAYERS = "Linear|Conv[123]d|ConvTranspose[12]d|LayerNorm|GroupNorm|Embedding"
REFUSED = re.compile(
    rf"(?<![\w.])(torch\.)?nn\.({LAYERS})\(|torch\.autocast\(|torch\.(cuda\.)?amp\.autocast|\.cuda\(|\.to\([\"']cuda"
)
"""What comfy-test's static level takes for layers and precisions that ComfyUI does not manage, by their text alone."""


def test_no_source_has_a_text_that_the_registrys_validators_refuse():
    folders = [ROOT / name for name in ("lora_unlearn", "nodes", "extension", "tests", "benchmarks")]
    found = [
        f"{path}:{number}"
        for folder in folders
        for path in sources(folder)
        if path.suffix == ".py" and "scripts" not in path.parts  # it looks at none of those
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if REFUSED.search(line)
    ]
    assert found == []


def test_sources_are_ascii():
    folders = [ROOT / name for name in ("lora_unlearn", "nodes", "extension", "scripts", "tests")]
    modules = [path for folder in folders for path in sources(folder) if path.suffix == ".py"]
    assert modules
    assert [str(path) for path in modules if not path.read_bytes().isascii()] == []
