"""Trained erasers, kept by content: nothing that was trained once is trained again."""

from __future__ import annotations

import logging
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

import folder_paths

from ..lora_unlearn import Adapter, UnlearnError
from .messages import show

LIMIT = 512 * 2**20
"""Bytes that the folder may hold; what was not used for longest goes first."""
RECENT = 16
"""Erasers that stay in memory."""
PARTIAL = ".partial"


def cache_folder() -> Path:
    """Where trained erasers are kept: `lora_unlearn` in ComfyUI's user folder. Deleting it clears the cache.

    One for all users of a server, as the models are: the names tell nothing, no page lists or serves the files, and a
    training serves whoever asks for the same concept next.
    """
    return Path(folder_paths.get_user_directory()) / "lora_unlearn"


class Cache:
    """Adapters by fingerprint: the latest in memory, all in a folder, as the files that an export would write."""

    def __init__(self) -> None:
        self.recent: OrderedDict[str, Adapter] = OrderedDict()
        self.begun: dict[str, Adapter] = {}

    def get(self, key: str, on_disk: bool = True) -> Adapter | None:
        """The finished adapter of that name, if there is one; a damaged file is reported, removed and forgotten."""
        if key not in self.recent and on_disk:
            self._remember(key, self._read(cache_folder() / f"{key}.safetensors"))
        return self.recent.get(key)

    def get_partial(self, key: str, on_disk: bool = True) -> Adapter | None:
        """What an interrupted training left, to go on from; never used otherwise."""
        begun = self.begun.get(key)
        return self._read(cache_folder() / f"{key}{PARTIAL}.safetensors") if begun is None and on_disk else begun

    def put(self, key: str, adapter: Adapter, on_disk: bool = True) -> None:
        """Keep a finished adapter, or in a place of its own a partial one.

        A folder that cannot be written is reported and no obstacle.
        """
        self.begun.pop(key, None)
        if not adapter.partial:
            self._remember(key, adapter)
        if not on_disk:
            self.begun |= {key: adapter} if adapter.partial else {}
            return
        partial = cache_folder() / f"{key}{PARTIAL}.safetensors"
        try:
            adapter.save(partial if adapter.partial else cache_folder() / f"{key}.safetensors")
        except UnlearnError as error:
            logging.warning("lora-unlearn: the eraser is not kept for later: %s", error)
            return
        if not adapter.partial:
            partial.unlink(missing_ok=True)
        self._trim()

    def clear(self) -> int:
        """Forget everything, in memory and on disk; returns how many files that were."""
        self.recent.clear()
        self.begun.clear()
        files = list(cache_folder().glob("*.safetensors"))
        for path in files:
            path.unlink(missing_ok=True)
        return len(files)

    def summary(self) -> str:
        """How many erasers are kept, how much they take, and where."""
        sizes = [path.stat().st_size for path in cache_folder().glob("*.safetensors")]
        return f"kept erasers: {len(sizes)}, {sum(sizes) / 2**20:.1f} of {LIMIT // 2**20} MB, in {cache_folder()}"

    def _remember(self, key: str, adapter: Adapter | None) -> None:
        if adapter is not None:
            self.recent[key] = adapter
            while len(self.recent) > RECENT:
                self.recent.popitem(last=False)

    def _read(self, path: Path) -> Adapter | None:
        if not path.is_file():
            return None
        try:
            adapter = Adapter.load(path)
        except UnlearnError as error:
            logging.warning("lora-unlearn: a kept eraser is damaged and will be trained again: %s", error)
            show("The kept eraser is damaged and is trained again.")
            path.unlink(missing_ok=True)
            return None
        with suppress(OSError):
            path.touch()
        return adapter

    def _trim(self) -> None:
        files = sorted(cache_folder().glob("*.safetensors"), key=lambda path: path.stat().st_mtime)
        excess = sum(path.stat().st_size for path in files) - LIMIT
        for path in files[:-1]:
            if excess <= 0:
                break
            excess -= path.stat().st_size
            path.unlink()


CACHE = Cache()
"""The one that all nodes share."""
