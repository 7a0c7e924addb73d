"""E4: which states to train on, for the same number of network evaluations? `python -m benchmarks.training_states`.

* fresh: every update draws a new state on the adapted model's own way to the concept, as UnGuide does (here with
  gamma 1, as in all other rows).
* frozen: a buffer from the frozen model's trajectories, recorded once (what `train` does).
* own: a quarter of the buffer is recorded with the adapter switched on, when half of the updates are done.
* noised: the frozen model's finished latents with noise added again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from benchmarks import common
from lora_unlearn.bank import load_bank
from lora_unlearn.concept import Concept
from lora_unlearn.denoiser import Denoiser
from lora_unlearn.erase import Counted, erase
from lora_unlearn.evaluate.prompts import HELD_OUT
from lora_unlearn.guidance import Eraser
from lora_unlearn.hosts.diffusers import denoiser_for
from lora_unlearn.lora import Lora
from lora_unlearn.paper import PAPER, train_paper
from lora_unlearn.settings import Settings
from lora_unlearn.train import Prompts, encode, eraser_loss, initial, redirected
from lora_unlearn.trajectories import States, record

EDIT = replace(common.FORMER, enough=9.0)
RANDOM = replace(common.FORMER, down="random", scale=8.0, rank=1, learning_rate=3e-3, selector="cross_kv")
ARMS: dict[str, tuple[str, Settings]] = {
    **{
        f"fresh, random, rate {rate:g}": ("fresh", replace(PAPER, gamma=1.0, learning_rate=rate))
        for rate in (1e-3, 3e-3, 1e-2)
    },
    **{f"{kind}, random, rate 0.003": (kind, RANDOM) for kind in ("frozen", "noised")},
    **{f"{kind}, closed form, rate {EDIT.learning_rate:g}": (kind, EDIT) for kind in ("frozen", "own", "noised")},
}


def main() -> None:
    """Print and keep a table: concept x states x directions."""
    options = common.options(__doc__ or "", budget=1392)
    pipe, table = common.pipeline(options.checkpoint), []
    for name in options.concepts:
        sets = common.prompt_sets(name, targets=9, synonyms=2, others=1)
        start = erase(denoiser_for(pipe), Concept(name), load_bank("demo"), "instant", EDIT)
        row = {"concept": name, "states": "none, closed form", "evaluations": 0, "updates": 0}
        table.append(row | measured(pipe, start.lora, EDIT, sets, name))
        print(table[-1], flush=True)
        for label, (kind, settings) in ARMS.items():
            counted = Counted(denoiser_for(pipe))
            lora, updates = trained(counted, name, kind, settings, options.budget)
            row = {"concept": name, "states": label, "evaluations": counted.evaluations, "updates": updates}
            table.append(row | measured(pipe, lora, settings, sets, name))
            print(table[-1], flush=True)
    common.finish(options.out, "training_states", table)


def trained(counted: Counted, name: str, kind: str, settings: Settings, budget: int) -> tuple[Lora, int]:
    """An adapter that has had `budget` evaluations, those for its states included, and its number of updates."""
    concept, spent = Concept(name), lambda: counted.evaluations >= budget
    if kind == "fresh":
        result = train_paper(counted, concept, settings, stop=spent)
        return result.lora, result.iterations
    keep, _ = common.banks(concept)
    prompts, targets = encode(counted, concept, keep), counted.linears(settings.selector)
    lora, generator = initial(targets, prompts, settings), torch.Generator().manual_seed(settings.seed)
    count = settings.trajectories * 3 // 4 if kind == "own" else settings.trajectories
    with lora.attached(targets):
        states = recorded(counted, prompts, settings, count, generator)
        if kind == "noised":
            states = noised(counted, prompts, states, settings, generator)
        if kind == "own":
            fit(counted, lora, prompts, states, settings, generator, lambda: counted.evaluations >= budget // 2)
            fresh = own_states(counted, lora, prompts, settings, settings.trajectories - count, generator)
            states = States(
                *(torch.cat(pair) for pair in zip(vars(states).values(), vars(fresh).values(), strict=True))
            )
        return lora, fit(counted, lora, prompts, states, settings, generator, spent)


def fit(
    counted: Counted,
    lora: Lora,
    prompts: Prompts,
    states: States,
    settings: Settings,
    generator: torch.Generator,
    stop: Callable[[], bool],
) -> int:
    """Updates on a buffer until the evaluations are spent; their number."""
    chosen_parts = ("up", "down") if settings.down == "random" else ("up",)
    parameters = [getattr(layer, part) for _, layer in lora.items() for part in chosen_parts]
    optimizer, updates = torch.optim.Adam(parameters, lr=settings.learning_rate), 0
    while not stop():
        chosen = states[torch.randint(0, len(states), (settings.batch,), generator=generator)]
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(eraser_loss(counted, lora, prompts, chosen, settings), inputs=parameters)
        optimizer.step()
        updates += 1
    return updates


def recorded(
    denoiser: Denoiser, prompts: Prompts, settings: Settings, count: int, generator: torch.Generator
) -> States:
    """States on the way from noise to the concept, by whatever model the denoiser is at the moment."""
    steps, scale = settings.trajectory_steps, settings.guidance_scale
    parts = prompts.target, prompts.reference, prompts.empty
    return record(denoiser, *parts, count, steps, scale, generator, prompts.shared_reference)


def own_states(
    counted: Counted, lora: Lora, prompts: Prompts, settings: Settings, count: int, generator: torch.Generator
) -> States:
    """States on the adapted model's own way; the frozen model's predictions there cost an evaluation each."""
    with lora.rows(torch.ones(1)):
        states = recorded(counted, prompts, settings, count, generator)
    return predicted(counted, prompts, states)


@torch.no_grad()
def predicted(denoiser: Denoiser, prompts: Prompts, states: States) -> States:
    """The same states with the frozen model's predictions."""
    target = denoiser.predict(states.x, states.sigma, prompts.target[states.row])
    empty = denoiser.predict(states.x, states.sigma, prompts.empty[[0] * len(states)])
    return States(states.x, states.sigma, target, empty, empty, states.row)


def noised(
    counted: Counted, prompts: Prompts, states: States, settings: Settings, generator: torch.Generator
) -> States:
    """Finished latents of the recorded trajectories, noised to the same levels (epsilon and v models)."""
    count, steps = settings.trajectories, settings.trajectory_steps
    last = states[torch.arange(len(states) - count, len(states))]
    guided = last.empty + settings.guidance_scale * (last.target - last.empty)
    clean = (last.x - last.sigma.view(-1, 1, 1, 1) * guided).repeat(steps, 1, 1, 1)
    noise = torch.randn(clean.shape, generator=generator)
    x = clean + states.sigma.view(-1, 1, 1, 1) * noise
    return predicted(counted, prompts, replace(states, x=x))


def measured(pipe: Any, lora: Lora, settings: Settings, sets: common.Sets, name: str) -> dict[str, Any]:
    """The matched filter on held-out sentences' states, frozen and own, and what is drawn without a gate."""
    denoiser = denoiser_for(pipe)
    prompts = encode(denoiser, Concept(name), common.banks(Concept(name))[0])
    target = denoiser.encode([pattern.format(name) for pattern in HELD_OUT[:4]])
    prompts = replace(prompts, target=target, reference=prompts.empty[[0] * len(target)])
    generator = torch.Generator().manual_seed(99)
    with lora.attached(denoiser.linears(settings.selector)):
        frozen = recorded(denoiser, prompts, settings, 4, generator)
        own = own_states(Counted(denoiser), lora, prompts, settings, 4, generator)
        with torch.no_grad():
            found = {
                label: round(redirected(denoiser, lora, prompts, states, settings), 3)
                for label, states in (("on the model's way", frozen), ("on its own way", own))
            }
    adapter = erase(denoiser, Concept(name), load_bank("demo"), "instant", settings)
    adapter.lora = lora
    return found | common.judged(pipe, sets, [Eraser(adapter, 1.0, "on")])


if __name__ == "__main__":
    main()
