"""The names and the configuration of Stable Diffusion 1's original files (the "LDM" layout).

Names are worked out from a network's configuration: any number of levels and layers, attention on any
level, one transformer block each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

UNET_PREFIX = "model.diffusion_model."
VAE_PREFIX = "first_stage_model."
TEXT_PREFIX = "cond_stage_model.transformer.text_model."

UNET_PARTS = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
VAE_PARTS = {
    "conv_shortcut": "nin_shortcut",
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
}
"""Names inside a residual block or an attention of the VAE: diffusers' and the original."""

Pairs = Iterator[tuple[str, str]]


def unet_names(config: Any, names: list[str]) -> dict[str, str]:
    """Original names, prefix included, of a `UNet2DConditionModel`'s tensors.

    Args:
        config: the network's configuration.
        names: the keys of its state dictionary.
    """
    blocks = dict(_unet_blocks(config))
    return {name: UNET_PREFIX + _renamed(name, blocks, UNET_PARTS) for name in names}


def vae_names(config: Any, names: list[str]) -> dict[str, str]:
    """Original names, prefix included, of an `AutoencoderKL`'s tensors (arguments as in `unet_names`)."""
    blocks = dict(_vae_blocks(config))
    return {name: VAE_PREFIX + _renamed(name, blocks, VAE_PARTS) for name in names}


def text_names(names: list[str]) -> dict[str, str]:
    """Original names, prefix included, of a `CLIPTextModel`'s tensors (transformers 5 dropped "text_model.")."""
    return {name: TEXT_PREFIX + name.removeprefix("text_model.") for name in names}


def _renamed(name: str, blocks: dict[str, str], parts: dict[str, str]) -> str:
    """Rename the block that a tensor belongs to, and the part inside it where the two layouts differ."""
    path, leaf = name.rsplit(".", 1)
    block = path
    while block not in blocks:
        block = block.rpartition(".")[0]
    part = path[len(block) + 1 :]
    return ".".join(piece for piece in (blocks[block], parts.get(part, part), leaf) if piece)


def _unet_blocks(config: Any) -> Pairs:
    yield from (("time_embedding.linear_1", "time_embed.0"), ("time_embedding.linear_2", "time_embed.2"))
    yield "conv_in", "input_blocks.0.0"
    yield from _unet_down(config)
    yield "mid_block.resnets.0", "middle_block.0"
    yield "mid_block.attentions.0", "middle_block.1"
    yield "mid_block.resnets.1", "middle_block.2"
    yield from _unet_up(config)
    yield from (("conv_norm_out", "out.0"), ("conv_out", "out.2"))


def _unet_down(config: Any) -> Pairs:
    index, last = 1, len(config.down_block_types) - 1
    for level, kind in enumerate(config.down_block_types):
        for layer in range(config.layers_per_block):
            yield f"down_blocks.{level}.resnets.{layer}", f"input_blocks.{index}.0"
            if "CrossAttn" in kind:
                yield f"down_blocks.{level}.attentions.{layer}", f"input_blocks.{index}.1"
            index += 1
        if level < last:
            yield f"down_blocks.{level}.downsamplers.0.conv", f"input_blocks.{index}.0.op"
            index += 1


def _unet_up(config: Any) -> Pairs:
    index, last = 0, len(config.up_block_types) - 1
    for level, kind in enumerate(config.up_block_types):
        attends = "CrossAttn" in kind
        for layer in range(config.layers_per_block + 1):
            yield f"up_blocks.{level}.resnets.{layer}", f"output_blocks.{index}.0"
            if attends:
                yield f"up_blocks.{level}.attentions.{layer}", f"output_blocks.{index}.1"
            index += 1
        if level < last:
            yield f"up_blocks.{level}.upsamplers.0.conv", f"output_blocks.{index - 1}.{1 + attends}.conv"


def _vae_blocks(config: Any) -> Pairs:
    levels = len(config.block_out_channels)
    yield from ((name, name) for name in ("quant_conv", "post_quant_conv"))
    for half in ("encoder", "decoder"):
        yield from ((f"{half}.{name}", f"{half}.{new}") for name, new in _VAE_ENDS)
    for level in range(levels):
        for layer in range(config.layers_per_block):
            yield f"encoder.down_blocks.{level}.resnets.{layer}", f"encoder.down.{level}.block.{layer}"
        yield f"encoder.down_blocks.{level}.downsamplers.0.conv", f"encoder.down.{level}.downsample.conv"
        old = levels - 1 - level  # the original counts the decoder's levels from the finest
        for layer in range(config.layers_per_block + 1):
            yield f"decoder.up_blocks.{level}.resnets.{layer}", f"decoder.up.{old}.block.{layer}"
        yield f"decoder.up_blocks.{level}.upsamplers.0.conv", f"decoder.up.{old}.upsample.conv"


_VAE_ENDS = (
    ("conv_in", "conv_in"),
    ("mid_block.resnets.0", "mid.block_1"),
    ("mid_block.attentions.0", "mid.attn_1"),
    ("mid_block.resnets.1", "mid.block_2"),
    ("conv_norm_out", "norm_out"),
    ("conv_out", "conv_out"),
)


def ldm_config(unet: Any, vae: Any, schedule: dict, parameterization: str, text_folder: str) -> str:
    """The `.yaml` that goes beside a checkpoint, for programs that build networks from the original code.

    Args:
        unet: the U-Net's configuration; `attention_head_dim` is its number of heads, as diffusers has it.
        vae: the autoencoder's configuration.
        schedule: keys of `lora_unlearn.demo.networks.SCHEDULE`.
        parameterization: "eps" or "v".
        text_folder: the folder with the text encoder's configuration and the tokenizer.

    Raises:
        ValueError: if a width is no whole multiple of the first one, which the original code can't express.
    """
    attention = [2**level for level, kind in enumerate(unet.down_block_types) if "CrossAttn" in kind]
    return LDM_CONFIG.format(
        parameterization=parameterization,
        start=schedule["beta_start"],
        end=schedule["beta_end"],
        timesteps=schedule["num_train_timesteps"],
        scale_factor=vae.scaling_factor,
        image_size=unet.sample_size,
        in_channels=unet.in_channels,
        out_channels=unet.out_channels,
        model_channels=unet.block_out_channels[0],
        attention=attention,
        unet_layers=unet.layers_per_block,
        channel_mult=_multiples(unet.block_out_channels),
        heads=unet.attention_head_dim,
        context_dim=unet.cross_attention_dim,
        z_channels=vae.latent_channels,
        resolution=vae.sample_size,
        ch=vae.block_out_channels[0],
        ch_mult=_multiples(vae.block_out_channels),
        vae_layers=vae.layers_per_block,
        text_folder=text_folder,
    )


def _multiples(widths: tuple[int, ...]) -> list[int]:
    if any(width % widths[0] for width in widths):
        raise ValueError(f"widths {tuple(widths)} are no whole multiples of {widths[0]}, as the LDM layout needs")
    return [width // widths[0] for width in widths]


LDM_CONFIG = """\
model:
  target: ldm.models.diffusion.ddpm.LatentDiffusion
  params:
    parameterization: {parameterization}
    linear_start: {start}
    linear_end: {end}
    num_timesteps_cond: 1
    log_every_t: 200
    timesteps: {timesteps}
    first_stage_key: jpg
    cond_stage_key: txt
    image_size: {image_size}
    channels: {in_channels}
    cond_stage_trainable: false
    conditioning_key: crossattn
    monitor: val/loss_simple_ema
    scale_factor: {scale_factor}
    use_ema: false

    unet_config:
      target: ldm.modules.diffusionmodules.openaimodel.UNetModel
      params:
        image_size: {image_size}
        in_channels: {in_channels}
        out_channels: {out_channels}
        model_channels: {model_channels}
        attention_resolutions: {attention}
        num_res_blocks: {unet_layers}
        channel_mult: {channel_mult}
        num_heads: {heads}
        use_spatial_transformer: true
        transformer_depth: 1
        context_dim: {context_dim}
        use_checkpoint: false
        legacy: false

    first_stage_config:
      target: ldm.models.autoencoder.AutoencoderKL
      params:
        embed_dim: {z_channels}
        monitor: val/rec_loss
        ddconfig:
          double_z: true
          z_channels: {z_channels}
          resolution: {resolution}
          in_channels: 3
          out_ch: 3
          ch: {ch}
          ch_mult: {ch_mult}
          num_res_blocks: {vae_layers}
          attn_resolutions: []
          dropout: 0.0
        lossconfig:
          target: torch.nn.Identity

    cond_stage_config:
      target: ldm.modules.encoders.modules.FrozenCLIPEmbedder
      params:
        version: {text_folder}
"""
