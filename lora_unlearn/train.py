"""Training an eraser: record states once, then many cheap updates of the adapter on them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from .activations import offloaded, scaled_backward
from .concept import Concept
from .denoiser import Conditioning, Denoiser, Target
from .directions import QUIET, Anywhere, Selective, discriminant, enough_factors, louder, loudness, token_edit, tokens
from .errors import UnlearnError
from .lora import Lora, LoraLayer, new_lora
from .objectives import OBJECTIVES
from .reaction import check_reaction
from .settings import Settings
from .trajectories import States, record


@dataclass
class Progress:
    """One report of a running training: data only, a host draws it.

    Attributes:
        stage: "recording" or "training".
        step, steps: how far it is.
        loss: of the last update.
        redirected: the matched filter on held-out states, 0 untouched, 1 fully redirected; None when unknown.
        lora: the adapter as it stands, live: for saving it on the way; None while recording.
    """

    stage: str
    step: int
    steps: int
    loss: float | None = None
    redirected: float | None = None
    lora: Lora | None = None


@dataclass
class Trained:
    """What a training leaves: the adapter, whether it ran to its end, and how well the target is met."""

    lora: Lora
    complete: bool
    redirected: float | None
    iterations: int
    losses: list[float] = field(default_factory=list)


BESIDE = 24
"""How many of the kept prompts the concept is put beside."""
SHAPING = 200
"""How many of the kept prompts hold the closed form; every further one leaves it fewer directions. The gate's direction
heeds them all."""
DOWN_RATE = 0.25
"""How far scaled directions move in one update, as a share of their own size, up's rate being 1."""
ASKED = 4
"""How many starts tell whether the model draws the concept, where nothing is trained."""
DEFAULT = Settings()
Report = Callable[[Progress], None]
Stop = Callable[[], bool]


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
        settings: hyper-parameters.
        report: called with `Progress` after every recorded and trained step.
        stop: asked between steps; True ends the training with what there is.
        start, done: an adapter to go on from and how many of the iterations it has had.

    Raises:
        UnlearnError: for unknown names in the settings, or a concept that the model does not draw.
    """
    if settings.objective not in OBJECTIVES:
        raise UnlearnError(f"Unknown objective {settings.objective!r}; choose one of {', '.join(OBJECTIVES)}.")
    targets = denoiser.linears(settings.selector)
    lora = start or initial(targets, prompts, settings)
    generator = torch.Generator().manual_seed(settings.seed)
    prompts = prompts.practised()
    states = record(
        denoiser,
        prompts.target,
        prompts.reference,
        prompts.empty,
        settings.trajectories,
        settings.trajectory_steps,
        settings.guidance_scale,
        generator,
        prompts.shared_reference,
        lambda step, steps: report(Progress("recording", step, steps)),
        stop,
    )
    alone = states[torch.arange(0, settings.trajectories, 2)]  # the other starts hold something else, too
    check_reaction(denoiser, prompts.keep, alone, len(alone))
    with lora.attached(targets):
        return _fit(denoiser, lora, prompts, states, settings, generator, report, stop, done)


def check_drawn(denoiser: Denoiser, prompts: Prompts, settings: Settings) -> None:
    """Ask a few starts whether the model draws the concept, where no training records any.

    Raises:
        UnlearnError: if it does not.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    parts = prompts.target, prompts.reference, prompts.empty
    states = record(denoiser, *parts, ASKED, 1, settings.guidance_scale, generator, prompts.shared_reference)
    check_reaction(denoiser, prompts.keep, states, ASKED)


@dataclass
class Prompts:
    """The encoded prompts of a training."""

    target: Conditioning
    reference: Conditioning
    empty: Conditioning
    keep: Conditioning
    beside: Conditioning
    alone: Conditioning
    shared_reference: bool

    def practised(self) -> Prompts:
        """The same, with the pairs that are trained on: in turn the concept alone, and beside something that stays."""
        count = min(len(self.target), len(self.beside))
        order = torch.arange(2 * count).view(2, count).T.flatten()
        both = Conditioning.cat([self.target[:count], self.beside[:count]])[order]
        other = Conditioning.cat([self.reference[:count], self.alone[:count]])[order]
        return replace(self, target=both, reference=other, shared_reference=False)

    @property
    def concept_tokens(self) -> Tensor:
        """The tokens of all targets, (tokens, width), without padding that is zero."""
        text = tokens(self.text_pairs[0])
        return text[text.abs().sum(1) != 0]

    @property
    def text_pairs(self) -> tuple[Conditioning, Conditioning]:
        """Targets and references for what is found from text alone: plain ones, and beside other things."""
        return Conditioning.cat([self.target, self.beside]), Conditioning.cat([self.reference, self.alone])


def encode(denoiser: Denoiser, concept: Concept, keep: list[str]) -> Prompts:
    """Encode a concept's prompt pairs, the empty prompt and the prompts to keep.

    `keep` are prompts of other things; they shape the directions.
    """
    pairs, together = concept.pairs(), concept.beside(keep[:BESIDE] or [""])
    shared = all(reference == "" for _, reference in pairs)
    target, reference, empty, kept, beside, alone = _encode_alike(
        denoiser,
        [prompt for prompt, _ in pairs],
        [prompt for _, prompt in pairs],
        [""],
        [*concept.kept(), *keep] or [""],
        [prompt for prompt, _ in together],
        [prompt for _, prompt in together],
    )
    return Prompts(target, reference, empty, kept, beside, alone, shared)


def _encode_alike(denoiser: Denoiser, *groups: list[str]) -> list[Conditioning]:
    """Encode groups of prompts to conditionings of one length, however long the longest prompt is."""
    parts = [denoiser.encode(group) for group in groups]
    if len({part.tensors["text"].shape[1] for part in parts}) > 1:
        every = denoiser.encode([prompt for group in groups for prompt in group])
        ends = list(accumulate(len(group) for group in groups))
        parts = [every[end - len(group) : end] for group, end in zip(groups, ends, strict=True)]
    return parts


def initial(targets: dict[str, Target], prompts: Prompts, settings: Settings) -> Lora:
    """The adapter that a training starts from.

    Raises:
        UnlearnError: for an unknown `settings.down`.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    if settings.down in ("selective", "scaled"):
        return scaled(targets, prompts, settings.rank, generator, settings.down == "selective")
    if settings.down == "random":
        return new_lora(targets, settings.rank, settings.scale, generator)
    if settings.down == "discriminant":
        direction = discriminant(prompts.text_pairs[0], prompts.keep, prompts.empty)
        return new_lora(targets, 1, 1.0, generator, direction)
    if settings.down == "solved":
        return in_units(closed_form(targets, prompts, settings.rank, gamma=settings.repulsion), targets, prompts)
    if settings.down == "edit":
        return closed_form(targets, prompts, settings.rank, gamma=settings.repulsion)
    known = "selective, scaled, solved, random, discriminant or edit"
    raise UnlearnError(f"Unknown choice of directions {settings.down!r}; choose {known}.")


def scaled(
    targets: dict[str, Target], prompts: Prompts, rank: int, generator: torch.Generator, choose: bool = False
) -> Lora:
    """Random directions in units of the model at hand, so that one learning rate serves every encoder.

    Each layer's directions answer the concept's tokens with a root mean square of about 1, and its scale is the root
    mean square of what the layer itself makes of them.

    Args:
        choose: take directions that hardly answer other prompts, see `directions.Selective`, not any.

    Raises:
        UnlearnError: if one of the layers does not read the prompt.
    """
    text = prompts.concept_tokens
    for name, target in targets.items():
        check_reads(name, target, text.shape[1])
    ways = (
        Selective(text, tokens(prompts.keep), loudness(t.weight for t in targets.values()))
        if choose
        else Anywhere(text)
    )
    layers = {}
    for name, target in targets.items():
        weight = target.weight.detach().float()
        down = ways.draw(rank, generator)
        own = float((text.to(weight.device) @ weight.T).square().mean().sqrt())
        up = torch.zeros(weight.shape[0], rank, device=weight.device)
        layers[name] = LoraLayer(down.to(weight.device), up, own)
    return Lora(layers)


def in_units(lora: Lora, targets: dict[str, Target], prompts: Prompts) -> Lora:
    """The same residuals in units of the model at hand, as `scaled` has them, so that its learning rate serves here."""
    text = prompts.concept_tokens
    layers = {}
    for name, layer in lora.items():
        weight = targets[name].weight.detach().float()
        answers = (text @ layer.down.detach().to(text.device).T).square().mean(0).sqrt().clamp_min(1e-12)
        own = float((text.to(weight.device) @ weight.T).square().mean().sqrt())
        answers = answers.to(layer.down.device)
        layers[name] = LoraLayer(layer.down / answers[:, None], layer.up * (answers * layer.scale / own), own)
    return Lora(layers)


def check_reads(name: str, target: Target, width: int) -> None:
    """Refuse a layer whose input is not the prompt's text.

    Raises:
        UnlearnError: naming it.
    """
    if target.shape[1] != width:
        raise UnlearnError(f"{name} does not read the prompt; use random directions for such layers (paper mode).")


def closed_form(targets: dict[str, Target], prompts: Prompts, rank: int, gamma: float = 0.0) -> Lora:
    """The instant eraser: a LoRA from text embeddings alone, no evaluation of the denoiser.

    Every layer maps an edited token c + c M as it would map c + shift: down = the edit's directions,
    up = W rest.T for the layer's own weight W.

    Raises:
        UnlearnError: if one of the layers does not read the prompt.
    """
    for name, target in targets.items():
        check_reads(name, target, prompts.empty.tensors["text"].shape[-1])
    scale = loudness(target.weight for target in targets.values())  # tokens are taken as the layers hear them
    groups = (louder(group, scale) for group in (*prompts.text_pairs, prompts.keep[:SHAPING], prompts.empty))
    concept, reference, keep, empty = groups
    edit = token_edit(concept, reference, keep, empty, gamma)
    ears = {name: place.weight.detach().float() for name, place in targets.items()}
    ears = {name: weight / scale.clamp_min(QUIET).to(weight.device) for name, weight in ears.items()}
    down, rest = enough_factors(edit, rank, tokens(concept), ears.values())
    return Lora(
        {
            name: LoraLayer(down * scale.to(down.device), weight @ rest.T.to(weight.device), 1.0)
            for name, weight in ears.items()
        }
    )


def _fit(
    denoiser: Denoiser,
    lora: Lora,
    prompts: Prompts,
    states: States,
    settings: Settings,
    generator: torch.Generator,
    report: Report,
    stop: Stop,
    done: int,
) -> Trained:
    held = states[torch.randperm(len(states), generator=generator)[: settings.batch]]
    optimizer = torch.optim.Adam(trained(lora, settings))
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    losses: list[float] = []
    reached = False
    step = done
    for step in range(done + 1, settings.iterations + 1):
        if stop():
            return Trained(lora, False, redirected(denoiser, lora, prompts, held, settings), step - 1, losses)
        chosen = states[torch.randint(0, len(states), (settings.batch,), generator=generator)]
        loss = eraser_loss(denoiser, lora, prompts, chosen, settings)
        optimizer.zero_grad(set_to_none=True)
        scaled_backward(loss, parameters)
        optimizer.step()
        losses.append(loss.item())
        progress = Progress("training", step, settings.iterations, losses[-1], lora=lora)
        if step % 10 == 0:
            progress = replace(progress, redirected=redirected(denoiser, lora, prompts, held, settings))
        report(progress)
        if progress.redirected is not None:
            before, reached = reached, progress.redirected >= settings.enough
            if before and reached:  # once may be the first swing past the mark
                break
    return Trained(lora, True, redirected(denoiser, lora, prompts, held, settings), step, losses)


def trained(lora: Lora, settings: Settings) -> list[dict[str, Any]]:
    """What the optimizer trains, each group at its own rate: up, and directions that are not fixed.

    Scaled directions move by a share of their own size, `DOWN_RATE` times as far as up, whose unit is the layer's
    output.
    """
    groups = [{"params": [layer.up for _, layer in lora.items()], "lr": settings.learning_rate}]
    if settings.down in ("random", "scaled", "selective", "solved"):
        downs = [layer.down for _, layer in lora.items()]
        size = float(downs[0].detach().square().mean().sqrt())
        rate = settings.learning_rate * (1.0 if settings.down == "random" else DOWN_RATE * size)
        groups.append({"params": downs, "lr": rate})
    return groups


def eraser_loss(denoiser: Denoiser, lora: Lora, prompts: Prompts, states: States, settings: Settings) -> Tensor:
    """Mean squared error between the adapted prediction for the target prompts and the objective's target."""
    goal = OBJECTIVES[settings.objective](states.target, states.reference, states.empty, settings.gamma)
    with lora.rows(torch.ones(len(states))), offloaded() if settings.offload else nullcontext():
        predicted = denoiser.predict(states.x, states.sigma, prompts.target[states.row])
    return (predicted.float() - goal.float()).square().mean()


@torch.no_grad()
def redirected(denoiser: Denoiser, lora: Lora, prompts: Prompts, states: States, settings: Settings) -> float:
    """The matched filter <D, G> / |G|^2: how much of the wanted change G the adapter makes (D)."""
    goal = OBJECTIVES[settings.objective](states.target, states.reference, states.empty, settings.gamma)
    with lora.rows(torch.ones(len(states))):
        change = denoiser.predict(states.x, states.sigma, prompts.target[states.row]) - states.target
    wanted = goal - states.target
    return float((change * wanted).sum() / wanted.square().sum().clamp_min(1e-12))
