"""Several erasers in one ordinary LoRA: without a gate, because a file has at most one of those."""

from __future__ import annotations

from collections.abc import Sequence

from .adapter import KEY, Adapter
from .errors import UnlearnError
from .lora import Lora
from .merging import merge_of
from .written import called


def joined(
    parts: Sequence[tuple[Adapter, float]], method: str = "stack", **options: float | None
) -> tuple[Lora, dict[str, str]]:
    """One LoRA of several erasers, each times its strength.

    Args:
        parts: finished erasers of one model family, with strengths; 1 is the eraser as trained, 0 leaves it out.
        method: a name in `MERGES`; by "stack", what they add adds up, and so do their ranks.
        options: the method's hyper-parameters by name, "rank" among them; None leaves one as it comes.

    Returns:
        The LoRA, and metadata for its file: that of an ordinary LoRA.

    Raises:
        UnlearnError: if there are fewer than two, one is not finished, they are of different models, the method or an
            option is none, or nothing is left of them.
    """
    merge = merge_of(method, **options)
    check_parts([adapter for adapter, _ in parts])
    parts = [(adapter, strength) for adapter, strength in parts if strength]
    if not parts:
        raise UnlearnError("All strengths are 0, so there is nothing to merge; give at least one that is not.")
    lora = merge([(adapter.lora, strength) for adapter, strength in parts]).with_one_alpha()
    concepts = concepts_of([adapter for adapter, _ in parts])
    metadata = {name: text for name, text in parts[0][0].metadata().items() if name != KEY}
    metadata["modelspec.title"] = f"Erase {concepts}"
    metadata["modelspec.description"] = f"Makes a model stop drawing {concepts}; without a gate, merged by {method}."
    metadata["ss_network_dim"] = metadata["ss_network_alpha"] = str(lora.rank)
    return lora, metadata


def concepts_of(adapters: Sequence[Adapter]) -> str:
    """What several erasers erase, each thing once: "cat, dog"."""
    return ", ".join(dict.fromkeys(called(adapter.concept) for adapter in adapters))


def check_parts(adapters: Sequence[Adapter]) -> None:
    """Refuse what cannot be joined.

    Raises:
        UnlearnError: as `joined` says.
    """
    if len(adapters) < 2:
        raise UnlearnError("There is nothing to merge: give at least two erasers.")
    families = sorted({adapter.family for adapter in adapters})
    if len(families) > 1:
        raise UnlearnError(
            f"These erasers were made for different model families ({', '.join(families)}); merge those of one family."
        )
    unfinished = [adapter.concept.name for adapter in adapters if adapter.partial]
    if unfinished:
        raise UnlearnError(
            f"The training of the eraser for {unfinished[0]!r} was not finished; run it to its end first."
        )
    _check_shapes(adapters)


def _check_shapes(adapters: Sequence[Adapter]) -> None:
    """Refuse erasers of models whose layers have other sizes: a family's members may differ."""
    known: dict[str, tuple[int, int]] = {}
    for adapter in adapters:
        for name, layer in adapter.lora.items():
            shape = layer.up.shape[0], layer.down.shape[1]
            if known.setdefault(name, shape) != shape:
                raise UnlearnError(
                    f"The layer {name} has the shape {known[name]} in one eraser and {shape} in that for "
                    f"{adapter.concept.name!r}; merge erasers of one model."
                )
