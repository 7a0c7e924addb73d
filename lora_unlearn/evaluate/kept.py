"""The pictures of an unfinished evaluation, on disk: the same command goes on without drawing them again."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import Image

from ..files import write_image
from ..guidance import Decision, Eraser
from ..hosts.generate import Picture
from ..strict import read_json
from ..written import Written, written

UNFINISHED = "unfinished"
"""The folder's name, beside the report."""
TOLD = "lora-unlearn"
"""The field of a picture in which stands what its drawing told."""
NAME = re.compile(r"([0-9a-f]{16})-[0-9a-f]{16}-\d+\.png")
"""Of a picture: the settings, the batch, its place in it."""


class Kept:
    """Pictures by the batch that they were drawn in, so that each is drawn in the same company as without a stop.

    What the judge says of them is not kept: he is asked again.

    Args:
        folder: where they lie; pictures of other settings in it are removed.
        settings: plain values; what must be the same for a prompt and a seed to give the same picture.
        anew: forget what is there.

    Attributes:
        count: how many are there from before.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], anew: bool = False) -> None:
        self.folder, self.settings = folder, digest(settings)
        self.waiting: dict[Path, Picture] = {}
        self.clear(but="" if anew else self.settings)
        self.count = len(list(folder.glob(f"{self.settings}-*.png")))

    @property
    def said(self) -> str:
        """What a sentence on how much is drawn goes on with."""
        return f"; {self.count} of them are there from before" if self.count else ""

    def find(self, batch: Sequence[Any], prompts: Sequence[str], seeds: Sequence[int]) -> list[Picture] | None:
        """The pictures of a batch, or None if one is missing; `batch`: plain values that tell it from others."""
        asked = zip(self._paths(batch, prompts, seeds), prompts, seeds, strict=True)
        found = [picture for path, prompt, seed in asked if (picture := read(path, prompt, seed))]
        return found if len(found) == len(prompts) else None

    def keep(self, batch: Sequence[Any], pictures: Sequence[Picture]) -> None:
        """Take note of a batch that was drawn; it is written by `flush`."""
        prompts, seeds = [picture.prompt for picture in pictures], [picture.seed for picture in pictures]
        self.waiting |= zip(self._paths(batch, prompts, seeds), pictures, strict=True)

    def flush(self) -> None:
        """Write what waits, so that pictures which are compared byte for byte are from one run.

        Raises:
            UnlearnError: if the folder can't be written to.
        """
        for path, picture in self.waiting.items():
            write_image(path, picture.image, {TOLD: told(picture)})
        self.waiting.clear()

    def clear(self, but: str = "") -> None:
        """Remove the pictures, but those of some settings, and the folder if nothing else is in it."""
        for path in self.folder.glob("*.png"):
            found = NAME.fullmatch(path.name)
            if found and found[1] != but and written(path) == Written("picture"):
                path.unlink()
        with suppress(OSError):
            self.folder.rmdir()

    def _paths(self, batch: Sequence[Any], prompts: Sequence[str], seeds: Sequence[int]) -> list[Path]:
        name = digest([*batch, list(prompts), list(seeds)])
        return [self.folder / f"{self.settings}-{name}-{i}.png" for i in range(len(prompts))]


def digest(values: Any) -> str:
    """A short name for plain values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def eraser_digest(eraser: Eraser) -> str:
    """A short name for an eraser as it is used: its file's contents, strength and mode."""
    found = hashlib.sha256(json.dumps([eraser.adapter.metadata(), eraser.strength, eraser.mode]).encode())
    for _, layer in eraser.adapter.lora.items():
        for weight in (layer.down, layer.up):
            found.update(weight.detach().float().cpu().numpy().tobytes())
    return found.hexdigest()[:16]


def told(picture: Picture) -> str:
    """What a picture's drawing told, as JSON; scores as text, since they may be infinite."""
    decisions = [[d.open, shown(d.score), shown(d.threshold), d.by] for d in picture.decisions]
    return json.dumps([decisions, picture.evaluations, picture.seconds, picture.extra])


def read(path: Path, prompt: str, seed: int) -> Picture | None:
    """A picture with what its drawing told; None if there is none, or none that is whole."""
    try:
        with Image.open(path, formats=["PNG"]) as image:
            decisions, evaluations, seconds, extra = read_json(image.info[TOLD])
            made = [Decision(is_open, number(s), number(t), by) for is_open, s, t, by in decisions]
            return Picture(image.copy(), prompt, seed, made, evaluations, seconds, extra)
    except (OSError, ValueError, KeyError, TypeError, SyntaxError, Image.DecompressionBombError):
        return None


def shown(value: float | None) -> str | None:
    """A number as text that gives the same one again."""
    return None if value is None else repr(float(value))


def number(text: str | None) -> float | None:
    """Such a number again."""
    return None if text is None else float(text)
