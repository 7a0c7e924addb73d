"""Erase on a card that is none: `python on_card.py MODE apart|turns`.

"apart": with the texts in main memory, as ComfyUI has them; "turns": with the model's parts there one after the other.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import card
import torch

from lora_unlearn import Concept, Eraser, denoiser_for, erase, erasing, load_bank
from lora_unlearn.demo.checkpoint import load_demo
from lora_unlearn.erase import MODES
from lora_unlearn.evaluate import DemoJudge
from lora_unlearn.hosts.turns import take_turns
from lora_unlearn.hosts.unet import UNetDenoiser


class Apart(UNetDenoiser):
    """The denoiser of a host whose encoded prompts lie in main memory and whose network is on a card."""

    def encode(self, prompts):
        return super().encode(prompts).map(lambda tensor: tensor.cpu())

    def predict(self, x, sigma, conditioning):
        return super().predict(x, sigma, conditioning.map(lambda tensor: tensor.to(x.device)))


def pictures(pipe, prompt):
    """Two of them."""
    generators = [torch.Generator().manual_seed(seed) for seed in (0, 1)]
    return pipe([prompt] * 2, num_inference_steps=8, guidance_scale=5.0, generator=generators).images


def seen(images):
    """What the judge sees."""
    judge = DemoJudge()
    return [judge.labels[index] for index in judge.verdict(images).probabilities.argmax(1).tolist()]


def crowds(pipe):
    """Which parts are on the card whenever one of them is asked."""
    parts, found = {"unet": pipe.unet, "vae": pipe.vae.decoder, "text_encoder": pipe.text_encoder}, set()

    def note(module, args):
        found.add(frozenset(name for name, part in parts.items() if next(part.parameters()).device.type == "card"))

    for part in (pipe.unet.conv_in, pipe.vae.decoder, pipe.text_encoder.get_input_embeddings()):
        part.register_forward_pre_hook(note)
    return found


def main(mode: str, where: str) -> None:
    """Erase the cat, and see that it is gone and the dog is not."""
    device, pipe = card.switch_on(), load_demo()
    if where == "turns":
        take_turns(pipe, device)
    else:
        for part in (pipe.unet, pipe.vae, pipe.text_encoder):
            part.to(device)
    found, kind = crowds(pipe), Apart if where == "apart" else UNetDenoiser
    pipe.set_progress_bar_config(disable=True)
    settings = MODES[mode]
    if settings.trains:
        settings = replace(settings, iterations=2, batch=2, trajectories=2, trajectory_steps=2, enough=1.0)
    dogs = pictures(pipe, "a photo of a dog")
    adapter = erase(kind(pipe), Concept("cat"), load_bank("demo"), mode, settings)
    with erasing(pipe, [Eraser(adapter)]):
        assert [image.tobytes() for image in pictures(pipe, "a photo of a dog")] == [own.tobytes() for own in dogs]
        assert "cat" not in seen(pictures(pipe, "a photo of a cat"))
    with erasing(pipe, [Eraser(adapter, 1.5, "on")]):
        assert "cat" not in seen(pictures(pipe, "a photo of a cat"))
    assert seen(pictures(pipe, "a photo of a cat")) == ["cat", "cat"]
    assert denoiser_for(pipe).device == device
    names = ("unet", "vae", "text_encoder")
    assert found == ({frozenset({name}) for name in names} if where == "turns" else {frozenset(names)}), found


main(*sys.argv[1:])
