"""Training inside a node: the model stays as it was, whatever happens."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from comfy_graphs import one_node

pytestmark = pytest.mark.comfyui


@pytest.fixture
def order(pack):
    """A short training, kept nowhere yet."""
    training, core = pack("nodes.training"), pack("lora_unlearn")
    training.CACHE.clear()
    small = core.Settings(iterations=12, batch=4, trajectories=2, trajectory_steps=6, enough=1.0)
    return training.Order(core.Concept("cat"), "fast", small)


@pytest.fixture
def unchanged(demo):
    """Fails the test if a weight, or an object that holds one, is another one afterwards."""
    network = demo.model.model
    before = {name: (value, value.clone()) for name, value in network.named_parameters()}
    yield
    for name, value in network.named_parameters():
        assert value is before[name][0] and torch.equal(value.cpu(), before[name][1].cpu())
    assert not [name for name, module in network.named_modules() if "forward" in module.__dict__]


def test_a_training_erases_and_leaves_the_weights_alone(pack, demo, order, unchanged):
    with torch.inference_mode():
        assert any(value.is_inference() for value in demo.model.model.parameters())
        adapter = pack("nodes.training").train_eraser(demo.model, demo.clip, order)
    assert adapter.iterations == 12 and adapter.redirected > 0.5 and not adapter.partial
    assert adapter.gate.negatives >= 99 and adapter.family == "demo"


def test_sketches_are_shown_on_the_way_and_change_nothing(pack, demo, order, unchanged, monkeypatch):
    import comfy.utils

    training, sketches, moves = pack("nodes.training"), [], []

    def look(value, total, preview, node_id=None):
        moves.append(value / total)
        sketches.extend([preview] if preview else [])

    with torch.inference_mode():
        plain = training.train_eraser(demo.model, demo.clip, order)
        training.CACHE.clear()
        monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", look)
        draw = pack("nodes.erase_concept").sketch
        drawn = replace(order, sketch=lambda unfinished: draw(demo.model, demo.clip, demo.vae, unfinished))
        watched = training.train_eraser(demo.model, demo.clip, drawn)
    assert [kind for kind, _, _ in sketches] == ["JPEG", "JPEG"]
    assert all(picture.size == (128, 128) for _, picture, _ in sketches)
    assert moves == sorted(moves) and moves[-1] == 1 and len(moves) > 12  # the bars of 24 sampling steps are within
    for (_, first), (_, second) in zip(plain.lora.items(), watched.lora.items(), strict=True):
        assert torch.equal(first.up, second.up)


@pytest.mark.parametrize("on_disk", [True, False])
def test_an_interruption_keeps_the_partial_adapter_and_goes_on_from_it(
    pack, demo, order, unchanged, monkeypatch, on_disk
):
    import comfy.model_management as management

    training, told, order = pack("nodes.training"), [], replace(order, keep_on_disk=on_disk)
    cancelled_at = "training 5 of 12"

    def read(text):
        told.append(text)
        if cancelled_at in text:
            management.interrupt_current_processing()

    monkeypatch.setattr(pack("nodes.stages"), "show", read)
    with torch.inference_mode(), pytest.raises(management.InterruptProcessingException):
        training.train_eraser(demo.model, demo.clip, order)
    key = order.fingerprint(demo.model, demo.clip)
    assert training.CACHE.get(key) is None
    assert told[-1] == "Erasing cat: stopped at 5 of 12 (training); Run continues"
    kept = training.CACHE.get_partial(key, on_disk)
    assert kept.partial and kept.iterations == 5
    assert bool(list(pack("nodes.cache").cache_folder().glob("*.partial.safetensors"))) == on_disk
    cancelled_at = "recording 2 of 6"
    with torch.inference_mode(), pytest.raises(management.InterruptProcessingException):
        training.train_eraser(demo.model, demo.clip, order)
    assert told[-1] == "Erasing cat: stopped at 2 of 6 (recording); Run continues"
    monkeypatch.undo()
    with torch.inference_mode():
        adapter = training.train_eraser(demo.model, demo.clip, order)
    assert adapter.iterations == 12 and not adapter.partial and training.CACHE.get_partial(key) is None


def test_a_training_that_changes_nothing_says_so(pack, demo, order, unchanged):
    core = pack("lora_unlearn")
    weak = replace(order, settings=replace(order.settings, iterations=1, down="random", learning_rate=1e-6))
    with torch.inference_mode(), pytest.raises(core.UnlearnError, match="redirected only"):
        pack("nodes.training").train_eraser(demo.model, demo.clip, weak)


def test_every_setting_of_a_training_is_a_widget_with_the_defaults_of_fast_mode(pack, host):
    from dataclasses import fields

    known = host.NODE_CLASS_MAPPINGS["LoraUnlearnTrainEraser"].INPUT_TYPES()
    widgets = {**known["required"], **known["optional"]}
    default = pack("lora_unlearn.erase").MODES["fast"]
    by_options = {"seed", "source", "terms", "update", "average", "options"}  # but for the seed: "method_options"
    shown = {field.name: getattr(default, field.name) for field in fields(default) if field.name not in by_options}
    assert {name: widgets[name][1]["default"] for name in shown} == shown
    assert list(widgets)[-1] == "method_options"  # saved widgets are told by their order


def test_every_method_can_be_chosen_and_its_options_are_checked(pack, host):
    node, core = pack("nodes.train_eraser"), pack("lora_unlearn")
    assert (
        list(pack("lora_unlearn.training.methods").METHODS)
        == host.NODE_CLASS_MAPPINGS["LoraUnlearnTrainEraser"].INPUT_TYPES()["required"]["mode"][1]["options"]
    )
    settings = node.settings_of("esd", {"rank": 2}, "average=ema\n\nema.decay = 0.5\n")
    assert (settings.objective, settings.rank, settings.average, settings.options) == (
        "esd",
        2,
        "ema",
        {"ema.decay": 0.5},
    )
    assert node.settings_of("instant", {"iterations": 100}).iterations == 0
    with pytest.raises(core.UnlearnError, match="the nearest name is 'ema'"):
        node.settings_of("esd", {}, "average=emma")
    with pytest.raises(core.UnlearnError, match="the nearest name is 'esd'"):  # asked by a program, past the widget
        node.settings_of("esdd", {})


def test_too_little_memory_is_told_before_the_start_with_what_to_lower(pack, demo, order, monkeypatch):
    """The settings of the long form are refused; the one node lowers them by itself."""
    import comfy.model_management as management

    training, core = pack("nodes.training"), pack("lora_unlearn")
    estimate, measure = (getattr(pack("lora_unlearn.estimate"), name) for name in ("estimate", "measure"))
    with torch.inference_mode(False):
        cost = measure(pack("nodes.denoiser").ComfyDenoiser(demo.model, demo.clip), order.settings)
    room = estimate(cost, replace(order.settings, batch=2)).memory

    def leave(free):
        real = management.get_free_memory
        told = lambda device=None, more=False: real(device, more) if more else free  # noqa: E731
        monkeypatch.setattr(management, "get_free_memory", told)

    leave(room * 1.02)
    with torch.inference_mode(), pytest.raises(core.UnlearnError, match=r"batch of 4 takes .* free; lower batch to 2"):
        training.train_eraser(demo.model, demo.clip, order)
    with torch.inference_mode():
        adapter = training.train_eraser(demo.model, demo.clip, replace(order, may_lower_batch=True))
    assert adapter.settings.batch == 2 and not adapter.settings.offload
    training.CACHE.clear()
    leave(1000)
    with torch.inference_mode(), pytest.raises(core.UnlearnError, match="even with a batch of 1"):
        training.train_eraser(demo.model, demo.clip, replace(order, may_lower_batch=True))


def test_memory_that_runs_out_in_mid_training_is_one_sentence(pack, demo, order, unchanged, monkeypatch):
    import comfy.model_management as management

    training = pack("nodes.training")
    real = training.fulfil

    def greedy(denoiser, order, bank, watch, resume):
        def more(progress):
            watch.report(progress)
            if progress.step == 3:
                torch.empty(2**50)  # torch's own error

        return real(denoiser, order, bank, replace(watch, report=more), resume)

    monkeypatch.setattr(training, "fulfil", greedy)
    with torch.inference_mode(), pytest.raises(management.OOM_EXCEPTION, match="lower batch or size in Train Eraser"):
        training.train_eraser(demo.model, demo.clip, order)
    monkeypatch.undo()
    with torch.inference_mode():
        assert training.train_eraser(demo.model, demo.clip, order).iterations == 12


def test_a_full_disk_is_one_sentence_and_the_older_file_stays(run, cat):
    import resource
    import signal
    from pathlib import Path

    import folder_paths

    path = Path(folder_paths.get_folder_paths("loras")[0]) / "full.safetensors"
    cat.save(path)
    older = path.read_bytes()
    cat.save(path.with_name("given.safetensors"))
    graph = {"1": ("LoraUnlearnLoadEraser", {"file": "given.safetensors"})}
    graph["2"] = ("LoraUnlearnExportEraser", {"eraser": ("1", 0), "name": "full", "format": "LoRA"})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # no file may grow over 1000 bytes
    try:
        error = run(graph).error
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert "full.safetensors could not be written" in error and error.strip().count("\n") == 0
    assert path.read_bytes() == older and not list(path.parent.glob(".*.tmp"))
    assert run(graph).error is None


def test_train_apply_export_and_load_in_one_graph(run, pack):
    graph = one_node("a photo of a dog", 1)
    fast = {"iterations": 3, "batch": 4, "trajectories": 2, "trajectory_steps": 4}
    graph["10"] = (
        "LoraUnlearnTrainEraser",
        {"model": ("1", 0), "clip": ("1", 1), "concept": "cat", "mode": "fast", **fast},
    )
    graph["2"] = ("LoraUnlearnApplyEraser", {"model": ("1", 0), "eraser": ("10", 0), "strength": 1.0, "enabled": True})
    graph["11"] = ("LoraUnlearnExportEraser", {"eraser": ("10", 0), "name": "no cats", "format": "LoRA"})
    done = run(graph)
    assert done.error is None
    path, size = done.outputs["11"][0][0], done.outputs["11"][1][0]
    assert path.endswith("no cats.safetensors") and size > 1000
    load = {"12": ("LoraUnlearnLoadEraser", {"file": "no cats.safetensors"})}
    load["13"] = ("LoraUnlearnExportEraser", {"eraser": ("12", 0), "name": "again", "format": "diffusers"})
    assert run(load).error is None
    load["13"] = ("LoraUnlearnExportEraser", {"eraser": ("12", 0), "name": "../again", "format": "LoRA"})
    assert "can't be a file name" in run(load).error


def test_an_ordinary_lora_gets_a_sentence(run, tmp_path):
    import folder_paths
    from safetensors.torch import save_file

    path = f"{folder_paths.get_folder_paths('loras')[0]}/ordinary.safetensors"
    save_file({"lora_unet_x.lora_down.weight": torch.zeros(1, 4)}, path)
    graph = {"1": ("LoraUnlearnLoadEraser", {"file": "ordinary.safetensors"})}
    graph["2"] = ("LoraUnlearnExportEraser", {"eraser": ("1", 0), "name": "x", "format": "LoRA"})
    assert "not one of our erasers" in run(graph).error


@pytest.fixture
def moving(monkeypatch):
    """Has the host move weights as a graphics card has it do it: to another place by `Module.to`, and back.

    Here the other place is another precision, which makes new tensors in the same way and gives the same values back.
    """
    import comfy.model_management as management

    def moved(model):
        model.model.to(torch.float64)
        model.model.to(torch.float32)

    own_load, own_free = management.load_models_gpu, management.free_memory

    def load(models, *args, **options):
        own_load(models, *args, **options)
        for model in models:
            moved(model)

    def free(*args, keep_loaded=(), **options):
        for loaded in management.current_loaded_models:
            if loaded.model is not None and loaded not in keep_loaded:
                moved(loaded.model)
        return own_free(*args, keep_loaded=list(keep_loaded), **options)

    monkeypatch.setattr(management, "load_models_gpu", load)
    monkeypatch.setattr(management, "free_memory", free)


@pytest.mark.parametrize("mode", ["instant", "fast"])
def test_weights_may_come_to_a_card_while_the_node_runs(mode, pack, moving):
    """A loader's weights are inference tensors; what moves them outside of inference mode spoils them for autograd."""
    training, core, guide = pack("nodes.training"), pack("lora_unlearn"), pack("nodes.guide")
    modes = pack("lora_unlearn.erase").MODES
    few = replace(modes[mode], iterations=2, batch=2, trajectories=2, trajectory_steps=2, enough=1.0)
    training.CACHE.clear()
    with torch.inference_mode():
        model, clip, _ = pack("nodes.demo").load_demo()
        order = training.Order(core.Concept("cat"), mode, few if modes[mode].trains else modes[mode])
        adapter = training.train_eraser(model, clip, order)
        under = guide.apply_erasers(model, [core.Eraser(adapter, 1.5, "on")])
        assert all(value.is_inference() for value in model.model.parameters()) and under is not model
    assert adapter.lora.rank > 0 and not adapter.partial
