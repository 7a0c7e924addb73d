"""What families share whose text encoder is a language model: a chat template around every prompt, and no fixed length.

"states" is what the network is given, "text" what its entry layer sees of the prompt's own tokens, "after" what it sees
of the template's tokens behind them: a language model reads forwards, so these have read the whole prompt, while those
in front are the same for every prompt. Rows are filled up with zeros, from which the network's masks are made. Weights
in brackets mean nothing to these encoders (ComfyUI switches them off as well): words are read without the marks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..denoiser import Conditioning
from ..padding import padded
from ..vocabulary import Vocabulary
from . import text
from .calls import NetworkCall
from .flow import FlowDenoiser
from .prompts import parse, plain
from .schedules import shift_exponent

STEP = 32
"""Rows are filled up to a multiple of this, so that most prompts have one length."""
CHUNK = 16
"""Prompts that are encoded at once."""
KEPT = 2
"""Readings of the host's prompts that are kept, one for those of each call of a step."""
MARK = "%words%"
"""Stands for the prompt while its template is measured."""


class LanguageCall(NetworkCall):
    """A call of a network whose prompts the denoiser reads.

    Args:
        denoiser: whose `conditioning` says what the rows are.
        plain, names, args, kwargs: as in `NetworkCall`.
    """

    UNBATCHED = ("position_ids", "img_shapes")
    PROMPTS = "encoder_hidden_states"

    def __init__(
        self, denoiser: Any, plain: Callable[..., Any], names: Sequence[str], args: tuple, kwargs: dict[str, Any]
    ) -> None:
        self.denoiser = denoiser
        super().__init__(plain, names, args, kwargs, denoiser.pipe)

    def prompts(self) -> Conditioning:
        """The host's rows: "states", "text" and "after"; read once, not at each step."""
        given, latest = self.kwargs[self.PROMPTS], self.denoiser.latest
        if not isinstance(given, Tensor) or given.is_inference():  # nothing tells whether these have changed
            return self.denoiser.conditioning(self.rows())
        for known, version, found in latest:
            if known is given and version == given._version:
                return found
        latest.append((given, given._version, self.denoiser.conditioning(self.rows())))
        del latest[:-KEPT]
        return latest[-1][2]

    def rows(self) -> list[Tensor]:
        """The encoder's states of each prompt, without padding: (T,...)."""
        raise NotImplementedError


class LanguageDenoiser(FlowDenoiser):
    """The base of the families with a language model.

    Attributes:
        head, tail: tokens of the template in front of and behind the words, of those that the network gets.
        room: tokens that the pipeline gives to its encoder, template included.
    """

    asks: type[LanguageCall]
    names: tuple[str, ...]
    """Of the network's first arguments."""
    room = 512

    def __init__(self, pipe: Any, size: tuple[int, int] | None = None) -> None:
        super().__init__(pipe, size)
        self.head, self.tail = self.template()
        self.latest: list[tuple[Tensor, int, Conditioning]] = []

    def template(self) -> tuple[int, int]:
        """Tokens of the chat template in front of and behind a prompt, of those that the network gets."""
        front, behind = self.rendered(MARK).split(MARK)
        return max(0, self.count(front) - self.dropped), self.count(behind)

    @property
    def dropped(self) -> int:
        """Tokens in front that the pipeline keeps to itself."""
        return getattr(self.pipe, "prompt_template_encode_start_idx", 0)

    def rendered(self, words: str) -> str:
        """A prompt in its template."""
        raise NotImplementedError

    def count(self, words: str) -> int:
        """Tokens of a text."""
        return len(self.pipe.tokenizer(words).input_ids)

    def read(self, words: list[str]) -> list[Tensor]:
        """The encoder's states of some prompts, as the pipeline itself would make them, without padding: (T,...)."""
        raise NotImplementedError

    def seen(self, row: Tensor) -> Tensor:
        """What the entry layer sees of a prompt's states (T,...): (T,D)."""
        return row

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> Conditioning:
        """Rows: "states" (R,T,...), "text" (R,T',D) and "after" (R,K,D)."""
        words = unmarked(prompts)
        chunks = [words[start : start + CHUNK] for start in range(0, len(words), CHUNK)]
        return Conditioning.cat([self.conditioning(self.read(chunk)) for chunk in chunks])

    @torch.no_grad()
    def conditioning(self, rows: Sequence[Tensor]) -> Conditioning:
        """Prompts by their states (T,...), one each."""
        words, after = zip(*(self.parts(row) for row in rows), strict=True)
        tensors = {"states": padded(rows, STEP), "text": padded(words, STEP), "after": torch.stack(after)}
        return Conditioning(tensors, ragged=True)

    def parts(self, row: Tensor) -> tuple[Tensor, Tensor]:
        """What the entry layer sees of a prompt's words, (N,D), and of the template behind them, (K,D)."""
        seen = self.seen(row)
        end = max(self.head, len(seen) - self.tail)
        return seen[self.head : end], filled(seen[end:], self.tail)

    def shortest(self, words: Sequence[str]) -> int:
        """Tokens that the longest of some prompts takes with its template, no more than the pipeline allows."""
        longest = max(self.count(self.rendered(one)) for one in words) - self.dropped
        return min(self.room, -(-longest // STEP) * STEP)

    def timestep_options(self, steps: int) -> dict[str, Any]:
        """Evenly spaced levels, and the shift for the picture's size."""
        return {"sigmas": [1 - index / steps for index in range(steps)], "mu": self.shift(steps)}

    def shift(self, steps: int) -> float:
        """The exponent of the schedule's shift."""
        _, height, width = self.shape
        return shift_exponent(self.pipe.scheduler.config, (height // 2) * (width // 2))

    def vocabulary(self) -> Vocabulary:
        """The text encoder's words, for `suggest`."""
        encoder = self.pipe.text_encoder
        return text.encoder_words(self.pipe.tokenizer, getattr(encoder, "model", encoder))

    def host_call(self, plain: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> LanguageCall:
        """What the pipeline asks of its transformer, as the guidance wants to see it."""
        return self.asks(self, plain, self.names, args, kwargs)

    def extent(self, prompts: Sequence[str]) -> tuple[int, int] | None:
        """None: the pipeline's own way serves every prompt."""
        return None


def unmarked(prompts: Sequence[str]) -> list[str]:
    """Prompts without weights and calls of extra networks, as these encoders read them."""
    return [plain(parse(prompt)) for prompt in prompts]


def filled(row: Tensor, length: int) -> Tensor:
    """A row (T,D) of one length, with zeros behind it."""
    return F.pad(row[:length], (0, 0, 0, max(0, length - len(row))))


def without_padding(states: Tensor) -> list[Tensor]:
    """The inverse of `padded`: (R,T,...) to rows (T,...)."""
    lengths = (states != 0).flatten(2).any(dim=2).sum(dim=1).tolist()
    return [row[:length] for row, length in zip(states, lengths, strict=True)]


def beside(module: nn.Module, x: Tensor) -> Tensor:
    """What a part of the network makes of x, wherever the part waits for its turn; its hooks fetch it if it must."""
    own = next(module.parameters())
    if own.is_meta:
        return module(x)
    return module(x.to(own.device)).to(x.device)
