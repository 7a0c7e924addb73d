"""What attacks found, on disk after every trial: a run that is stopped goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from ...denoiser import base_hash
from ...errors import UnlearnError
from ...files import write_image, write_text
from ...strict import read_json
from ...written import Written, check_replaceable
from .trial import VIEWS, Outcome, summary
from .victim import Victim

JSON, PAGE = "attack.json", "attack.html"


class Bars(Protocol):
    """Shows how far a stage is."""

    def show(self, stage: str, done: int, total: int) -> None:
        """Draw it."""
        ...


def settings_of(victim: Victim, path: Path, budget: int | None, seed: int) -> dict[str, Any]:
    """What trials must have in common to be counted together, and what they were made with."""
    adapter = victim.eraser.adapter
    return {
        "concept": victim.label,
        "eraser": hashlib.sha256(path.read_bytes()).hexdigest()[:16],
        "strength": victim.eraser.strength,
        "base": base_hash(victim.denoiser),
        "family": adapter.family,
        "look": adapter.gate.look_mode,
        "judge": victim.judge.name,
        "steps": victim.steps,
        "guidance_scale": victim.scale,
        "budget": budget,
        "seed": seed,
    }


class Record:
    """The trials of one folder.

    Args:
        folder: where they lie.
        settings: see `settings_of`.
        anew: forget what is there.

    Attributes:
        attempts: as `Outcome.to_dict`, with the number of the prompt as "index".

    Raises:
        UnlearnError: if what is there was made with other settings.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], anew: bool = False) -> None:
        self.folder, self.settings, self.anew = folder, settings, anew
        self.attempts: list[dict[str, Any]] = []
        if (folder / JSON).exists() and not anew:
            self._read()

    def _read(self) -> None:
        known = read_json((self.folder / JSON).read_text(encoding="utf-8"))
        other = [name for name, value in self.settings.items() if known["settings"].get(name) != value]
        if other:
            before = known["settings"].get(other[0])
            raise UnlearnError(
                f"{self.folder / JSON} was made with another {other[0].replace('_', ' ')} ({before}, now "
                f"{self.settings[other[0]]}); choose another --out, or add --overwrite to begin anew."
            )
        self.attempts = list(known["attempts"])

    @property
    def summary(self) -> list[dict[str, Any]]:
        """A row for each attack."""
        return summary(self.attempts, self.settings["concept"])

    def done(self, attacks: Iterable[str], prompts: int) -> int:
        """How many of the wanted trials are there."""
        names = set(attacks)
        return sum(found["attack"] in names and found["index"] < prompts for found in self.attempts)

    def missing(self, attacks: Iterable[str], prompts: Sequence[str], bars: Bars) -> Iterator[tuple[str, int, str]]:
        """(attack, number of the prompt, prompt) of what is not there yet, every attack on one prompt first."""
        names = list(attacks)
        known = {(found["attack"], found["index"]) for found in self.attempts}
        for index, prompt in enumerate(prompts):
            for name in names:
                if (name, index) not in known:
                    bars.show("attacking", self.done(names, len(prompts)), len(names) * len(prompts))
                    yield name, index, prompt
        bars.show("attacking", self.done(names, len(prompts)), len(names) * len(prompts))

    def add(self, index: int, outcome: Outcome, pictures: dict[str, Image.Image]) -> None:
        """Keep a trial and its pictures.

        Raises:
            UnlearnError: if the folder can't be written to, or a picture of somebody else's is in the way.
        """
        for view, image in pictures.items():
            path = self.picture(outcome.attack, index, view)
            check_replaceable(path, Written("picture"), self.anew)
            write_image(path, image)
        self.attempts.append({**outcome.to_dict(), "index": index})
        self.save()

    def save(self) -> None:
        """Write what there is.

        Raises:
            UnlearnError: if the folder can't be written to.
        """
        found = {"settings": self.settings, "summary": self.summary, "attempts": self.attempts}
        write_text(self.folder / JSON, json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n")

    def picture(self, attack: str, index: int, view: str) -> Path:
        """Where a picture lies; `view` is one of `VIEWS`."""
        assert view in VIEWS
        return self.folder / f"{attack}-{index:03d}-{view}.png"
