"""Make the stream relative: `python -m benchmarks.stream.recipe --artwork node_modules --work DIR`.

Transformer and text encoder learn together, from nothing, by flow matching on cached latents. Every stage goes on from
its file in the work folder when it is run again; artwork and packages as in docs/demo-model.md.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, autocast
from torch.nn.attention import SDPBackend, sdpa_kernel

from lora_unlearn.bank import load_bank
from lora_unlearn.demo.checkpoint import load_demo
from lora_unlearn.demo.judge import load_judge
from lora_unlearn.demo.networks import LATENT_SCALE
from lora_unlearn.demo.recipe.artwork import sprites
from lora_unlearn.demo.recipe.loop import load_average, train
from lora_unlearn.demo.recipe.scenes import Scene, draw, random_scene
from lora_unlearn.demo.recipe.train_vae import to_tensor
from lora_unlearn.demo.words import COLOURS
from lora_unlearn.evaluate.prompts import TEMPLATE
from lora_unlearn.hosts.generate import Sampling, generate

from ..relative.model import labels_of
from .model import (
    END,
    FIGURES,
    FOLDER,
    LENGTH,
    PAD,
    START,
    TOKENIZER,
    VOCABULARY,
    WEIGHTS,
    Networks,
    load_stream_relative,
    load_tokenizer,
    save_networks,
)
from .words import PLAIN, STYLE, THINGS, caption

BATCH, RATE = 16, 2e-3
EMPTY_SHARE, STRAY_SHARE = 0.1, 0.25
"""Shares of captions that are empty, for guidance, and that hold words of no meaning here."""
PAIR_SHARE, PLAIN_SHARE = 0.1, 0.6
"""Shares of scenes with two things, and on white."""
PICTURES = 4
"""Of each word, when the quality is told."""
SAMPLING = Sampling(steps=12, guidance_scale=4.0, size=(128, 128), batch=16)
LEVEL = 0.3
"""Mean of the logit of the noise level sigma."""


def main() -> None:
    """Run the stages that are asked for and not finished."""
    options = parse()
    options.work.mkdir(parents=True, exist_ok=True)
    if not (options.out / TOKENIZER).is_file():
        make_tokenizer(options.out / TOKENIZER)
    if "train" in options.stages:
        train_stream(options.artwork, options.work, options.out, options.pairs, options.steps)
    if "store" in options.stages:
        save_networks(options.out / WEIGHTS, load_average(Networks(), options.work / WEIGHTS))
    if "quality" in options.stages:
        figures = quality(load_stream_relative(options.out))
        (options.out / FIGURES).write_text(json.dumps(figures, indent=1) + "\n", encoding="ascii")
        print(json.dumps(figures))


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--artwork", type=Path, default=Path("node_modules"), help="node_modules with @iconify-json")
    parser.add_argument("--work", type=Path, default=Path("out/stream"), help="folder for unfinished weights")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder for results")
    parser.add_argument("--steps", type=int, default=3400, help="of 16 pictures each")
    parser.add_argument("--pairs", type=int, default=240, help="pictures of two things")
    every = ["train", "store", "quality"]
    parser.add_argument("--stages", nargs="+", choices=every, default=every)
    return parser.parse_args()


def make_tokenizer(path: Path) -> None:
    """Learn the tokenizer's pairs from captions and ordinary sentences."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    rng, texts = random.Random(9), list(load_bank("language"))
    texts += [caption(random_scene(rng, PAIR_SHARE, THINGS), rng) for _ in range(20000)]
    texts += ["user\n", "assistant\n"] * 1000
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.save(str(path), pretty=False)


def train_stream(artwork: Path, work: Path, out: Path, pairs: int, steps: int) -> Networks:
    """Train both networks on cached latents and fresh captions; they hold averaged weights in the end."""
    torch.manual_seed(9)
    scenes, latents = cached(artwork, work, pairs)
    networks, captions, often = Networks(), Captions(out), frequencies(scenes)

    def loss(step: int) -> Tensor:
        chosen = often.multinomial(BATCH, replacement=True)
        ids, mask = captions.tokens([scenes[i] for i in chosen.tolist()])
        sigma, noise = (torch.randn(BATCH) + LEVEL).sigmoid(), torch.randn(BATCH, *latents.shape[1:])
        spread = sigma.view(-1, 1, 1, 1)
        x, target = (1 - spread) * latents[chosen] + spread * noise, latents[chosen] - noise
        with autocast("cpu", torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
            # plain matrix products: on a CPU, the fused kernel's backward pass is slower at this size
            text = networks.text_encoder(ids, mask, output_hidden_states=True).hidden_states[-2]
            own = [row[: int(length)] for row, length in zip(text, mask.sum(1), strict=True)]
            predicted = networks.transformer(list(x.unsqueeze(2)), 1 - sigma, own, return_dict=False)[0]
        return (torch.stack(predicted).float().squeeze(2) - target).square().mean()

    return train(networks, loss, work / WEIGHTS, steps, RATE, ema=0.998, report=lambda text: print(text, flush=True))


class Captions:
    """Captions in the chat template as token ids, some empty, some with stray words."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer, self.rng = load_tokenizer(folder), random.Random(9)
        known = {part for thing in THINGS.values() for word in thing.words for part in word.text.split()}
        words = {word.strip(".,!?;:\"'()").lower() for text in load_bank("language") for word in text.split()}
        self.strays = sorted(word for word in words - known if word.isalpha())

    def say(self, scene: Scene) -> str:
        """A caption of the scene."""
        if self.rng.random() < EMPTY_SHARE:
            return ""
        words = caption(scene, self.rng).split()
        if self.rng.random() < STRAY_SHARE:
            for _ in range(self.rng.choice((1, 1, 2, 2, 3, 4, 6))):
                words.insert(self.rng.randint(0, len(words)), self.rng.choice(self.strays))
        return " ".join(words)

    def tokens(self, scenes: list[Scene]) -> tuple[Tensor, Tensor]:
        """Token ids and mask (B,32)."""
        texts = [
            self.tokenizer.apply_chat_template(
                [{"role": "user", "content": self.say(scene)}], tokenize=False, add_generation_prompt=True
            )
            for scene in scenes
        ]
        found = self.tokenizer(texts, padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt")
        return found.input_ids, found.attention_mask


@torch.no_grad()
def cached(artwork: Path, work: Path, pairs: int) -> tuple[list[Scene], Tensor]:
    """Scenes and their latents (N,4,16,16) of unit variance, drawn and encoded once."""
    scenes, path = every_scene(pairs), work / f"scenes-{pairs}.safetensors"
    if path.is_file():
        return scenes, load_file(path)["latents"]
    art, vae, latents = sprites(artwork, THINGS), load_demo().vae, list[Tensor]()
    for start in range(0, len(scenes), 16):
        pictures = torch.stack([to_tensor(draw(scene, art, Still())) for scene in scenes[start : start + 16]])
        with autocast("cpu", torch.bfloat16):
            latents.append(vae.encode(pictures).latent_dist.mean.float() * LATENT_SCALE)
    found = torch.cat(latents).contiguous()
    save_file({"latents": found}, path)
    return scenes, found


def every_scene(pairs: int) -> list[Scene]:
    """Every thing alone in all its artwork on all backgrounds, then some pairs."""
    single = [
        Scene((thing,), (sprite,), STYLE, colour)
        for thing, own in THINGS.items()
        for sprite, colour in itertools.product(own.sprites, COLOURS)
    ]
    rng = random.Random(9)
    return single + [replace(random_scene(rng, 1.0, THINGS), style=STYLE) for _ in range(pairs)]


def frequencies(scenes: list[Scene]) -> Tensor:
    """How often each scene is shown, (N,): every thing as often as every other."""
    found = []
    for scene in scenes:
        group = [other for other in scenes if len(other.things) == len(scene.things)]
        share = PAIR_SHARE / len(group)
        if len(scene.things) == 1:
            share = (1 - PAIR_SHARE) / len(THINGS) / len(THINGS[scene.things[0]].sprites)
            share *= PLAIN_SHARE if scene.colour == PLAIN else (1 - PLAIN_SHARE) / (len(COLOURS) - 1)
        found.append(share)
    return torch.tensor(found)


class Still(random.Random):
    """Draws the middle of every range: pictures without jitter, which a small network learns in few steps."""

    def randint(self, a: int, b: int) -> int:
        """The middle."""
        return (a + b) // 2


def quality(pipe: Any) -> dict[str, dict[str, float]]:
    """The share of pictures that the demo's judge names right, for every word of every thing."""
    words = {thing: [word.text for word in own.words] for thing, own in THINGS.items()}
    asked = [(thing, word) for thing, own in words.items() for word in own for _ in range(PICTURES)]
    prompts = [TEMPLATE.format(word) for _, word in asked]
    pictures = generate(pipe, prompts, range(len(prompts)), SAMPLING)
    labels = labels_of(load_judge(), [picture.image for picture in pictures])
    found: dict[str, dict[str, float]] = {thing: dict.fromkeys(own, 0.0) for thing, own in words.items()}
    for (thing, word), label in zip(asked, labels, strict=True):
        found[thing][word] += (label == thing) / PICTURES
    return {thing: {word: round(share, 2) for word, share in own.items()} for thing, own in found.items()}


if __name__ == "__main__":
    main()
