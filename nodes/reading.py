"""What the layer that prompts enter by reads of them, in networks that put layers of their own before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..lora_unlearn.denoiser import Conditioning
from ..lora_unlearn.padding import lengths

SHORTEST = {"anima": 512, "flux2": 512}
"""Families that read at least so many tokens; what is missing is zero, and read all the same."""
LAYERED = ("anima", "krea2")
"""Families that read a prompt by a network of their own, which must be loaded for it."""
READ = (*LAYERED, "flux2", "qwen_image", "z_image")
"""Families whose prompts are read here; their language models read as many tokens as there are."""
TEMPLATES = {"z_image": (3, 5), "qwen_image": (0, 5), "krea2": (0, 5), "flux2": (3, 9)}
"""How many tokens of the host's chat template a network is given before a prompt and behind it."""
LARGEST = 3 * 5120
"""Width of FLUX.2 dev's text, whose template ends with a single token; the host puts missing tokens before it."""
HEARD_PADDING = 16
"""Of the padding behind a prompt, which has read it and which the network reads, this many tokens stand for all."""


def conditioned(base: Any, family: str, given: Mapping[str, Any], counts: Sequence[int | None] = ()) -> Conditioning:
    """What the network reads of prompts, as the core takes it.

    Args:
        base: the host's BaseModel; where the family is `LAYERED`, loaded by its current patcher.
        given: "c_crossattn" (R,T,D), all of one length, and, outside of a sampling, the other arguments that Anima's
            adapter takes.
        counts: how many tokens of each row are no padding of the encoder's own, where that is known; else all.

    Returns:
        "text" (R,T,width), the words alone; "before" and "after", the template around them; "states" (R,T,D), what the
        network is given (see `handed`). Anima has no template, and is given the text itself.
    """
    context = given["c_crossattn"]
    if family == "flux2":
        context = nn.functional.pad(context, (0, 0, max(0, SHORTEST[family] - context.shape[1]), 0))
    seen = _seen(base, family, context, given)
    if family not in TEMPLATES:
        return Conditioning({"text": seen}, ragged=True)
    known = counts or [None] * len(seen)
    rows = [_split(own, family, count) for own, count in zip(seen, known, strict=True)]
    if family == "krea2":  # an eraser may sit in what fuses its layers
        rows = [{**own, "states": state[None]} for own, state in zip(rows, context, strict=True)]
    return Conditioning.cat([Conditioning(own, ragged=True) for own in rows])


def _split(seen: Tensor, family: str, count: int | None) -> dict[str, Tensor]:
    """One prompt's tokens (T,D): the words, and the template around them."""
    head, tail = TEMPLATES[family]
    start, end = 0, len(seen)
    if family == "flux2":
        start = int((seen != 0).any(dim=1).int().argmax())
        tail = 1 if seen.shape[1] == LARGEST else tail
        end = len(seen) if count is None else min(start + count, len(seen))
    words = seen[start + head : max(start + head, end - tail)]
    after = seen[max(start + head, end - tail) : end]
    if end < len(seen):
        after = torch.cat([after, seen[torch.linspace(end, len(seen) - 1, HEARD_PADDING).long().to(seen.device)]])
    if not len(words):
        words = seen.new_zeros(1, seen.shape[1])  # an empty prompt
    parts = {"text": words, "after": after, "before": seen[start : start + head], "states": seen}
    return {name: part[None] for name, part in parts.items() if len(part)}


def given(encoded: Mapping[str, Any]) -> dict[str, Any]:
    """What the network is given, as `conditioned` takes it, of a prompt that the host's CLIP has encoded."""
    found = {"c_crossattn": encoded["cond"].clone()}
    if encoded.get("t5xxl_ids") is not None:
        found["t5xxl_ids"] = encoded["t5xxl_ids"][None]
        found["t5xxl_weights"] = encoded["t5xxl_weights"][None, :, None]
    return found


def count_of(encoded: Mapping[str, Any]) -> int | None:
    """How many tokens of an encoded prompt are no padding, where the host says so."""
    mask = encoded.get("attention_mask")
    return int(mask.sum()) if isinstance(mask, Tensor) and len(mask) == 1 else None


def _seen(base: Any, family: str, context: Tensor, given: Mapping[str, Any]) -> Tensor:
    """What the entry layer sees of the states that the network is given, (R,T,width)."""
    network, norm = base.diffusion_model, norm_of(base, family)
    if norm is not None:
        weight = norm.weight.detach().to(context.device, torch.float32)
        return nn.functional.rms_norm(context.float(), weight.shape, weight, norm.eps).to(context.dtype)
    if family not in LAYERED:
        return context
    inside = context.to(base.current_patcher.load_device, base.get_dtype_inference())
    if family == "krea2":
        seen = network.txtmlp[0](network.txtfusion(network._unpack_context(inside)))
    else:
        ids, weights = given.get("t5xxl_ids"), given.get("t5xxl_weights")
        ids, weights = (None if value is None else value.to(inside.device) for value in (ids, weights))
        seen = network.preprocess_text_embeds(inside, ids, None if weights is None else weights.to(inside))
    return seen.to(context.device)


def norm_of(base: Any, family: str) -> Any:
    """The norm right before the entry layer, if there is one."""
    network = base.diffusion_model
    if family == "z_image":
        return network.cap_embedder[0]
    return network.txt_norm if family in ("qwen_image", "flux2") else None


@contextmanager
def handed(base: Any, family: str) -> Iterator[None]:
    """Within this block the network takes "states" as `conditioned` gives them: they are behind its first norm."""
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


def states_of(conditioning: Conditioning) -> Tensor:
    """What the network is given of prompts, (R,T,D)."""
    return conditioning.tensors.get("states", conditioning.tensors["text"])


def of_one_length(conditioning: Conditioning, family: str) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows whose prompts have as many tokens, and what the network is given without padding behind it; all rows once.

    These networks know of no mask: padding would be read.
    """
    states = states_of(conditioning)
    found = torch.tensor(lengths(states, SHORTEST.get(family, 1)))
    for length in found.unique().tolist():
        rows = (found == length).nonzero()[:, 0]
        yield rows, states[rows][:, :length]
