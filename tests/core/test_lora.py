"""Attaching is exact and reversible; rows are independent."""

from __future__ import annotations

import pytest
import torch
from torch.nn import Linear

from lora_unlearn import UnlearnError
from lora_unlearn.denoiser import Target
from lora_unlearn.lora import Lora, LoraLayer, new_lora


@pytest.fixture
def layer():
    torch.manual_seed(0)
    linear = Linear(6, 8)
    lora = Lora({"k": LoraLayer(torch.randn(2, 6), torch.randn(8, 2), 0.5)})
    return linear, lora, {"k": Target(linear)}


def test_rows_get_their_own_share(layer):
    linear, lora, targets = layer
    x = torch.randn(3, 5, 6)
    down, up = lora.layers[0].down, lora.layers[0].up
    plain, residual = linear(x), 0.5 * x @ down.T @ up.T
    with lora.attached(targets), lora.rows(torch.tensor([0.0, 1.0, 2.0])):
        out = linear(x)
    assert torch.equal(out[0], plain[0])
    assert torch.allclose(out[1], plain[1] + residual[1], atol=1e-6)
    assert torch.allclose(out[2], plain[2] + 2 * residual[2], atol=1e-6)


def test_inactive_is_bit_identical_and_detaching_leaves_no_trace(layer):
    linear, lora, targets = layer
    x, before = torch.randn(3, 6), dict(linear.__dict__)
    plain = linear(x)
    with lora.attached(targets):
        assert torch.equal(linear(x), plain)
    assert linear.__dict__.keys() == before.keys() and "forward" not in linear.__dict__


def test_two_adapters_add_up_and_come_off_in_order(layer):
    linear, lora, targets = layer
    other = Lora({"k": LoraLayer(torch.randn(1, 6), torch.randn(8, 1), 1.0)})
    x = torch.randn(2, 6)
    plain, ones = linear(x), torch.ones(2)
    with lora.attached(targets), other.attached(targets), lora.rows(ones), other.rows(ones):
        both = linear(x)
    with lora.attached(targets), lora.rows(ones):
        first = linear(x)
    with other.attached(targets), other.rows(ones):
        second = linear(x)
    assert torch.allclose(both - plain, first + second - 2 * plain, atol=1e-5)
    assert torch.equal(linear(x), plain)


def test_attachments_come_off_in_any_order_and_leave_no_trace(layer):
    linear, lora, targets = layer
    other = Lora({"k": LoraLayer(torch.randn(1, 6), torch.randn(8, 1), 1.0)})
    x, ones = torch.randn(2, 6), torch.ones(2)
    plain = linear(x)
    below, above = lora.attach(targets), other.attach(targets)
    with lora.rows(ones), other.rows(ones):
        both = linear(x)
        below.detach()
        second = linear(x)
        above.detach()
        below.detach()  # again, as a host may
        assert torch.equal(linear(x), plain)
    assert "forward" not in linear.__dict__
    assert not torch.allclose(both, second) and not torch.allclose(second, plain)


def test_an_attachment_under_someone_elses_wrapper_goes_silent(layer):
    linear, lora, targets = layer
    x = torch.randn(2, 6)
    plain = linear(x)
    attachment = lora.attach(targets)
    ours = linear.forward
    linear.forward = lambda x: ours(x) + 1
    attachment.detach()
    with lora.rows(torch.ones(2)):
        assert torch.equal(linear(x), plain + 1)
        linear.forward = ours  # the other one puts back what it found
        again = lora.attach(targets)
        assert not torch.equal(linear(x), plain)
        again.detach()
    assert "forward" not in linear.__dict__ and torch.equal(linear(x), plain)


def test_a_slice_of_a_fused_layer_is_changed_alone():
    torch.manual_seed(0)
    linear = Linear(6, 12)
    target = Target(linear, slice(4, 8))
    lora = Lora({"k": LoraLayer(torch.randn(1, 6), torch.randn(4, 1), 1.0)})
    x = torch.randn(2, 6)
    with lora.attached({"k": target}), lora.rows(torch.ones(2)):
        change = linear(x) - linear.weight.new_tensor(0.0) - (x @ linear.weight.T + linear.bias)
    assert change[:, :4].abs().max() < 1e-6 and change[:, 8:].abs().max() < 1e-6
    assert change[:, 4:8].abs().min() > 0


def test_wrong_shapes_are_refused_and_nothing_is_attached(layer):
    linear, lora, _ = layer
    with (
        pytest.raises(UnlearnError, match="1 of the adapter's 1 layers"),
        lora.attached({"k": Target(Linear(5, 8))}),
    ):
        pass
    assert "forward" not in linear.__dict__


def test_a_fresh_adapter_changes_nothing(layer):
    linear, _, targets = layer
    lora = new_lora(targets, rank=2, scale=8.0, generator=torch.Generator().manual_seed(0))
    x = torch.randn(4, 6)
    with lora.attached(targets), lora.rows(torch.ones(4)):
        assert torch.allclose(linear(x), x @ linear.weight.T + linear.bias, atol=1e-6)


def test_thousands_of_silent_adapters_change_nothing_and_come_off(layer):
    linear, _, targets = layer
    x = torch.randn(2, 6)
    plain = linear(x)
    others = [Lora({"k": LoraLayer(torch.randn(1, 6), torch.randn(8, 1), 1.0)}) for _ in range(2000)]
    attachments = [other.attach(targets) for other in others]
    assert torch.equal(linear(x), plain)
    with others[7].rows(torch.ones(2)), others[1990].rows(torch.ones(2)):
        both = linear(x)
    wanted = plain + others[7].layers[0](x) + others[1990].layers[0](x)
    assert torch.allclose(both, wanted, atol=1e-6)
    for attachment in (*attachments[1::2], *attachments[0::2]):
        attachment.detach()
    assert torch.equal(linear(x), plain) and "forward" not in linear.__dict__
