"""UnGuide as released (arXiv 2508.05755), kept exact as the yardstick; nothing here is used by the other modes.

A fresh trajectory of the adapted model for every update, random rank-1 directions, Adam at 3e-5 for 200
updates; at sampling a decision for each prompt from many extra runs, then both rows of the guidance mixed
with w = -1 (concept) or w = 2 (anything else). One deviation: a state is evaluated at its own noise level.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import torch
from torch import Tensor

from .activations import offloaded, scaled_backward
from .adapter import Adapter
from .concept import Concept
from .denoiser import Conditioning, Denoiser, derivative
from .gate import raw
from .lora import Lora, new_lora
from .objectives import OBJECTIVES
from .settings import Settings
from .train import Progress, Prompts, Report, Stop, Trained, encode

PAPER = Settings(
    objective="unguide",
    gamma=2.0,
    reference="empty",
    down="random",
    rank=1,
    scale=8.0,
    iterations=200,
    batch=1,
    learning_rate=3e-5,
    trajectory_steps=50,
    guidance_scale=9.0,
    selector="cross_kv",
)
OPEN_STRENGTH, CLOSED_STRENGTH = 2.0, -1.0
"""s = 1 - w for w1 = -1 and w2 = 2."""


def train_paper(
    denoiser: Denoiser,
    concept: Concept,
    settings: Settings = PAPER,
    report: Report = lambda progress: None,
    stop: Stop = lambda: False,
    start: Lora | None = None,
    done: int = 0,
) -> Trained:
    """Train as the released code does: one state an update, drawn by the adapter's own partial sampling.

    `start` and `done` are an adapter to go on from and how many updates it has had.
    """
    prompts = encode(denoiser, concept, [])
    targets = denoiser.linears(settings.selector)
    generator = torch.Generator().manual_seed(settings.seed)
    lora = start or new_lora(targets, settings.rank, settings.scale, generator)
    optimizer = torch.optim.Adam(lora.parameters(), lr=settings.learning_rate)
    losses: list[float] = []
    with lora.attached(targets):
        for step in range(done + 1, settings.iterations + 1):
            if stop():
                return Trained(lora, False, None, step - 1, losses)
            loss = _loss(denoiser, lora, prompts, settings, generator)
            optimizer.zero_grad(set_to_none=True)
            scaled_backward(loss, list(lora.parameters()))
            optimizer.step()
            losses.append(loss.item())
            report(Progress("training", step, settings.iterations, losses[-1], lora=lora))
    return Trained(lora, True, None, settings.iterations, losses)


def _loss(denoiser: Denoiser, lora: Lora, prompts: Prompts, settings: Settings, generator: torch.Generator) -> Tensor:
    """The loss on a fresh batch of states, each at a random one of the sampling steps."""
    rows = torch.randint(0, len(prompts.target), (settings.batch,), generator=generator)
    target, reference = prompts.target[rows], prompts.reference[rows]
    stop_at = int(torch.randint(0, settings.trajectory_steps, (1,), generator=generator))
    with lora.rows(torch.ones(1)):
        x, sigma = partial_sampling(denoiser, target, prompts.empty, settings, stop_at, generator)
    with torch.no_grad():
        e_target, e_reference = denoiser.predict(x, sigma, target), denoiser.predict(x, sigma, reference)
    goal = OBJECTIVES[settings.objective](e_target, e_reference, e_reference, settings.gamma)
    with lora.rows(torch.ones(1)), offloaded() if settings.offload else nullcontext():
        return (denoiser.predict(x, sigma, target).float() - goal.float()).square().mean()


@torch.no_grad()
def partial_sampling(
    denoiser: Denoiser,
    prompt: Conditioning,
    empty: Conditioning,
    settings: Settings,
    stop_at: int,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """`stop_at` guided DDIM steps from noise: the state (B,C,H,W) and its noise level (B,)."""
    count, sigmas = len(prompt), denoiser.sigmas(settings.trajectory_steps)
    x, both = denoiser.initial_noise(count, generator), Conditioning.cat([empty[[0] * count], prompt])
    for index in range(stop_at):
        sigma = sigmas[index].expand(count).to(x.device)
        e_blank, e_prompt = denoiser.predict(torch.cat([x, x]), sigma.repeat(2), both).chunk(2)
        guided = e_blank + settings.guidance_scale * (e_prompt - e_blank)
        x = x + derivative(x, sigma, guided, denoiser.prediction_type) * (sigmas[index + 1] - sigmas[index]).to(x)
    return x, sigmas[stop_at].expand(count).to(x.device)


def opens(
    denoiser: Denoiser,
    adapter: Adapter,
    prompt: str,
    repeats: int = 30,
    steps_run: int = 10,
    guidance_scale: float = 7.5,
    seed: int = 0,
) -> tuple[bool, float, float]:
    """UnGuide's gate: is the adapter's mean change for this prompt larger than for the empty prompt?

    Both are averaged over `repeats` base trajectories of `steps_run` of 50 steps, each prompt on its own.

    Returns:
        The decision, the prompt's mean norm and the empty prompt's.
    """
    settings = replace(adapter.settings, guidance_scale=guidance_scale, trajectory_steps=50)
    norms = [
        float(changes(denoiser, adapter, text, settings, repeats, steps_run, seed).mean()) for text in (prompt, "")
    ]
    return norms[0] > norms[1], norms[0], norms[1]


@torch.no_grad()
def changes(
    denoiser: Denoiser, adapter: Adapter, text: str, settings: Settings, repeats: int, steps_run: int, seed: int
) -> Tensor:
    """Norms (repeats,) of the adapter's change of the prediction, each on a base trajectory of its own."""
    generator = torch.Generator().manual_seed(seed)
    prompt = denoiser.encode([text])[[0] * repeats]
    x, sigma = partial_sampling(denoiser, prompt, denoiser.encode([""]), settings, steps_run, generator)
    with adapter.lora.attached(denoiser.linears(settings.selector)):
        base = denoiser.predict(x, sigma, prompt)
        with adapter.lora.rows(torch.ones(repeats)):
            return raw(denoiser.predict(x, sigma, prompt) - base)
