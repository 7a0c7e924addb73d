"""E4: which states to train on, for the same number of network evaluations? `python -m benchmarks.training_states`.

* own: every update draws a new state on the adapted model's own way to the concept, as UnGuide does (here with gamma 1,
  as in all other rows).
* recorded: a buffer from the frozen model's trajectories, recorded once.
* noised: the frozen model's pictures with noise added again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from benchmarks import common
from lora_unlearn.bank import load_bank
from lora_unlearn.concept import Concept
from lora_unlearn.erase import CountingDenoiser, erase
from lora_unlearn.evaluate.prompts import HELD_OUT
from lora_unlearn.guidance import Eraser
from lora_unlearn.hosts.diffusers import denoiser_for
from lora_unlearn.lora import Lora
from lora_unlearn.settings import Settings
from lora_unlearn.training.methods import PAPER
from lora_unlearn.training.prompts import encode
from lora_unlearn.training.scene import Scene
from lora_unlearn.training.states import States, record
from lora_unlearn.training.train import redirected, scene_of, train

EDIT = replace(common.FORMER, enough=1.0, iterations=10_000)
RANDOM = replace(EDIT, down="random", scale=8.0, rank=1, learning_rate=3e-3, selector="cross_kv")
OWN = replace(PAPER, gamma=1.0, iterations=10_000)
ARMS: dict[str, Settings] = {
    **{f"own, random, rate {rate:g}": replace(OWN, learning_rate=rate) for rate in (1e-3, 3e-3, 1e-2)},
    **{f"{kind}, random, rate 0.003": replace(RANDOM, source=(kind,)) for kind in ("recorded", "noised")},
    **{
        f"{kind}, closed form, rate {EDIT.learning_rate:g}": replace(EDIT, source=(kind,))
        for kind in ("recorded", "noised")
    },
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
        for label, settings in ARMS.items():
            counted = CountingDenoiser(denoiser_for(pipe))
            lora, updates = trained(counted, name, settings, options.budget)
            row = {"concept": name, "states": label, "evaluations": counted.evaluations, "updates": updates}
            table.append(row | measured(pipe, lora, settings, sets, name))
            print(table[-1], flush=True)
    common.finish(options.out, "training_states", table)


def trained(counted: CountingDenoiser, name: str, settings: Settings, budget: int) -> tuple[Lora, int]:
    """An adapter that has had `budget` evaluations, those for its states included, and its number of updates."""
    concept = Concept(name)
    prompts = encode(counted, concept, common.banks(concept)[0])  # type: ignore[arg-type]
    result = train(counted, prompts, settings, stop=lambda: counted.evaluations >= budget)  # type: ignore[arg-type]
    return result.lora, result.iterations


def measured(pipe: Any, lora: Lora, settings: Settings, sets: common.Sets, name: str) -> dict[str, Any]:
    """The matched filter on held-out sentences' states, frozen and own, and what is drawn without a gate."""
    denoiser = denoiser_for(pipe)
    prompts = encode(denoiser, Concept(name), common.banks(Concept(name))[0])
    target = denoiser.encode([pattern.format(name) for pattern in HELD_OUT[:4]])
    prompts = replace(prompts, target=target, reference=prompts.empty[[0] * len(target)], shared_reference=True)
    scene = scene_of(denoiser, prompts, replace(settings, seed=99))
    with lora.attached(scene.targets):
        frozen = recorded(scene)
        with lora.rows(torch.ones(1)):
            own = recorded(scene)
        own = predicted(scene, own)
        found = {
            label: round(redirected(scene, lora, states) or 0.0, 3)
            for label, states in (("on the model's way", frozen), ("on its own way", own))
        }
    adapter = erase(denoiser, Concept(name), load_bank("demo"), "instant", replace(EDIT, iterations=0))
    adapter.lora, adapter.settings = lora, settings
    return found | common.judged(pipe, sets, [Eraser(adapter, 1.0, "on")])


def recorded(scene: Scene) -> States:
    """States on the way from noise to the concept, by whatever model the denoiser is at the moment."""
    prompts, settings = scene.prompts, scene.settings
    parts = prompts.target, prompts.reference, prompts.empty
    return record(scene.denoiser, *parts, 4, settings.trajectory_steps, settings.guidance_scale, scene.generator, True)


def predicted(scene: Scene, states: States) -> States:
    """The same states with the frozen model's predictions."""
    blank = scene.prompts.empty[torch.zeros(len(states), dtype=torch.long)]
    target = scene.base(states.x, states.sigma, scene.prompts.target[states.row])
    empty = scene.base(states.x, states.sigma, blank)
    return replace(states, target=target, reference=empty, empty=empty)


if __name__ == "__main__":
    main()
