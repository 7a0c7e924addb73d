"""Reading and writing files: strict readers, atomic writers, names that stay inside their folder."""

from __future__ import annotations

import errno
import os
import platform
import re
import stat
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType

from PIL import Image, PngImagePlugin
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .errors import UnlearnError

PICKLE_SUFFIXES = (".ckpt", ".pt", ".pth", ".bin", ".pkl", ".pickle")
"""Files with these names are read by unpickling elsewhere, which can run any code: they are refused."""
PICKLE_STARTS = (b"PK\x03\x04", *(bytes((0x80, protocol)) for protocol in range(2, 6)))
"""First bytes of torch's zip archives and of bare pickles."""
LONGEST_NAME = 200
"""Bytes of a file name that a user typed; systems allow 255, and the temporary file beside it has a longer one."""
LONGEST_MADE = 150
"""Bytes of a name that is made here; others are made of it, and have more."""
MADE_BY = "lora-unlearn"
"""What stands in a picture's field "Software"."""
_HOST = re.sub(r"[^A-Za-z0-9-]", "_", platform.node())[:40]
_TEMPORARY = re.compile(rf"\.lora-unlearn\.{re.escape(_HOST)}\.(\d{{1,9}})\.[0-9a-f]{{32}}\.tmp")
_SWEPT: set[Path] = set()
"""Folders that this process has already cleaned up."""
WINDOWS_DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{port}{digit}" for port in ("COM", "LPT") for digit in "123456789")}


def read_safetensors(
    path: str | Path, check_finite: bool = False, check: Callable[[dict[str, str]], object] = lambda metadata: None
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a whole safetensors file into memory.

    The tensors are copies, so the file may be replaced while they are in use.

    Args:
        path: the file.
        check_finite: also refuse tensors that hold NaN or infinity.
        check: gets the metadata before any tensor is read; what it raises ends the reading.

    Returns:
        The tensors by name, and the file's metadata (empty if it has none).

    Raises:
        UnlearnError: if the file is missing, no safetensors, cut short, or not finite.
    """
    path = check_safetensors(path)
    with _opened(path) as file:
        metadata = file.metadata() or {}
        check(metadata)
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 (no mapping)
    if check_finite:
        _check_finite(path, tensors)
    return tensors, metadata


def read_shapes(path: str | Path) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
    """Read the shape of every tensor of a safetensors file, and its metadata, without loading the tensors.

    Raises:
        UnlearnError: if the file is missing, no safetensors, or cut short.
    """
    path = check_safetensors(path)
    with _opened(path) as file:
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        return shapes, file.metadata() or {}


def read_metadata(path: str | Path) -> dict[str, str]:
    """Read a safetensors file's metadata alone, empty if it has none.

    Raises:
        UnlearnError: if the file is missing, no safetensors, or cut short.
    """
    with _opened(check_safetensors(path)) as file:
        return file.metadata() or {}


def check_safetensors(path: str | Path) -> Path:
    """Return the path of an existing file that may be opened as safetensors.

    Raises:
        UnlearnError: if there is no such file, it is a folder, or its name says that it is a pickle.
    """
    path = Path(path)
    if path.suffix.lower() in PICKLE_SUFFIXES:
        raise UnlearnError(_pickle_message(path))
    try:
        found = path.stat()
    except ValueError as error:
        raise UnlearnError(f"{str(path)!r} can't be the name of a file ({error}); check it.") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UnlearnError(f"{path} does not exist; check the name and the folder.") from error
    except OSError as error:
        shown = f"{str(path)[:80]}..." if error.errno == errno.ENAMETOOLONG else str(path)
        raise UnlearnError(f"{shown} could not be read ({_reason(error)}); check name and permissions.") from error
    if stat.S_ISDIR(found.st_mode):
        raise UnlearnError(f"{path} is a folder; name a .safetensors file in it.")
    if not stat.S_ISREG(found.st_mode):
        raise UnlearnError(f"{path} is no ordinary file; name a .safetensors file.")
    return path


@contextmanager
def _opened(path: Path) -> Iterator:
    """Open a safetensors file; whatever goes wrong while reading becomes one sentence."""
    try:
        with path.open("rb"):  # safetensors calls every file missing that it may not open
            pass
        with safe_open(path, framework="pt") as file:
            yield file
    except OSError as error:
        raise UnlearnError(f"{path} could not be read ({_reason(error)}); check its permissions.") from error
    except SafetensorError as error:
        if _starts_like_pickle(path):
            raise UnlearnError(_pickle_message(path)) from error
        raise UnlearnError(f"{path} is no complete safetensors file ({error}); download or save it again.") from error


def _starts_like_pickle(path: Path) -> bool:
    """Whether a file that failed to open as safetensors (whose length field may look alike) is a pickle."""
    with path.open("rb") as file:
        return file.read(4).startswith(PICKLE_STARTS)


def _pickle_message(path: Path) -> str:
    return (
        f"{path} is a pickle, which can run code when it is opened; convert it to .safetensors where that does "
        "no harm, for example with the checkpoint merger of your web UI, and use the new file."
    )


def _check_finite(path: Path, tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.float().isfinite().all():
            raise UnlearnError(f"{path} holds NaN or infinity in {name!r}; make or download the file again.")


def write_safetensors(path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file in one step: it is there whole or not at all, and parent folders are made.

    Args:
        path: the file; an older one is replaced.
        tensors: by name, on any device; no two may share memory.
        metadata: text by name.

    Raises:
        UnlearnError: if the place is not writable or full; an older file is then left as it was.
    """
    whole = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    with _replacing(Path(path)) as temporary:
        save_file(whole, temporary, metadata=dict(metadata))


def write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 text file in one step, like `write_safetensors`.

    Raises:
        UnlearnError: if the place is not writable or full; an older file is then left as it was.
    """
    with _replacing(Path(path)) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_image(path: str | Path, image: Image.Image, more: Mapping[str, str] = MappingProxyType({})) -> None:
    """Write a PNG file that says who made it in one step, like `write_safetensors`.

    Args:
        path: the file; an older one is replaced.
        image: the picture.
        more: further text to stand in it, by name.

    Raises:
        UnlearnError: if the place is not writable or full; an older file is then left as it was.
    """
    made = PngImagePlugin.PngInfo()
    for name, text in {"Software": MADE_BY, **more}.items():
        made.add_text(name, text)
    with _replacing(Path(path)) as temporary:
        image.save(temporary, format="PNG", pnginfo=made)


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file in one step, like `write_safetensors`.

    Raises:
        UnlearnError: if the place is not writable or full; an older file is then left as it was.
    """
    with _replacing(Path(path)) as temporary:
        temporary.write_bytes(content)


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path that takes the place of `path` if the block ends well and vanishes if it does not.

    A link stays a link, its file is replaced; the new file may be read by whom the old one was.
    """
    temporary = None
    try:
        target = Path(os.path.realpath(path))
        _check_unlocked(path, target)
        target.parent.mkdir(parents=True, exist_ok=True)
        sweep(target.parent)
        temporary = target.with_name(f".lora-unlearn.{_HOST}.{os.getpid()}.{uuid.uuid4().hex}.tmp")
        temporary.touch()
        mode = (target if target.is_file() else temporary).stat().st_mode  # safetensors may make files for us alone
        yield temporary
        temporary.chmod(mode)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except (OSError, SafetensorError) as error:
        remedy = "free some space and try again" if _is_full(error) else "choose a place that you may write to"
        raise UnlearnError(f"{path} could not be written ({_reason(error)}); {remedy}.") from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink()


def _check_unlocked(path: Path, target: Path) -> None:
    """Refuse to replace a file that may not be written to, which a folder's permissions alone would allow."""
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISREG(mode) and not (mode & 0o222 and os.access(target, os.W_OK)):
        raise UnlearnError(f"{path} is write-protected; make it writable, or choose another name.")


def sweep(folder: Path) -> None:
    """Remove the temporary files that processes of this machine left in a folder when they were killed."""
    if folder in _SWEPT:
        return
    _SWEPT.add(folder)
    with suppress(OSError):
        for path in folder.glob(".lora-unlearn.*.tmp"):
            found = _TEMPORARY.fullmatch(path.name)
            with suppress(OSError):
                if found and _is_dead(int(found[1]), path.stat().st_mtime):
                    path.unlink()


def _is_dead(process: int, changed: float) -> bool:
    """Whether a process is gone; where asking would end it (Windows), whether it has written nothing for a day."""
    if os.name == "nt":
        return time.time() - changed > 86400
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False


def _is_full(error: Exception) -> bool:
    """Whether the disk is full; safetensors tells the number of the system's error in its text alone."""
    codes = (errno.ENOSPC, errno.EDQUOT)
    texts = [text for code in codes for text in (f"os error {code})", f"code: {code},")]
    return getattr(error, "errno", None) in codes or any(text in str(error) for text in texts)


def _reason(error: Exception) -> str:
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        return "a folder of its path is a file"
    return getattr(error, "strerror", None) or str(error)


def inside(folder: str | Path, name: str) -> Path:
    """Join a folder and a file name that a user typed; the file always lies directly in the folder.

    Raises:
        UnlearnError: if the name is empty, hidden, not allowed on some system, or holds a separator or drive.
    """
    spoilt = any(character in '/\\:*?"<>|' or not character.isprintable() for character in name)
    device = name.partition(".")[0].strip().upper() in WINDOWS_DEVICES
    if spoilt or device or not name.strip() or name.startswith(".") or name.endswith((".", " ")):
        raise UnlearnError(
            f"{name[:LONGEST_NAME]!r} can't be a file name; use letters, digits, spaces, '-', '_' and dots, and no "
            "folder."
        )
    if len(name.encode("utf-8", "replace")) > LONGEST_NAME:
        raise UnlearnError(f"The file name {name[:20]!r}... is too long; use {LONGEST_NAME} characters at most.")
    return Path(folder) / name


def file_name(words: str) -> str:
    """A name for a file, without its ending, from any words.

    Raises:
        UnlearnError: if `words` is empty.
    """
    plain = "".join(letter if letter.isalnum() or letter in " -_" else " " for letter in words)
    name = " ".join(plain.split())[:60].encode("utf-8", "ignore")[:LONGEST_MADE].decode("utf-8", "ignore").strip()
    name = name or "eraser"
    try:
        inside(".", name)
    except UnlearnError:
        name = f"erase {name}"  # such as CON, which Windows keeps for itself
    return name


def below(folder: str | Path, name: str) -> Path:
    """Join a folder and a name that a user typed, which may name folders below it: "styles/cat".

    Raises:
        UnlearnError: as `inside` does, for each part of the name.
    """
    *folders, file = re.split(r"[/\\]", name)
    for part in folders:
        folder = inside(folder, part)
    return inside(folder, file)
