"""The words of a text encoder: whole ones among its tokens, and which of them are forms of one another."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

MARKS = ("</w>", "\u0120", "\u2581", "##")
"""How tokens show where words begin or end: CLIP, byte-level BPE, SentencePiece, word pieces."""
CALLS = re.compile(r"[:<>]")
"""What a word holds that calls a file (embedding:name, <lora:name>) and means nothing itself."""
LETTERS = 3
"""The shortest word that counts as one."""


@dataclass(frozen=True)
class Vocabulary:
    """What a host tells of its text encoder's words: a denoiser may offer one as `vocabulary()`.

    Attributes:
        encoder: the network; what is measured on it is kept as long as it lives.
        words: whole words as `words_of` finds them, the most frequent first.
        embed: (N words) to (N,E), each the mean of its tokens' rows in the encoder's input table.
        read: (N plain prompts) to (N,D), each the mean of its tokens' states; None: of the denoiser's own `encode`.
    """

    encoder: Any
    words: Sequence[str]
    embed: Callable[[Sequence[str]], Tensor]
    read: Callable[[Sequence[str]], Tensor] | None = None


def words_of(tokens: Iterable[str]) -> list[str]:
    """The whole words among a tokenizer's tokens: letters alone, lower case, no repeats, in the tokens' order.

    Args:
        tokens: raw strings, by rank. Those of CLIP end words with "</w>", byte-level ones begin them with U+0120,
            SentencePiece with U+2581, word pieces go on with "##". Without any of these marks there are no words.
    """
    return list(whole_words({token: rank for rank, token in enumerate(tokens)}))


def whole_words(ranks: Mapping[str, int]) -> dict[str, int]:
    """The words of `words_of` with the ids of their tokens, the most frequent first.

    Args:
        ranks: a tokenizer's raw tokens with their ids, which rise with rarity.
    """
    counts = {mark: sum(mark in token for token in ranks) for mark in MARKS}
    mark = max(MARKS, key=lambda mark: counts[mark])
    found: dict[str, int] = {}
    for token in sorted(ranks, key=ranks.__getitem__) if counts[mark] else ():
        word = _unmarked(token, mark).lower()
        if word.isalpha() and len(word) >= LETTERS:
            found.setdefault(word, ranks[token])
    return found


def _unmarked(token: str, mark: str) -> str:
    """The token's text if it is a whole word, else nothing."""
    if mark == "##":
        return "" if token.startswith(mark) else token
    if mark == "</w>":
        return _from_bytes(token.removesuffix(mark)) if token.endswith(mark) else ""
    text = token.removeprefix(mark) if token.startswith(mark) else ""
    return _from_bytes(text) if mark == "\u0120" else text


def _byte_names() -> dict[str, int]:
    """The characters that stand for bytes in byte-level vocabularies: printable ones for themselves."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + i): byte for i, byte in enumerate(others)}


BYTES = _byte_names()


def _from_bytes(token: str) -> str:
    """A byte-level token's text; nothing for pieces of characters."""
    if token.isascii():
        return token
    try:
        return bytes(BYTES[character] for character in token).decode()
    except (KeyError, UnicodeDecodeError):
        return ""


def same_word(one: str, other: str) -> bool:
    """Whether two words are one but for case, spaces, an apostrophe, or the plural's ending."""
    short, long = sorted((letters(one), letters(other)), key=len)
    return bool(short) and (long == short or long in plurals(short))


def letters(word: str) -> str:
    """A word's letters and digits alone, in lower case."""
    return re.sub(r"[\W_]", "", word.lower())


def plurals(word: str) -> list[str]:
    """A regular plural's possible forms."""
    forms = [word + "s", word + "es"]
    return forms + [word.removesuffix(end) + "ies" * (end == "y") + "ves" * (end != "y")
                    for end in ("y", "fe", "f") if word.endswith(end)]  # fmt: skip


def sound_shift(one: str, other: str) -> bool:
    """Whether one word may be the other's plural by its vowels alone: of one length, other letters the same."""
    one, other = letters(one), letters(other)
    if len(one) != len(other) or len(one) < LETTERS:
        return False
    changed = [pair for pair in zip(one, other, strict=True) if pair[0] != pair[1]]
    return one[0] == other[0] and 0 < len(changed) < LETTERS and all(a in "aeiou" and b in "aeiou" for a, b in changed)
