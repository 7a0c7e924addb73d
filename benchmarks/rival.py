"""UnGuide's released training on the demo model: `python -m benchmarks.rival --code FOLDER --python INTERPRETER`.

FOLDER is a checkout of github.com/gmum/UnGuide, INTERPRETER one that can import its `train.py` (A1111's own does). Its
code trains as it is, on the demo model in the original layout, with its own prompts ("a photo of the forest" takes the
concept's place) and its defaults but for what is swept; its LoRA is then read and judged like ours, on both rows of the
guidance and without a gate, at strength 1 and at UnGuide's w = -1. Nothing of that code is part of this project.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks import common
from lora_unlearn import Concept, Eraser, Gate
from lora_unlearn.adapter import Adapter
from lora_unlearn.demo.checkpoint import TEXT_FOLDER, WEIGHTS, save_checkpoint
from lora_unlearn.demo.ldm import unet_names
from lora_unlearn.demo.networks import TOKENIZER
from lora_unlearn.files import read_safetensors
from lora_unlearn.hosts.generate import Sampling
from lora_unlearn.lora import Lora, LoraLayer
from lora_unlearn.training.methods import PAPER

LAUNCH = """
import runpy, torch
own = torch.Tensor.to
torch.Tensor.to = lambda self, *a, **k: self if a and str(a[0]).startswith("cuda") else own(self, *a, **k)
runpy.run_path("train.py", run_name="__main__")
"""
"""Its sampler moves buffers to CUDA, whatever --device says; here they stay where they are."""
SIDE, RANK, ALPHA = 128, 1, 8
SAMPLING = Sampling(steps=20, guidance_scale=5.0, batch=32)
UNET_PREFIX = "model.diffusion_model."


def main() -> None:
    """A row for each concept, learning rate, number of updates and strength."""
    options = common.options(__doc__ or "", code="", python="python", rates="3e-5,3e-4,1e-3", iterations="50")
    pipe, table = common.pipeline(options.checkpoint), []
    with tempfile.TemporaryDirectory() as folder:
        config, checkpoint = original_layout(pipe, Path(folder))
        for name in options.concepts:
            sets = common.prompt_sets(name, targets=9, synonyms=3, others=1)
            for iterations in options.iterations.split(","):
                for rate in options.rates.split(","):
                    words = [
                        "--config_path",
                        config,
                        "--ckpt_path",
                        checkpoint,
                        "--lr",
                        rate,
                        "--iterations",
                        iterations,
                    ]
                    tensors = trained(options.code, options.python, name, [*map(str, words)], Path(folder) / "out")
                    for strength in (1.0, 2.0):
                        eraser = Eraser(read(pipe, name, tensors), strength, "on", both_rows=True)
                        row = {"concept": name, "learning rate": rate, "iterations": iterations, "s": strength}
                        table.append(row | common.judged(pipe, sets, [eraser], SAMPLING))
                        print(table[-1], flush=True)
    common.finish(options.out, "rival", table)


def original_layout(pipe: Any, folder: Path) -> tuple[Path, Path]:
    """The demo model as a `.ckpt` with its configuration; its text encoder and tokenizer in a folder beside them."""
    file = folder / "demo.safetensors"
    save_checkpoint(file, pipe.unet, pipe.vae, pipe.text_encoder)
    tensors, _ = read_safetensors(WEIGHTS)
    torch.save({"state_dict": {name: tensor.float() for name, tensor in tensors.items()}}, folder / "demo.ckpt")
    pipe.text_encoder.save_pretrained(folder / TEXT_FOLDER)
    for part in ("vocab.json", "merges.txt"):  # which older tokenizers want
        shutil.copy(TOKENIZER / part, folder / TEXT_FOLDER)
    config = folder / "demo.yaml"
    config.write_text(config.read_text(encoding="utf-8").replace(f": {TEXT_FOLDER}\n", f": {folder / TEXT_FOLDER}\n"))
    return config, folder / "demo.ckpt"


def trained(code: str, python: str, name: str, words: list[str], out: Path) -> dict[str, torch.Tensor]:
    """Run the released `train.py`; the tensors that it saved."""
    fixed = ["--device", "cpu", "--image_size", str(SIDE), "--seed", "0", "--output_dir", str(out)]
    own = ["--lora_rank", str(RANK), "--lora_alpha", str(ALPHA), "--prompts_json", f"data/{name}.json"]
    subprocess.run([python, "-c", LAUNCH, *fixed, *own, *words], cwd=code, check=True)
    newest = max(out.glob("*/models/lora.pth"), key=lambda path: path.stat().st_mtime)
    return torch.load(newest, map_location="cpu", weights_only=True)


def read(pipe: Any, name: str, tensors: dict[str, torch.Tensor]) -> Adapter:
    """Its LoRA, alpha * x A B on keys and values, as an adapter of ours."""
    places = [own for own in pipe.unet.state_dict() if own.endswith(("attn2.to_k.weight", "attn2.to_v.weight"))]
    layers = {}
    for own, original in unet_names(pipe.unet.config, places).items():
        stem = original.removeprefix(UNET_PREFIX).removesuffix(".weight")
        down, up = tensors[f"{stem}.lora.A"].T, tensors[f"{stem}.lora.B"].T
        layers[own.removesuffix(".weight")] = LoraLayer(down, up, float(ALPHA))
    return Adapter(Lora(layers), Concept(name), replace(PAPER, rank=RANK), Gate(), "demo", "", mode="paper")


if __name__ == "__main__":
    main()
