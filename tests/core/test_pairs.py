"""Which token takes which token's place, where a language model reads as many as there are."""

from __future__ import annotations

import torch

from lora_unlearn.denoiser import Conditioning
from lora_unlearn.directions import energy, token_edit
from lora_unlearn.moments import tokens
from lora_unlearn.pairs import paired

WIDTH = 24
SAID = "a photo of cat van gogh dog lamp end turn".split()
WORDS = dict(zip(SAID, torch.eye(WIDTH), strict=False))


def rows(*sentences):
    """Each word one token, rows filled up with zeros."""
    length = max(len(sentence.split()) for sentence in sentences)
    text = torch.zeros(len(sentences), length, WIDTH)
    for row, sentence in enumerate(sentences):
        for place, word in enumerate(sentence.split()):
            text[row, place] = WORDS[word]
    return Conditioning({"text": text})


def said(found):
    """The words of tokens."""
    return [SAID[int(token.argmax())] for token in found]


def test_a_word_of_two_pieces_goes_to_the_one_in_its_place_and_what_follows_to_itself():
    text, other = paired(rows("a photo of van gogh end turn"), rows("a photo of dog end turn"))
    assert said(text) == "a photo of van gogh end turn".split()
    assert said(other) == "a photo of dog dog end turn".split()


def test_a_longer_word_in_its_place_moves_nothing_either():
    _, other = paired(rows("a cat end turn"), rows("a van gogh end turn"))
    assert said(other) == "a van end turn".split()


def test_padding_is_no_token_and_one_reference_serves_all():
    text, other = paired(rows("a cat end", "a photo of cat end"), rows("a dog end"))
    assert said(text) == "a cat end a photo of cat end".split()
    assert said(other)[:3] == "a dog end".split() and said(other)[-1] == "end"


def test_the_closed_form_leaves_what_follows_the_concept_where_it_is():
    target, reference = rows("a photo of van gogh end turn"), rows("a photo of dog end turn")
    kept = energy(tokens(rows("a photo of lamp end turn")))
    edit, _ = token_edit(target, reference, kept, rows("end turn"))
    moved = {word: WORDS[word] + WORDS[word] @ edit for word in ("van", "gogh", "end", "turn", "lamp")}
    assert all((moved[word] - WORDS["dog"]).norm() < 0.05 for word in ("van", "gogh"))
    assert all((moved[word] - WORDS[word]).norm() < 0.05 for word in ("end", "turn", "lamp"))
