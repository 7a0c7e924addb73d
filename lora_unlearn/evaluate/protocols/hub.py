"""HUB (arXiv 2410.05664), as far as a classifier can judge: what must go goes under every form, what stands near stays.

Target proportion, pinpoint-ness (the nearest words by the model's own text encoder), selective alignment (the other
thing of a prompt is still there), the concept in other languages, and forms of it that people try.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from ...bank import load_bank
from ...demo.words import THINGS
from ...errors import UnlearnError
from ...replacement import by_nearness
from ..attacks.plain import forms_of
from ..counting import label, shows, ways
from ..erasure import PRESENT
from ..prompts import CLASSES, HYPONYMS, PARTNERS, TEMPLATE, Prompt, Protocol, pairs_of
from ..record import Evaluation, Shot, View
from .bench import STYLED, Bench
from .row import asking
from .words import TRANSLATIONS

SENTENCES, NEAREST, FORMS = (12, 4), (20, 8), (24, 8)
"""Target sentences, near words and attacked forms, in full and for a first look."""


def ask(bench: Bench) -> Protocol:
    """All five tasks.

    Raises:
        UnlearnError: if the judge can't say whether the concept is on a picture.
    """
    quick, concept = bench.quick, bench.concept
    if bench.style is None and concept not in bench.judge.labels:
        raise UnlearnError(f"hub: the judge does not know {concept!r}; it knows {', '.join(bench.judge.labels)}.")
    near = nearest(bench)[: NEAREST[quick]]
    partners = [word for word in PARTNERS if bench.knows(word)]
    targets = bench.sentences(SENTENCES[quick])
    prompts = [Prompt(text, "target", concept) for text in targets]
    prompts += [Prompt(near_sentence(bench, word), "near", word) for word in near]
    prompts += pairs_of(concept, [word for word in partners if word != concept]) if bench.style is None else []
    prompts += [Prompt(text, "language", concept, name) for name, text in languages(bench).items()]
    prompts += [Prompt(text, "attack", concept) for text in forms(bench, targets[0])[: FORMS[quick]]]
    labels = dict.fromkeys([*bench.judge.labels, *([] if bench.style else [*near, *partners])])
    return asking(bench, prompts, tuple(labels))


def nearest(bench: Bench) -> list[str]:
    """What the text encoder puts nearest to the concept: nouns of the bank, or the judge's other styles."""
    if bench.style is not None:
        return [style for style in bench.judge.styles if style != bench.style]
    concept = bench.eraser.adapter.concept
    barred = {*concept.words, *bench.other_words, *HYPONYMS.get(concept.name, ())}
    nouns = [noun for noun, _ in by_nearness(bench.denoiser, concept, load_bank(bench.denoiser.family))]
    known = THINGS if bench.denoiser.family == "demo" else nouns
    return [noun for noun in nouns if noun in known and noun not in barred and bench.knows(noun)]


def near_sentence(bench: Bench, word: str) -> str:
    """How a near word is asked for."""
    return TEMPLATE.format(word) if bench.style is None else STYLED[0].format("house", style=word)


def languages(bench: Bench) -> dict[str, str]:
    """Prompts for the concept in other languages: the user's, and those known; the demo model reads English alone."""
    known = {} if bench.denoiser.family == "demo" else TRANSLATIONS.get(bench.concept, {})
    return {**known, **bench.translations}


def forms(bench: Bench, sentence: str) -> list[str]:
    """Misspelt, shuffled and paraphrased forms of a sentence, as the attack `plain` tries them."""
    word = bench.style or bench.concept
    found = list(dict.fromkeys(forms_of(sentence, [word], CLASSES.get(bench.concept, ()), bench.first_seed)))
    random.Random(bench.first_seed).shuffle(found)
    return [form for form in found if form != sentence]


def count(evaluation: Evaluation) -> dict[str, Any]:
    """A share for every task: of target, languages and attacks those that show the concept, else what should stay."""
    concept = evaluation.protocol.concept

    def there(shot: Shot, view: View) -> float:
        return float(shows(view, evaluation, concept))

    def itself(shot: Shot, view: View) -> float:
        return float(shows(view, evaluation, shot.prompt.wanted))

    def other(shot: Shot, view: View) -> float:
        return float(partner_there(shot, view, evaluation))

    near, spoken = evaluation.of("near"), evaluation.of("language")
    return {
        "target_proportion": ways(evaluation.of("target"), there),
        "pinpoint": ways(near, itself),
        "selective_alignment": ways(evaluation.of("pair"), other),
        "languages": ways(spoken, there),
        "attacks": ways(evaluation.of("attack"), there),
        "nearest": list(dict.fromkeys(shot.prompt.wanted for shot in near)),
        "languages_asked": list(dict.fromkeys(shot.prompt.partner for shot in spoken)) or ["English only"],
    }


def partner_there(shot: Shot, view: View, evaluation: Evaluation) -> bool:
    """Whether the other thing of a pair is on the picture.

    By the judge's presence; where it has none, if nothing but the erased concept is likelier.
    """
    partner, concept = shot.prompt.partner, evaluation.protocol.concept
    if view.presence is not None:
        return float(view.presence[evaluation.labels.index(partner)]) >= PRESENT
    rest: Sequence[str] = [name for name in evaluation.labels if name != concept]
    return label(view, evaluation, rest) == partner
