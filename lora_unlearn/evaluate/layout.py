"""Pictures in the folders and under the names in which the scripts of UnlearnCanvas look for them.

FOLDER/{erased}/{style}_{object}_seed{seed}.jpg, with underscores for spaces (arXiv 2402.11846, its evaluation scripts).
"""

from __future__ import annotations

import io
from pathlib import Path

from ..errors import UnlearnError
from ..files import write_bytes
from ..hosts.generate import Picture
from .drawing import Job

QUALITY = 95


class Layout:
    """Takes the pictures of the protocol `canvas` under the eraser, as they are drawn.

    Args:
        folder: beside the report.
        erased: the concept, as the canvas calls it.
        overwrite: whether a folder that is there may be written into.

    Raises:
        UnlearnError: if there are pictures already.
    """

    def __init__(self, folder: Path, erased: str, overwrite: bool = False) -> None:
        self.folder = folder / named(erased)
        if self.folder.is_dir() and any(self.folder.iterdir()) and not overwrite:
            raise UnlearnError(f"{self.folder} holds pictures already; choose another --out, or add --overwrite.")

    def __call__(self, protocol: str, job: Job, picture: Picture) -> None:
        """Write one picture, if it is of the canvas."""
        if protocol != "canvas":
            return
        style, thing = named(job.prompt.partner), named(job.prompt.wanted)
        data = io.BytesIO()
        picture.image.convert("RGB").save(data, "JPEG", quality=QUALITY, subsampling=0)
        write_bytes(self.folder / f"{style}_{thing}_seed{job.seed}.jpg", data.getvalue())


def named(words: str) -> str:
    """Words as part of a file's name."""
    return words.strip().replace(" ", "_").replace("/", "_")
