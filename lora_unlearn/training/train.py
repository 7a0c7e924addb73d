"""The one training loop: draw states, reconcile the terms' gradients, step, until the concept is gone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ..activations import scaled_backward
from ..denoiser import Denoiser
from ..lora import Lora
from ..reaction import check_reaction
from ..settings import Settings
from .method import Parts
from .progress import Progress, Report, Stop, Trained
from .prompts import Prompts
from .scene import Scene
from .sources.drawing import Drawing
from .starts import Start
from .states import States, record
from .terms.goal import asked, goal_of

DOWN_RATE = 0.25
"""How far scaled directions move in one update, as a share of their own size, up's rate being 1."""
LOOKED = 10
"""Every so many updates it is looked how far the training is."""
ASKED = 4
"""How many starts tell whether the model draws the concept, where no training records any."""
DEFAULT = Settings()


def train(
    denoiser: Denoiser,
    prompts: Prompts,
    settings: Settings = DEFAULT,
    report: Report = lambda progress: None,
    stop: Stop = lambda: False,
    start: Lora | None = None,
    done: int = 0,
) -> Trained:
    """Train an eraser on the denoiser's own frozen model, whose weights stay as they are.

    Args:
        denoiser: the loaded model.
        prompts: of the concept and of everything else, see `encode`.
        settings: the method's parts and hyper-parameters.
        report: called with `Progress` after every recorded and trained step.
        stop: asked between steps; True ends the training with what there is.
        start, done: an adapter to go on from and how many of the iterations it has had.

    Raises:
        UnlearnError: for unknown names in the settings, or a concept that the model does not draw.
    """
    parts, scene = Parts.of(settings), scene_of(denoiser, prompts, settings)
    lora = start or parts.start(scene)
    drawing = parts.begin(scene, report, stop)
    with lora.attached(scene.targets):
        return _fit(scene, lora, parts, drawing, report, stop, done)


def solve(denoiser: Denoiser, prompts: Prompts, settings: Settings) -> Lora:
    """The eraser of a method that trains nothing: what a training would start from.

    Raises:
        UnlearnError: as `train`.
    """
    check_drawn(denoiser, prompts, settings)
    return Parts.of(settings).start(scene_of(denoiser, prompts, settings))


def scene_of(denoiser: Denoiser, prompts: Prompts, settings: Settings) -> Scene:
    """The scene of a training that begins."""
    generator = torch.Generator().manual_seed(settings.seed)
    return Scene(denoiser, prompts, denoiser.linears(settings.selector), settings, generator)


def check_drawn(denoiser: Denoiser, prompts: Prompts, settings: Settings) -> None:
    """Ask a few starts whether the model draws the concept, where no training records any.

    Raises:
        UnlearnError: if it does not.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    parts = prompts.target, prompts.reference, prompts.empty
    states = record(denoiser, *parts, ASKED, 1, settings.guidance_scale, generator, prompts.shared_reference)
    check_reaction(denoiser, prompts.ordinary, states, ASKED)


def _fit(scene: Scene, lora: Lora, parts: Parts, drawing: Drawing, report: Report, stop: Stop, done: int) -> Trained:
    settings, losses, reached, step = scene.settings, list[float](), False, done
    optimizer = torch.optim.Adam(trained(lora, parts.start, settings))
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    terms, combine = [term.begin(scene) for term in parts.terms], parts.update.begin()
    average = parts.average.begin(scene, lora)
    for step in range(done + 1, settings.iterations + 1):
        if stop():
            return Trained(lora, False, redirected(scene, lora, drawing.held), step - 1, losses)
        states = drawing.draw(lora, settings.batch)
        found = [_gradient(term, lora, states, parameters) for term in terms]
        for parameter, gradient in zip(parameters, combine([own for _, own in found]), strict=True):
            parameter.grad = gradient
        optimizer.step()
        average.update()
        losses.append(sum(loss for loss, _ in found))
        progress = Progress("training", step, settings.iterations, losses[-1], lora=lora)
        if step % LOOKED == 0:
            progress = replace(progress, redirected=redirected(scene, lora, drawing.held))
        report(progress)
        if progress.redirected is not None:
            before, reached = reached, progress.redirected >= settings.enough
            if before and reached:  # once may be the first swing past the mark
                break
    average.finish()
    return Trained(lora, True, redirected(scene, lora, drawing.held), step, losses)


def _gradient(
    term: Callable[[Lora, States], Tensor], lora: Lora, states: States, parameters: list[nn.Parameter]
) -> tuple[float, list[Tensor]]:
    """A term's value and its gradient, zeros where it does not reach a parameter."""
    for parameter in parameters:
        parameter.grad = None
    loss = term(lora, states)
    scaled_backward(loss, parameters)
    return loss.item(), [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]


def trained(lora: Lora, start: Start, settings: Settings) -> list[dict[str, Any]]:
    """What the optimizer trains, each group at its own rate: up, and directions that are not fixed.

    Scaled directions move by a share of their own size, `DOWN_RATE` times as far as up, whose unit is the layer's
    output.
    """
    groups = [{"params": [layer.up for _, layer in lora.items()], "lr": settings.learning_rate}]
    if start.moves != "fixed":
        downs = [layer.down for _, layer in lora.items()]
        size = float(downs[0].detach().square().mean().sqrt())
        rate = settings.learning_rate * (1.0 if start.moves == "plain" else DOWN_RATE * size)
        groups.append({"params": downs, "lr": rate})
    return groups


@torch.no_grad()
def redirected(scene: Scene, lora: Lora, states: States | None) -> float | None:
    """The matched filter <D, G> / |G|^2: how much of the wanted change G the adapter makes (D).

    1 where the target is met exactly; None without states to ask in.
    """
    if states is None:
        return None
    change, wanted = asked(scene, lora, states) - states.target, goal_of(scene, states) - states.target
    return float((change * wanted).sum() / wanted.square().sum().clamp_min(1e-12))
