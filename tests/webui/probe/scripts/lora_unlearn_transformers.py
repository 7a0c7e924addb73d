"""Loaded by Forge Neo in tests alone: its own engines around small random networks of its own classes.

Sizes apart, everything is the host's: text encoder with its tokenizer and template, network, decoder, noise levels.
"""

import os
from contextlib import ExitStack
from functools import partial
from unittest.mock import patch

import torch
from modules import script_callbacks, shared

WIDE = 64
"""Width of the text encoders."""
SMALL = dict(hidden_size=WIDE, intermediate_size=64, num_attention_heads=2, num_key_value_heads=1)
DITS = {
    "ZImage": dict(
        patch_size=2, in_channels=16, dim=256, n_layers=2, n_refiner_layers=2, n_heads=4, n_kv_heads=4,
        axes_dims=[16, 24, 24], axes_lens=[1536, 512, 512], rope_theta=256.0, ffn_dim_multiplier=1.0, qk_norm=True,
        cap_feat_dim=WIDE, z_image_modulation=True, time_scale=1000.0, pad_tokens_multiple=32,
    ),
    "Anima": dict(
        in_channels=16, out_channels=16, patch_spatial=2, patch_temporal=1, model_channels=64, num_blocks=2,
        num_heads=2, crossattn_emb_channels=WIDE, adaln_lora_dim=16,
    ),
    "Flux2": dict(
        in_channels=128, out_channels=128, vec_in_dim=None, context_in_dim=3 * WIDE, hidden_size=128, mlp_ratio=3.0,
        num_heads=2, depth=1, depth_single_blocks=1, axes_dim=[16] * 4, theta=2000, patch_size=1, qkv_bias=False,
        guidance_embed=False, txt_ids_dims=[3], global_modulation=True, mlp_silu_act=True, ops_bias=False,
        default_ref_method="index", ref_index_scale=10.0,
    ),
    "QwenImage": dict(
        num_layers=1, attention_head_dim=64, num_attention_heads=2, joint_attention_dim=WIDE,
        axes_dims_rope=(16, 24, 24),
    ),
    "Krea2": dict(
        features=128, tdim=32, txtdim=WIDE, heads=2, kvheads=1, multiplier=2, layers=1, txtlayers=2, txtheads=2,
        txtkvheads=2,
    ),
    "Flux": dict(
        in_channels=16, out_channels=16, vec_in_dim=WIDE, context_in_dim=WIDE, hidden_size=128, mlp_ratio=4.0,
        num_heads=2, depth=1, depth_single_blocks=1, axes_dim=[16, 24, 24], theta=10000, patch_size=2, qkv_bias=True,
        guidance_embed=True,
    ),
}  # fmt: skip
DITS["Lumina2"] = DITS["ZImage"]
LAYERS = {"Flux2": 3, "Krea2": 6}
"""Of the text encoder: as many as the engine reads from."""
GUESSES = {"Flux2": "Flux2K4B"}
WAN = {"Anima", "QwenImage", "Krea2"}
"""Those with a decoder that knows frames."""


def dit(name):
    """The class of the host's network."""
    from backend.nn import anima, flux, krea, lumina, qwen

    kinds = {"Anima": anima.Anima, "QwenImage": qwen.QwenImageTransformer2DModel, "Krea2": krea.SingleStreamDiT}
    kinds |= dict.fromkeys(("ZImage", "Lumina2"), lumina.NextDiT)
    return kinds.get(name, flux.IntegratedFluxTransformer2DModel)


def encoders(name):
    """The text encoder, or both, by the names of the host's components."""
    from backend.nn import anima
    from backend.nn.llm import llama, qwen_vl

    small = dict(SMALL, num_hidden_layers=LAYERS.get(name, 2))
    adapter = partial(anima.LLMAdapter, WIDE, WIDE, WIDE, num_layers=1, num_heads=2)

    def blind(*args, **kwargs):
        return torch.nn.Identity()

    with ExitStack() as stack:
        for kind in ("Qwen3_06BConfig", "Qwen3_4BConfig", "Qwen25_7BVLI_Config", "Qwen3VL_4BConfig"):
            stack.enter_context(patch.object(llama, kind, partial(getattr(llama, kind), **small)))
        stack.enter_context(patch.object(llama, "LLMAdapter", adapter))
        stack.enter_context(patch.object(llama, "Qwen3VLVisionModel", blind))
        stack.enter_context(patch.object(qwen_vl, "Qwen2VLVisionTransformer", blind))
        if name == "Flux":
            return {"text_encoder": clip(), "text_encoder_2": t5()}
        kinds = {"Anima": llama.Qwen3_06B, "QwenImage": llama.Qwen25_7BVLI, "Krea2": llama.Qwen3VL}
        return {"text_encoder": kinds.get(name, llama.Qwen3_4B)({})}


def clip():
    """A small CLIP."""
    from backend.nn.clip import IntegratedCLIP
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(hidden_size=WIDE, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2)
    return IntegratedCLIP(CLIPTextModel, config, add_text_projection=True)


def t5():
    """A small T5."""
    from backend.nn.t5 import IntegratedT5

    sizes = dict(num_layers=1, d_model=WIDE, d_ff=64, num_heads=2, vocab_size=32128)
    return IntegratedT5(dict(sizes, dense_act_fn="gelu_pytorch_tanh", is_gated_act=True, model_type="t5"))


def decoder(name):
    """A small VAE."""
    from backend.nn.vae import AutoencoderKLFlux2, IntegratedAutoencoderKL
    from backend.nn.wan_vae import WanVAE

    if name in WAN:
        return WanVAE(base_dim=8, z_dim=16, num_res_blocks=1, temporal_downsample=[False, True, True])
    kind = AutoencoderKLFlux2 if name == "Flux2" else IntegratedAutoencoderKL
    return kind(block_out_channels=(32,) * 4, layers_per_block=1, latent_channels=32 if name == "Flux2" else 16)


def filled(module, generator, quiet=1.0):
    """The same module with random weights; norms are those of a network that was never trained."""
    for key, value in module.named_parameters():
        if value.ndim < 2 and ("norm" in key or key.endswith("scale")):
            value.data.fill_(0.0 if type(module).__name__ == "SingleStreamDiT" else 1.0)
        elif value.ndim < 2 or "pad_token" in key:
            value.data.normal_(0, 0.02, generator=generator)
        else:
            table = len(value) > 1000 and value.ndim == 2  # of the vocabulary
            size = 1.0 if table else (0.3 if "txtfusion" in key else quiet) / value[0].numel() ** 0.5
            value.data.normal_(0, size, generator=generator)
    for value in module.buffers():
        if not torch.isfinite(value).all():
            value.fill_(1.0)
    return module.eval().requires_grad_(False)


def tokenizers(folder):
    """As the host's folder for the family has them."""
    import json

    import transformers

    with open(os.path.join(folder, "model_index.json")) as file:
        index = json.load(file)
    return {
        part: getattr(transformers, kind[1]).from_pretrained(os.path.join(folder, part))
        for part, kind in index.items()
        if part.startswith("tokenizer")
    }


@torch.inference_mode()
def engine(name):
    """One of the host's engines, small and random."""
    from backend import diffusion_engine, loader, memory_management
    from backend.operations import using_forge_operations
    from huggingface_guess import model_list

    guess = getattr(model_list, GUESSES.get(name, name))(DITS[name])
    guess.model_type = guess.model_type({})
    generator, cpu = torch.Generator().manual_seed(0), memory_management.cpu
    with using_forge_operations(device=cpu, dtype=torch.float32):
        network = dit(name)(**DITS[name])
        parts = encoders(name)
        vae = decoder(name)
    parts = {part: filled(module, generator, 0.3) for part, module in parts.items()}
    parts |= {"transformer": filled(network, generator), "vae": filled(vae, generator)}
    parts |= tokenizers(os.path.join(loader.HF, guess.huggingface_repo))
    network.config, network.storage_dtype, network.computation_dtype = DITS[name], torch.float32, torch.float32
    network.load_device = network.initial_device = network.offload_device = cpu
    kind = next(kind for kind in loader.possible_models if kind.__name__ == name)
    if name == "Flux":
        with patch.object(diffusion_engine.flux, "ClassicTextProcessingEngine", narrow_clip(diffusion_engine.flux)):
            return kind(guess, parts)
    made = kind(guess, parts)
    if name == "Flux2":
        made.text_processing_engine_gemma.min_length, made.text_processing_engine_gemma.intermediate_output = (
            24,
            [1, 2, 3],
        )
    return made


def narrow_clip(module):
    """The engine's CLIP reader, told another width."""
    plain = module.ClassicTextProcessingEngine
    return lambda *args, **more: plain(*args, **{**more, "embedding_expected_shape": WIDE})


def put(body: dict):
    """Have the page draw with a small engine; with none, load the checkpoint again that is chosen."""
    from backend import memory_management
    from modules import processing, sd_models
    from modules.processing import StableDiffusionProcessing as Drawing

    memory_management.unload_all_models()
    for kept in (Drawing.cached_c, Drawing.cached_uc):  # by the checkpoint's name, which stays
        kept[:] = [None] * len(kept)
    if not body["engine"]:
        sd_models.model_data.forge_hash = ""
    sd_models.forge_model_reload()
    if not body["engine"]:
        return {}
    before, made = sd_models.model_data.sd_model, engine(body["engine"])
    made.model_config.nunchaku = bool(body.get("nunchaku"))  # only said: its layers need a card
    made.extra_generation_params, made.comments = {}, []
    for name in ("sd_checkpoint_info", "filename", "sd_model_hash"):
        setattr(made, name, getattr(before, name))
    sd_models.model_data.set_sd_model(made)
    shared.sd_model = made
    ratio = made.forge_objects.vae.upscale_ratio
    processing.opt_f = ratio if isinstance(ratio, int) else 8
    return {"engine": type(made).__name__}


def app_started(demo, app):
    app.add_api_route("/test/engine", put, methods=["POST"])


script_callbacks.on_app_started(app_started)
