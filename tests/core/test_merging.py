"""Ways of merging: each against its formula, those that PEFT has against PEFT's own functions."""

from __future__ import annotations

import pytest
import torch

from lora_unlearn import UnlearnError
from lora_unlearn.lora import Lora, LoraLayer
from lora_unlearn.merging import MERGES, merge_of
from lora_unlearn.merging.dare import Dare
from lora_unlearn.merging.dense import low_rank
from lora_unlearn.merging.negmerge import NegMerge
from lora_unlearn.merging.soup import Soup
from lora_unlearn.merging.stack import Stack
from lora_unlearn.merging.ties import Ties

OUT, WIDTH = 9, 7
"""Sides of a layer; so many directions hold any change."""


def lora(seed, scale=1.0, **ranks):
    draws = torch.Generator().manual_seed(seed)
    return Lora(
        {
            name: LoraLayer(torch.randn(rank, WIDTH, generator=draws), torch.randn(OUT, rank, generator=draws), scale)
            for name, rank in ranks.items()
        }
    )


def of(matrix):
    """An adapter of one layer "a" that changes exactly this."""
    matrix = torch.tensor(matrix)
    return Lora({"a": LoraLayer(matrix, torch.eye(len(matrix)), 1.0)})


def change(adapter, name="a"):
    layer = dict(adapter.items())[name]
    return (layer.scale * layer.up @ layer.down).detach()


@pytest.fixture
def parts():
    """Three adapters of other ranks and scales, with strengths."""
    return [(lora(1, 0.5, a=1), 1.0), (lora(2, 2.0, a=3), 0.7), (lora(3, 1.0, a=2), -1.5)]


def changes(parts):
    return [strength * change(adapter) for adapter, strength in parts]


@pytest.fixture
def peft():
    return pytest.importorskip("peft.utils.merge_utils")


ONES = torch.ones(3)


@pytest.mark.parametrize("density", [0.2, 0.5, 0.9])
def test_ties_is_pefts(peft, parts, density):
    wanted = peft.ties(changes(parts), ONES, density)
    assert torch.allclose(change(Ties(density, WIDTH)(parts)), wanted, atol=1e-5)


@pytest.mark.parametrize("density", [0.2, 0.5, 0.9])
def test_dare_is_pefts_with_the_same_draws(peft, parts, density):
    torch.manual_seed(5)
    wanted = peft.dare_linear(changes(parts), ONES, density)
    assert torch.allclose(change(Dare(density, 5, WIDTH)(parts)), wanted, atol=1e-5)
    assert not torch.allclose(change(Dare(density, 6, WIDTH)(parts)), wanted, atol=1e-1)


@pytest.mark.parametrize("rank", [None, WIDTH])
def test_stack_is_pefts_sum(peft, parts, rank):
    wanted = peft.task_arithmetic([change(adapter) for adapter, _ in parts], torch.tensor([s for _, s in parts]))
    assert torch.allclose(change(Stack(rank)(parts)), wanted, atol=1e-5)


def test_everything_kept_leaves_the_plain_sum_and_mean(parts):
    assert torch.allclose(change(Dare(1.0, rank=WIDTH)(parts)), change(Stack()(parts)), atol=1e-5)
    apart = [(of([[1.0, 0.0]]), 2.0), (of([[0.0, 3.0]]), 1.0)]  # nothing in common: nobody to share a mean with
    assert torch.allclose(change(Ties(1.0)(apart)), torch.tensor([[2.0, 3.0]]), atol=1e-6)


def test_soup_by_hand():
    parts = [(of([[2.0, -4.0], [0.0, 6.0]]), 1.0), (of([[4.0, 2.0], [8.0, 0.0]]), 0.5)]
    assert torch.allclose(change(Soup()(parts)), torch.tensor([[2.0, -1.5], [2.0, 3.0]]), atol=1e-5)


def test_negmerge_by_hand():
    parts = [
        (of([[2.0, -4.0], [1.0, 6.0]]), 1.0),
        (of([[4.0, -2.0], [-8.0, 0.0]]), 1.0),
        (of([[-3.0, 3.0], [-1.0, -3.0]]), -1.0),
    ]
    assert torch.allclose(change(NegMerge()(parts)), torch.tensor([[3.0, -3.0], [0.0, 0.0]]), atol=1e-5)


def test_ties_by_hand():
    parts = [(of([[5.0, 1.0, -4.0, 0.5]]), 1.0), (of([[3.0, -2.0, 6.0, 0.1]]), 1.0)]
    assert torch.allclose(change(Ties(0.5)(parts)), torch.tensor([[4.0, 0.0, 6.0, 0.0]]), atol=1e-5)


def test_stack_is_exact_and_its_ranks_add_up(parts):
    merged = Stack()(parts)
    assert merged.rank == 6
    assert torch.allclose(change(merged), sum(changes(parts)), atol=1e-6)


@pytest.mark.parametrize("name", MERGES)
def test_a_layer_that_one_part_lacks_is_zero_there(name):
    both = [(lora(1, a=2, b=1), 1.0), (lora(2, a=1), 1.0)]
    zero = Lora({"a": both[1][0].layers[0], "b": LoraLayer(torch.zeros(1, WIDTH), torch.zeros(OUT, 1), 1.0)})
    lacking, filled = MERGES[name](both), MERGES[name]([both[0], (zero, 1.0)])
    assert ("b" in lacking.names) == (name != "negmerge")  # which wants all to agree
    for layer in lacking.names:
        assert torch.allclose(change(lacking, layer), change(filled, layer), atol=1e-5)


@pytest.mark.parametrize("name", MERGES)
def test_a_rank_that_was_chosen(name, parts):
    merged, full = MERGES[name](parts), merge_of(name, rank=2)(parts)
    assert full.rank == 2
    wanted = torch.linalg.svdvals(change(merged))
    assert torch.allclose(torch.linalg.svdvals(change(full))[:2], wanted[:2], rtol=1e-3)


def test_a_rank_by_itself_keeps_nearly_all():
    values = torch.tensor([1.0, 0.5, 0.03, 0.001, 0.0])  # squares: 1.251
    matrix = torch.diag(values)
    assert [low_rank(matrix, None, most).rank for most in (9, 2, 1)] == [2, 2, 1]
    assert low_rank(matrix * 1e-6, None, 9).rank == 2
    assert low_rank(torch.diag(torch.tensor([1.0, 0.5, 0.04])), None, 9).rank == 3
    assert low_rank(matrix, 99, 1).rank == 5


def test_seeds_of_one_thing_take_no_more_directions_than_one():
    one = lora(1, a=2)
    assert Soup()([(one, 1.0), (one, 0.5), (one, 2.0)]).rank == 2
    assert NegMerge()([(one, 1.0), (one, 1.0)]).rank == 2


@pytest.mark.parametrize(
    ("method", "options", "said"),
    [
        ("tise", {}, "called 'tise'; the nearest name is 'ties'"),
        ("NegMerg", {}, "the nearest name is 'negmerge'"),
        ("x", {}, "choose one of stack, soup, ties, dare, negmerge"),
        ("soup", {"density": 0.5}, "soup takes no density, ties and dare would"),
        ("ties", {"seed": 1}, "ties takes no seed, dare would"),
        ("ties", {"colour": 1}, "no method would"),
        ("ties", {"density": 0.0}, "above 0 and at most 1"),
        ("dare", {"density": 1.5}, "The density is 1.5"),
        ("dare", {"density": float("nan")}, "The density is nan"),
    ],
)
def test_what_is_no_method(method, options, said):
    with pytest.raises(UnlearnError, match=said):
        merge_of(method, **options)


@pytest.mark.parametrize("name", MERGES)
def test_a_rank_below_one(name, parts):
    with pytest.raises(UnlearnError, match="The rank is 0"):
        merge_of(name, rank=0)(parts)


def test_erasers_that_agree_in_nothing():
    with pytest.raises(UnlearnError, match="nothing is left"):
        NegMerge()([(of([[1.0, -1.0]]), 1.0), (of([[-1.0, 1.0]]), 1.0)])
