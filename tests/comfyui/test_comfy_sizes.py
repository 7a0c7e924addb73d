"""Latents of several sizes and prompts of several lengths in one graph, as lists and combined prompts bring them."""

from __future__ import annotations

import pytest
import torch
from comfy_graphs import one_node, plain

pytestmark = pytest.mark.comfyui

CAT, DOG = "a photo of a cat", "a photo of a dog"
SIZES = [(128, 128), (192, 128), (64, 256)]
LONG = " ".join(["a photo of a dog on a red background"] * 12)
"""More tokens than one window of the text encoder holds."""


class Sizes:
    """Latents of several sizes, as a list: every node after it runs once for each."""

    INPUT_TYPES = classmethod(lambda cls: {"required": {}})
    RETURN_TYPES, FUNCTION, OUTPUT_IS_LIST = ("LATENT",), "make", (True,)

    def make(self):
        """Empty ones."""
        return ([{"samples": torch.zeros(1, 4, height // 8, width // 8)} for width, height in SIZES],)


@pytest.fixture
def drawn(host, run, monkeypatch):
    """Pictures of a graph."""
    monkeypatch.setitem(host.NODE_CLASS_MAPPINGS, "TestSizes", Sizes)

    def pictures(graph):
        done = run(graph)
        assert done.error is None
        return done.outputs["7"][0]

    return pictures


@pytest.mark.parametrize(("text", "other"), [(CAT, False), (DOG, True)], ids=["open", "closed"])
def test_each_size_of_a_list_comes_out_as_if_it_were_alone(text, other, drawn):
    listed = drawn({**one_node(text, preset="quick"), "5": ("TestSizes", {})})
    bare = drawn({**plain(text), "5": ("TestSizes", {})})
    for size, ours, theirs in zip(SIZES, listed, bare, strict=True):
        alone = one_node(text, count=1, preset="quick")
        alone["5"] = ("EmptyLatentImage", {"width": size[0], "height": size[1], "batch_size": 1})
        assert ours.shape == (1, size[1], size[0], 3)
        assert torch.equal(ours, drawn(alone)[0])
        assert torch.equal(ours, theirs) == other


@pytest.mark.parametrize("how", ["ConditioningCombine", "ConditioningConcat"])
def test_prompts_of_different_lengths_are_drawn_together(how, drawn):
    names = {
        "ConditioningCombine": ("conditioning_1", "conditioning_2"),
        "ConditioningConcat": ("conditioning_to", "conditioning_from"),
    }[how]

    def both(graph, first):
        graph["3"] = ("CLIPTextEncode", {"clip": ("1", 1), "text": first})
        graph["11"] = ("CLIPTextEncode", {"clip": ("1", 1), "text": LONG})
        graph["12"] = (how, dict(zip(names, (("3", 0), ("11", 0)), strict=True)))
        kind, inputs = graph["6"]
        graph["6"] = (kind, {**inputs, "positive": ("12", 0)})
        return drawn(graph)[0]

    assert torch.equal(both(one_node(preset="quick"), DOG), both(plain(), DOG))
    assert not torch.equal(both(one_node(preset="quick"), CAT), both(plain(), CAT))


def test_a_sheet_holds_pictures_of_different_sizes(pack):
    from PIL import Image

    tall, wide = Image.new("RGB", (40, 120), "red"), Image.new("RGB", (120, 40), "blue")
    made = pack("lora_unlearn.report").sheet([("a cat", [tall, wide])], ["before", "after"], cell=96)
    found = {colour for _, colour in made.getcolors(2**24)}
    assert {(255, 0, 0), (0, 0, 255)} <= found
