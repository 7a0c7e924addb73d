"""Which files this program wrote, and for what: nothing else is replaced unless the user asks for it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from .adapter import KEY, Adapter, parse_metadata
from .concept import Concept
from .errors import UnlearnError
from .files import MADE_BY, read_metadata
from .formats import PEFT_CONFIG, PEFT_WEIGHTS
from .strict import read_json

MARK = "lora_unlearn_export"
"""Key of the metadata by which files without a gate are known again."""
TITLE, TITLED = "modelspec.title", "Erase "
KINDS = {
    "eraser": "an eraser",
    "kohya": "a LoRA without a gate",
    "diffusers": "a LoRA for diffusers",
    "peft": "an adapter for PEFT",
    "checkpoint": "a checkpoint with an eraser merged in",
    "merged": "several erasers in one LoRA",
    "picture": "a picture",
    "page": "a page",
    "report": "a report",
    "pictures": "a list of pictures",
    "words": "a list of words",
    "attacks": "a list of attacks",
}
"""What this program writes, in words."""
PAGE_FOOT = b"Made by lora-unlearn."
LONGEST_FOOT = 4096
REMEDY = "choose another name, or add --overwrite to replace it"


@dataclass(frozen=True)
class Written:
    """What a file is.

    Attributes:
        kind: of `KINDS`.
        concept: what it is about; "" where the file does not say.
        family: of the model it is for; "" likewise.
    """

    kind: str
    concept: str = ""
    family: str = ""

    def __str__(self) -> str:
        of = f" of {self.family} models" * bool(self.family)
        return f"{KINDS[self.kind]}{f' for {self.concept!r}' if self.concept else ''}{of}"


def called(concept: Concept) -> str:
    """A concept's name, with the thing whose attribute it is."""
    return f"{concept.name} of {concept.of}" if concept.of else concept.name


def written_for(kind: str, adapter: Adapter) -> Written:
    """What a file of an adapter in some format is."""
    return Written(kind, called(adapter.concept), adapter.family)


def marked(metadata: Mapping[str, str], written: Written) -> dict[str, str]:
    """Metadata by which a file is known again."""
    mark = {"kind": written.kind, "concept": written.concept, "family": written.family}
    return {**metadata, MARK: json.dumps(mark)}


def check_replaceable(path: Path, wanted: Written, overwrite: bool = False, remedy: str = REMEDY) -> None:
    """Refuse to replace what this program did not write, or wrote for something else.

    Args:
        path: a file to be written; for "peft" the folder.
        wanted: what it will be.
        overwrite: the user said that it may be replaced.
        remedy: what to do instead.

    Raises:
        UnlearnError: naming what is there.
    """
    places = [path / PEFT_WEIGHTS, path / PEFT_CONFIG] if wanted.kind == "peft" else [path]
    if overwrite or not any(os.path.lexists(place) for place in places):
        return
    found = written(places[0])
    if found is None:
        raise UnlearnError(f"{path} exists and was not made by this program; {remedy}.")
    same_concept = not found.concept or not wanted.concept or found.concept.lower() == wanted.concept.lower()
    same_family = not found.family or not wanted.family or found.family == wanted.family
    if found.kind != wanted.kind or not same_concept or not same_family:
        raise UnlearnError(f"{path} exists and is {found}; {remedy}.")


def written(path: Path) -> Written | None:
    """What a file is if this program wrote it, else None."""
    readers = {".safetensors": _tensors, ".png": _picture, ".html": _page, ".json": _table}
    try:
        return readers[path.suffix.lower()](path)
    except (UnlearnError, OSError, ValueError, KeyError, TypeError, SyntaxError, Image.DecompressionBombError):
        return None


def _tensors(path: Path) -> Written | None:
    metadata = read_metadata(path)
    if KEY in metadata:
        own = parse_metadata(metadata, path)
        return Written(
            "eraser", called(Concept(own["concept"]["name"], of=own["concept"].get("of", ""))), own["family"]
        )
    if MARK in metadata:
        mark = read_json(metadata[MARK])
        return (
            Written(*(str(mark[name])[:1000] for name in ("kind", "concept", "family")))
            if mark["kind"] in KINDS
            else None
        )
    title = metadata.get(TITLE, "")  # before there were marks
    kind = "kohya" if "ss_network_module" in metadata else "diffusers"
    return Written(kind, title.removeprefix(TITLED)) if title.startswith(TITLED) else None


def _picture(path: Path) -> Written | None:
    with Image.open(path, formats=["PNG"]) as image:
        return Written("picture") if image.info.get("Software") == MADE_BY else None


def _page(path: Path) -> Written | None:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - LONGEST_FOOT))
        return Written("page") if PAGE_FOOT in file.read() else None


def _table(path: Path) -> Written | None:
    """By its columns: JSON has no place for a mark that programs would not stumble over."""
    table = read_json(path.read_text(encoding="utf-8"))
    if isinstance(table, list):
        words = all(isinstance(row, dict) and set(row) == {"word", "similarity", "kind"} for row in table)
        return Written("words") if words else None
    if {"concept", "erased", "gate", "pictures", "definitions"} <= set(table):
        return Written("report", str(table["concept"]))
    if {"concept", "settings", "protocols"} <= set(table):
        return Written("report", str(table["concept"]))
    if {"settings", "summary", "attempts"} <= set(table):
        return Written("attacks", str(table["settings"]["concept"]))
    return Written("pictures") if {"checkpoint", "guidance_scale", "pictures"} <= set(table) else None
