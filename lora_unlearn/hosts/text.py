"""Prompts to conditionings with a diffusers pipeline's own text encoders: weights in brackets, any length.

A prompt without weights that fits goes through the pipeline's `encode_prompt`; all others are encoded here,
in pieces of 77 tokens for CLIP and in one go for T5, which knows no longest length.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..denoiser import CHUNK, Conditioning
from ..vocabulary import Vocabulary, whole_words
from .prompts import Parts, chunks, parse, plain, tokens, weighted

Kind = Literal["sd", "sdxl", "sd3", "flux"]
T5_ROOM = {"sd3": 256, "flux": 512}
"""Tokens that the pipelines give to T5."""
T5_STEP = 128
"""Longer prompts are padded to a multiple of this, so that most of them can share a batch."""
LONGEST_READ = 77
"""Tokens that are read of a sentence when words are compared."""
ROWS_AT_ONCE = 8192
"""Rows of an embedding table that are fetched at once."""


def kind_of(pipe: Any) -> Kind:
    """Which text encoders a pipeline has, told by its parts."""
    if hasattr(pipe, "text_encoder_3"):
        return "sd3"
    if hasattr(pipe, "transformer"):
        return "flux"
    return "sdxl" if hasattr(pipe, "text_encoder_2") else "sd"


@torch.no_grad()
def encode(pipe: Any, prompts: Sequence[str]) -> Conditioning:
    """Encode prompts, one row each.

    Returns:
        "text" (R,T,D); but for SD1 and SD2 also "pooled" (R,P). T is 77 a piece of 75 tokens for the longest
        prompt, in SD3 followed by T5's 256, in Flux T5's 512 alone; T5's share grows with the prompt, too.
    """
    parsed, kind = [parse(prompt) for prompt in prompts], kind_of(pipe)
    if extent(pipe, prompts) is None:  # all of one length: what encoders need meanwhile grows with the rows
        texts = [plain(parts) for parts in parsed]
        shorter = (texts[start : start + CHUNK] for start in range(0, len(texts), CHUNK))
        return Conditioning.cat(OWN[kind](pipe, chunk) for chunk in shorter)
    return BY_PARTS[kind](pipe, parsed)


def extent(pipe: Any, prompts: Sequence[str]) -> tuple[int, int] | None:
    """(pieces of 77 tokens for CLIP, tokens for T5) of the longest prompt; None if the pipeline's own way serves."""
    kind, parsed = kind_of(pipe), [parse(prompt) for prompt in prompts]
    usual = (1, T5_ROOM.get(kind, 0))
    pieces = 1 if kind == "flux" else max(len(row) for row in _pieces(pipe, pipe.tokenizer, parsed))
    found = (pieces, _t5_length(pipe, parsed))
    return found if found != usual or any(weighted(parts) for parts in parsed) else None


def arguments(pipe: Any, prompts: Sequence[str], negative: Sequence[str], scale: float) -> dict[str, Any]:
    """What a pipeline is called with: prompts as words where its own way serves, else encoded to one length.

    Args:
        prompts, negative: of equal length, brackets and all.
        scale: of the guidance, 1: none.
    """
    zeros = not any(negative) and pipe.config.get("force_zeros_for_empty_prompt")
    negative = negative if scale > 1 and kind_of(pipe) != "flux" and not zeros else []
    every, found = [*prompts, *negative], dict[str, Any](guidance_scale=scale)
    if extent(pipe, every) is None:
        found["prompt"] = [plain(parse(prompt)) for prompt in prompts]
        return found | ({"negative_prompt": [plain(parse(prompt)) for prompt in negative]} if negative else {})
    for name, tensor in encode(pipe, every).tensors.items():
        name = {"text": "prompt_embeds", "pooled": "pooled_prompt_embeds"}[name]
        found[name] = tensor[: len(prompts)]
        if negative:
            found[f"negative_{name}"] = tensor[len(prompts) :]
    return found


def weigh(hidden: Tensor, weights: Tensor) -> Tensor:
    """Multiply token embeddings (N,T,D) by weights (N,T), then restore each row's mean, as A1111 does.

    A mean near zero says nothing of a row's strength: where its ratio leaves 1/2 to 2 it is not restored.
    """
    weights = weights.to(hidden)[:, :, None]
    before, after = hidden.float().mean((1, 2)), (hidden * weights).float().mean((1, 2))
    ratio = before / after
    ratio = torch.where((ratio > 0.5) & (ratio < 2), ratio, 1.0)
    return hidden * weights * ratio.to(hidden)[:, None, None]


def _own_sd(pipe: Any, prompts: list[str]) -> Conditioning:
    hidden, _ = pipe.encode_prompt(prompts, pipe._execution_device, 1, do_classifier_free_guidance=False)
    return Conditioning({"text": hidden})


def _own_sdxl(pipe: Any, prompts: list[str]) -> Conditioning:
    hidden, _, pooled, _ = pipe.encode_prompt(prompts, do_classifier_free_guidance=False)
    return Conditioning({"text": hidden, "pooled": pooled})


def _own_sd3(pipe: Any, prompts: list[str]) -> Conditioning:
    hidden, _, pooled, _ = pipe.encode_prompt(prompts, None, None, do_classifier_free_guidance=False)
    return Conditioning({"text": hidden, "pooled": pooled})


def _own_flux(pipe: Any, prompts: list[str]) -> Conditioning:
    hidden, pooled, _ = pipe.encode_prompt(prompts, None)
    return Conditioning({"text": hidden, "pooled": pooled})


def _sd(pipe: Any, parsed: list[Parts]) -> Conditioning:
    return Conditioning({"text": _clip(pipe, pipe.tokenizer, pipe.text_encoder, parsed, last=True)[0]})


def _sdxl(pipe: Any, parsed: list[Parts]) -> Conditioning:
    first, _ = _clip(pipe, pipe.tokenizer, pipe.text_encoder, parsed)
    second, pooled = _clip(pipe, pipe.tokenizer_2, pipe.text_encoder_2, parsed)
    return Conditioning({"text": torch.cat([first, second], dim=-1), "pooled": pooled})


def _sd3(pipe: Any, parsed: list[Parts]) -> Conditioning:
    first, pooled = _clip(pipe, pipe.tokenizer, pipe.text_encoder, parsed)
    second, pooled_2 = _clip(pipe, pipe.tokenizer_2, pipe.text_encoder_2, parsed)
    third = _t5(pipe, parsed)
    clip = torch.cat([first, second], dim=-1)
    clip = F.pad(clip, (0, third.shape[-1] - clip.shape[-1]))
    return Conditioning({"text": torch.cat([clip, third], dim=1), "pooled": torch.cat([pooled, pooled_2], dim=-1)})


def _flux(pipe: Any, parsed: list[Parts]) -> Conditioning:
    first = [row[0][0] for row in _pieces(pipe, pipe.tokenizer, parsed)]
    pooled = pipe.text_encoder(torch.tensor(first, device=pipe._execution_device)).pooler_output
    return Conditioning({"text": _t5(pipe, parsed), "pooled": pooled})


OWN = {"sd": _own_sd, "sdxl": _own_sdxl, "sd3": _own_sd3, "flux": _own_flux}
BY_PARTS = {"sd": _sd, "sdxl": _sdxl, "sd3": _sd3, "flux": _flux}


def _pieces(pipe: Any, tokenizer: Any, parsed: list[Parts]) -> list[list]:
    convert = getattr(pipe, "maybe_convert_prompt", None)
    return [chunks(tokenizer, *tokens(tokenizer, parts, convert)) for parts in parsed]


def _clip(pipe: Any, tokenizer: Any, encoder: Any, parsed: list[Parts], last: bool = False) -> tuple[Tensor, Tensor]:
    """Token states (R,N*77,D), the penultimate layer's unless `last`; and the first piece's pooled output (R,P)."""
    rows = _pieces(pipe, tokenizer, parsed)
    count = max(len(row) for row in rows)
    flat = [piece for row in rows for piece in row + chunks(tokenizer, [], []) * (count - len(row))]
    ids = torch.tensor([own for own, _ in flat], device=pipe._execution_device)
    out = encoder(ids, output_hidden_states=True)
    hidden = out.last_hidden_state if last else out.hidden_states[-2]
    hidden = weigh(hidden, torch.tensor([weights for _, weights in flat])).to(encoder.dtype)
    return hidden.unflatten(0, (-1, count)).flatten(1, 2), out[0][::count]


def _t5_parts(pipe: Any) -> tuple[Any, Any]:
    if kind_of(pipe) == "sd3":
        return pipe.tokenizer_3, pipe.text_encoder_3
    return pipe.tokenizer_2, pipe.text_encoder_2


def _t5_length(pipe: Any, parsed: list[Parts]) -> int:
    """Tokens that T5 gets, its end token included."""
    room = T5_ROOM.get(kind_of(pipe), 0)
    if not room or _t5_parts(pipe)[1] is None:
        return room
    needed = max(len(tokens(_t5_parts(pipe)[0], parts)[0]) for parts in parsed) + 1
    return room if needed <= room else -(-needed // T5_STEP) * T5_STEP


def _t5(pipe: Any, parsed: list[Parts]) -> Tensor:
    """T5's last states (R,T,D); zeros if the pipeline goes without it, as the pipeline itself does."""
    tokenizer, encoder = _t5_parts(pipe)
    length, device = _t5_length(pipe, parsed), pipe._execution_device
    if encoder is None:
        width = pipe.transformer.config.joint_attention_dim
        return torch.zeros(len(parsed), length, width, device=device, dtype=pipe.text_encoder.dtype)
    ids = torch.full((len(parsed), length), tokenizer.pad_token_id, device=device)
    weights = torch.ones(len(parsed), length)
    for row, parts in enumerate(parsed):
        own, strength = tokens(tokenizer, parts)
        ids[row, : len(own) + 1] = torch.tensor([*own, tokenizer.eos_token_id])
        weights[row, : len(own)] = torch.tensor(strength)
    return weigh(encoder(ids)[0], weights).to(encoder.dtype)


def vocabulary(pipe: Any) -> Vocabulary:
    """The words of the text encoder whose token states the network reads: CLIP's, in Flux T5's."""
    flux = kind_of(pipe) == "flux" and pipe.text_encoder_2 is not None
    return encoder_words(*_t5_parts(pipe)) if flux else encoder_words(pipe.tokenizer, pipe.text_encoder)


def encoder_words(tokenizer: Any, encoder: Any) -> Vocabulary:
    """The words of a transformers tokenizer and text encoder, which reads sentences without their padding."""

    def ids(words: Sequence[str]) -> list[list[int]]:
        return tokenizer(list(words), add_special_tokens=False, verbose=False).input_ids

    def read(prompts: Sequence[str]) -> Tensor:
        texts = [plain(parse(prompt)) for prompt in prompts]
        room = min(tokenizer.model_max_length, LONGEST_READ)
        inputs = tokenizer(texts, padding=True, truncation=True, max_length=room, return_tensors="pt").to(
            encoder.device
        )
        mask = inputs.attention_mask[:, :, None]
        states = encoder(input_ids=inputs.input_ids, attention_mask=inputs.attention_mask)[0].float()
        return (states * mask).sum(dim=1) / mask.sum(dim=1)

    return new_vocabulary(encoder, encoder.get_input_embeddings(), tokenizer.get_vocab(), ids, read)


def new_vocabulary(
    encoder: Any,
    table: Any,
    ranks: Mapping[str, int],
    ids: Callable[[Sequence[str]], list[list[int]]],
    read: Callable[[Sequence[str]], Tensor] | None = None,
) -> Vocabulary:
    """A vocabulary from the parts that every host has.

    Args:
        encoder: the network.
        table: its input table, a module that takes token ids (T,) to (T,E).
        ranks: the raw tokens with their ids.
        ids: token ids of words, without start and end.
        read: see `Vocabulary`.
    """
    known = whole_words(ranks)

    def embed(words: Sequence[str]) -> Tensor:
        others = [word for word in words if word not in known]
        tokens = dict(zip(others, ids(others), strict=True)) if others else {}
        return rows_of(table, [[known[word]] if word in known else tokens[word] for word in words])

    return Vocabulary(encoder, list(known), embed, read)


@torch.no_grad()
def rows_of(table: Any, words: Sequence[Sequence[int]]) -> Tensor:
    """(N,E) for the token ids of N words: each the mean of its tokens' rows in a table; zero without tokens."""
    counts = torch.tensor([len(own) for own in words])
    ids = torch.tensor([token for own in words for token in own], dtype=torch.long, device=table.weight.device)
    rows = torch.cat([table(part).float().cpu() for part in ids.split(ROWS_AT_ONCE)])
    places = torch.arange(len(words)).repeat_interleave(counts)
    return torch.zeros(len(words), rows.shape[1]).index_add_(0, places, rows) / counts.clamp(min=1)[:, None]
