"""A web UI started headless on the CPU with the demo model and this extension; its host's folder stays as it is."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from lora_unlearn.demo.checkpoint import WEIGHTS
from lora_unlearn.demo.networks import SCHEDULE, TEXT, TOKENIZER, VAE

ROOT = Path(__file__).parents[2]
PROBE = Path(__file__).parent / "probe"
SIDE = 128
HURTFUL = {"number": '{"format_version": ' + "1" * 5001 + "}", "depth": "[" * 100_000}
"""Metadata that no reader should choke on."""
COMMON = "--skip-prepare-environment --skip-torch-cuda-test --skip-version-check --no-hashing --api"
QUIET = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "GRADIO_ANALYTICS_ENABLED": "False",
    "OMP_NUM_THREADS": "1",
}


@dataclass(frozen=True)
class Kind:
    """A web UI that the tests know.

    Attributes:
        variable: names the folder; with _PYTHON instead of _PATH, the interpreter.
        folder: where it is looked for without it.
        flags: what keeps it on the CPU.
        hires: what its API wants for hires fix beside, or instead of, what A1111's wants.
    """

    name: str
    variable: str
    folder: str
    flags: str
    hires: dict[str, Any] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        """The host's folder."""
        return Path(os.environ.get(self.variable) or Path.home() / ".cache/lora-unlearn/hosts" / self.folder)

    @property
    def python(self) -> Path:
        """The host's interpreter."""
        named = os.environ.get(self.variable.replace("_PATH", "_PYTHON"))
        return Path(named) if named else self.home / ".venv/bin/python"

    def missing(self) -> str | None:
        """Why it cannot be started; None if it can."""
        if not (self.home / "webui.py").is_file():
            return f"there is no {self.name} in {self.home}; {self.variable} may name another folder"
        if not self.python.is_file():
            return f"{self.name} has no interpreter {self.python}"
        return None


NO_DOWNLOADS = "--no-download-sd-model --do-not-download-clip"
SCALE = {"hr_cfg": 1.0}
MODULES = {"hr_additional_modules": ["Use same choices"], **SCALE}
KINDS = {
    "a1111": Kind("A1111", "WEBUI_PATH", "stable-diffusion-webui", f"--use-cpu all --no-half {NO_DOWNLOADS}"),
    "forge": Kind(
        "Forge", "FORGE_PATH", "stable-diffusion-webui-forge", "--always-cpu --no-download-sd-model", MODULES
    ),
    "reforge": Kind("reForge", "REFORGE_PATH", "stable-diffusion-webui-reForge", f"--always-cpu {NO_DOWNLOADS}", SCALE),
    "neo": Kind("Forge Neo", "NEO_PATH", "sd-webui-forge-neo", "--cpu", {"hr_upscaler": "None", **MODULES}),
}


def visible(home: Path, data: Path) -> Path:
    """The host's folder, or a copy if a dot in its path keeps gradio from serving the page's own scripts."""
    if not any(part.startswith(".") for part in home.parts):
        return home

    def left_out(folder: str, names: list[str]) -> list[str]:
        top = ("models", "outputs") if Path(folder) == home else ()
        return [name for name in names if name.startswith(".") or name in ("__pycache__", *top)]

    return Path(shutil.copytree(home, data / "host", ignore=left_out, symlinks=True))


def furnish(data: Path) -> None:
    """Fill a data folder: the demo model for either host, the extension, and the tests' own probe beside it."""
    models = data / "models" / "Stable-diffusion"
    models.mkdir(parents=True)
    (data / "models" / "Lora").mkdir()
    for name, told in HURTFUL.items():  # a bad file among the user's own must not keep a host from starting
        save_file({"a": torch.zeros(1)}, data / "models" / "Lora" / f"{name}.safetensors", {"lora_unlearn": told})
    repository = data / "demo"
    layout = WEIGHTS.with_suffix(".yaml").read_text()
    for name in ("demo", "twin"):
        place = models / f"{name}.safetensors"
        shutil.copy(WEIGHTS, place)
        place.with_suffix(".yaml").write_text(
            layout.replace("version: tokenizer", f"version: {repository / 'text_encoder'}")
        )
    _repository(repository)
    (repository / "demo.yaml").write_text(layout)
    for name, parts in {"lora-unlearn": ("scripts", "extension", "lora_unlearn"), "probe": ("scripts",)}.items():
        source, place = (PROBE if name == "probe" else ROOT), data / "extensions" / name
        place.mkdir(parents=True)
        for part in parts:
            (place / part).symlink_to(source / part)
    settings = {
        "live_previews_enable": False,
        "show_progress_type": "Approx cheap",
        "sd_model_checkpoint": "demo.safetensors",
        "CLIP_stop_at_last_layers": 1,
        **{"s_min_uncond": 0, "batch_cond_uncond": True, "pad_cond_uncond": False},  # only what is here is put back
    }
    (data / "config.json").write_text(json.dumps(settings))


def _repository(folder: Path) -> None:
    """The demo model's configuration as a folder of diffusers' making; A1111 reads its text encoder alone."""
    clip = {"architectures": ["CLIPTextModel"], "model_type": "clip_text_model", **TEXT}
    words = {"model_max_length": 77, "pad_token": "<|endoftext|>", "tokenizer_class": "CLIPTokenizer"}
    specials = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
    own = {"_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.31.0"}
    parts = {
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "scheduler": ["diffusers", "PNDMScheduler"],
    }
    scheduler = {"_class_name": "PNDMScheduler", "skip_prk_steps": True, "steps_offset": 1, **SCHEDULE}
    files = {
        "model_index.json": {**own, **parts},
        "vae/config.json": {"_class_name": "AutoencoderKL", **VAE},
        "text_encoder/config.json": clip,
        "scheduler/scheduler_config.json": scheduler,
        **{f"{part}/tokenizer_config.json": {**words, **specials} for part in ("text_encoder", "tokenizer")},
    }
    for name, values in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(values))
    for part in ("text_encoder", "tokenizer"):
        for file in ("vocab.json", "merges.txt"):
            shutil.copy(TOKENIZER / file, folder / part / file)


def _sign(home: Path, settings: Path) -> None:
    """Put a host's own mark into the settings: Forge Neo asks for it, and waits for a key where it is missing."""
    source = (home / "modules" / "launch_utils.py").read_text(encoding="utf-8")
    if mark := re.search(r'^VERSION_UID\b.*"(\w+)"', source, re.MULTILINE):
        values = json.loads(settings.read_text())
        settings.write_text(json.dumps({**values, "VERSION_UID": mark[1]}))


class Server:
    """A running web UI.

    Attributes:
        kind: which one.
        data: its data folder.
    """

    def __init__(self, kind: Kind, data: Path, flags: str = "", home: Path | None = None) -> None:
        self.kind, self.data, self.log = kind, data, data / "log.txt"
        _sign(kind.home, data / "config.json")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        arguments = f"{COMMON} {kind.flags} {flags} --port {self.port} --data-dir".split()
        environment = {**os.environ, **QUIET, "LORA_UNLEARN_DEMO": str(data / "demo")}
        environment.pop("PYTHONPATH", None)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [str(kind.python), "launch.py", *arguments, str(data)],
                cwd=home or kind.home, env=environment, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def wait(self, seconds: float = 300) -> None:
        """Until it has said that it is up: asked too early over HTTP, it may die of it."""
        end = time.monotonic() + seconds
        while "Startup time" not in self.said():
            if self.process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise RuntimeError(f"{self.kind.name} did not start:\n{self.said()[-3000:]}")
            time.sleep(0.5)

    def said(self) -> str:
        """Its log so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def tracebacks(self) -> int:
        """How many its log holds, once it is quiet: a host writes them after it has answered."""
        said, end = "", time.monotonic() + 10
        while said != (said := self.said()) and time.monotonic() < end:
            time.sleep(0.3)
        return said.count("Traceback")

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def ask(self, path: str, body: Any = None, user: str = "") -> tuple[int, Any]:
        """Status and JSON of a request: a GET without a body, a POST with one (bytes go as they are)."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data)
        request.add_header("Content-Type", "application/json")
        if user:
            request.add_header("Authorization", f"Basic {base64.b64encode(user.encode()).decode()}")
        try:
            with urllib.request.urlopen(request, timeout=300) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            text = error.read()
            return error.code, json.loads(text) if text.startswith(b"{") else text.decode(errors="replace")

    def call(self, path: str, body: Any = None) -> Any:
        """The JSON of a request that must succeed."""
        status, answer = self.ask(path, body)
        assert status == 200, answer
        return answer

    def draw(self, prompt: str, *erasers: Any, **more: Any) -> SimpleNamespace:
        """Pictures (B,H,W,3) of txt2img (img2img with `init_images`), and their infotexts.

        `erasers` are the accordion's values; none leave it alone.
        """
        body = dict(prompt=prompt, seed=3, steps=6, cfg_scale=5, width=SIDE, height=SIDE, sampler_name="Euler")
        body |= {"do_not_save_samples": True, "do_not_save_grid": True, **more}
        if erasers:
            body["alwayson_scripts"] = {"erase concepts": {"args": list(erasers)}}
        answer = self.call(f"/sdapi/v1/{'img2img' if 'init_images' in more else 'txt2img'}", body)
        pictures = [decoded(text) for text in answer["images"]]
        return SimpleNamespace(pictures=pictures, infotexts=json.loads(answer["info"])["infotexts"], raw=answer)

    def refused(self, prompt: str, *erasers: Any, **more: Any) -> str:
        """The sentence with which a job fails that would be drawn without an eraser that is on."""
        body = dict(prompt=prompt, seed=3, steps=4, width=SIDE, height=SIDE, sampler_name="Euler", **more)
        body["alwayson_scripts"] = {"erase concepts": {"args": list(erasers)}}
        status, answer = self.ask(f"/sdapi/v1/{'img2img' if 'init_images' in more else 'txt2img'}", body)
        assert status == 500 and answer["error"] == "UnlearnError", (status, answer)
        return answer.get("errors") or answer["message"]

    def wait_for_job(self, seconds: float = 240) -> Any:
        """The state of the extension's job when it has ended."""
        end = time.monotonic() + seconds
        while (state := self.call("/lora-unlearn/v1/status"))["phase"] == "running":
            assert time.monotonic() < end, state
            time.sleep(0.3)
        return state


def decoded(text: str) -> np.ndarray:
    """A picture of the API's answer, (H,W,3) of bytes."""
    with Image.open(io.BytesIO(base64.b64decode(text))) as image:
        return np.asarray(image.convert("RGB"))


def encoded(picture: np.ndarray) -> str:
    """The inverse of `decoded`, as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()
