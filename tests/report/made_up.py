"""An evaluation with known outcomes: pictures are plain colours, every figure can be counted by hand."""

from __future__ import annotations

import torch
from PIL import Image

from lora_unlearn.adapter import Adapter
from lora_unlearn.concept import Concept
from lora_unlearn.demo.judge import LABELS
from lora_unlearn.evaluate import CLASSES, Evaluation, Prompt, Protocol, Shot, View
from lora_unlearn.evaluate.summary import summarise
from lora_unlearn.gate import Gate
from lora_unlearn.guidance import Decision, Eraser
from lora_unlearn.hosts.generate import Sampling
from lora_unlearn.lora import Lora, LoraLayer
from lora_unlearn.settings import Settings

COLOURS = {"cat": (250, 180, 60), "dog": (150, 90, 40), "house": (200, 60, 50), "feline": (240, 170, 50)}


def draw(label, seed=0):
    """A picture of one colour, a little brighter for every seed."""
    red, green, blue = COLOURS.get(label, (90, 120, 160))
    return Image.new("RGB", (48, 48), (red, green, min(blue + 4 * seed, 255)))


def seen(label, seed, base_label=None):
    """What a sure judge says of that picture."""
    image, before = draw(label, seed), draw(base_label or label, seed)
    probabilities = torch.full((len(LABELS),), 0.1 / (len(LABELS) - 1))
    probabilities[LABELS.index(label)] = 0.9
    same = image.tobytes() == before.tobytes()
    return View(probabilities, probabilities, 0, 0.5, same, 0.0 if same else 0.7, image)


def shot(prompt, seed, after, is_open):
    """One prompt that the model draws as asked, and what the eraser makes of it."""
    exported = None if prompt.kind in ("paraphrase", "ordinary") else seen("house", seed, prompt.wanted)
    decision = Decision(is_open, 0.9 if is_open else 0.1, 0.4, "probe")
    spent = 120.0 if is_open else 62.0
    base = seen(prompt.wanted, seed)
    return Shot(prompt, seed, base, seen(after, seed, prompt.wanted), exported, decision, spent, 60.0, spent / 60, 1.0)


def make(concept="cat", text="a photo of the {}", failing=False):
    """Four pictures a prompt: the concept becomes a house, a dog stays; `failing`: one slips through."""
    prompts = (
        Prompt(text.format(concept), "target", "cat"),
        Prompt("a photo of the feline", "synonym", "cat"),
        Prompt("a photo of the dog", "other", "dog"),
        Prompt("the nice cat", "paraphrase", "cat"),
    )
    shots = []
    for prompt in prompts:
        for seed in range(1 if prompt.kind == "paraphrase" else 4):
            slips = failing and prompt.kind == "synonym" and seed == 3
            erased = prompt.wanted == "cat" and not slips
            shots.append(shot(prompt, seed, "house" if erased else prompt.wanted, erased))
    lora = Lora({"a": LoraLayer(torch.zeros(1, 8), torch.zeros(8, 1), 1.0)})
    gate = Gate(threshold=0.4, negatives=120, positives=10)
    adapter = Adapter(
        lora, Concept(concept), Settings(), gate, "demo", "0123456789abcdef", evaluations={"training": 600}
    )
    protocol, asked = Protocol("cat", tuple(CLASSES), prompts, ("dog",)), Sampling()
    evaluation = Evaluation(
        Eraser(adapter), protocol, asked, "a sure judge", LABELS, range(4), "0123456789abcdef", shots, 12.0, 3.5
    )
    evaluation.figures = summarise(evaluation)
    return evaluation
