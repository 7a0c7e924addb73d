"""A denoiser of a real model's shapes with random weights: what erasing costs there, without the model."""

from __future__ import annotations

import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import Linear

from lora_unlearn.denoiser import Conditioning, PredictionType, Target
from lora_unlearn.padding import padded


@dataclass(frozen=True)
class Shape:
    """Where prompts enter a network.

    Attributes:
        width: of a token, as the layers that read it see it.
        layers: how many of which size read it, of those that an eraser sits in by default.
        length: tokens of every prompt, padding included, which the network reads; 0: as many as it has words.
        after: tokens behind the words that have read them: of the chat template, and of FLUX.2's padding.
    """

    width: int
    layers: Mapping[int, int]
    length: int = 0
    after: int = 0


SHAPES = {
    "sd1": Shape(768, {320: 5, 640: 5, 1280: 6}, 77),
    "sdxl": Shape(2048, {640: 10, 1280: 60}, 77),
    "sd3": Shape(4096, {1536: 1}, 77 + 256),
    "flux": Shape(4096, {3072: 1}, 512),
    "flux2": Shape(7680, {3072: 1}, after=9 + 16),
    "z_image": Shape(2560, {3840: 1}, after=5),
    "qwen_image": Shape(3584, {3072: 1}, after=5),
    "krea2": Shape(2560, {6144: 1}, after=5),
    "anima": Shape(1024, {2048: 28}),
}
"""By family: SD3 medium, FLUX.2 Klein 4B, and the one size that there is of the others."""


class Wide:
    """A denoiser with the layers that read the prompt alone, which reads words as random vectors.

    Attributes:
        reading: seconds of processor time spent on prompts.
    """

    prediction_type: PredictionType = "epsilon"

    def __init__(self, family: str) -> None:
        self.family, self.shape, generator = family, SHAPES[family], torch.Generator().manual_seed(0)
        self.width = self.shape.width
        self.layers = {}
        for number, out in enumerate(out for out, count in self.shape.layers.items() for _ in range(count)):
            linear = Linear(self.width, out, bias=False)
            linear.weight.data = torch.randn(out, self.width, generator=generator) / self.width**0.5
            self.layers[f"layer{number}.attn2.to_v"] = Target(linear)
        self.ends = torch.randn(max(self.shape.length, self.shape.after), self.width, generator=generator)
        self.out = torch.randn(self.width, 4 * 64, generator=generator)
        self.reading = 0.0

    def encode(self, prompts: Sequence[str]) -> Conditioning:
        """A vector for each word, and tokens that know them all: up to the last place, or the template's."""
        started = time.process_time()
        words = [self.words(prompt) for prompt in prompts]
        behind = 0.5 * torch.stack([own.mean(0) for own in words])[:, None] + self.ends
        if self.shape.length:
            for row, own in zip(behind, words, strict=True):
                row[1 : len(own) + 1] += own
            tensors = {"text": behind}
        else:
            tensors = {"text": padded(words)} | ({"after": behind} if self.shape.after else {})
        self.reading += time.process_time() - started
        return Conditioning(tensors, ragged=not self.shape.length)

    def words(self, prompt: str) -> Tensor:
        """A vector for each word of a prompt, (words, width), that stays the same wherever the word stands."""
        found = prompt.lower().replace(",", " ").split() or ["."]
        found = found[: self.shape.length - 1] if self.shape.length else found
        seeds = [torch.Generator().manual_seed(zlib.crc32(word.encode())) for word in found]
        return torch.stack([torch.randn(self.width, generator=seed) for seed in seeds])

    def predict(self, x: Tensor, sigma: Tensor, conditioning: Conditioning) -> Tensor:
        """What hangs on the prompt, and costs nothing."""
        return (conditioning.tensors["text"].mean(1) @ self.out).view(-1, 4, 8, 8)

    def sigmas(self, steps: int) -> Tensor:
        """Some."""
        return torch.linspace(10, 0, steps + 1)

    def initial_noise(self, count: int, generator: torch.Generator) -> Tensor:
        """Some."""
        return torch.randn(count, 4, 8, 8, generator=generator)

    def linears(self, selector: str = "cross_kv") -> dict[str, Target]:
        """The layers."""
        return self.layers
