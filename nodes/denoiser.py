"""The Denoiser over ComfyUI's MODEL and CLIP: all families by the host's own evaluation."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import comfy.model_management
import comfy.samplers
import torch
from torch import Tensor

from ..lora_unlearn.activations import private_copies
from ..lora_unlearn.denoiser import Conditioning, Target, from_denoised
from ..lora_unlearn.families import FAMILIES
from ..lora_unlearn.hosts.autograd import plain_tensors
from ..lora_unlearn.hosts.layers import choose
from ..lora_unlearn.hosts.text import new_vocabulary
from ..lora_unlearn.vocabulary import Vocabulary
from .families import clip_skip_of, family_of, linears, prediction_of
from .reading import LAYERED, READ, conditioned, count_of, given, handed, of_one_length
from .weights import applied, differentiable, lent, stage_again

TRAINING_ROWS = 4
"""How many times an evaluation's memory is asked for, for the activations that autograd keeps."""


class ComfyDenoiser:
    """A ModelPatcher with its CLIP. Weights are never changed; patches of the MODEL (other LoRAs) count.

    Args:
        model: the MODEL.
        clip: the CLIP; None if nothing will be encoded.
        size: (height, width) of training pictures in pixels; default: the family's own.

    Attributes:
        room: bytes that are asked for beside the network when it is loaded; at first a guess.
        encoded: called after every prompt that was encoded.

    Raises:
        UnlearnError: if the family is not supported.
    """

    def __init__(self, model: Any, clip: Any = None, size: tuple[int, int] | None = None) -> None:
        self.model, self.clip, self.base = model, clip, model.model
        self.family = family_of(model)
        self.known = FAMILIES[self.family]
        self.sampling = model.get_model_object("model_sampling")
        self.prediction_type = prediction_of(self.sampling)
        self.clip_skip = clip_skip_of(clip, self.family)
        side = self.known.side
        self.size = (size[0] // self.known.pixels, size[1] // self.known.pixels) if size else (side, side)
        self.device = model.load_device
        self.loaded = False
        self.encoded: Callable[[], None] = lambda: None
        self.room = self.base.memory_required([TRAINING_ROWS, *self.shape]) * TRAINING_ROWS

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C,H,W) of the states; the host's may have a dimension of one picture in between."""
        return self.model.get_model_object("latent_format").latent_channels, *self.size

    def encode(self, prompts: Sequence[str]) -> Conditioning:
        """Rows as the host's CLIP makes them, weights in brackets included: "text" (R,T,D), and "pooled" (R,P).

        For families with layers before the prompt's entry see `reading.conditioned`.
        """
        with torch.inference_mode():  # see `load`
            rows = [self._encode(prompt) for prompt in prompts]
            self.loaded = False  # the text encoder may have pushed the network out
            found = self._read(rows) if self.family in READ else self._given(rows)
        with torch.inference_mode(False), torch.no_grad():
            return found.map(Tensor.clone)

    def _given(self, rows: Sequence[dict[str, Any]]) -> Conditioning:
        """Encoded prompts as they are."""
        tensors = {"text": torch.cat(same_length([row["cond"] for row in rows], self.known.unet))}
        if self.known.pooled:
            tensors["pooled"] = torch.cat([row["pooled_output"] for row in rows])
        return Conditioning(tensors)

    def _encode(self, prompt: str) -> dict[str, Any]:
        """What the host's CLIP makes of a prompt: "cond" (1,T,D), "pooled_output", and what else it hands out."""
        prompt = prompt.replace("\\[", "[").replace("\\]", "]")  # square brackets are no weights here
        found = self.clip.encode_from_tokens(self.clip.tokenize(prompt), return_pooled=True, return_dict=True)
        self.encoded()
        return found

    def _read(self, rows: Sequence[dict[str, Any]]) -> Conditioning:
        """What the network reads of encoded prompts, row by row."""
        if self.family in LAYERED:
            self.load()
        with self._current():
            return Conditioning.cat(conditioned(self.base, self.family, given(row), [count_of(row)]) for row in rows)

    def vocabulary(self) -> Vocabulary | None:
        """The words of the CLIP's first text encoder, in Flux of T5; None if it has none that are whole."""
        tokenizers = {name: part for name, part in vars(self.clip.tokenizer).items() if hasattr(part, "inv_vocab")}
        encoders: dict[str, Any] = {name: getattr(self.clip.cond_stage_model, name, None) for name in tokenizers}
        names = [name for name, encoder in encoders.items() if hasattr(encoder, "transformer")]
        name = "t5xxl" if self.family == "flux" and "t5xxl" in names else next(iter(names), None)
        if name is None:
            return None
        tokenizer, network = tokenizers[name].tokenizer, encoders[name].transformer
        around = set(tokenizer("")["input_ids"])
        ranks = {token: rank for rank, token in tokenizers[name].inv_vocab.items()}

        def ids(words: Sequence[str]) -> list[list[int]]:
            return [[token for token in tokenizer(word)["input_ids"] if token not in around] for word in words]

        return new_vocabulary(network, network.get_input_embeddings(), ranks, ids)

    def load(self) -> None:
        """Have the network brought to its device, with its patches.

        In inference mode, as the host does: weights that were loaded in it and are moved outside of it can't be read
        or trained through any more (see `hosts.autograd.mode_of`).
        """
        with torch.inference_mode():
            comfy.model_management.load_models_gpu([self.model], memory_required=self.room)
        stage_again(self.model)
        self.loaded = True

    def make_room(self, needed: int) -> int:
        """Push other models out until so many bytes are free beside the network; returns how many there are."""
        self.load()
        own = [loaded for loaded in comfy.model_management.current_loaded_models if loaded.model is self.model]
        with torch.inference_mode():
            comfy.model_management.free_memory(needed, self.device, keep_loaded=own)
        free = getattr(self.model, "get_free_memory", comfy.model_management.get_free_memory)
        return int(free(self.device))  # newer hosts also count what they can page out

    def predict(self, x: Tensor, sigma: Tensor, conditioning: Conditioning) -> Tensor:
        """Native prediction (B,C,H,W) for states x at noise levels sigma (B,); with gradients where they are on."""
        if not self.loaded:
            self.load()
        if self.family not in READ:
            return self._predict(x, sigma, conditioning)
        order, found = list[Tensor](), list[Tensor]()
        for rows, states in of_one_length(conditioning, self.family):
            order.append(rows)
            found.append(self._predict(x[rows], sigma[rows], Conditioning({"text": states})))
        return torch.cat(found)[torch.cat(order).argsort()]

    def _predict(self, x: Tensor, sigma: Tensor, conditioning: Conditioning) -> Tensor:
        """The same for prompts of one length."""
        state = x.unsqueeze(2) if self.model.get_model_object("latent_format").latent_dimensions == 3 else x
        around = (plain_tensors(self.base), self._kept_safe(), self._current(), handed(self.base, self.family))
        with ExitStack() as stack:
            for context in (*around, differentiable()):
                stack.enter_context(context)
            conds = self._conds(state, conditioning)
            options: dict[str, Any] = {"transformer_options": {}}
            (denoised,) = comfy.samplers.calc_cond_batch(self.base, [conds], state, sigma.to(x), options)
        return from_denoised(x, sigma.to(x), denoised.view_as(x), self.prediction_type)

    @contextmanager
    def _current(self) -> Iterator[None]:
        """Tell the network which ModelPatcher it is evaluated for, as the host does while it samples.

        Newer hosts are also told of a training: some of their kernels have no backward pass.
        """
        before, self.base.current_patcher = self.base.current_patcher, self.model
        training = getattr(comfy.model_management, "in_training", False)
        comfy.model_management.in_training = torch.is_grad_enabled()
        try:
            yield
        finally:
            self.base.current_patcher = before
            comfy.model_management.in_training = training

    def _kept_safe(self) -> Any:
        """Copies of what autograd keeps, where network or host would write over it."""
        overwritten = not self.known.unet or lent(self.model)
        return private_copies(self.base) if overwritten and torch.is_grad_enabled() else nullcontext()

    def _conds(self, x: Tensor, conditioning: Conditioning) -> list[dict[str, Any]]:
        """The host's own form of a condition, all rows in one."""
        tensors = conditioning.tensors
        cond = {"cross_attn": tensors["text"].to(x.device), "model_conds": {}, "uuid": uuid.uuid4()}
        if "pooled" in tensors:
            cond["pooled_output"] = tensors["pooled"].to(x.device)
        return comfy.samplers.encode_model_conds(self.base.extra_conds, [cond], x, x.device, "positive")

    def sigmas(self, steps: int) -> Tensor:
        """Noise levels of a run, (steps + 1,), the last one 0."""
        scheduler = "simple" if self.prediction_type == "flow" else "normal"
        with torch.inference_mode(False):
            return comfy.samplers.calculate_sigmas(self.sampling, scheduler, steps).float().cpu().clone()

    def initial_noise(self, count: int, generator: torch.Generator) -> Tensor:
        """Starting states (count,C,H,W) at the first of `sigmas`."""
        noise = torch.randn((count, *self.shape), generator=generator).to(self.device)
        first = self.sigmas(1)[:1].to(noise).expand(count)
        return self.sampling.noise_scaling(first, noise, torch.zeros_like(noise), False)

    def linears(self, selector: str = "cross_kv") -> dict[str, Target]:
        """Layers by diffusers' module names, with the MODEL's patches in their weights."""
        if not self.loaded:
            self.load()  # until then the network may carry another MODEL's patches
        return applied(self.model, choose(linears(self.model, self.family), self.known.layers, selector))


def same_length(texts: Sequence[Tensor], repeatable: bool) -> list[Tensor]:
    """Token embeddings (1,T,D) brought to one T.

    U-Nets do not notice repeated tokens, so ComfyUI repeats; elsewhere the last token, which is padding, is repeated.
    """
    if repeatable:
        length = math.lcm(*(text.shape[1] for text in texts))
        return [text.repeat(1, length // text.shape[1], 1) for text in texts]
    length = max(text.shape[1] for text in texts)
    return [torch.cat([text, text[:, -1:].expand(-1, length - text.shape[1], -1)], dim=1) for text in texts]
