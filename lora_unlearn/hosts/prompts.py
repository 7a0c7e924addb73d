"""Prompts as web UIs read them: weights in brackets, and pieces of 75 tokens for prompts of any length.

"(word)" makes a word 1.1 times as strong, "[word]" weakens it by the same factor, "(word:1.3)" names the
factor; brackets nest, and a backslash makes the next bracket an ordinary character. "<lora:name:1>" calls an
extra network; nothing is called here, so such tags are left out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

Parts = list[tuple[str, float]]
"""A prompt's text in order, each stretch with its weight."""
Chunk = tuple[list[int], list[float]]
"""Token ids of one pass through the text encoder, and a weight for each."""

STEP = 1.1
_TAG = re.compile(r"<\w+:[^<>]+>")
_MARK = re.compile(r"\\([\\()\[\]])|:\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*\)|([()\[\]])")


def tags(prompt: str) -> list[str]:
    """The calls of extra networks in a prompt, such as "<lora:name:1>"."""
    return _TAG.findall(prompt)


def untagged(prompt: str) -> str:
    """A prompt without them: their names are no words that the model reads."""
    return _TAG.sub("", prompt)


def parse(prompt: str) -> Parts:
    """Split a prompt into stretches of text with their weights; without brackets it is one stretch of weight 1.

    A bracket that is never closed counts to the end; one that was never opened is text.
    """
    prompt = untagged(prompt)
    parts: list[tuple[str, float]] = []
    opened: dict[str, list[int]] = {"(": [], "[": []}
    end = 0
    for mark in _MARK.finditer(prompt):
        parts.append((prompt[end : mark.start()], 1.0))
        end = mark.end()
        escaped, weight, bracket = mark.groups()
        if bracket in ("(", "["):
            opened[bracket].append(len(parts))
        elif bracket == "]" and opened["["]:
            _scale(parts, opened["["].pop(), 1 / STEP)
        elif escaped is None and bracket != "]" and opened["("]:
            _scale(parts, opened["("].pop(), float(weight or STEP))
        else:
            parts.append((escaped or mark.group(), 1.0))
    parts.append((prompt[end:], 1.0))
    for bracket, factor in (("(", STEP), ("[", 1 / STEP)):
        for start in opened[bracket]:
            _scale(parts, start, factor)
    return _joined(parts)


def _scale(parts: Parts, start: int, factor: float) -> None:
    parts[start:] = [(text, weight * factor) for text, weight in parts[start:]]


def _joined(parts: Parts) -> Parts:
    joined: Parts = []
    for text, weight in parts:
        if joined and text and joined[-1][1] == weight:
            joined[-1] = (joined[-1][0] + text, weight)
        elif text:
            joined.append((text, weight))
    return joined or [("", 1.0)]


def plain(parts: Parts) -> str:
    """The prompt's text without marks."""
    return "".join(text for text, _ in parts)


def weighted(parts: Parts) -> bool:
    """Whether any stretch has a weight other than 1."""
    return any(weight != 1 for _, weight in parts)


def tokens(tokenizer: Any, parts: Parts, convert: Any = None) -> Chunk:
    """All token ids of a prompt, without start and end, and the weight of each.

    Args:
        tokenizer: of a transformers text encoder.
        convert: `maybe_convert_prompt` of a pipeline that knows textual inversions.
    """
    ids: list[int] = []
    weights: list[float] = []
    for text, weight in parts:
        text = convert(text, tokenizer) if convert else text
        found = tokenizer(text, add_special_tokens=False, verbose=False).input_ids
        ids += found
        weights += [weight] * len(found)
    return ids, weights


def chunks(tokenizer: Any, ids: Sequence[int], weights: Sequence[float]) -> list[Chunk]:
    """Pieces of the tokenizer's length (77), each with its own start and end, padded; at least one."""
    room = tokenizer.model_max_length - 2
    pieces = []
    for start in range(0, max(len(ids), 1), room):
        own, strength = list(ids[start : start + room]), list(weights[start : start + room])
        spare = room - len(own)
        own = [tokenizer.bos_token_id, *own, tokenizer.eos_token_id] + [tokenizer.pad_token_id] * spare
        pieces.append((own, [1.0, *strength, 1.0] + [1.0] * spare))
    return pieces
