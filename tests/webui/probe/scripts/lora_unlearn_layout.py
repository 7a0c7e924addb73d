"""Loaded by the host in tests alone: makes Forge and its kin, which know models by their numbers, know the demo model.

Only their tables grow by one entry; the weights are then loaded by their own code.
"""

import os
from contextlib import suppress
from pathlib import Path

DEMO = Path(os.environ["LORA_UNLEARN_DEMO"])
"""The demo model's configuration as a folder of diffusers' making."""
NUMBERS = {"context_dim": 80, "model_channels": 64}


def tell_forge():
    """Forge and Forge Neo: one entry, which names the folder."""
    from backend.diffusion_engine.sd15 import StableDiffusion
    from huggingface_guess import model_list

    class DemoModel(model_list.SD15):
        huggingface_repo = str(DEMO)
        unet_config = {**model_list.SD15.unet_config, **NUMBERS}  # noqa: RUF012 (as the base)

    model_list.models.insert(0, DemoModel)
    StableDiffusion.matched_guesses.append(DemoModel)


def tell_reforge():
    """reForge: one entry for the U-Net and the text encoder; its decoder takes no numbers but by its own argument."""
    from ldm_patched.modules import sd1_clip, supported_models, supported_models_base
    from modules_forge import forge_loader
    from omegaconf import OmegaConf

    class Text(sd1_clip.SDClipModel):
        def __init__(self, **options):
            config = str(DEMO / "text_encoder" / "config.json")
            super().__init__(textmodel_json_config=config, return_projected_pooled=False, **options)

    class Texts(sd1_clip.SD1ClipModel):
        def __init__(self, **options):
            super().__init__(clip_model=Text, **options)

    class DemoModel(supported_models.SD15):
        unet_config = {**supported_models.SD15.unet_config, **NUMBERS}  # noqa: RUF012 (as the base)

        def clip_target(self, state_dict=None):
            return supported_models_base.ClipTarget(sd1_clip.SD1Tokenizer, Texts)

    supported_models.models.insert(0, DemoModel)
    decoder = OmegaConf.to_container(OmegaConf.load(DEMO / "demo.yaml").model.params.first_stage_config.params)
    config = {"params": {name: decoder[name] for name in ("embed_dim", "ddconfig")}}
    plain = forge_loader.VAE
    forge_loader.VAE = lambda sd, **more: plain(sd=sd, config=config if small(sd) else None, **more)


def small(weights):
    """Whether they are the demo model's decoder."""
    return "decoder.conv_in.weight" in weights and weights["decoder.conv_in.weight"].shape[0] == 64


for tell in (tell_forge, tell_reforge):
    with suppress(ImportError):  # another host
        tell()
