"""Loaded by the host in tests alone: makes Forge and its kin, which know models by their numbers, know the demo model.

Only their tables grow by one entry; the weights are then loaded by their own code.
"""

import os
from contextlib import suppress
from pathlib import Path

import torch

DEMO = Path(os.environ["LORA_UNLEARN_DEMO"])
"""The demo model's configuration as a folder of diffusers' making."""
NUMBERS = {"context_dim": 80, "model_channels": 64}
XL_NUMBERS = {"model_channels": 64, "transformer_depth": [0, 0, 1, 1, 1, 1]}
"""The same for SDXL around the demo model."""
NARROW, POOLED = 64, 1280
"""Widths of its second text encoder: inside, and of what it says of a whole prompt."""


def tell_forge():
    """Forge and Forge Neo: one entry, which names the folder."""
    from backend.diffusion_engine.sd15 import StableDiffusion
    from huggingface_guess import model_list

    class DemoModel(model_list.SD15):
        huggingface_repo = str(DEMO)
        unet_config = {**model_list.SD15.unet_config, **NUMBERS}  # noqa: RUF012 (as the base)

    model_list.models.insert(0, DemoModel)
    StableDiffusion.matched_guesses.append(DemoModel)


def tell_forge_of_xl():
    """Forge and Forge Neo: an entry for SDXL around the demo model, whose second text encoder is narrow inside."""
    from backend import loader
    from backend.diffusion_engine.sdxl import StableDiffusionXL
    from huggingface_guess import model_list

    class TinyXL(model_list.SDXL):
        huggingface_repo = str(DEMO.with_name("xl"))
        unet_config = {**model_list.SDXL.unet_config, **XL_NUMBERS}  # noqa: RUF012 (as the base)
        unet_extra_config = model_list.SD15.unet_extra_config

        def process_clip_state_dict(self, state_dict):
            self.widen = state_dict.pop("conditioner.embedders.1.widen.weight").float()
            self.project = state_dict.pop("conditioner.embedders.1.model.text_projection").T.float()
            return super().process_clip_state_dict(state_dict)

    class Engine(StableDiffusionXL):
        matched_guesses = [TinyXL]  # noqa: RUF012 (as the base)

        def __init__(self, estimated_config, huggingface_components):
            super().__init__(estimated_config, huggingface_components)
            first, second = self.text_processing_engine_l, self.text_processing_engine_g
            first.minimal_clip_skip, first.final_layer_norm = 1, True  # the demo's own way
            second.text_encoder.transformer.text_projection = linear(estimated_config.project)
            widen, plain = linear(estimated_config.widen), second.encode_with_transformers

            def encode(tokens):
                found = plain(tokens)
                wide = widen(found)
                wide.pooled = found.pooled
                return wide

            second.encode_with_transformers = encode

    model_list.models.insert(0, TinyXL)
    loader.possible_models = (Engine, *loader.possible_models)


def linear(weight):
    """A linear layer without a bias."""
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight = torch.nn.Parameter(weight, requires_grad=False)
    return layer


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


def tell_reforge_of_xl():
    """reForge: the same entry for SDXL; its second text encoder is widened where the host takes what it says."""
    from ldm_patched.modules import sd1_clip, sdxl_clip, supported_models, supported_models_base
    from modules_forge import forge_clip

    class Texts(sdxl_clip.SDXLClipModel):
        def __init__(self, **options):
            super(sdxl_clip.SDXLClipModel, self).__init__()
            for name, part in (("clip_l", "text_encoder"), ("clip_g", "text_encoder_2")):
                config = str(DEMO.with_name("xl") / part / "config.json")
                setattr(self, name, sd1_clip.SDClipModel(textmodel_json_config=config, **options))
            self.clip_g.text_projection = torch.nn.Parameter(torch.zeros(NARROW, POOLED))
            self.clip_g.transformer.widen = linear(torch.zeros(2048 - NUMBERS["context_dim"], NARROW))

    class TinyXL(supported_models.SDXL):
        unet_config = {**supported_models.SDXL.unet_config, **XL_NUMBERS}  # noqa: RUF012 (as the base)
        unet_extra_config = supported_models.SD15.unet_extra_config
        latent_format = supported_models.SD15.latent_format

        def clip_target(self, state_dict=None):
            return supported_models_base.ClipTarget(sdxl_clip.SDXLTokenizer, Texts)

        def process_clip_state_dict(self, state_dict):
            widen = state_dict.pop("conditioner.embedders.1.widen.weight")
            return {**super().process_clip_state_dict(state_dict), "clip_g.transformer.widen.weight": widen}

    def encode(self, tokens):
        found = plain(self, tokens)
        if not hasattr(self.wrapped.transformer, "widen"):
            return found
        wide = self.wrapped.transformer.widen(found)
        wide.pooled = found.pooled
        return wide

    supported_models.models.insert(0, TinyXL)
    plain, forge_clip.CLIP_SD_XL_G.encode_with_transformers = forge_clip.CLIP_SD_XL_G.encode_with_transformers, encode


def small(weights):
    """Whether they are the demo model's decoder."""
    return "decoder.conv_in.weight" in weights and weights["decoder.conv_in.weight"].shape[0] == 64


def tell_a1111():
    """A1111, which builds what a `.yaml` says: a second text encoder for SDXL that is narrow inside."""
    import open_clip
    import sgm.modules.encoders.modules as encoders

    open_clip.add_model_config(Path(__file__).resolve().parents[1] / "open_clip")

    class FrozenOpenCLIPEmbedder2(encoders.FrozenOpenCLIPEmbedder2):  # the host tells its kind by this name
        def __init__(self, widened, **options):
            super().__init__(arch="lora-unlearn-tiny", version=None, **options)
            self.widen = torch.nn.Linear(NARROW, widened, bias=False)

        def encode_with_transformer(self, text):
            found = super().encode_with_transformer(text)
            return {**found, "penultimate": self.widen(found["penultimate"])}

    encoders.NarrowOpenCLIPEmbedder2 = FrozenOpenCLIPEmbedder2


for tell in (tell_forge, tell_forge_of_xl, tell_reforge, tell_reforge_of_xl, tell_a1111):
    with suppress(ImportError):  # another host
        tell()
