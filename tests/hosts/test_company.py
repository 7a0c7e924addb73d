"""Erasers beside what users do to a pipeline: LoRAs of their own, fused or packed layers, compilation."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

import tiny
from diffusers import EDMEulerScheduler
from host_parts import OPEN_TO_ALL, draw, fingerprint, random_adapter, same_modules

from lora_unlearn import Concept, Eraser, Settings, UnlearnError, denoiser_for, erasing
from lora_unlearn.denoiser import base_hash
from lora_unlearn.gate import Gate
from lora_unlearn.hosts.layers import AppliedTarget
from lora_unlearn.training.prompts import encode
from lora_unlearn.training.train import train

CLOSED = Gate(text_closed=float("inf"))
LAYERS = {"sd1": ["to_q", "to_k", "to_v", "to_out.0"], "flux": ["to_q", "add_k_proj", "add_v_proj"]}


def with_lora(name):
    """A pipeline that carries a LoRA of the user's."""
    peft = pytest.importorskip("peft")
    pipe = tiny.new_pipeline(name)
    network = denoiser_for(pipe).network
    config = peft.LoraConfig(r=2, lora_alpha=8, target_modules=LAYERS[name], init_lora_weights=False)
    torch.manual_seed(5)
    network.add_adapter(config, adapter_name="style")
    return pipe, network.eval()


@pytest.mark.parametrize("name", LAYERS)
def test_a_users_own_lora_may_be_there_first(name):
    bare = denoiser_for(tiny.new_pipeline(name))
    adapter = random_adapter(bare, gate=OPEN_TO_ALL)
    pipe, network = with_lora(name)
    denoiser = denoiser_for(pipe)
    assert list(denoiser.linears("cross_kv")) == list(bare.linears("cross_kv"))
    assert list(denoiser.linears("all_but_cross")) == list(bare.linears("all_but_cross"))
    assert base_hash(denoiser) == base_hash(bare)
    styled, before = draw(pipe), fingerprint(network)
    assert not torch.equal(styled, draw(bare.pipe))
    with erasing(pipe, [Eraser(adapter)]):
        erased = draw(pipe)
    with erasing(pipe, [Eraser(random_adapter(denoiser, gate=CLOSED))]):
        assert torch.equal(draw(pipe), styled)
    with erasing(pipe, [Eraser(adapter)]):
        network.disable_adapters()
        only_ours = draw(pipe)
        network.enable_adapters()
    with erasing(bare.pipe, [Eraser(adapter)]):
        assert torch.equal(only_ours, draw(bare.pipe))
    assert not torch.equal(erased, styled) and not torch.equal(erased, only_ours)
    assert same_modules(before, network) and torch.equal(draw(pipe), styled)


def test_a_lora_that_comes_and_goes_within_the_block_takes_no_eraser_along():
    peft = pytest.importorskip("peft")
    pipe = tiny.new_pipeline("sd1")
    plain, adapter = draw(pipe), random_adapter(denoiser_for(pipe))
    with erasing(pipe, [Eraser(adapter)]):
        erased = draw(pipe)
        config = peft.LoraConfig(r=2, target_modules=LAYERS["sd1"], init_lora_weights=False)
        pipe.unet.add_adapter(config, adapter_name="style")
        assert not torch.equal(draw(pipe), erased)
        pipe.unet.unload_lora()
        assert torch.equal(draw(pipe), erased)
    assert torch.equal(draw(pipe), plain)


def test_a_training_beside_a_users_lora_changes_ours_alone():
    pipe, network = with_lora("sd1")
    denoiser, before = denoiser_for(pipe), {k: v.clone() for k, v in network.state_dict().items()}
    settings = Settings(down="edit", rank=2, iterations=1, batch=2, trajectories=2, trajectory_steps=2, enough=99.0)
    trained = train(denoiser, encode(denoiser, Concept("cat"), ["a dog"]), settings)
    assert all(layer.up.abs().max() > 0 for _, layer in trained.lora.items())
    after = network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("name", ["sd1", "sd3"])
def test_fused_projections_hold_the_same_layers(name):
    pipe = tiny.new_pipeline(name)
    denoiser = denoiser_for(pipe)
    adapter, hashed, shapes = random_adapter(denoiser, size=2.0), base_hash(denoiser), shapes_of(denoiser)
    with erasing(pipe, [Eraser(adapter)]):
        erased = draw(pipe)
    denoiser.network.fuse_qkv_projections()
    plain = draw(pipe)
    assert shapes_of(denoiser) == shapes and base_hash(denoiser) == hashed
    with erasing(pipe, [Eraser(adapter)]):
        torch.testing.assert_close(draw(pipe), erased, atol=1e-3, rtol=1e-3)
    assert (erased - plain).abs().max() > 1e-2
    denoiser.network.unfuse_qkv_projections()
    with erasing(pipe, [Eraser(adapter)]):
        torch.testing.assert_close(draw(pipe), erased, atol=1e-3, rtol=1e-3)


def shapes_of(denoiser):
    return {name: target.shape for name, target in denoiser.linears("cross_kv").items()}


class Packed(nn.Module):
    """A linear layer as quantisers write them: a class of its own, with codes and a scale in place of the weight."""

    def __init__(self, linear):
        super().__init__()
        self.in_features, self.out_features, self.bias = linear.in_features, linear.out_features, linear.bias
        self.register_buffer("scale", linear.weight.detach().abs().max() / 127)
        self.register_buffer("codes", (linear.weight.detach() / self.scale).round().to(torch.int8))

    def forward(self, x):
        return nn.functional.linear(x, self.codes.to(x) * self.scale.to(x), self.bias)


def test_layers_that_a_quantiser_replaced_are_asked_for_their_weights():
    pipe = tiny.new_pipeline("sd1")
    targets = denoiser_for(pipe).linears("cross_kv")
    for name in targets:
        parent, _, own = name.rpartition(".")
        setattr(pipe.unet.get_submodule(parent), own, Packed(pipe.unet.get_submodule(name)))
    denoiser, plain = denoiser_for(pipe), draw(pipe)
    packed = denoiser.linears("cross_kv")
    assert {name: target.shape for name, target in packed.items()} == {name: t.shape for name, t in targets.items()}
    for name, target in packed.items():
        assert isinstance(target, AppliedTarget)
        torch.testing.assert_close(target.weight, targets[name].weight, atol=float(target.linear.scale), rtol=0)
    with erasing(pipe, [Eraser(random_adapter(denoiser))]):
        assert not torch.equal(draw(pipe), plain)
    assert torch.equal(draw(pipe), plain)


@pytest.mark.thorough
@pytest.mark.parametrize("fullgraph", [False, True], ids=["graph breaks", "full graph"])
@pytest.mark.parametrize("way", ["wrapped", "in place", "a part"])
def test_compiled_networks_are_erased(way, fullgraph):
    pipe = tiny.new_pipeline("sd1")
    adapter, hashed = random_adapter(denoiser_for(pipe)), base_hash(denoiser_for(pipe))
    with erasing(pipe, [Eraser(adapter)]):
        erased = draw(pipe)
    torch._dynamo.reset()
    options = {"backend": "eager", "fullgraph": fullgraph}
    if way == "wrapped":
        pipe.unet = torch.compile(pipe.unet, **options)
    elif way == "in place":
        pipe.unet.compile(**options)
    else:
        pipe.unet.mid_block = torch.compile(pipe.unet.mid_block, **options)
    plain = draw(pipe)
    before = set(pipe.unet.__dict__)
    assert base_hash(denoiser_for(pipe)) == hashed
    for _ in range(2):
        with erasing(pipe, [Eraser(adapter, mode="off")]):
            assert torch.equal(draw(pipe), plain)
        with erasing(pipe, [Eraser(adapter)]):
            torch.testing.assert_close(draw(pipe), erased, atol=1e-4, rtol=1e-4)
    assert torch.equal(draw(pipe), plain) and set(pipe.unet.__dict__) == before


def test_a_compiled_transformer_is_known():
    pipe = tiny.new_pipeline("flux")
    family, names = denoiser_for(pipe).family, list(denoiser_for(pipe).linears())
    pipe.transformer = torch.compile(pipe.transformer, backend="eager")
    assert denoiser_for(pipe).family == family and list(denoiser_for(pipe).linears()) == names


def test_schedulers_of_other_models_are_refused():
    pipe = tiny.new_pipeline("sdxl")
    pipe.scheduler = EDMEulerScheduler()
    with pytest.raises(UnlearnError, match="sampled with EDMEulerScheduler"):
        denoiser_for(pipe)


class BesideTheLayers:
    """An attention processor that multiplies by the weights itself, and never asks the layers."""

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, **_):
        other = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = hidden_states @ attn.to_q.weight.T, other @ attn.to_k.weight.T, other @ attn.to_v.weight.T
        heads = [attn.head_to_batch_dim(part) for part in (query, key, value)]
        found = torch.bmm(attn.get_attention_scores(heads[0], heads[1]), heads[2])
        return attn.to_out[0](attn.batch_to_head_dim(found))


@pytest.mark.parametrize("strength", [1.0, 2.0])
def test_a_network_that_goes_round_an_open_eraser_is_an_error_and_no_picture(strength):
    pipe = tiny.new_pipeline("sd1")
    pipe.unet.set_attn_processor(BesideTheLayers())
    plain, adapter = draw(pipe), random_adapter(denoiser_for(pipe))
    with (
        pytest.raises(UnlearnError, match="went round the eraser for 'cat'"),
        erasing(pipe, [Eraser(adapter, strength)]),
    ):
        draw(pipe)
    with erasing(pipe, [Eraser(adapter, strength, mode="off")]):
        assert torch.equal(draw(pipe), plain)


def test_a_copy_made_within_the_block_is_a_pipeline_of_its_own():
    pipe = tiny.new_pipeline("sd1")
    plain, adapter = draw(pipe), random_adapter(denoiser_for(pipe))
    with erasing(pipe, [Eraser(adapter)]):
        erased = draw(pipe)
        twin = copy.deepcopy(pipe)
        twin.set_progress_bar_config(disable=True)
        assert torch.equal(draw(twin), plain)
        with erasing(twin, [Eraser(adapter)]):
            assert torch.equal(draw(twin), erased)
        assert torch.equal(draw(pipe), erased)
    assert torch.equal(draw(pipe), plain) and torch.equal(draw(twin), plain)
