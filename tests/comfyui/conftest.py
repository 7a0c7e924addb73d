"""A real ComfyUI in this process: its nodes, this pack among them, and its executor.

Runs in the host's own interpreter. Without a host, or without what the host needs, the whole folder is skipped.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parents[2]
HOST = Path(os.environ.get("COMFYUI_PATH") or Path.home() / ".cache/lora-unlearn/hosts/ComfyUI")
DEVICE = os.environ.get("COMFYUI_TEST_DEVICE", "cpu")
"""cpu; cuda: the host chooses by itself; card: weights on a card that is none, see tests/card.py."""
NEEDED = ("aiohttp", "av", "einops", "kornia", "scipy", "spandrel", "torchaudio", "torchsde", "torchvision")


def missing() -> str | None:
    """Why there is no host; None if there is one."""
    if not (HOST / "nodes.py").is_file():
        return f"there is no ComfyUI in {HOST}; COMFYUI_PATH may name another folder"
    absent = [name for name in NEEDED if find_spec(name) is None]
    return f"{sys.executable} lacks {', '.join(absent)}; use the interpreter of ComfyUI" if absent else None


REASON = missing()
NEEDS = {
    "test_comfy_dynamic.py": ("comfy/model_patcher.py", "class ModelPatcherDynamic"),
    "test_comfy_newest.py": ("comfy/model_base.py", "class Krea2("),
}
"""Tests of what older hosts lack: the file and the words that tell."""


def lacking() -> list[str]:
    """The tests that this host has nothing for."""
    return [name for name, (path, words) in NEEDS.items() if words not in (HOST / path).read_text(encoding="utf-8")]


collect_ignore_glob = ["test_*.py"] if REASON else lacking()


def pytest_report_header() -> str | None:
    """Say so at the top, also in a quiet run."""
    return f"ComfyUI tests are left out: {REASON}" if REASON else f"ComfyUI: {HOST}"


class Nothing:
    """A loader that found no text encoder in its file."""

    INPUT_TYPES = classmethod(lambda cls: {"required": {}})
    RETURN_TYPES, FUNCTION = ("CLIP",), "load"

    def load(self) -> tuple[None]:
        """As ComfyUI's loaders do for a file without one."""
        return (None,)


def on_card() -> None:
    """Have the host take tests/card.py for its graphics card, with 8 GB of memory."""
    import card
    import comfy.model_management as management

    device, there = card.switch_on(), 8 * 2**30

    def told(place: Any = None, torch_free_too: bool = False, torch_total_too: bool = False) -> Any:
        return (there, there) if torch_free_too or torch_total_too else there

    management.cpu_state, management.vram_state = management.CPUState.GPU, management.VRAMState.NORMAL_VRAM
    for name in ("get_torch_device", "text_encoder_device", "vae_device"):
        setattr(management, name, lambda: device)
    for name in ("get_free_memory", "get_total_memory"):
        setattr(management, name, told)
    for name in ("should_use_fp16", "should_use_bf16"):
        setattr(management, name, lambda *args, **options: False)
    management.soft_empty_cache = lambda force=False: None


def known_as_plain(pack: Callable[[str], ModuleType]) -> None:
    """Have the pack take a weight on tests/card.py for one of no quantiser's class."""
    import card

    for name in ("lora_unlearn.denoiser", "nodes.weights"):
        module = pack(name)
        plain = module.is_plain
        module.is_plain = lambda weight, plain=plain: plain(card.inside(weight))


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """ComfyUI's `nodes` module, with the pack loaded; outputs and users' files go to a temporary folder."""
    sys.path.insert(0, str(HOST))
    from comfy.cli_args import args

    args.cpu = DEVICE != "cuda"
    import folder_paths
    import utils.install_util  # noqa: F401 (before nodes, which puts a module of that name in its way)

    import nodes

    folder = tmp_path_factory.mktemp("comfyui")
    folder_paths.set_output_directory(str(folder / "output"))
    folder_paths.set_temp_directory(str(folder / "temp"))
    folder_paths.set_user_directory(str(folder / "user"))
    folder_paths.folder_names_and_paths["loras"] = ([str(folder / "loras")], {".safetensors"})
    (folder / "loras").mkdir()
    if DEVICE == "card":
        on_card()
    import server  # after nodes

    server.PromptServer(asyncio.new_event_loop())  # never started; newer hosts keep tables of nodes in it
    failed = asyncio.run(nodes.init_extra_nodes(init_custom_nodes=False, init_api_nodes=False))
    assert failed == []
    assert asyncio.run(nodes.load_custom_node(str(ROOT), module_parent="custom_nodes"))
    nodes.NODE_CLASS_MAPPINGS["TestNothing"] = Nothing
    return nodes


@pytest.fixture(scope="session")
def pack(host: ModuleType) -> Callable[[str], ModuleType]:
    """Modules of the pack as the host loaded them: pack("lora_unlearn.lora"), pack("nodes.guide")."""
    door = next(
        module
        for name, module in sys.modules.items()
        if getattr(module, "__file__", None) == str(ROOT / "__init__.py") and name != "__main__"
    )
    found = lambda name: importlib.import_module(f"{door.__name__}.{name}")  # noqa: E731
    if DEVICE == "card":
        known_as_plain(found)
    return found


@pytest.fixture(scope="session")
def demo(pack: Callable[[str], ModuleType]) -> SimpleNamespace:
    """The demo checkpoint as a node loads it: inference tensors all of them."""
    with torch.inference_mode():
        model, clip, vae = pack("nodes.demo").load_demo()
    return SimpleNamespace(model=model, clip=clip, vae=vae)


@pytest.fixture(scope="session")
def cat(pack: Callable[[str], ModuleType], demo: SimpleNamespace) -> Any:
    """The quick eraser of cats."""
    training, core = pack("nodes.training"), pack("lora_unlearn")
    order = training.Order(core.Concept("cat"), "instant", pack("lora_unlearn.erase").MODES["instant"])
    with torch.inference_mode():
        return training.train_eraser(demo.model, demo.clip, order)


@pytest.fixture(scope="session")
def dog(pack, demo):
    """The quick eraser of dogs."""
    training, core = pack("nodes.training"), pack("lora_unlearn")
    order = training.Order(core.Concept("dog"), "instant", pack("lora_unlearn.erase").MODES["instant"])
    with torch.inference_mode():
        return training.train_eraser(demo.model, demo.clip, order)


@pytest.fixture
def files(cat, dog):
    """Both erasers as files in the loras folder; returns their names."""
    import folder_paths

    for name, eraser in (("cat.safetensors", cat), ("dog.safetensors", dog)):
        eraser.save(Path(folder_paths.get_folder_paths("loras")[0]) / name)
    return ["cat.safetensors", "dog.safetensors"]


@pytest.fixture
def values(pack: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """The demo's network as a file holds it; for the time of the test ComfyUI recognises it as it does real models."""
    import comfy.supported_models as models

    config = type("Demo", (models.SD15,), {"unet_config": {"context_dim": 80}})
    monkeypatch.setattr(models, "models", [config, *models.models])
    parts = pack("nodes.demo")
    tensors, _ = pack("lora_unlearn.files").read_safetensors(parts.WEIGHTS)
    return parts._part(tensors, parts.UNET_PREFIX)


@pytest.fixture(scope="session")
def seen(pack: Callable[[str], ModuleType]) -> Callable[[torch.Tensor], list[str]]:
    """What the demo's judge sees on a host's pictures (B,H,W,3)."""
    judge = pack("lora_unlearn.demo.judge")
    network = judge.load_judge()

    def see(images: torch.Tensor) -> list[str]:
        with torch.no_grad():
            best = network(images.movedim(-1, 1).float())["thing"].argmax(dim=1)
        return [judge.LABELS[index] for index in best.tolist()]

    return see


@pytest.fixture(scope="session")
def sample(host: ModuleType, demo: SimpleNamespace) -> Callable[..., torch.Tensor]:
    """Latents by the host's KSampler: sample(model, "a photo of a cat", count=2, sampler="euler")."""

    def latents(
        model: Any, *prompts: str, count: int = 1, sampler: str = "euler", scheduler: str = "normal", **more: Any
    ) -> torch.Tensor:
        with torch.inference_mode():
            conds = [demo.clip.encode_from_tokens(demo.clip.tokenize(text)) for text in prompts]
            negative = host.CLIPTextEncode().encode(demo.clip, more.get("negative", ""))[0]
            latent = {"samples": torch.zeros(count * len(prompts), 4, 16, 16)}
            steps, cfg = more.get("steps", 6), more.get("cfg", 5.0)
            node = host.KSampler()
            positive = [[torch.cat(conds).repeat_interleave(count, 0), {}]]
            return node.sample(model, more.get("seed", 3), steps, cfg, sampler, scheduler, positive, negative, latent)[
                0
            ]["samples"]

    return latents


class Server:
    """What the executor wants of a server; keeps what it was sent."""

    def __init__(self) -> None:
        self.client_id = "test"
        self.last_node_id = self.last_prompt_id = None
        self.sockets_metadata: dict[str, Any] = {}
        self.sent: list[tuple[str, Any]] = []

    def send_sync(self, event: str, data: Any, sid: str | None = None) -> None:
        """Keep it."""
        self.sent.append((event, data))


class Results(SimpleNamespace):
    """What a graph left: outputs by node, the nodes that were executed, the error's sentence if there was one."""


def kept(cache: Any, name: str) -> list[Any] | None:
    """A node's outputs in the executor's cache, whose newer kind keeps them beside what the node showed."""
    entry = cache.get_local(name) if hasattr(cache, "get_local") else cache.get(name)
    return getattr(entry, "outputs", entry)


@pytest.fixture
def run(host: ModuleType) -> Callable[..., Results]:
    """Execute graphs one after the other, as one session: run({"1": ("Class", {"input": value or ("node", 0)})})."""
    import execution

    server = Server()
    known = inspect.signature(execution.PromptExecutor).parameters
    memory = {"cache_args": {"ram": 0, "ram_inactive": 0}} if "cache_args" in known else {}
    executor = execution.PromptExecutor(server, **memory)

    def execute(graph: dict[str, tuple[str, dict[str, Any]]]) -> Results:
        prompt = {
            name: {"class_type": kind, "inputs": {k: list(v) if isinstance(v, tuple) else v for k, v in inputs.items()}}
            for name, (kind, inputs) in graph.items()
        }
        valid = asyncio.run(execution.validate_prompt("p", prompt, None))
        assert valid[0], valid
        server.sent.clear()
        executor.execute(prompt, "p", {"client_id": "test"}, valid[2])
        ran = [data["node"] for event, data in server.sent if event == "executing" and data["node"]]
        errors = [data["exception_message"] for event, data in server.sent if event == "execution_error"]
        interrupted = any(event == "execution_interrupted" for event, _ in server.sent)
        outputs = {name: kept(executor.caches.outputs, name) for name in prompt}
        return Results(ran=ran, error=(errors or [None])[0], outputs=outputs, interrupted=interrupted, sent=server.sent)

    return execute
