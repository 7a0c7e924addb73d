"""Suggest Words: which other words the loaded model reads like the concept's, before anything is erased."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from comfy_api.v0_0_2 import io

from ..lora_unlearn import Concept, Suggestion, UnlearnError, suggest
from ..lora_unlearn.concept import notices
from ..lora_unlearn.suggest import Kind
from .denoiser import ComfyDenoiser
from .messages import readable, told
from .schema import TOGETHER, clip_input, concept_inputs, concept_of, model_input, schema
from .stages import SUGGESTING, Stages
from .training import check_parts

SAID: dict[Kind, str] = {
    "inflection": "The same word to this model: {} (in by itself)",
    "near": "Nearly the same to this model: {} (erase too, or leave, or keep)",
    "neighbour": "Neighbours that stay: {}",
}


class SuggestWords(io.ComfyNode):
    """Have the model name its own synonyms."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        concept, _, _, also = concept_inputs()
        return schema(
            node_id="LoraUnlearnSuggestWords",
            display_name="Suggest Words",
            description="Lists the words that the loaded model itself reads like yours: the same word, nearly the "
            "same, and neighbours. Nothing is trained or drawn.",
            search_aliases=["synonyms", "similar words", "neighbours", "vocabulary"],
            inputs=[model_input(), clip_input(), concept, also],
            outputs=[
                io.String.Output(
                    display_name="also",
                    tooltip="Your own further words and the nearly same ones, separated by commas: connect it to also "
                    "of Erase Concept to erase them too.",
                ),
                io.String.Output(
                    display_name="neighbours",
                    tooltip="Words of something else close by, separated by commas: connect it to keep to protect "
                    "them.",
                ),
            ],
            is_output_node=True,
        )

    @classmethod
    @readable
    def execute(cls, model: Any, clip: Any, concept: str, also: str = "") -> io.NodeOutput:
        """Ask; a model that can't tell says so, and the user's own words go on."""
        words = concept_of(concept, also=also)
        check_parts(model, clip)
        try:
            with Stages(f"Suggest Words, {words.name}", {SUGGESTING: 1}) as stages:
                found = suggest(ComfyDenoiser(model, clip), words, report=stages.passes(SUGGESTING))
        except UnlearnError as error:
            return io.NodeOutput(", ".join(words.also), "", ui=told(str(error)))
        said = [*notices(words, TOGETHER), listed(words, found)]
        both = [*words.also, *named(found, "near")]
        return io.NodeOutput(", ".join(both), ", ".join(named(found, "neighbour")), ui=told("\n".join(said)))


def named(found: Sequence[Suggestion], kind: Kind) -> list[str]:
    """The words of one kind."""
    return [suggestion.word for suggestion in found if suggestion.kind == kind]


def listed(concept: Concept, found: Sequence[Suggestion]) -> str:
    """One line for each kind that there is; or a line that says that there is none."""
    said = [line.format(", ".join(named(found, kind))) for kind, line in SAID.items() if named(found, kind)]
    return "\n".join(said) or f"This model has no word that it reads like {concept.name}."


def also_read(
    model: Any, clip: Any, concept: Concept, report: Callable[[int, int], None] = lambda done, total: None
) -> list[str]:
    """A line on the words that the model reads nearly like the concept's; none if there are none, or it can't tell.

    Reads some hundred sentences. A training reads thousands for its gate, so after one this is cheap on any machine,
    and at no other time is it done unasked. It is a hint: no reason to lose a training.
    """
    try:
        near = named(suggest(ComfyDenoiser(model, clip), concept, report=report), "near")
    except UnlearnError:
        return []
    except RuntimeError as error:  # torch's own, above all too little memory
        logging.warning("lora-unlearn: no words are suggested: %s", error)
        return []
    return [f"Also to this model: {', '.join(near)}; add them under also if you mean them"] if near else []
