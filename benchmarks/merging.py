"""Ways of merging erasers: `python -m benchmarks.merging`, on the demo model.

Several trainings of one concept, with other seeds, and several concepts in one file: each method beside its parts, as
an ordinary LoRA that is always on. Acc_e, Acc_g and Acc_s are the shares of pictures on which the judge sees what was
asked for: the erased concepts, by their synonyms, all other objects. H is the protocol's harmonic mean;
"kept" is how much of a method's change, in squared norm, its rank holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import common
from lora_unlearn import Adapter, Concept, Eraser, denoiser_for, erase, load_bank
from lora_unlearn.demo.words import THINGS
from lora_unlearn.erase import MODES, RECIPE
from lora_unlearn.evaluate.prompts import CLASSES, HELD_OUT, HYPONYMS
from lora_unlearn.evaluate.scores import harmonic
from lora_unlearn.join import joined
from lora_unlearn.lora import Lora
from lora_unlearn.merging import MERGES, takes

WHOLE = 4096
"""A rank above that of any layer of the demo model."""


def main() -> None:
    """A row for each part and each method, of one concept's seeds and of several concepts."""
    several = {"one": "cat", "several": "cat,ship,frog,bird,truck", "seeds": "0,1,2"}
    ways = {"methods": ",".join(MERGES), "rank": 0, "density": 0.5}
    options = common.options(__doc__ or "", mode="fast", pictures=6, **several, **ways)
    pipe, concepts, seeds = common.pipeline(options.checkpoint), options.several.split(","), options.seeds.split(",")
    trained = {
        "seeds": [made(pipe, options.one, options.mode, int(seed), options.out) for seed in seeds],
        "concepts": [made(pipe, name, options.mode, 0, options.out, concepts) for name in concepts],
    }
    rows = []
    for task, adapters in trained.items():
        erased = list(dict.fromkeys(adapter.concept.name for adapter in adapters))
        sets = asked(erased, options.pictures)
        rows.append({"task": task, "way": "no eraser", "rank": 0, "kept": 1.0, **figures(pipe, sets)})
        print(rows[-1], flush=True)
        for way, (adapter, kept) in candidates(adapters, options).items():
            size = {"rank": adapter.lora.rank, "kept": kept}
            rows.append({"task": task, "way": way, **size, **figures(pipe, sets, [Eraser(adapter, 1.0, "on")])})
            print(rows[-1], flush=True)
    common.finish(options.out, "merging", rows)


def made(pipe: Any, name: str, mode: Any, seed: int, folder: Path, among: Sequence[str] = ()) -> Adapter:
    """An eraser that turns its concept into none of the others; kept as a file, so that it is trained once only."""
    others = tuple(other for other in among if other != name)
    path = folder / f"merging-{mode}-{name}-{'-'.join([str(seed), *others])}-recipe{RECIPE}.safetensors"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        settings = replace(MODES[mode], seed=seed)
        erase(denoiser_for(pipe), Concept(name, avoid=others), load_bank("demo"), mode, settings).save(path)
    return Adapter.load(path)


def candidates(adapters: Sequence[Adapter], options: Any) -> dict[str, tuple[Adapter, float]]:
    """The parts by concept and seed, and what each method makes of them; with the share of it that the rank keeps."""
    found = {f"{adapter.concept.name}, seed {adapter.settings.seed}": (adapter, 1.0) for adapter in adapters}
    for method in options.methods.split(","):
        chosen = {"density": options.density if takes(method, "density") else None}
        parts = [(adapter, 1.0) for adapter in adapters]
        lora, whole = (joined(parts, method, rank=rank, **chosen)[0] for rank in (options.rank or None, WHOLE))
        found[method] = replace(adapters[0], lora=lora), energy(lora) / energy(whole)
    return found


def energy(lora: Lora) -> float:
    """The squared Frobenius norm of all that an adapter changes."""
    return sum(float((layer.scale * layer.up @ layer.down).detach().square().sum()) for _, layer in lora.items())


def asked(erased: Sequence[str], pictures: int) -> common.Sets:
    """So many held-out sentences with each erased concept; a third of them with each synonym and each other object."""
    spared = {*erased, *(kind for name in erased for kind in HYPONYMS.get(name, ()))}
    few = max(1, pictures // 3)
    groups = {
        "target": [(name, name, pictures) for name in erased],
        "synonyms": [(word, name, few) for name in erased for word in CLASSES[name]],
        "others": [(thing, thing, few) for thing in THINGS if thing not in spared],
    }
    return {
        group: (
            [pattern.format(word) for word, _, count in words for pattern in HELD_OUT[:count]],
            [label for _, label, count in words for _ in HELD_OUT[:count]],
        )
        for group, words in groups.items()
    }


def figures(pipe: Any, sets: common.Sets, erasers: Sequence[Eraser] = ()) -> dict[str, Any]:
    """The shares and what is on the pictures of the erased concepts instead."""
    found = common.judged(pipe, sets, erasers)
    acc_e, acc_g, acc_s = (found[group] for group in ("target", "synonyms", "others"))
    shares = {"Acc_e": acc_e, "Acc_g": acc_g, "Acc_s": acc_s, "H": harmonic(acc_e, acc_s, acc_g)}
    return {**shares, "instead": found["instead"], "saturation": found["saturation"]}


if __name__ == "__main__":
    main()
