"""Forge Neo's transformers: which engine is which family, where a prompt enters its network, how its layers are called.

Nothing of that host is imported before a model of it is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from lora_unlearn import UnlearnError
from lora_unlearn.anima import canonical
from lora_unlearn.denoiser import Target
from lora_unlearn.families import FAMILIES
from lora_unlearn.hosts.layers import linears as own_linears
from lora_unlearn.padding import by_length, lengths, padded

TABLES = "modules_forge.packages.comfy.utils"
"""Where the host keeps its tables from diffusers' names to its own."""
STEP = 64
"""Prompts are filled up to a multiple of so many tokens, so that most groups of them come out at one length."""
NOBODY = re.compile("(?!)")
FLUX_1 = re.compile(r"\.net\.|^single_\w+\.\d+\.(attn\.to_[qkv]|proj_mlp|proj_out)$")
FLUX_2 = re.compile(r"to_qkv_mlp_proj$|\.linear_(in|out)$|^single_\w+\.\d+\.attn\.to_out$")
"""One table serves both; these are the names that a layer has in the one alone."""
KREA = re.compile(r"attn\.to_out$")
"""A second name."""


@dataclass(frozen=True)
class Kind:
    """What is to be known of a family in this host.

    Attributes:
        family: a name in `FAMILIES`.
        entry: of a network, what takes its `context` (R,T,W), without padding, to what the entry layer reads (R,T,D);
            None where that is the same.
        table: the host's table of names.
        foreign: names in that table that belong to another family.
        renamed: where there is no table: the canonical name of a layer; by default that is its own.
        least: the length to which the host itself fills a context with zeros, which its network then attends to.
        nested: the network takes contexts (R,1,T,W).
        layered: `entry` is a network of its own, which main memory would be slow at.
        template: how many tokens of a chat template the network is given before a prompt and behind it. Behind FLUX.2's
            stands padding that is not zero, so that nobody can tell where it begins.
    """

    family: str
    entry: Callable[[Any], Callable[[Tensor], Tensor] | None] = lambda network: None
    table: str = ""
    foreign: re.Pattern[str] = NOBODY
    renamed: Callable[[str], str] = str
    least: int = 1
    nested: bool = False
    layered: bool = False
    template: tuple[int, int] = (0, 0)

    def read(self, network: Any, context: Tensor) -> Tensor:
        """What the entry layer reads (R,T,D) of contexts (R,T,W), which zeros may fill; perhaps themselves."""
        enter = self.entry(network)
        if enter is None:
            return context

        def ask(rows: Tensor, length: int) -> Tensor:
            text = enter(context[rows, :length])
            out = text.new_zeros(len(text), context.shape[1], text.shape[2])
            out[:, :length] = text
            return out

        return by_length(context, ask)

    def parts(self, seen: Tensor, context: Tensor) -> dict[str, Tensor]:
        """Prompts by the names of `Conditioning`.

        Args:
            seen: what the entry layer reads of them, (R,T,D).
            context: what the network is given, (R,T,W).

        Returns:
            "text" (R,N,D), the words alone, "before" and "after" (R,K,D), the template around them, and "states", the
            context, where that is something else.
        """
        head, tail = self.template
        if not tail:
            found = {"text": seen[:, head:], **({"before": seen[:, :head]} if head else {})}
            return found if seen is context and not head else {**found, "states": context}
        words, after = [], []
        for row, length in zip(seen, lengths(context), strict=True):
            end = max(head, length - tail)
            words.append(row[head:end] if end > head else row.new_zeros(1, row.shape[1]))
            after.append(torch.cat([row[end:length], row.new_zeros(tail, row.shape[1])])[:tail])
        found = {"text": padded(words, STEP), "after": torch.stack(after), "states": context}
        return {**found, "before": seen[:, :head]} if head else found


def _norm(network: Any) -> Any:
    return network.txt_norm


def _fusion(network: Any) -> Callable[[Tensor], Tensor]:
    """Krea's: taps of the text encoder become one, by attention over them and over the prompt."""

    def fused(context: Tensor) -> Tensor:
        taps = context.unflatten(2, (network.txtlayers, network.txtdim))
        return network.txtmlp[0](network.txtfusion(taps, mask=None))

    return fused


KINDS: dict[str, Kind] = {
    "ZImage": Kind("z_image", lambda network: network.cap_embedder[0], "z_image_to_diffusers", template=(3, 5)),
    "Anima": Kind("anima", renamed=canonical, least=512, nested=True),
    "Flux2": Kind("flux2", _norm, "flux_to_diffusers", FLUX_1, template=(3, 0)),
    "QwenImage": Kind("qwen_image", _norm, template=(0, 5)),
    "Krea2": Kind("krea2", _fusion, "krea2_to_diffusers", KREA, nested=True, layered=True, template=(0, 5)),
    "Flux": Kind("flux", _norm, "flux_to_diffusers", FLUX_2),
}
"""By the name of the host's engine."""


def offered() -> list[str]:
    """What these families are called; none in other hosts."""
    return [FAMILIES[kind.family].title for kind in KINDS.values()] if _is_here() else []


def _is_here() -> bool:
    return find_spec("modules_forge") is not None and find_spec("modules_forge.packages") is not None


def kind_of(sd_model: Any, patcher: Any | None) -> Kind | None:
    """The kind of a loaded model; None for U-Nets, for what is not known, and in other hosts.

    Raises:
        UnlearnError: if its layers are of a make that takes no adapter.
    """
    kind = KINDS.get(type(sd_model).__name__)
    if kind is None or patcher is None or not _is_here():
        return None
    if getattr(patcher.model.config, "nunchaku", False):
        raise UnlearnError(
            f"The loaded {FAMILIES[kind.family].title} is quantised by Nunchaku, whose layers take no eraser; load it "
            "in 16 bit, in fp8 or as GGUF."
        )
    return kind


def linears(network: Any, kind: Kind) -> dict[str, Target]:
    """Every linear layer of a network that has a canonical name."""
    found = own_linears(network)
    if not kind.table:
        return {kind.renamed(name): target for name, target in found.items()}
    table = getattr(import_module(TABLES), kind.table)(network.config)
    return {name: replace(found[path], rows=rows) for name, path, rows in _places(table, kind) if path in found}


def _places(table: dict[str, Any], kind: Kind) -> Iterator[tuple[str, str, slice]]:
    """Canonical names, the host's, and the rows of its layer's output that are meant."""
    for key, place in table.items():
        name, found, _ = key.partition(".weight")
        path, rows = (place, None) if isinstance(place, str) else place[:2]
        changed = not isinstance(place, str) and len(place) > 2  # a weight in another order than diffusers'
        if found and not changed and not kind.foreign.search(name):
            part = slice(None) if rows is None else slice(rows[1], rows[1] + rows[2])
            yield name, path.removesuffix(".weight"), part


@contextmanager
def no_references() -> Iterator[None]:
    """Within this block networks see no picture that the user has given for reference."""
    dynamic = import_module("backend.args").dynamic_args
    before, dynamic.ref_latents = dynamic.ref_latents, []
    try:
        yield
    finally:
        dynamic.ref_latents = before
