"""What a report says first: one sentence, four figures, and what to be careful about."""

from __future__ import annotations

from typing import Any

from .markup import Html, number, percent, score, tag

Figures = dict[str, Any]
"""What `lora_unlearn.evaluate` measured, as in report.json."""
RELIABLE, MANY = 0.9, 10
"""A model that draws its own words less often, or fewer pictures of each prompt, make weak figures."""


def headline(figures: Figures) -> str:
    """What happened, in one or two sentences."""
    concept, erased, kept = figures["concept"], figures["erased"], figures["integrity"]
    if not erased["pictures"]:
        first = f"Without the eraser the model drew no {concept} when asked, so there was nothing to erase."
    else:
        first = (
            f"{_capital(concept)} is gone from {percent(erased['share'])} of the {number(erased['pictures'])} pictures "
            "on which the model had drawn it."
        )
    if not kept["unrelated"]:
        return first
    share, count = kept["unrelated_identical_share"], number(kept["unrelated"])
    if share == 1:
        return f"{first} Every one of the {count} pictures of other things stayed the same, byte for byte."
    return f"{first} Of the {count} pictures of other things {percent(share)} stayed the same, byte for byte."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def warnings(figures: Figures) -> list[str]:
    """What makes the figures mean less than they seem to."""
    base, settings, concept = figures["base"], figures["settings"], figures["concept"]
    adapter, found = settings["adapter"], []
    if adapter["partial"]:
        found.append("The training of this eraser was interrupted; it is not finished.")
    if adapter["base_hash"] != settings["base_hash"]:
        found.append("The gate was calibrated on another model than the one that drew these pictures.")
    elif settings["gate_mode"] == "auto" and not adapter["gate"]["negatives"]:
        found.append("The gate of this eraser was never calibrated; its threshold is a guess.")
    if base["acc_e"] is not None and base["acc_e"] < RELIABLE:
        found.append(f"The model itself draws {concept} in {percent(base['acc_e'])} of the pictures that ask for it.")
    if base["acc_g"] is not None and base["acc_g"] < RELIABLE:
        found.append(
            f"The model itself draws {concept} in {percent(base['acc_g'])} of the pictures that ask for it by other "
            "words, so Acc_g says little."
        )
    if settings["seeds_per_prompt"] < MANY:
        pictures = "picture" if settings["seeds_per_prompt"] == 1 else "pictures"
        found.append(f"Only {settings['seeds_per_prompt']} {pictures} of each prompt: the intervals are wide.")
    return found


def tiles(figures: Figures) -> Html:
    """The four figures that matter most."""
    cost, concept = figures["evaluations"], figures["concept"]
    erased, same = figures["erased"]["share"], figures["integrity"]["unrelated_identical_share"]
    return tag(
        "div",
        _tile(percent(erased), f"of the pictures of {concept} no longer show it", erased),
        _tile(percent(same), "of the pictures of other things are byte for byte the same", same),
        _tile(score(figures["h"]), "H, the overall score: 1 erases everything and spares everything", figures["h"]),
        _tile(times(cost["closed"], cost["plain"]), f"the work of a picture without {concept}", None),
        class_="tiles",
    )


def _tile(value: str, label: str, share: float | None) -> Html:
    mood = None if share is None else "good" if share >= RELIABLE else "bad" if share < 0.5 else None
    return tag("div", tag("b", value), tag("span", label), class_=f"tile {mood}" if mood else "tile")


def times(value: float | None, plain: float | None) -> str:
    """A cost as a multiple of the plain one."""
    return "\u2013" if value is None or not plain else f"{value / plain:.2f}\u202f\u00d7"
