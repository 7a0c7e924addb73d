"""The model names its own synonyms: words that its text encoder reads like the ones to erase.

Two views of a word are compared, both centred on what all words share: the row of the encoder's input table, which
costs nothing and makes the shortlist, and the state of a sentence with the word in it. Their mean is the similarity.
How near is near is measured on the encoder at hand: see `_Reading.measure`. Nothing here knows any concept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor

from .concept import Concept, is_style, literal
from .denoiser import Denoiser
from .errors import UnlearnError
from .vocabulary import CALLS, LETTERS, Vocabulary, letters, plurals, same_word, sound_shift

Kind = Literal["inflection", "near", "neighbour"]
Report = Callable[[int, int], None]

CONTEXT = "a photo of a {}"
SHORTLIST = 48
"""How many words are compared in context."""
CHUNK = 32
"""Sentences that are encoded at once."""
FREQUENT = 10_000
"""The model is measured on words of this rank at most: rarer ones are often names, or pieces of words."""
SAMPLED = 1000
"""How many of them have their closest companion looked for in the table; and of those, in context:"""
MEASURED = 32
COMPANIONS = 12
"""How many of a word's closest are looked at for a companion."""
CLOSE = 0.35
"""A word is near if it is as close as the closest companions of words are, but for this share of the words."""
CLOSER = 0.5
"""How much it counts for or against a word that it has closer companions of its own, further away."""
BEYOND_CHANCE = 4.0
"""Standard deviations between words of no relation, within which no word is near."""
OFFERED = 2 / 3
"""Share of the suggestions that near words may take."""
FEWEST = 2 * MEASURED
"""A vocabulary with fewer words is none."""


@dataclass(frozen=True)
class Suggestion:
    """A word that the model reads much like the concept.

    Attributes:
        word: in lower case, or with a variant of the user's words as they typed the rest.
        similarity: from 0, like any other word, to 1, no difference.
        kind: "inflection", another form of one of the user's words; "near", the same or nearly the same thing to this
            model; "neighbour", something else close by, to be kept.
    """

    word: str
    similarity: float
    kind: Kind


def suggest(
    denoiser: Denoiser, concept: Concept, count: int = 12, report: Report = lambda done, total: None
) -> list[Suggestion]:
    """Words that the model reads like the concept's, best first: inflections, near words, neighbours.

    The first call for an encoder also measures the encoder itself, on some sixty sentences.

    Args:
        denoiser: the model, with the optional method `vocabulary`, see `Vocabulary`.
        concept: its words are compared; what it keeps or puts in their place is not suggested.
        count: suggestions at most, inflections not counted.
        report: called with (sentences read, sentences to read).

    Raises:
        UnlearnError: if the model has no vocabulary of whole words, or its encoder's states are not finite.
    """
    with torch.inference_mode(False), torch.no_grad():
        return _reading(denoiser, report).suggestions(concept, count)


@dataclass
class _Known:
    """What is known of an encoder; it holds nothing of the encoder itself, so it lives no longer than that.

    Attributes:
        words: the vocabulary, with the place of each.
        table: (N,E) unit rows of the input table, centred, in half precision; middle: (E,) what was taken off.
        states: unit states (D,) of sentences that were read; centre: (D,) their mean in the measurement.
        near: the similarity from which up words are near.
        chance: how close in the table the closest of so many words would come without any relation.
    """

    words: dict[str, int]
    table: Tensor
    middle: Tensor
    states: dict[str, Tensor] = field(default_factory=dict)
    centre: Tensor = field(default_factory=lambda: torch.zeros(()))
    near: float = 1.0
    chance: float = 1.0


_KNOWN: WeakKeyDictionary[Any, _Known] = WeakKeyDictionary()


def _reading(denoiser: Any, report: Report) -> _Reading:
    """The denoiser's encoder, measured if this is its first time."""
    offered = getattr(denoiser, "vocabulary", None)
    vocabulary: Vocabulary | None = offered() if offered else None
    if vocabulary is None or len(vocabulary.words) < FEWEST:
        raise UnlearnError(
            "This model's text encoder has no list of whole words, so it cannot suggest any; all else goes on "
            "without suggestions, and further words can be typed by hand."
        )
    read = vocabulary.read or (lambda prompts: denoiser.encode(prompts).tensors["text"].float().mean(dim=1))
    known = _KNOWN.get(vocabulary.encoder)
    if known is not None:
        return _Reading(known, vocabulary.embed, read, report)
    reading = _Reading(_tabled(vocabulary), vocabulary.embed, read, report)
    reading.measure()
    _KNOWN[vocabulary.encoder] = reading.known
    return reading


def _tabled(vocabulary: Vocabulary) -> _Known:
    words = list(vocabulary.words)
    rows = F.normalize(_finite(vocabulary.embed(words)), dim=1)
    middle = rows.mean(dim=0)
    table = F.normalize(rows - middle, dim=1).half()
    return _Known({word: place for place, word in enumerate(words)}, table, middle)


def _finite(values: Tensor) -> Tensor:
    values = values.detach().float().cpu()
    if not values.isfinite().all():
        raise UnlearnError(
            "The text encoder's output holds NaN or infinity for an ordinary word; load the model in float32 or "
            "bfloat16, or use another file."
        )
    return values


class _Reading:
    """An encoder at work: words to vectors to kinds."""

    def __init__(self, known: _Known, embed: Any, read: Any, report: Report) -> None:
        self.known, self.embed, self.read, self.report = known, embed, read, report

    def measure(self) -> None:
        """Find out how near is near: how close the closest companions of ordinary words are, and words of no relation.

        The words in question are picked by the table alone; they and their companions are then read in context.
        """
        words, table = list(self.known.words)[:FREQUENT], self.known.table[:FREQUENT].float()
        places = torch.arange(0, len(words), max(1, len(words) // SAMPLED))
        close = torch.cat([(table[part] @ table.T).topk(LETTERS + 1).indices for part in places.split(CHUNK)]).tolist()
        pairs = [
            (words[i], _companion(words[i], [words[j] for j in row])) for i, row in zip(places, close, strict=True)
        ]
        pairs.sort(key=lambda pair: float(table[self.known.words[pair[0]]] @ table[self.known.words[pair[1]]]))
        first = max(0, min(len(pairs) - MEASURED, int(CLOSE * len(pairs)) - MEASURED // 2))
        chosen = pairs[first : first + MEASURED]
        one, other = [pair[0] for pair in chosen], [pair[1] for pair in chosen]
        self.known.centre = self.states([*one, *other], centred=False).mean(dim=0)
        companions = self.similarities(one, other).diagonal().mean()
        strangers = self.similarities(one, one)[~torch.eye(len(one), dtype=torch.bool)]
        self.known.near = max(float(companions), float(strangers.mean() + BEYOND_CHANCE * strangers.std()))
        strangers = table[[self.known.words[word] for word in one]] @ table.T
        highest = math.sqrt(2 * math.log(len(self.known.words)))  # of so many normal deviates
        self.known.chance = float(strangers.mean() + highest * strangers.std())

    def states(self, words: Sequence[str], centred: bool = True) -> Tensor:
        """(N,D) unit states of the words in context; those that were read before cost nothing."""
        unread = [word for word in dict.fromkeys(words) if word not in self.known.states]
        for start in range(0, len(unread), CHUNK):
            part = unread[start : start + CHUNK]
            rows = F.normalize(_finite(self.read([CONTEXT.format(literal(word)) for word in part])), dim=1)
            self.known.states.update(zip(part, rows, strict=True))
            self.report(start + len(part), len(unread))
        found = torch.stack([self.known.states[word] for word in words])
        return F.normalize(found - self.known.centre, dim=1) if centred else found

    def rows(self, words: Sequence[str]) -> Tensor:
        """(N,E) unit rows of the table, centred."""
        return F.normalize(F.normalize(_finite(self.embed(words)), dim=1) - self.known.middle, dim=1)

    def similarities(self, ones: Sequence[str], others: Sequence[str]) -> Tensor:
        """(len(ones), len(others)): the mean cosine of the two views."""
        return (self.states(ones) @ self.states(others).T + self.rows(ones) @ self.rows(others).T) / 2

    def shortlist(self, concept: Concept, own: Sequence[str]) -> list[str]:
        """The words closest to the concept's in the table, closer than by chance, but for those that the user named."""
        named = [letters(part) for word in concept.words for part in (word, *word.split())]
        named += [letters(word) for word in (*concept.keep, concept.of, concept.replace_with)]
        rows = self.rows(own).T
        close = torch.cat([(part.float() @ rows).amax(dim=1) for part in self.known.table.split(FREQUENT)])
        words, taken = list(self.known.words), set(named)
        best = close.topk(min(SHORTLIST + len(named), len(words)))
        found = zip(best.values.tolist(), best.indices.tolist(), strict=True)
        return [words[i] for value, i in found if value > self.known.chance and words[i] not in taken][:SHORTLIST]

    def suggestions(self, concept: Concept, count: int) -> list[Suggestion]:
        """See `suggest`."""
        own = [word for word in concept.words if not CALLS.search(word)]
        if not own:
            return []
        variants = [variant for word in own for variant in self.variants(word)]
        others = list(dict.fromkeys([*variants, *self.shortlist(concept, own)]))
        if not others:
            return []
        each = self.similarities(own, others)
        similarity = (each.amax(dim=0) + each.mean(dim=0)) / 2
        margins = self.margins(own, others, similarity)
        judged = [
            Suggestion(word, min(1.0, max(0.0, round(s, 4))), kind)
            for word, s, margin in zip(others, similarity.tolist(), margins.tolist(), strict=True)
            if (kind := self.kind(own, word, s, margin, word in variants))
        ]
        judged.sort(key=lambda suggestion: -suggestion.similarity)
        sorts = {kind: [s for s in judged if s.kind == kind] for kind in ("inflection", "near", "neighbour")}
        near, neighbours = _with_their_forms(sorts["near"], sorts["neighbour"])
        near = near[: round(count * OFFERED)]
        return [*sorts["inflection"], *near, *neighbours[: count - len(near)]]

    def margins(self, own: Sequence[str], others: Sequence[str], similarity: Tensor) -> Tensor:
        """(N,): how much closer each word is to the concept than to its closest companion that is not near it.

        By both views among the words themselves, and by the table among all words; the lower counts.
        """
        near = {word for word, s in zip(others, similarity.tolist(), strict=True) if s >= self.known.near}
        further = similarity[None, :] < similarity[:, None].clamp(max=self.known.near)
        forms = torch.tensor([[same_word(one, other) for other in others] for one in others])
        between = self.similarities(others, others).masked_fill(forms | ~further, 0).amax(dim=1)
        return torch.minimum(similarity - between, self.table_margins(own, others, near))

    def table_margins(self, own: Sequence[str], others: Sequence[str], near: set[str]) -> Tensor:
        """The same (N,) by the table alone, where the companions may be any words but those that are near."""
        words, rows, concept = list(self.known.words), self.rows(others), self.rows(own)
        best = torch.cat([rows @ part.float().T for part in self.known.table.split(FREQUENT)], dim=1).topk(COMPANIONS)
        margins = (rows @ concept.T).amax(dim=1)
        for i, (values, places) in enumerate(zip(best.values, best.indices.tolist(), strict=True)):
            closer = (self.known.table[places].float() @ concept.T).amax(dim=1) >= margins[i]
            barred = [words[place] in near or same_word(others[i], words[place]) for place in places]
            margins[i] -= values.masked_fill(closer | torch.tensor(barred), 0).max()
        return margins

    def kind(self, own: Sequence[str], word: str, similarity: float, margin: float, variant: bool) -> Kind | None:
        """What a word is to the concept; None: not worth a mention."""
        if similarity + CLOSER * margin >= self.known.near:
            if variant or any(same_word(word, other) or sound_shift(word, other) for other in own):
                return "inflection"
            return "near"
        return "neighbour" if margin < 0 and not variant else None

    def variants(self, word: str) -> list[str]:
        """Other ways to write one of the user's words, if the encoder knows their parts and tells them from it."""
        known, (*head, last) = self.known.words, word.split()
        found = [word.lower(), word.title()]
        if head and not is_style(word):
            found += [" ".join([*head, form]) for form in plurals(last) if form in known]
            found += ["".join(word.lower().split())] if "".join(word.lower().split()) in known else []
        if not head:
            cuts = range(LETTERS, len(word) - LETTERS + 1)
            found += [f"{word[:i]} {word[i:]}" for i in cuts if word[:i] in known and word[i:] in known]
        found = [form for form in dict.fromkeys(found) if form != word]
        same = self.states([word])[0]
        return [form for form in found if float(self.states([form])[0] @ same) < 1 - 1e-4]


def _with_their_forms(
    near: Sequence[Suggestion], neighbours: Sequence[Suggestion]
) -> tuple[list[Suggestion], list[Suggestion]]:
    """Near words and neighbours, where another form of a near word is near, too."""
    forms = [one for one in neighbours if any(same_word(one.word, other.word) for other in near)]
    both = sorted([*near, *(replace(one, kind="near") for one in forms)], key=lambda one: -one.similarity)
    return both, [one for one in neighbours if one not in forms]


def _companion(word: str, close: Sequence[str]) -> str:
    """The closest word that is not another form of it; `close` begins with the word itself."""
    return next((other for other in close[1:] if not same_word(word, other)), close[-1])
