"""Graphs in the form that the tests' executor takes."""

from __future__ import annotations

from types import ModuleType
from typing import Any

Graph = dict[str, tuple[str, dict[str, Any]]]


def one_node(prompt: str = "a photo of a cat", count: int = 4, seed: int = 3, cfg: float = 5.0, **erase: Any) -> Graph:
    """Demo checkpoint -> Erase Concept -> KSampler -> VAE Decode; pictures come out of node 7."""
    widgets = {"concept": "cat", "strength": 1.0, "enabled": True, "preset": "quick", **erase}
    return {
        "1": ("LoraUnlearnDemoCheckpoint", {}),
        "2": ("LoraUnlearnEraseConcept", {"model": ("1", 0), "clip": ("1", 1), **widgets}),
        **sampling("2", prompt, count, seed, cfg),
    }


def plain(prompt: str = "a photo of a cat", count: int = 4, seed: int = 3, cfg: float = 5.0) -> Graph:
    """The same without Erase Concept."""
    return {"1": ("LoraUnlearnDemoCheckpoint", {}), **sampling("1", prompt, count, seed, cfg)}


def sampling(model: str, prompt: str, count: int, seed: int, cfg: float) -> Graph:
    """From a node's MODEL to pictures."""
    widgets = {"seed": seed, "steps": 8, "cfg": cfg, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
    links = {"model": (model, 0), "positive": ("3", 0), "negative": ("4", 0), "latent_image": ("5", 0)}
    return {
        "3": ("CLIPTextEncode", {"clip": ("1", 1), "text": prompt}),
        "4": ("CLIPTextEncode", {"clip": ("1", 1), "text": ""}),
        "5": ("EmptyLatentImage", {"width": 128, "height": 128, "batch_size": count}),
        "6": ("KSampler", {**links, **widgets}),
        "7": ("VAEDecode", {"samples": ("6", 0), "vae": ("1", 2)}),
        "8": ("PreviewImage", {"images": ("7", 0)}),
    }


def stacked(prompt: str, **slots: Any) -> Graph:
    """A graph of the demo checkpoint under a stack, with a read-out after the sampler."""
    return {
        "1": ("LoraUnlearnDemoCheckpoint", {}),
        "2": ("LoraUnlearnEraserStack", {"model": ("1", 0), **slots}),
        **sampling("2", prompt, 1, 3, 5.0),
        "9": ("LoraUnlearnGateReadout", {"model": ("2", 0), "latent": ("6", 0)}),
    }


def read_out(done: Any) -> list[str]:
    """The lines of the read-out of such a graph."""
    assert done.error is None
    return done.outputs["9"][1][0].splitlines()


def made_by(host: ModuleType, name: str, **inputs: Any) -> Any:
    """The first output of one node, called by itself; nodes of the newer and of the older kind."""
    kind = host.NODE_CLASS_MAPPINGS[name]
    if hasattr(kind, "execute"):
        return kind.execute(**inputs).args[0]
    return getattr(kind(), kind.FUNCTION)(**inputs)[0]
