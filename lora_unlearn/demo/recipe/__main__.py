"""Make the demo model: `python -m lora_unlearn.demo.recipe --artwork node_modules --work DIR --out DIR`.

Every stage writes its weights into the work folder and goes on from there when it is run again; with larger
step counts a finished stage is trained further.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from ..checkpoint import save_checkpoint
from ..relatives import save_relative
from ..words import THINGS, Thing
from .artwork import sprites
from .quality import say_quality
from .scenes import Scene
from .train_judge import other_artwork, train_judge
from .train_text import train_text
from .train_unet import encode_scenes, train_unet
from .train_vae import polish_decoder, train_vae


def main() -> None:
    """Run the stages that are not finished."""
    options = parse()
    artwork, others = sprites(options.artwork), other_artwork(options.artwork)
    judge = train_judge(artwork, others, options.work, options.judge_steps)
    vae = train_vae(artwork, options.work, options.vae_steps)
    vae = polish_decoder(vae, artwork, options.work, options.decoder_steps)
    text = train_text(artwork, options.work, options.text_steps)
    scenes, latents = cached_scenes(vae, artwork, options.work, options.scenes)
    unet = train_unet(text, scenes, latents, options.work / "unet.safetensors", options.unet_steps)
    save_checkpoint(options.out / "demo.safetensors", unet, vae, text)
    save_half(judge, options.out / "judge.safetensors")
    say_quality(options.out / "demo.safetensors", options.out / "judge.safetensors", artwork, others)
    for prediction in ("v_prediction", "flow"):
        path = options.work / f"unet_{prediction}.safetensors"
        relative = train_unet(text, scenes, latents, path, options.relative_steps, prediction, start=unet)
        save_relative(options.relatives / f"{prediction}.safetensors", relative, unet, prediction)


def save_half(network: nn.Module, path: Path) -> None:
    """Write a network's floating-point tensors in float16."""
    tensors = network.state_dict().items()
    save_file({name: value.half().contiguous() for name, value in tensors if value.is_floating_point()}, path)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--artwork", type=Path, default=Path("node_modules"), help="node_modules with @iconify-json")
    parser.add_argument("--work", type=Path, default=Path("out/recipe"), help="folder for unfinished weights")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "weights", help="folder for results")
    parser.add_argument("--relatives", type=Path, default=Path("tests/relatives"), help="folder for the relatives")
    for name, default in (
        ("vae", 1200),
        ("decoder", 2000),
        ("text", 2000),
        ("judge", 1500),
        ("unet", 4500),
        ("relative", 1200),
    ):
        parser.add_argument(f"--{name}-steps", type=int, default=default)
    parser.add_argument("--scenes", type=int, default=6000, help="pictures to encode once")
    return parser.parse_args()


def cached_scenes(
    vae: Any, artwork: dict, work: Path, count: int, things: Mapping[str, Thing] = THINGS
) -> tuple[list[Scene], torch.Tensor]:
    """Encode the scenes once; a second run reads them back."""
    path = work / f"scenes-{count}"
    if path.with_suffix(".json").is_file():
        rows = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        scenes = [Scene(tuple(shown), tuple(names), style, colour) for shown, names, style, colour in rows]
        return scenes, load_file(path.with_suffix(".safetensors"))["latents"]
    scenes, latents = encode_scenes(vae, artwork, count, things=things)
    save_file({"latents": latents}, path.with_suffix(".safetensors"))
    rows = [[scene.things, scene.sprites, scene.style, scene.colour] for scene in scenes]
    path.with_suffix(".json").write_text(json.dumps(rows), encoding="utf-8")
    return scenes, latents


if __name__ == "__main__":
    main()
