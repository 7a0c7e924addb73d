"""The text gate on real text encoders, asked for prompts that nothing was tuned on.

One concept: `python -m benchmarks.language --encoder minilm --concept "dog" --also "puppy" --prompts FILE --json OUT`
reads one prompt a line and writes the gate's threshold and each prompt's score and decision, in the file's order.

Many: `python -m benchmarks.language --encoder minilm --captions FILE` prints open rates over captions of COCO, split by
the words that they hold; `--hub FOLDER` those over the prompts of HUB (a checkout of ml-postech/HUB). Each concept is
named by its first word alone, or with `--ticked` also by what `suggest` calls near to it.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import common
from benchmarks.encoders import FOLDERS, TextOnly
from lora_unlearn.bank import Parts, load_bank, read_bank, without_concept
from lora_unlearn.bounds import FALSE_OPEN_RATE
from lora_unlearn.calibrate import text_scores
from lora_unlearn.concept import Concept
from lora_unlearn.gate import Gate
from lora_unlearn.text_gate import text_gate

CHOSEN = {
    "cat": ("cats", "kitten kittens kitty tabby feline", ""),
    "airplane": ("airplanes", "plane planes jet jets aircraft airliner jetliner", "runway airport biplane helicopter"),
    "truck": ("trucks", "lorry pickup", "vehicle vehicles van"),
    "horse": ("horses", "pony ponies mare stallion colt foal", "horseback"),
    "bicycle": ("bicycles", "bike bikes cyclist cyclists", "motorcycle motorcycles motorbike biker bikers biking"),
    "sheep": ("", "lamb lambs ram ewe", "herd goat goats"),
    "television": ("televisions", "tv tvs", "screen monitor"),
    "cow": ("cows", "cattle bull calf calves", "bulls steer ox oxen"),
    "donut": ("donuts", "doughnut doughnuts", ""),
    "child": ("children", "kid kids toddler", "boy boys girl girls baby infant little young"),
}
"""Plurals, other words, and words that count neither way: what the defaults were chosen on."""
HELD_OUT = {
    "dog": ("dogs", "puppy puppies pup pups labrador terrier hound canine", "hotdog hotdogs hot"),
    "bird": (
        "birds",
        "pigeon pigeons seagull seagulls parrot parrots owl eagle",
        "duck ducks goose geese flamingo swan",
    ),
    "boat": ("boats", "ship ships sailboat sailboats yacht canoe canoes kayak ferry vessel", "boating"),
    "bear": ("bears", "cub cubs panda grizzly", "teddy"),
    "car": ("cars", "automobile automobiles suv sedan taxi", "vehicle vehicles van cab cabs traffic parking"),
    "computer": ("computers", "pc laptop laptops", "keyboard monitor screen"),
    "phone": ("phones", "cellphone cellphones telephone smartphone", "cell cellular"),
    "refrigerator": ("refrigerators", "fridge", "freezer refrigerated"),
    "cake": ("cakes", "cupcake cupcakes", "cheesecake"),
    "woman": ("women", "lady ladies", "girl girls female she her bride"),
    "bathroom": ("bathrooms", "restroom washroom", "toilet bath shower"),
    "luggage": ("", "suitcase suitcases baggage", "bag bags backpack"),
    "hat": ("hats", "", "helmet helmets cap caps cowboy"),
    "broccoli": ("", "", ""),
    "pizza": ("pizzas", "", "pizzeria"),
    "zebra": ("zebras", "", ""),
    "skateboard": ("skateboards", "", "skateboarder skateboarders skateboarding skater skate board"),
    "tree": ("trees", "", "forest wood woods branch branches"),
    "umbrella": ("umbrellas", "", "parasol parasols"),
    "kitchen": ("kitchens", "", "stove oven sink cooking"),
    "mountain": ("mountains", "", "hill hills ski skis skier skiing slope snowy"),
    "vase": ("vases", "", "flower flowers"),
}
"""The same for concepts that nothing was chosen on."""
LEAST = 5
"""Captions that a share needs to be counted."""


def main() -> None:
    """One concept's scores, or a table."""
    options = parse()
    denoiser = TextOnly(options.encoder)
    if options.concept:
        one(denoiser, options)
    if options.captions:
        captions = options.captions.read_text(encoding="utf-8").splitlines()
        for title, words in (("chosen on", CHOSEN), ("held out", HELD_OUT)):
            rows = [on_captions(denoiser, name, captions, words[name], options) for name in words]
            print(f"\n{options.encoder}, {title}")
            common.finish(options.out, f"language_{options.encoder}_{title.replace(' ', '_')}", summed(rows))
    if options.hub:
        common.finish(options.out, f"language_{options.encoder}_hub", hub_table(denoiser, options))


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", choices=sorted(FOLDERS), default="minilm")
    parser.add_argument("--concept")
    parser.add_argument("--also", action="append", default=[])
    parser.add_argument("--keep", action="append", default=[])
    parser.add_argument("--prompts", type=Path, help="one prompt a line, to be scored for --concept")
    parser.add_argument("--json", type=Path, help="where the scores of --prompts go")
    parser.add_argument("--bank", type=Path, help="own prompts that must stay closed")
    parser.add_argument("--captions", type=Path, help="one caption a line: print the tables")
    parser.add_argument("--hub", type=Path, help="HUB's folder of prompts")
    parser.add_argument("--ticked", action="store_true", help="name the words, too, that suggest calls near")
    parser.add_argument("--false-open-rate", type=float, default=FALSE_OPEN_RATE)
    parser.add_argument("--out", type=Path, default=Path("out/benchmarks"))
    options = parser.parse_args()
    if bool(options.concept) != bool(options.prompts and options.json):
        parser.error("--concept, --prompts and --json go together")
    return options


def gate_for(denoiser: Any, concept: Concept, options: argparse.Namespace) -> Gate:
    """The gate that `erase` would make on this encoder."""
    own = read_bank(options.bank) if options.bank else []
    parts = Parts.of(load_bank("sd1")).without(concept)
    return text_gate(denoiser, concept, parts, without_concept(own, concept), options.false_open_rate)


def one(denoiser: Any, options: argparse.Namespace) -> None:
    """Score a file of prompts for one concept."""
    concept = Concept(options.concept, also=tuple(options.also), keep=tuple(options.keep))
    prompts = options.prompts.read_text(encoding="utf-8").splitlines()
    gate = gate_for(denoiser, concept, options)
    scores = text_scores(denoiser, gate, prompts).tolist() if prompts else []
    rows = [{"prompt": p, "score": s, "open": s >= gate.threshold} for p, s in zip(prompts, scores, strict=True)]
    result = {"threshold": gate.threshold, "concept": concept.name, "prompts": rows}
    options.json.write_text(json.dumps(result, indent=1), encoding="utf-8")
    print(f"open: {sum(row['open'] for row in rows)} of {len(rows)}; threshold {gate.threshold:.3f}")


def named(denoiser: Any, name: str, options: argparse.Namespace) -> Concept:
    """A concept by its name, and by the near words that the encoder suggests where they are ticked."""
    concept = Concept(name)
    if not options.ticked:
        return concept
    from lora_unlearn.hosts.text import encoder_words
    from lora_unlearn.suggest import suggest

    denoiser.vocabulary = lambda: encoder_words(denoiser.tokenizer, denoiser.encoder.network)
    return replace(concept, also=tuple(s.word for s in suggest(denoiser, concept) if s.kind != "neighbour"))


def grouped(name: str, captions: Sequence[str], words: tuple[str, str, str]) -> dict[str, list[str]]:
    """Captions with the concept's own word, with another word (also put in its place: "swapped"), and without."""
    own, other, either = ({*text.split()} for text in words)
    own = own | {name}
    held = [set(re.findall(r"[a-z]+", caption.lower())) for caption in captions]
    groups = {
        "own word": [c for c, h in zip(captions, held, strict=True) if h & own],
        "other words": [c for c, h in zip(captions, held, strict=True) if h & other and not h & own],
        "without": [c for c, h in zip(captions, held, strict=True) if not h & (own | other | either)],
    }
    pattern = re.compile(rf"\b({'|'.join(sorted(own, key=len, reverse=True))})\b", re.IGNORECASE)
    groups["swapped"] = [pattern.sub(w, c) for w in words[1].split() for c in groups["own word"][:40]]
    return groups


def on_captions(
    denoiser: Any, name: str, captions: Sequence[str], words: tuple[str, str, str], options: argparse.Namespace
) -> dict[str, Any]:
    """Open rates for the groups of captions that `grouped` makes."""
    concept = named(denoiser, name, options)
    gate = gate_for(denoiser, concept, options)
    row: dict[str, Any] = {"concept": name}
    apart = (words[0], words[1], f"{words[2]} {' '.join(concept.also).lower()}")  # a ticked word is meant
    for group, prompts in grouped(name, captions, apart).items():
        if len(prompts) >= LEAST:
            row[group] = float((text_scores(denoiser, gate, prompts) >= gate.threshold).float().mean())
        else:
            row[group] = None
        row[f"{group}, captions"] = len(prompts)
    print(row, flush=True)
    return row


def summed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, and the mean and the worst of each share below them."""
    shares = ("own word", "other words", "swapped", "without")
    mean: dict[str, Any] = {**dict.fromkeys(rows[0], ""), "concept": "**mean**"}
    worst = mean | {"concept": "**worst**"}
    for share in shares:
        found = [row[share] for row in rows if row[share] is not None]
        mean[share], worst[share] = sum(found) / len(found), (max if share == "without" else min)(found)
    cells = [*rows, mean, worst]
    return [
        {k: "" if v is None else round(v, 4) if isinstance(v, float) else v for k, v in row.items()} for row in cells
    ]


HUB_CONCEPTS = {
    "Van Gogh": "Van Gogh style",
    "Claude Monet": "Claude Monet style",
    "Picasso": "Picasso style",
    "Andy Warhol": "Andy Warhol style",
    "Snoopy": "Snoopy",
    "Mickey Mouse": "Mickey Mouse",
    "Pikachu": "Pikachu",
    "SpongeBob": "SpongeBob",
    "Taylor Swift": "Taylor Swift",
    "Brad Pitt": "Brad Pitt",
    "Elon Musk": "Elon Musk",
    "Emma Watson": "Emma Watson",
    "Nudity": "nudity",
}
"""HUB's names, and what a user would type."""
ROWS = 300
"""How many of a file's prompts are asked."""


def hub_table(denoiser: Any, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Open rates over HUB's prompts: with the concept, in other languages, adversarial, and the nearest nouns."""
    rows = []
    for folder, name in HUB_CONCEPTS.items():
        gate = gate_for(denoiser, named(denoiser, name, options), options)
        row: dict[str, Any] = {"concept": name}
        for group, prompts in hub_prompts(options.hub, folder).items():
            scores = text_scores(denoiser, gate, prompts)
            row[group] = round(float((scores >= gate.threshold).float().mean()), 4)
        print(row, flush=True)
        rows.append(row)
    groups = [group for group in rows[0] if group != "concept"]
    clothed = [row for row in rows if row["concept"] != "nudity"]
    mean = {group: round(sum(row[group] for row in clothed) / len(clothed), 4) for group in groups}
    return [*rows, {"concept": "**mean without nudity**", **mean}]


def hub_prompts(hub: Path, name: str) -> dict[str, list[str]]:
    """A concept's prompts, by group."""
    with (hub / "multilingual_robustness" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))[:ROWS]
    languages = [key for key in table[0] if key not in ("Original", "Index")]
    adversarial = (hub / "attack_robustness" / f"{name}.csv").read_text(encoding="utf-8").splitlines()[:ROWS]
    with (hub / "pinpoint_ness" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        nouns = [f"a photo of a {row['noun']}" for row in csv.DictReader(file)]
    return {
        "English": [row["Original"] for row in table],
        "other languages": [row[language] for row in table[: ROWS // 5] for language in languages if row[language]],
        "adversarial": [line for line in adversarial if line.strip()],
        "nearest nouns": nouns,
    }


if __name__ == "__main__":
    main()
