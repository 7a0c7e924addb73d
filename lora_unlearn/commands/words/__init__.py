"""What can be typed: every command with its options, in words for people."""

from __future__ import annotations

from collections.abc import Callable

from . import making, using
from .typed import Parser

COMMANDS: dict[str, tuple[Callable[[Parser], None], str, str]] = {
    "demo": (making.add_demo, "erase a concept from the demo model and show pictures of before and after",
             "demo --concept cat"),
    "erase": (making.add_erase, "make an eraser for a concept",
              'erase --checkpoint model.safetensors --concept "cat" --also "kitten" --out cat.safetensors'),
    "methods": (making.add_methods, "list what there is to erase with, or one method's parts and numbers",
                "methods esd"),
    "suggest": (making.add_suggest,
                "name words that the model reads like a concept's, to erase or to keep along with it",
                'suggest --checkpoint model.safetensors --concept "dog"'),
    "try": (using.add_try, "ask an eraser's gate about prompts, without drawing anything",
            'try --checkpoint demo --adapter cat.safetensors --prompt "a kitten on a sofa" "a dog"'),
    "generate": (using.add_generate, "draw pictures, with or without erasers",
                 'generate --checkpoint demo --adapter cat.safetensors:1 --prompt "a cat" "a dog" --out pictures'),
    "evaluate": (using.add_evaluate, "measure what an eraser erases and what it spares",
                 "evaluate --checkpoint demo --adapter cat.safetensors --protocol unguide --out report"),
    "protocols": (using.add_protocols, "list what erasers are measured by", "protocols"),
    "attack": (using.add_attack, "try to get a concept past its eraser, by many known ways",
               "attack --checkpoint demo --adapter cat.safetensors --attack plain,ringabell --out attacked"),
    "calibrate": (making.add_calibrate, "measure an eraser's gate anew, on this model or on prompts of your own",
                  "calibrate --checkpoint model.safetensors --adapter cat.safetensors --bank mine.txt"),
    "strength": (making.add_strength, "find the smallest strength that still erases, on this model",
                 "strength --checkpoint model.safetensors --adapter cat.safetensors"),
    "inspect": (making.add_inspect, "show what an eraser's file says of itself", "inspect cat.safetensors"),
    "export": (making.add_export, "write an eraser in the format of another program",
               "export cat.safetensors --format diffusers --out cat-diffusers.safetensors"),
    "merge": (making.add_merge, "write several erasers as one LoRA without a gate",
              "merge cat.safetensors dog.safetensors --out both.safetensors"),
    "ui": (using.add_ui, "open the page that does all this in a browser", "ui --checkpoint demo"),
}  # fmt: skip
"""Each command: what adds its options, its summary and an example."""

__all__ = ["COMMANDS", "Parser"]
