"""What the layer that prompts enter by reads of them, in networks that put layers of their own before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..lora_unlearn.denoiser import Conditioning
from ..lora_unlearn.families import FAMILIES

SHORTEST = {"anima": 512, "flux2": 512}
"""Families that read at least so many tokens; what is missing is zero, and read all the same."""
PADDED_LEFT = ("flux2",)
"""Families whose missing tokens stand before the prompt."""
LAYERED = ("anima", "krea2")
"""Families that read a prompt by a network of their own, which must be loaded for it."""
READ = (*LAYERED, "flux2", "qwen_image", "z_image")
"""Families whose prompts are read here; their language models read as many tokens as there are."""


def conditioned(base: Any, family: str, given: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a `Conditioning` for what the network is given.

    Args:
        base: the host's BaseModel; where the family is `LAYERED`, loaded by its current patcher.
        given: "c_crossattn" (R,T,D) and, outside of a sampling, the other arguments that Anima's adapter takes.

    Returns:
        "text" (R,T,width); "frame" (R,T) where the family has one; "context" (R,T,D), what the network itself is given,
        where it must go through layers that an eraser may sit in.
    """
    context = padded(given["c_crossattn"], family)
    found = {"text": _text(base, family, context, given)}
    if family == "krea2":
        found["context"] = context
    if FAMILIES[family].frame:
        said = (found["text"] != 0).any(dim=-1)
        found["frame"] = said & (said.cumsum(dim=1) <= FAMILIES[family].frame)
    return found


def given(encoded: Mapping[str, Any]) -> dict[str, Any]:
    """What the network is given, as `conditioned` takes it, of a prompt that the host's CLIP has encoded."""
    found = {"c_crossattn": encoded["cond"].clone()}
    if encoded.get("t5xxl_ids") is not None:
        found["t5xxl_ids"] = encoded["t5xxl_ids"][None]
        found["t5xxl_weights"] = encoded["t5xxl_weights"][None, :, None]
    return found


def padded(context: Tensor, family: str) -> Tensor:
    """The tokens of prompts (R,T,D), as many as the network reads at least."""
    missing = max(0, SHORTEST.get(family, 0) - context.shape[1])
    if family == "anima" or not missing:
        return context  # its adapter does it
    return nn.functional.pad(context, (0, 0, missing, 0) if family in PADDED_LEFT else (0, 0, 0, missing))


def _text(base: Any, family: str, context: Tensor, given: Mapping[str, Any]) -> Tensor:
    network, norm = base.diffusion_model, norm_of(base, family)
    if norm is not None:
        weight = norm.weight.detach().to(context.device, torch.float32)
        return nn.functional.rms_norm(context.float(), weight.shape, weight, norm.eps).to(context.dtype)
    if family not in LAYERED:
        return context
    inside = context.to(base.current_patcher.load_device, base.get_dtype_inference())
    if family == "krea2":
        text = network.txtmlp[0](network.txtfusion(network._unpack_context(inside)))
    else:
        ids, weights = given.get("t5xxl_ids"), given.get("t5xxl_weights")
        ids, weights = (None if value is None else value.to(inside.device) for value in (ids, weights))
        text = network.preprocess_text_embeds(inside, ids, None if weights is None else weights.to(inside))
    return text.to(context.device)


def norm_of(base: Any, family: str) -> Any:
    """The norm right before the entry layer, if there is one."""
    network = base.diffusion_model
    if family == "z_image":
        return network.cap_embedder[0]
    return network.txt_norm if family in ("qwen_image", "flux2") else None


@contextmanager
def handed(base: Any, family: str) -> Iterator[None]:
    """Within this block the network takes texts for what its entry layer reads, as `conditioned` gives them."""
    norm = norm_of(base, family)
    if norm is None:
        yield
        return
    own = norm.__dict__.get("forward")
    norm.forward = _same
    try:
        yield
    finally:
        if own is None:
            del norm.forward
        else:
            norm.forward = own


def _same(text: Tensor) -> Tensor:
    return text


def together(rows: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Tensors of several prompts (1,T,...) as rows of one length: what is missing is zero."""
    length = max(tensors["text"].shape[1] for tensors in rows)

    def longer(tensor: Tensor) -> Tensor:
        return nn.functional.pad(tensor, (0, 0) * (tensor.ndim - 2) + (0, length - tensor.shape[1]))

    return {name: torch.cat([longer(tensors[name]) for tensors in rows]) for name in rows[0]}


def of_one_length(conditioning: Conditioning, family: str) -> Iterator[tuple[Tensor, Conditioning]]:
    """Rows whose prompts have as many tokens, and their conditioning without padding behind it; all rows once.

    These networks know of no mask: padding would be read.
    """
    said = (conditioning.tensors["text"] != 0).any(dim=-1).cpu()
    ends = (said * torch.arange(1, said.shape[1] + 1)).amax(dim=1).clamp_min(SHORTEST.get(family, 1))
    for end in ends.unique().tolist():
        rows = (ends == end).nonzero()[:, 0]
        yield rows, Conditioning({name: tensor[rows][:, :end] for name, tensor in conditioning.tensors.items()})
