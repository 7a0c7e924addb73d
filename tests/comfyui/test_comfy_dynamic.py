"""DynamicVRAM, in which the host pages weights in and out while the network runs: its own code, in main memory.

The graphics card's pager alone is made here. It is a hostile one: memory is gone as soon as the host lets go of it.
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy
import pytest
import torch
from comfy_graphs import made_by
from safetensors.torch import load_file, save_file

pytestmark = pytest.mark.comfyui

CAT, DOG = "a photo of a cat", "a photo of a dog"
CARD = torch.device("cpu", 0)
"""Main memory under another name, so that the host takes it for another device."""


class Pager:
    """What comfy-aimdo offers: a stretch of a card's memory in which weights are paged.

    Args:
        room: "plenty": what was paged in stays; "pressure": it stays until it is let go of; "none": nothing fits.
    """

    def __init__(self, room, size):
        self.room, self.bytes = room, numpy.zeros(int(size), dtype=numpy.uint8)
        self.end, self.marks, self.loads = 0, {}, 0

    def alloc(self, size):
        start = -(-self.end // 512) * 512
        self.end = start + size
        assert self.end <= len(self.bytes)
        return self, start, size

    def fault(self, start):
        return None if self.room == "none" else self.marks.setdefault(start, bytes(4))

    def unpin(self, start, size):
        if self.room == "pressure":
            self.bytes[start : start + size] = 255  # not a number, in any kind of float
            self.loads += 1
            self.marks[start] = self.loads.to_bytes(4, "little")

    def prioritize(self):
        """All of it is as dear."""

    def loaded_size(self):
        return 0

    def free_memory(self, size):
        return 0


class NoBuffer:
    """The host's pinned memory: there is none."""

    def __init__(self, *sizes):
        self.size = 0

    def truncate(self, *args, **options):
        """Nothing to give back."""


@pytest.fixture(params=["plenty", "pressure", "none"])
def paged(request, host, pack, monkeypatch):
    """The demo's MODEL as a host with DynamicVRAM loads it."""
    import comfy.model_management
    import comfy.model_patcher
    import comfy.ops
    import comfy_aimdo

    vbar, own_cast = comfy_aimdo.model_vbar, comfy.ops.cast_bias_weight
    monkeypatch.setattr(vbar, "ModelVBAR", lambda size, device: Pager(request.param, size))
    monkeypatch.setattr(vbar, "vbar_fault", lambda place: place[0].fault(place[1]))
    monkeypatch.setattr(vbar, "vbar_unpin", lambda place: place and place[0].unpin(*place[1:]))
    monkeypatch.setattr(comfy_aimdo.host_buffer, "HostBuffer", NoBuffer)
    monkeypatch.setattr(
        comfy_aimdo.torch,
        "aimdo_to_tensor",
        lambda place, device: torch.from_numpy(place[0].bytes[place[1] : place[1] + place[2]]),
    )
    monkeypatch.setattr(comfy.model_management.args, "disable_pinned_memory", True)
    monkeypatch.setattr(comfy.model_management, "is_device_cpu", lambda device: False)

    def cast(layer, input=None, dtype=None, device=None, **options):
        return own_cast(layer, input, dtype, CARD if hasattr(layer, "_v") else device, **options)

    monkeypatch.setattr(comfy.ops, "cast_bias_weight", cast)
    with torch.inference_mode():
        network = pack("nodes.demo").load_demo()[0].model
        model = comfy.model_patcher.ModelPatcherDynamic(network, load_device=CARD, offload_device=torch.device("cpu"))
    assert model.is_dynamic()
    yield model
    comfy.model_management.unload_all_models()


@pytest.fixture
def work(pack, demo):
    """Training and applying, as the nodes do."""
    training, guide, core = pack("nodes.training"), pack("nodes.guide"), pack("lora_unlearn")
    modes = pack("lora_unlearn.erase").MODES

    def train(model, mode="fast", **changes):
        training.CACHE.clear()
        with torch.inference_mode():
            order = training.Order(core.Concept("cat"), mode, replace(modes[mode], **changes))
            return training.train_eraser(model, demo.clip, order)

    def apply(model, adapter, mode="auto"):
        with torch.inference_mode():
            return guide.apply_erasers(model, [core.Eraser(adapter, 1.0, mode)])

    return SimpleNamespace(train=train, apply=apply)


@pytest.fixture(scope="module")
def usual():
    """What was worked out once without paging: usual("name", function)."""
    known = {}
    return lambda name, make: known[name] if name in known else known.setdefault(name, make())


def was_paged(model):
    return sum(hasattr(module, "_v") for module in model.model.modules()) > 20


def ups(adapter):
    return torch.cat([layer.up.detach().cpu().flatten() for layer in adapter.lora.layers])


def far(one, other):
    """How far two adapters are apart, 1 being their size: Adam makes whole steps of what rounding leaves of nothing."""
    if one.lora.rank != other.lora.rank:
        return float("inf")
    return float((ups(one) - ups(other)).norm() / ups(other).norm())


def test_guidance_under_paging(paged, demo, work, cat, sample):
    for mode, text in (("auto", CAT), ("on", DOG)):
        expected = sample(work.apply(demo.model, cat, mode), text)
        assert torch.allclose(sample(work.apply(paged, cat, mode), text), expected, atol=1e-4)
    base = sample(paged, DOG)
    assert torch.equal(sample(work.apply(paged, cat), DOG), base) and torch.equal(sample(paged, DOG), base)
    assert torch.allclose(base, sample(demo.model, DOG), atol=1e-4)
    assert was_paged(paged)


@pytest.mark.parametrize("offload", [False, True], ids=["kept", "in main memory"])
def test_training_under_paging(offload, paged, demo, work, sample, usual):
    before = {name: value.clone() for name, value in paged.model.named_parameters()}
    sample(paged, DOG)  # what the host has paged in by now, it made without autograd
    ours = work.train(paged, iterations=3, offload=offload)
    theirs = usual("trained", lambda: work.train(demo.model, iterations=3))
    assert far(ours, theirs) < 0.02 and was_paged(paged)
    assert all(torch.equal(before[name], value) for name, value in paged.model.named_parameters())


def test_a_lora_before_the_eraser_counts_under_paging(paged, host, demo, work, cat):
    import folder_paths

    path = cat.save(f"{folder_paths.get_folder_paths('loras')[0]}/paged.safetensors")
    save_file({k: torch.randn_like(v) if "down" in k else v for k, v in load_file(path).items()}, path)
    with torch.inference_mode():
        under = [
            host.LoraLoader().load_lora(m, demo.clip, "paged.safetensors", 0.1, 0.0)[0] for m in (paged, demo.model)
        ]
    ours, theirs, without = (work.train(model, "instant") for model in (*under, demo.model))
    assert far(ours, theirs) < 0.02 < far(ours, without)


def test_an_eraser_is_known_again_however_the_model_is_loaded(paged, pack, demo, sample):
    fingerprint = pack("nodes.fingerprint").fingerprint
    names = {fingerprint(paged, demo.clip, {}), fingerprint(demo.model, demo.clip, {})}
    sample(paged, DOG)
    assert names == {fingerprint(paged, demo.clip, {})}


@pytest.mark.parametrize("paged", ["plenty"], indirect=True)
def test_prompts_with_hooks_of_their_own_are_drawn_without_paging(paged, host, demo, work, cat, values, tmp_path):
    """Where hooks change weights for one prompt, the host loads the file once more and samples with that model."""
    import comfy.hooks
    import comfy.sd
    import folder_paths

    save_file({name: value.contiguous() for name, value in values.items()}, tmp_path / "network.safetensors")
    paged.cached_patcher_init = (comfy.sd.load_diffusion_model, (str(tmp_path / "network.safetensors"), {}))
    path = cat.save(f"{folder_paths.get_folder_paths('loras')[0]}/hooked.safetensors")
    save_file({k: torch.randn_like(v) if "down" in k else v for k, v in load_file(path).items()}, path)

    def draw(model, text):
        hook = made_by(host, "CreateHookLoraModelOnly", lora_name="hooked.safetensors", strength_model=0.1)
        conds = [made_by(host, "CLIPTextEncode", clip=demo.clip, text=words) for words in (text, "")]
        positive = comfy.hooks.set_hooks_for_conditioning(conds[0], hook)
        latent = {"samples": torch.zeros(1, 4, 16, 16)}
        with torch.inference_mode():
            words = (3, 4, 5.0, "euler", "normal", positive, conds[1], latent)
            return host.KSampler().sample(model, *words)[0]["samples"]

    torch.manual_seed(0)
    base = draw(paged, DOG)
    assert torch.allclose(base, draw(demo.model, DOG), atol=1e-4)
    assert torch.equal(draw(work.apply(paged, cat), DOG), base)
    erased = draw(work.apply(paged, cat), CAT)
    assert torch.allclose(erased, draw(work.apply(demo.model, cat), CAT), atol=1e-4)
    assert not torch.allclose(erased, draw(paged, CAT), atol=1e-2)
    assert not was_paged(paged)
