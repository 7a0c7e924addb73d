"""E7: do calibrated gates hold on other prompts and on a fine-tuned model? `python -m benchmarks.coverage`.

Gates are calibrated at 1 % on the shipped model and asked for prompts in three manners that their bank does not have
(`benchmarks.ordinary`), on that model and on copies whose U-Net and text encoder were trained to draw in ink.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from benchmarks import common
from benchmarks.ordinary import BANKS
from lora_unlearn.adapter import Adapter
from lora_unlearn.bank import load_bank
from lora_unlearn.calibrate import calibrate, measure, probe_index, text_scores
from lora_unlearn.concept import Concept
from lora_unlearn.demo.words import STYLES, THINGS
from lora_unlearn.erase import erase
from lora_unlearn.evaluate import CLASSES, DemoJudge
from lora_unlearn.evaluate.drawing import plain_lora
from lora_unlearn.gate import Gate
from lora_unlearn.hosts.diffusers import denoiser_for
from lora_unlearn.hosts.generate import generate

STYLE = "ink drawing"
STEPS = common.SAMPLING.steps
Scores = Callable[[Any, Adapter, list[str]], Tensor]


def main() -> None:
    """Print and keep two tables: the text gate of all ten classes, the probe of some."""
    options = common.options(__doc__ or "", updates=60, rates="1e-4,5e-4")
    pipes = {"shipped": common.pipeline(options.checkpoint)}
    print("shipped:", looks(pipes["shipped"], pipes["shipped"]), flush=True)
    for rate in map(float, options.rates.split(",")):
        label = f"tuned at {rate:g}"
        pipes[label] = tuned(common.pipeline(options.checkpoint), rate, options.updates)
        print(f"{label}:", looks(pipes[label], pipes["shipped"]), flush=True)
    common.finish(options.out, "coverage_text", text_gates(pipes))
    common.finish(options.out, "coverage_probe", probes(pipes, options.concepts))


def tuned(pipe: Any, rate: float, updates: int, batch: int = 8) -> Any:
    """The pipeline after a short training on its own ink drawings, captioned without their style."""
    things = [thing for thing in THINGS for _ in range(2)]
    prompts = [f"an {STYLE} of a {thing}" for thing in things]
    images = [picture.image for picture in generate(pipe, prompts, range(len(prompts)), common.QUICK)]
    with torch.no_grad():
        latents = pipe.vae.encode(pipe.image_processor.preprocess(images)).latent_dist.mean
        latents = latents * pipe.vae.config.scaling_factor
    captions = [f"a {thing}" for thing in things]
    ids = pipe.tokenizer(captions, padding="max_length", max_length=77, return_tensors="pt").input_ids
    networks, generator = (pipe.unet, pipe.text_encoder), torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW([p for network in networks for p in network.parameters()], lr=rate)
    for _ in range(updates):
        rows = torch.randint(0, len(things), (batch,), generator=generator)
        noise = torch.randn(latents[rows].shape, generator=generator)
        times = torch.randint(0, 1000, (batch,), generator=generator)
        noisy = pipe.scheduler.add_noise(latents[rows], noise, times)
        predicted = pipe.unet(noisy, times, pipe.text_encoder(ids[rows]).last_hidden_state).sample
        optimizer.zero_grad()
        torch.autograd.backward((predicted - noise).square().mean())
        optimizer.step()
    return pipe


def looks(pipe: Any, shipped: Any) -> dict[str, float]:
    """What became of a model: objects judged right, ink drawings where no style was asked for, drift of embeddings."""
    things = list(THINGS)
    prompts, judge = [f"a photo of a {thing}" for thing in things], DemoJudge()
    images = [picture.image for picture in generate(pipe, prompts, range(len(prompts)), common.QUICK)]
    verdict = judge.verdict(images)
    right = verdict.probabilities.argmax(1) == torch.tensor([judge.labels.index(thing) for thing in things])
    assert verdict.style is not None
    before, after = (denoiser_for(model).encode(prompts).tensors["text"] for model in (shipped, pipe))
    return {
        "right": float(right.float().mean()),
        "ink": float((verdict.style == list(STYLES).index(STYLE)).float().mean()),
        "drift": round(float((after - before).norm() / before.norm()), 3),
    }


def text_gates(pipes: dict[str, Any]) -> list[dict[str, Any]]:
    """Open rates of the ten classes' text gates, mean and worst; calibrated once, and again on each copy."""
    shipped = denoiser_for(pipes["shipped"])
    adapters = [erase(shipped, Concept(name), load_bank("demo"), "instant") for name in CLASSES]

    def scores(denoiser: Any, adapter: Adapter, prompts: list[str]) -> Tensor:
        return text_scores(denoiser, adapter.gate, prompts)

    table = []
    for label, pipe in pipes.items():
        table.append({"model": label, **rates(denoiser_for(pipe), adapters, scores)})
        if label != "shipped":
            again = [recalibrated(denoiser_for(pipe), adapter, adapter.gate) for adapter in adapters]
            table.append({"model": f"{label}, calibrated again", **rates(denoiser_for(pipe), again, scores)})
    return table


def probes(pipes: dict[str, Any], concepts: list[str]) -> list[dict[str, Any]]:
    """The same for the probe after 2 of 30 steps; also with another eraser's LoRA merged into the shipped model."""
    shipped = denoiser_for(pipes["shipped"])
    gate = Gate(statistic="both", step=2 / STEPS)
    adapters = [erase(shipped, Concept(name), load_bank("demo")) for name in concepts]
    adapters = [recalibrated(shipped, adapter, gate) for adapter in adapters]
    other = erase(shipped, Concept("house"), load_bank("demo"), "instant")

    def scores(denoiser: Any, adapter: Adapter, prompts: list[str]) -> Tensor:
        index = probe_index(adapter.gate, STEPS)
        return measure(denoiser, adapter, prompts, [index], STEPS, 5.0, 5)[index]["both"]

    table = []
    for label, pipe in [*pipes.items(), ("shipped, with a LoRA against house", pipes["shipped"])]:
        with plain_lora(pipe, other) if "LoRA" in label else nullcontext():
            table.append({"model": label, **rates(denoiser_for(pipe), adapters, scores, every=3)})
        print(table[-1], flush=True)
    return table


def recalibrated(denoiser: Any, adapter: Adapter, gate: Gate) -> Adapter:
    """The adapter with a gate that was calibrated on a model."""
    _, negatives = common.banks(adapter.concept)
    adapter = replace(adapter, gate=gate)
    return replace(adapter, gate=calibrate(denoiser, adapter, negatives[:150], steps=STEPS, guidance_scale=5.0))


def rates(denoiser: Any, adapters: list[Adapter], scores: Scores, every: int = 1) -> dict[str, str]:
    """Open rates for each group of prompts (only every so many of them): mean over the adapters / the worst."""
    found: dict[str, list[float]] = {}
    for adapter in adapters:
        name = adapter.concept.name
        groups = {**common.concept_prompts(name), "other objects": common.other_prompts(name)[::8], **BANKS}
        groups = {group: prompts[::every] for group, prompts in groups.items()}
        parts = scores(denoiser, adapter, [prompt for prompts in groups.values() for prompt in prompts])
        for group, part in zip(groups, parts.split([len(prompts) for prompts in groups.values()]), strict=True):
            found.setdefault(group, []).append(float((part >= adapter.gate.threshold).float().mean()))
    worst = {group: min if group in ("target", "synonyms", "pairs") else max for group in found}
    return {group: f"{sum(v) / len(v):.3f} / {worst[group](v):.2f}" for group, v in found.items()}


if __name__ == "__main__":
    main()
