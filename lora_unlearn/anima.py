"""Anima's layers: diffusers' names, which are canonical, and those of its own code, which files and other hosts use."""

from __future__ import annotations

import re

_BLOCK = {
    "attn1.to_q": "self_attn.q_proj",
    "attn1.to_k": "self_attn.k_proj",
    "attn1.to_v": "self_attn.v_proj",
    "attn1.to_out.0": "self_attn.output_proj",
    "attn2.to_q": "cross_attn.q_proj",
    "attn2.to_k": "cross_attn.k_proj",
    "attn2.to_v": "cross_attn.v_proj",
    "attn2.to_out.0": "cross_attn.output_proj",
    "ff.net.0.proj": "mlp.layer1",
    "ff.net.2": "mlp.layer2",
    "norm1.linear_1": "adaln_modulation_self_attn.1",
    "norm1.linear_2": "adaln_modulation_self_attn.2",
    "norm2.linear_1": "adaln_modulation_cross_attn.1",
    "norm2.linear_2": "adaln_modulation_cross_attn.2",
    "norm3.linear_1": "adaln_modulation_mlp.1",
    "norm3.linear_2": "adaln_modulation_mlp.2",
}
_OTHERS = {
    "patch_embed.proj": "x_embedder.proj.1",
    "norm_out.linear_1": "final_layer.adaln_modulation.1",
    "norm_out.linear_2": "final_layer.adaln_modulation.2",
    "proj_out": "final_layer.linear",
    "time_embed.t_embedder.linear_1": "t_embedder.1.linear_1",
    "time_embed.t_embedder.linear_2": "t_embedder.1.linear_2",
}


def original(module: str) -> str:
    """The name of a layer in Anima's own code."""
    found = re.fullmatch(r"transformer_blocks\.(\d+)\.(.+)", module)
    return f"blocks.{found[1]}.{_BLOCK.get(found[2], found[2])}" if found else _OTHERS.get(module, module)


def canonical(module: str) -> str:
    """The inverse of `original`."""
    found = re.fullmatch(r"blocks\.(\d+)\.(.+)", module)
    if found:
        return f"transformer_blocks.{found[1]}.{_INSIDE.get(found[2], found[2])}"
    return _AROUND.get(module, module)


_INSIDE = {own: name for name, own in _BLOCK.items()}
_AROUND = {own: name for name, own in _OTHERS.items()}
