"""Other extensions that take part in the sampling: ControlNet, and one that changes every result on its way."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from test_webui_accordion import CAT, DOG, furthest, same
from test_webui_switch import choose
from test_webui_training import API
from webui_server import KINDS, SIDE, Server, decoded, encoded, furnish

pytestmark = [pytest.mark.webui, pytest.mark.slow]

CONTROLNET = Path(os.environ.get("CONTROLNET_PATH") or Path.home() / ".cache/lora-unlearn/hosts/sd-webui-controlnet")
"""A1111's ControlNet, with what it needs beside it (`pip install --no-deps --target` into the same folder)."""
PREFIX = "model.diffusion_model."
HINT = (3, 16, 16, 32, 32, 96, 96, 256)
NEIGHBOUR = '''
import torch
from modules import script_callbacks, scripts, shared


def before(params):
    params.x = params.x * 1.01


def after(params):
    params.x = params.x * 0.99


def rescale(model, *args, **kwargs):
    """Guidance that is scaled back, as CFG rescale does."""
    found = args[0]
    guided = found["uncond"] + (found["cond"] - found["uncond"]) * found["cond_scale"]
    spread, wanted = (each.std((1, 2, 3), keepdim=True) for each in (guided, found["cond"]))
    return guided * (0.7 + 0.3 * wanted / spread)


class Neighbour(scripts.Script):
    def title(self):
        return "Neighbour"

    def show(self, is_img2img):
        return scripts.AlwaysVisible

    def process_before_every_sampling(self, p, *args, **kwargs):
        objects = getattr(p.sd_model, "forge_objects", None)
        if objects is not None:
            unet = objects.unet.clone()
            unet.set_model_sampler_cfg_function(lambda found: rescale(None, found))
            unet.set_model_unet_function_wrapper(
                lambda apply, found: apply(found["input"], found["timestep"], **found["c"]) * 1.02
            )
            objects.unet = unet

    def process(self, p, *args):
        if getattr(p.sd_model, "forge_objects", None) is None:
            unet = p.sd_model.model.diffusion_model
            plain = type(unet).forward.__get__(unet)
            unet.forward = lambda x, timesteps, context=None, **more: plain(x, timesteps, context, **more) * 1.02

    def postprocess(self, p, processed, *args):
        if getattr(p.sd_model, "forge_objects", None) is None:
            p.sd_model.model.diffusion_model.__dict__.pop("forward", None)


script_callbacks.on_cfg_denoiser(before)
script_callbacks.on_cfg_denoised(after)
'''
"""Uses every way in that the hosts offer to one who wants to change a step."""
SHIM = """
import sys
from modules import script_callbacks


def started(demo, app):
    sys.modules["scripts.controlnet_model_guess"].controlnet_default_config.update(
        model_channels=64, channel_mult=[1, 1, 1, 1]
    )


script_callbacks.on_app_started(started)
"""
"""A1111's ControlNet knows the sizes of Stable Diffusion alone; this tells it the tiny ones."""


def control_of(weights):
    """A ControlNet of random taste for a checkpoint in the original layout: its encoder, and convolutions."""
    generator, found = torch.Generator().manual_seed(0), {}

    def convolution(name, inside, outside, side, size):
        found[f"{name}.weight"] = torch.randn(outside, inside, side, side, generator=generator) * size
        found[f"{name}.bias"] = torch.zeros(outside)

    inner = {name.removeprefix(PREFIX): value.float() for name, value in weights.items() if name.startswith(PREFIX)}
    for name, value in inner.items():
        if name.split(".")[0] in ("time_embed", "input_blocks", "middle_block"):
            found[name] = value
    count = 1 + max(int(name.split(".")[1]) for name in inner if name.startswith("input_blocks."))
    width = 0
    for block in range(count):
        parts = (f"input_blocks.{block}.0.{part}.weight" for part in ("out_layers.3", "op"))
        here = next((inner[part] for part in parts if part in inner), None)
        width = inner["input_blocks.0.0.weight"].shape[0] if here is None else here.shape[0]
        convolution(f"zero_convs.{block}.0", width, width, 1, 0.3 / width**0.5)
    convolution("middle_block_out.0", width, width, 1, 0.3 / width**0.5)
    widths = (*HINT, inner["input_blocks.0.0.weight"].shape[0])
    for place, (inside, outside) in enumerate(zip(widths, widths[1:], strict=False)):
        convolution(f"input_hint_block.{2 * place}", inside, outside, 3, (2 / (9 * inside)) ** 0.5)
    return {f"control_model.{name}": value.half().contiguous() for name, value in found.items()}


def tall_model(path):
    """A checkpoint with random weights and the twelve blocks that A1111's ControlNet counts on."""
    from diffusers import UNet2DConditionModel

    from lora_unlearn.demo.checkpoint import load_demo, save_checkpoint
    from lora_unlearn.demo.networks import UNET

    torch.manual_seed(0)
    down, up = ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",), ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3
    unet = UNet2DConditionModel(
        **{**UNET, "block_out_channels": (64,) * 4, "down_block_types": down, "up_block_types": up}
    )
    with torch.no_grad():
        for name, value in unet.named_parameters():
            value *= 6 if "attn2.to_v" in name or "attn2.to_out.0.weight" in name or name == "conv_out.weight" else 1
    demo = load_demo()
    save_checkpoint(path, unet, demo.vae, demo.text_encoder)
    layout = path.with_suffix(".yaml").read_text()
    folder = path.parents[2] / "demo" / "text_encoder"
    path.with_suffix(".yaml").write_text(layout.replace("version: tokenizer", f"version: {folder}"))


@pytest.fixture(scope="module", params=list(KINDS))
def crowded(request, tmp_path_factory):
    """A host with the neighbour, and with ControlNet where it is to be had."""
    kind = KINDS[request.param]
    if reason := kind.missing():
        pytest.skip(reason)
    pytest.importorskip("diffusers", reason="the tall checkpoint is put together by diffusers")
    data = tmp_path_factory.mktemp(f"{request.param}-crowded")
    furnish(data)
    extensions = data / "extensions"
    scripts = {"neighbour": NEIGHBOUR}
    if kind.name == "A1111" and CONTROLNET.is_dir():
        shutil.copytree(CONTROLNET, extensions / "sd-webui-controlnet", symlinks=True)
        scripts["shim"] = SHIM
    for name, text in scripts.items():
        (extensions / name / "scripts").mkdir(parents=True)
        (extensions / name / "scripts" / f"{name}.py").write_text(text)
    models = data / "models"
    tall_model(models / "Stable-diffusion" / "tall.safetensors")
    (models / "ControlNet").mkdir(exist_ok=True)
    save_file(
        control_of(load_file(models / "Stable-diffusion" / "tall.safetensors")),
        models / "ControlNet" / "tiny.safetensors",
    )
    server = Server(kind, data)
    try:
        server.wait()
        choose(server, "tall.safetensors")
        for concept in ("cat", "house"):
            server.call(f"{API}/erase", {"concept": concept, "preset": "quick"})
            assert server.wait_for_job()["phase"] == "done"
        yield server
    finally:
        server.stop()


def picture(server, prompt, *values, control=None, **more):
    """The first pictures of a job, as many as the batch holds, with their infotexts."""
    body = {"prompt": prompt, "seed": 3, "steps": 4, "cfg_scale": 5, "width": SIDE, "height": SIDE, **more}
    body |= {"sampler_name": "Euler", "do_not_save_samples": True, "alwayson_scripts": {}}
    if values:
        body["alwayson_scripts"]["erase concepts"] = {"args": list(values)}
    if control:
        body["alwayson_scripts"]["controlnet"] = {"args": [control]}
    answer = server.call("/sdapi/v1/txt2img", body)
    pictures = [decoded(text) for text in answer["images"]][: more.get("batch_size", 1)]
    return pictures, json.loads(answer["info"])["infotexts"]


def check(server, **way):
    """Closed changes no byte and open much, picture by picture.

    The gate for house would take ControlNet's mark before a prompt for the concept.
    """
    mixed = f"{DOG} || {CAT}"
    plain, _ = picture(server, mixed, batch_size=2, **way)
    for strength in (1.0, 2.0):
        both = (True, "cat", strength, "auto", "house", strength, "auto")
        found, told = picture(server, mixed, *both, batch_size=2, **way)
        assert 'decision: "closed' in told[0] and 'decision: "open' in told[1]
        assert all('Eraser 2 decision: "closed' in text for text in told)
        assert same(found[:1], plain[:1])
        assert furthest(found[1:], plain[1:]) > 30
        assert "problem" not in "".join(told)
    assert same(picture(server, mixed, batch_size=2, **way)[0], plain)
    assert [name for name in server.call("/test/marks", {})["left"] if name] == []


def test_beside_one_who_changes_every_step(crowded):
    check(crowded)
    check(crowded, sampler_name="DPM++ 2M")


@pytest.mark.parametrize("mode", ["Balanced", "My prompt is more important", "ControlNet is more important"])
def test_beside_controlnet(crowded, mode):
    status, listed = crowded.ask("/controlnet/model_list?update=true")
    if status != 200:
        pytest.skip(f"{crowded.kind.name} has no ControlNet here; CONTROLNET_PATH may name its folder")
    hint = np.zeros((SIDE, SIDE, 3), np.uint8)
    hint[30:90, 40:100] = 255
    model = next(name for name in listed["model_list"] if name.startswith("tiny"))
    module = "none" if crowded.kind.name == "A1111" else "None"
    control = {"enabled": True, "image": encoded(hint), "module": module, "model": model, "control_mode": mode}
    assert furthest(picture(crowded, DOG, control=control)[0], picture(crowded, DOG)[0]) > 5
    check(crowded, control=control)
