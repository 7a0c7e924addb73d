"""The training loop that all parts of the recipe share: schedule, averaging, saving, resuming."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)
SAVE_EVERY = 250
REPORT_EVERY = 50


def train(
    network: Network,
    loss: Callable[[int], Tensor],
    path: Path,
    steps: int,
    learning_rate: float,
    ema: float = 0.0,
    report: Callable[[str], None] = print,
    factor: Callable[[str], float] = lambda name: 1.0,
) -> Network:
    """Minimise `loss(step)` over the network's parameters, with AdamW, warm-up and a cosine schedule.

    The weights are written to `path` (safetensors, atomically) every `SAVE_EVERY` steps; a run that finds
    its file goes on from there. With `ema` > 0 a moving average of the weights is kept beside them, and
    the network that is returned holds the average. `factor` tells by a parameter's name how much faster it learns.
    """
    parameters = [p for p in network.parameters() if p.requires_grad]
    groups: dict[float, list[Tensor]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            groups.setdefault(factor(name), []).append(parameter)
    optimizer = torch.optim.AdamW(
        [{"params": own, "factor": share} for share, own in groups.items()],
        lr=learning_rate,
        weight_decay=0.01,
        betas=(0.9, 0.98),
    )
    average = [p.detach().clone() for p in parameters]
    first = _resume(network, average, path)
    smoothed, started = None, time.monotonic()
    for step in range(first, steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * group["factor"] * _schedule(step, first, steps)
        value = loss(step)
        value.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        decay = min(ema, (step + 1) / (step + 10)) if ema else 0.0
        torch._foreach_lerp_(average, [p.detach() for p in parameters], 1.0 - decay)
        smoothed = value.item() if smoothed is None else 0.98 * smoothed + 0.02 * value.item()
        if (step + 1) % REPORT_EVERY == 0:
            rate = (time.monotonic() - started) / (step + 1 - first)
            report(f"{path.stem}: step {step + 1}/{steps}, loss {smoothed:.4f}, {rate:.3f} s a step")
        if (step + 1) % SAVE_EVERY == 0 or step + 1 == steps:
            _save(network, average, step + 1, path)
    with torch.no_grad():
        for parameter, mean in zip(parameters, average, strict=True):
            parameter.copy_(mean)
    return network.eval()


def load_average(network: Network, path: Path) -> Network:
    """Load the averaged weights of a saved (finished or running) training into the network."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    average = [p.detach().clone() for p in parameters]
    _resume(network, average, path)
    with torch.no_grad():
        for parameter, mean in zip(parameters, average, strict=True):
            parameter.copy_(mean)
    return network.eval()


def _schedule(step: int, first: int, steps: int) -> float:
    warm_up = min(1.0, (step - first + 1) / 100)
    return warm_up * max(0.01, 0.5 * (1 + math.cos(math.pi * step / steps)))


def _save(network: nn.Module, average: list[Tensor], step: int, path: Path) -> None:
    tensors = {f"live.{name}": value.detach().contiguous().clone() for name, value in network.state_dict().items()}
    tensors |= {f"average.{index:04d}": value for index, value in enumerate(average)}
    temporary = path.with_suffix(".tmp")
    save_file(tensors, temporary, metadata={"step": str(step)})
    os.replace(temporary, path)


def _resume(network: nn.Module, average: list[Tensor], path: Path) -> int:
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        return 0
    from safetensors import safe_open

    tensors = load_file(path)
    network.load_state_dict({k.removeprefix("live."): v for k, v in tensors.items() if k.startswith("live.")})
    for index, value in enumerate(average):
        value.copy_(tensors[f"average.{index:04d}"])
    with safe_open(path, "pt") as file:
        return int(file.metadata()["step"])
