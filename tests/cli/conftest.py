"""A demo model with random weights, an eraser for it, and two ways to run a command."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

from lora_unlearn.adapter import Adapter
from lora_unlearn.cli import main
from lora_unlearn.concept import Concept
from lora_unlearn.demo import networks
from lora_unlearn.demo.checkpoint import save_checkpoint
from lora_unlearn.denoiser import base_hash
from lora_unlearn.gate import Gate
from lora_unlearn.hosts.checkpoints import load_pipeline
from lora_unlearn.hosts.diffusers import denoiser_for
from lora_unlearn.lora import new_lora
from lora_unlearn.settings import Settings


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """The demo's networks with random weights, in a file."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "demo.safetensors"
    save_checkpoint(path, networks.new_unet(), networks.new_vae(), networks.new_text_encoder())
    return path


@pytest.fixture(scope="session")
def adapter(model):
    """An eraser for that model with random weights, strong enough to be seen."""
    denoiser = denoiser_for(load_pipeline(str(model)))
    lora = new_lora(denoiser.linears("cross_kv"), 2, 1.0, torch.Generator().manual_seed(0))
    for _, layer in lora.items():
        torch.nn.init.normal_(layer.up, std=0.3)
    plain = {"family": "demo", "base_hash": base_hash(denoiser), "iterations": 5, "redirected": 0.9}
    return Adapter(lora, Concept("cat"), Settings(rank=2, selector="cross_kv"), Gate(), **plain)


@pytest.fixture(scope="session")
def eraser(adapter, tmp_path_factory):
    """Its file; tests that change a file work on a copy."""
    return adapter.save(tmp_path_factory.mktemp("eraser") / "cat.safetensors")


@pytest.fixture
def run(capsys):
    """Run a command in this process: (exit code, stdout, stderr)."""

    def command(*words):
        capsys.readouterr()
        code = main([str(word) for word in words])
        return code, *capsys.readouterr()

    return command


@pytest.fixture
def refused(run):
    """Run a command that must be refused in one sentence, and return the sentence."""

    def command(*words):
        code, out, err = run(*words)
        assert code == 1
        assert out == ""
        assert err.count("\n") == 1, err
        assert err.endswith(".\n"), err
        return err

    return command
