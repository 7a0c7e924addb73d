"""`lora-unlearn export`: an eraser as other programs want it."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..adapter import KEY, Adapter
from ..errors import UnlearnError
from ..files import write_safetensors, write_text
from ..formats import save_peft, to_diffusers, to_stock
from ..lora import Lora, LoraLayer
from ..merge import merged
from .console import say
from .models import output_file, output_folder, warn_partial

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
    if any(same(out, source) for source in (args.file, args.checkpoint) if source):
        raise UnlearnError(f"{out} is the file to read from; choose another name for --out.")
    export(adapter, args.format, out, args.strength, args.checkpoint)
    say(f"{out} is written: {ADVICE[args.format]}.")
    return 0


def same(one: Path, other: str) -> bool:
    """Whether two names mean one file."""
    return one.exists() and one.samefile(other)


def export(adapter: Adapter, kind: str, out: Path, strength: float, checkpoint: str | None) -> None:
    """Write an adapter in a format of `ADVICE`, with a strength built in."""
    lora = scaled(adapter.lora, strength)
    plain = {name: text for name, text in adapter.metadata().items() if name != KEY or strength == 1}
    if kind == "kohya":  # with the strength that it was calibrated for it stays an eraser of ours
        write_safetensors(out, to_stock(lora, adapter.family), plain)
    elif kind == "diffusers":
        write_safetensors(out, to_diffusers(lora, adapter.family), {"format": "pt"})
    elif kind == "peft":
        save_peft(lora, out)
    else:
        assert checkpoint is not None
        write_safetensors(out, *merged(checkpoint, adapter, strength))
        config = Path(checkpoint).with_suffix(".yaml")
        if config.is_file():
            write_text(out.with_suffix(".yaml"), config.read_text(encoding="utf-8"))


def scaled(lora: Lora, strength: float) -> Lora:
    """The same directions with another scale."""
    return Lora({name: LoraLayer(layer.down, layer.up, layer.scale * strength) for name, layer in lora.items()})
