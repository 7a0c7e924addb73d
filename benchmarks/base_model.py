"""How often the demo model draws what it is asked for: `python -m benchmarks.base_model --count 20`."""

from __future__ import annotations

from benchmarks import common
from lora_unlearn.demo.words import THINGS
from lora_unlearn.evaluate.prompts import CLASSES, TEMPLATE


def main() -> None:
    """Print the judge's shares for all objects and all synonyms, and the lowest of each."""
    options = common.options(__doc__ or "", count=20)
    pipe = common.pipeline(options.checkpoint)
    words = {"objects": [(thing, thing) for thing in THINGS]}
    words["synonyms"] = [(word, name) for name, synonyms in CLASSES.items() for word in synonyms]
    table = {}
    for group, pairs in words.items():
        shares = {
            word: common.share(pipe, [TEMPLATE.format(word)] * options.count, [wanted] * options.count)
            for word, wanted in pairs
        }
        lowest = min(shares, key=lambda word: shares[word])
        table[group] = {"mean": sum(shares.values()) / len(shares), "lowest": {lowest: shares[lowest]}}
        print(group, table[group])
    common.write(options.out, "base_model", table)


if __name__ == "__main__":
    main()
