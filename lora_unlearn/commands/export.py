"""`lora-unlearn export`: an eraser as other programs want it."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..adapter import KEY, Adapter
from ..errors import UnlearnError
from ..files import write_bytes, write_safetensors
from ..formats import save_peft, to_diffusers, to_stock
from ..lora import Lora, LoraLayer
from ..merge import merged
from ..written import REMEDY, check_replaceable, marked, written_for
from .console import say
from .models import check_no_source, output_file, output_folder, warn_partial

ADVICE = {
    "kohya": "load it as an ordinary LoRA; without our nodes or extension it works on every prompt",
    "diffusers": "load it with pipe.load_lora_weights; it works on every prompt",
    "peft": "load it with PeftModel.from_pretrained(pipe.unet, folder); it works on every prompt",
    "checkpoint": "load it as an ordinary checkpoint; the eraser works on every prompt and cannot be taken out",
}


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    if (args.checkpoint is not None) != (args.format == "checkpoint"):
        raise UnlearnError("--checkpoint and --format checkpoint belong together; give both or none.")
    adapter = Adapter.load(args.file)
    warn_partial(adapter, args.file)
    out = output_folder(args.out) if args.format == "peft" else output_file(args.out)
    check_no_source(out, args.file, args.checkpoint)
    check_replaceable(out, written_for(kind_of(args.format, args.strength), adapter), args.overwrite)
    config = config_of(args.checkpoint, out, args.overwrite)
    export(adapter, args.format, out, args.strength, args.checkpoint)
    if config is not None:
        write_bytes(out.with_suffix(".yaml"), config)
    say(f"{out} is written: {ADVICE[args.format]}.")
    return 0


def kind_of(name: str, strength: float) -> str:
    """What a file of a format is; with the strength that it was calibrated for it stays an eraser of ours."""
    return "eraser" if name == "kohya" and strength == 1 else name


def config_of(checkpoint: str | None, out: Path, overwrite: bool) -> bytes | None:
    """The configuration that lies beside a checkpoint, for the merged one; None where there is none.

    Raises:
        UnlearnError: if it can't be read, or would replace another one.
    """
    source = Path(checkpoint).with_suffix(".yaml") if checkpoint else None
    if source is None or not source.is_file():
        return None
    target = out.with_suffix(".yaml")
    try:
        config = source.read_bytes()
        if target.exists() and target.read_bytes() != config and not overwrite:
            raise UnlearnError(f"{target} exists and is another configuration than {source}; {REMEDY}.")
    except OSError as error:
        raise UnlearnError(f"{source} could not be read ({error.strerror}); check its permissions.") from error
    return config


def export(adapter: Adapter, name: str, out: Path, strength: float, checkpoint: str | None) -> None:
    """Write an adapter in a format of `ADVICE`, with a strength built in and a mark by which it is known again."""
    lora, written = scaled(adapter.lora, strength), written_for(kind_of(name, strength), adapter)
    if name == "kohya":
        kept = {key: text for key, text in adapter.metadata().items() if key != KEY or written.kind == "eraser"}
        write_safetensors(out, to_stock(lora, adapter.family), marked(kept, written))
    elif name == "diffusers":
        write_safetensors(out, to_diffusers(lora, adapter.family), marked({"format": "pt"}, written))
    elif name == "peft":
        save_peft(lora, out, marked({"format": "pt"}, written))
    else:
        assert checkpoint is not None
        tensors, metadata = merged(checkpoint, adapter, strength)
        write_safetensors(out, tensors, marked(metadata, written))


def scaled(lora: Lora, strength: float) -> Lora:
    """The same directions with another scale."""
    return Lora({name: LoraLayer(layer.down, layer.up, layer.scale * strength) for name, layer in lora.items()})
