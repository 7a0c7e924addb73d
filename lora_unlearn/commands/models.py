"""What several commands do with their options: load the model, read erasers, check places to write to."""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ..adapter import Adapter
from ..bank import read_bank
from ..checks import check_own
from ..concept import Concept
from ..denoiser import Denoiser, base_hash
from ..describe import other_base
from ..errors import UnlearnError
from ..families import FAMILIES
from ..files import inside
from ..guidance import Eraser
from ..hosts.checkpoints import load_pipeline, usual_dtype
from ..hosts.diffusers import denoiser_for
from ..hosts.language import LanguageDenoiser
from ..hosts.prompts import tags
from ..hosts.sampling import check_family
from ..hosts.turns import in_turns
from ..opened import Opened, folder_members, open_set
from .console import say
from .launched import local_rank

DEVICES = ("cpu", "cuda", "mps", "xpu")
"""Kinds of devices that models run on; torch names more, most of which are none."""
GUIDANCE = 7.5
"""The usual guidance scale."""


def open_model(args: argparse.Namespace) -> Any:
    """The pipeline that --checkpoint, --device and --dtype name.

    Raises:
        UnlearnError: if it can't be loaded, its weights are not finite, or the device is not there.
    """
    device = find_device(args.device)
    dtype = getattr(torch, args.dtype) if args.dtype else usual_dtype(args.checkpoint, device)
    pipe = load_pipeline(args.checkpoint, device, dtype)
    check_finite(pipe, args.checkpoint)
    if in_turns(pipe):
        say("Note: text encoder, network and VAE take turns on this card, which is small for all of them at once.")
    if device.type == "cpu" and denoiser_for(pipe).family == "demo":
        torch.set_num_threads(1)  # its tensors are so small that threads would only wait for each other
    return pipe


def check_finite(pipe: Any, checkpoint: str) -> None:
    """Refuse a model whose weights hold NaN or infinity.

    Raises:
        UnlearnError: naming the first such tensor.
    """
    for name, part in pipe.components.items():
        for key, tensor in part.named_parameters() if isinstance(part, torch.nn.Module) else ():
            if not tensor.isfinite().all():
                raise UnlearnError(
                    f"{checkpoint} holds NaN or infinity in {name}.{key}; use another file, or --dtype float32."
                )


def find_device(name: str | None) -> torch.device:
    """The device of a name; without one CUDA's first, or the CPU. Of several processes each gets its own GPU.

    Raises:
        UnlearnError: for a name that is none, or a device that this machine or this torch lacks.
    """
    if name is None or name == "cuda":
        if torch.cuda.is_available():
            return torch.device("cuda", local_rank() % torch.cuda.device_count())
        name = name or "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UnlearnError(f"{name!r} is no device; use cpu, cuda, cuda:1 or mps.") from error
    if device.type not in DEVICES:
        raise UnlearnError(f"No model can run on {name!r} here; use cpu, cuda, cuda:1 or mps.")
    kind = getattr(torch, device.type, None)
    if device.type in ("mps", "xpu") and not (kind is not None and torch.get_device_module(device).is_available()):
        raise UnlearnError(f"There is no device {name} here; leave --device out, or use cpu.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UnlearnError(
            f"There is no device {name} here, torch sees {torch.cuda.device_count()} CUDA GPUs; leave --device out, "
            "or install a torch that supports your GPU."
        )
    return device


def usual_guidance(denoiser: Any) -> float:
    """The guidance scale where the user names none: families with a language model have one of their own."""
    if not isinstance(denoiser, LanguageDenoiser):
        return GUIDANCE
    return 1.0 if denoiser.pipe.config.get("is_distilled") else FAMILIES[denoiser.family].guidance_scale


def check_size(denoiser: Any, size: tuple[int, int] | None) -> None:
    """Refuse sides that the model has no latents for.

    Raises:
        UnlearnError: naming the multiple that sides must be.
    """
    patch = 1 if hasattr(denoiser.pipe, "unet") else 2
    unit = denoiser.pipe.vae_scale_factor * patch
    if size and any(side % unit for side in size):
        raise UnlearnError(f"The size {size[1]}x{size[0]} does not fit this model; use multiples of {unit}.")


def split_strength(text: str) -> tuple[Path, float]:
    """FILE and STRENGTH from "FILE:STRENGTH"; without a number after the last colon the strength is 1.

    Raises:
        UnlearnError: for a strength that is not finite.
    """
    name, colon, tail = text.rpartition(":")
    try:
        strength = float(tail) if colon and name else None
    except ValueError:
        strength = None
    if strength is None:
        return Path(text), 1.0
    if not math.isfinite(strength):
        raise UnlearnError(f"The strength of {name} is {tail}; give a number, 1 is the plain LoRA.")
    return Path(name), strength


def open_eraser(text: str, denoiser: Denoiser, gate: str = "auto") -> Eraser:
    """Read "FILE[:STRENGTH]" for use with a model, and say what its user should know of it.

    Raises:
        UnlearnError: if the file can't be used, or was made for another family.
    """
    path, strength = split_strength(text)
    eraser = Eraser(Adapter.load(path), strength, gate)  # type: ignore[arg-type]
    check_family(eraser, denoiser.family)
    warn_partial(eraser.adapter, path)
    note_other_base([eraser], denoiser)
    return eraser


def open_folder(text: str, args: argparse.Namespace, denoiser: Denoiser) -> Opened:
    """The erasers of "FOLDER[:STRENGTH]" that --only and --without choose; says what was left out.

    Raises:
        UnlearnError: if there is none, or not one can be used.
    """
    folder, strength = split_strength(text)
    members = folder_members(folder, args.only, args.without)
    opened = open_set(members, denoiser.family, strength, args.gate)
    for line in opened.lines():
        say(line)
    note_other_base(opened.erasers, denoiser)
    return opened


def note_other_base(erasers: Sequence[Eraser], denoiser: Denoiser) -> None:
    """Say which erasers were made on another model, if any were."""
    if told := other_base(erasers, base_hash(denoiser)):
        say(f"Note: {told}")


def warn_partial(adapter: Adapter, path: str | Path) -> None:
    """Say that an adapter is unfinished, if it is."""
    if adapter.partial:
        say(f"Note: the training of {path} was not finished, so it may erase little; go on with erase --resume.")


def output_file(text: str, suffix: str = ".safetensors") -> Path:
    """A file to write: its name is sound, its folder exists and can be written to.

    Raises:
        UnlearnError: if not, before any work is lost for it.
    """
    path = inside(Path(text).parent, Path(text).name)
    if path.is_dir():
        raise UnlearnError(f"{path} is a folder; name a {suffix} file in it.")
    if path.suffix.lower() != suffix:
        raise UnlearnError(f"{path} needs a name that ends in {suffix}.")
    output_folder(path.parent)
    return path


def check_no_source(out: Path, *sources: str | None) -> None:
    """Refuse to write to a file that the command reads.

    Raises:
        UnlearnError: naming it.
    """
    for source in filter(None, sources):
        if out.exists() and Path(source).exists() and out.samefile(source):
            raise UnlearnError(f"{out} is the file to read from; choose another name for --out.")


def output_folder(text: str | Path) -> Path:
    """A folder to write to, made where it is missing.

    Raises:
        UnlearnError: if it can't be made or written to.
    """
    folder = Path(text)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        known = isinstance(error, FileExistsError | NotADirectoryError)
        reason = "a folder of its path is a file" if known else error.strerror
        raise UnlearnError(f"{folder} is no folder to write to ({reason}); choose another place.") from error


def read_own(name: str | None, concept: Concept) -> list[str]:
    """The user's own prompts in the file of --bank, but for those that ask for the concept; says how many these are.

    Raises:
        UnlearnError: if the file can't be used, or all of its prompts ask for the concept.
    """
    if name is None:
        return []
    own = read_bank(name)
    left = check_own(own, concept, name)
    if len(left) < len(own):
        count = f"{len(own) - len(left)} of the {len(own)}"
        say(f"Note: {count} prompts in {name} ask for {concept.name} and are left out.")
    return left


def note_tags(prompts: Sequence[str]) -> None:
    """Say what of the prompts is left out: calls of extra networks, which a web UI would follow."""
    found = list(dict.fromkeys(tag for prompt in prompts for tag in tags(prompt)))
    if found:
        say(f"Note: no networks are called by prompts here; left out: {', '.join(found)}.")


def read_prompts(name: str) -> list[str]:
    """The lines of a text file that are not empty.

    Raises:
        UnlearnError: if there is no such file, it is no text, or it is empty.
    """
    try:
        text = Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise UnlearnError(f"{name} could not be read ({reason}); name a text file with one prompt a line.") from error
    prompts = [line.strip() for line in text.splitlines() if line.strip()]
    if not prompts:
        raise UnlearnError(f"{name} holds no prompts; write one a line.")
    return prompts
