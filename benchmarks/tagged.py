"""The text gate on prompts made of tags, as anime models are asked: `python -m benchmarks.tagged --encoder minilm`.

For each concept the share of tag lists without it that open, and of lists with it (its name, "holding ...",
"white ...", "... in background", "(...:1.2)" at any place) that open, by the number of tags. The lists are drawn from
the words below.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path
from typing import Any

from benchmarks import common
from benchmarks.encoders import FOLDERS, TextOnly
from lora_unlearn.bank import Parts, load_bank
from lora_unlearn.calibrate import text_scores
from lora_unlearn.concept import Concept
from lora_unlearn.erase import without_concept
from lora_unlearn.text_gate import text_gate

NAMES = ("dog", "bird", "cake", "umbrella", "bear", "hat")
COUNTS = (12, 18, 25, 40)
WAYS = ("{}", "holding {}", "{} in background", "({}:1.2)", "white {}")
TAGS = """
masterpiece, best quality, amazing quality, very aesthetic, absurdres, newest, highres, ultra detailed, 8k, score_9,
score_8_up, score_7_up, source_anime, rating_safe, official art, key visual, 1girl, 1boy, 2girls, solo, multiple girls,
no humans, 1other, long hair, short hair, silver hair, black hair, blonde hair, pink hair, twintails, ponytail, braid,
ahoge, bangs, hair ornament, hair ribbon, blue eyes, red eyes, green eyes, heterochromia, closed eyes, looking at
viewer, looking away, smile, open mouth, blush, expressionless, crying, school uniform, serafuku, kimono, maid apron,
hoodie, dress, white shirt, pleated skirt, armor, cape, thighhighs, gloves, boots, scarf, swimsuit, coat, glasses,
necktie, outdoors, indoors, night sky, cherry blossoms, city lights, forest, beach, classroom, rain, snow, sunset,
ruins, simple background, white background, depth of field, lens flare, from above, from below, dutch angle, upper
body, full body, cowboy shot, close-up, wide shot, holding sword, holding book, flower, petals, butterfly, guitar,
coffee, stars, moon, clouds, water, fire, magic circle, wings, halo, sitting, standing, running, lying, hand on own
cheek, arms up
"""


def main() -> None:
    """A row for each concept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", choices=sorted(FOLDERS), default="minilm")
    parser.add_argument("--concepts", default=",".join(NAMES))
    parser.add_argument("--prompts", type=int, default=160, help="lists of each kind")
    parser.add_argument("--out", type=Path, default=Path("out/benchmarks"))
    options = parser.parse_args()
    denoiser = TextOnly(options.encoder, length=256)
    rows = [row(denoiser, name, options.prompts) for name in options.concepts.split(",")]
    common.finish(options.out, f"tagged_{options.encoder}", rows)


def row(denoiser: Any, name: str, count: int) -> dict[str, Any]:
    """One concept, named by its word alone."""
    concept, draw = Concept(name), random.Random(name)
    gate = text_gate(denoiser, concept, Parts.of(without_concept(load_bank("sd1"), concept)))

    def opened(lists: list[str]) -> float:
        return float((text_scores(denoiser, gate, lists) >= gate.threshold).float().mean())

    found: dict[str, Any] = {"concept": name, "without": opened([tags(draw, number(i), name) for i in range(count)])}
    for tag_count in COUNTS:
        asked = [tags(draw, tag_count, name, WAYS[place % len(WAYS)]) for place in range(count // len(COUNTS))]
        found[f"{tag_count} tags"] = opened(asked)
    return found


def number(place: int) -> int:
    """How many tags a list gets."""
    return COUNTS[place % len(COUNTS)]


def tags(draw: random.Random, count: int, name: str, way: str = "") -> str:
    """A list of so many tags without a word, or with it at any place but the first."""
    words = [tag for tag in " ".join(TAGS.split()).split(", ") if name not in tag]
    chosen = draw.sample(words, count)
    if way:
        chosen[draw.randrange(1, count)] = way.format(name)
    return ", ".join(chosen)


if __name__ == "__main__":
    main()
