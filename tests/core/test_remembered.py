"""Prompts that are read once give what they gave when they were read anew."""

from __future__ import annotations

import torch

from lora_unlearn import Concept, denoiser_for, erase, load_bank
from lora_unlearn.bank import Parts
from lora_unlearn.calibrate import text_scores
from lora_unlearn.erase import MODES, begin, finish
from lora_unlearn.order import Order
from lora_unlearn.promise import USUAL
from lora_unlearn.remembered import RememberingDenoiser
from lora_unlearn.together import bounded_together


def test_what_is_remembered_is_what_was_read(pipe):
    plain = denoiser_for(pipe)
    remembering, long = RememberingDenoiser(plain), " and ".join(["a cat"] * 60)
    for prompts in (["a cat", "a dog"], ["a dog", "a house", "a cat"], ["a house", long], [long, "a cat"], ["a cat"]):
        found, wanted = remembering.encode(prompts), plain.encode(prompts)
        for name, tensor in wanted.tensors.items():
            assert found.tensors[name].shape == tensor.shape
            assert torch.allclose(found.tensors[name], tensor, atol=1e-5)
    assert set(remembering.known) >= {"a cat", "a dog", "a house"}


def test_only_so_much_is_remembered(pipe):
    few = RememberingDenoiser(denoiser_for(pipe), room=1000)
    few.encode(["a cat"])
    assert few.known == {} and len(few.encode(["a cat", "a dog"])) == 2


def test_an_eraser_is_the_same(pipe):
    plain = erase(denoiser_for(pipe), Concept("ship"), load_bank("demo"), "instant")
    again = erase(RememberingDenoiser(denoiser_for(pipe)), Concept("ship"), load_bank("demo"), "instant")
    assert again.instead == plain.instead and abs(again.gate.text_open - plain.gate.text_open) < 1e-3
    for one, other in zip(plain.lora.parameters(), again.lora.parameters(), strict=True):
        assert torch.allclose(one, other, atol=2e-3)


def test_a_list_is_solved_as_each_by_itself(pipe):
    """Sums, metric and the reading of ordinary prompts are shared; what comes of it is the same."""
    bank, names = load_bank("demo"), ("cat", "ship", "apple")
    shared = RememberingDenoiser(denoiser_for(pipe))
    begun = [begin(shared, Order(Concept(name), "instant", MODES["instant"]), bank) for name in names]
    finish(begun)
    assert len(shared.totals.known) <= 4
    for name, together in zip(names, (own.adapter for own in begun), strict=True):
        alone = erase(denoiser_for(pipe), Concept(name), bank, "instant")
        assert together.instead == alone.instead and not together.partial
        assert abs(together.gate.text_open - alone.gate.text_open) < 1e-3
        assert together.gate.judged_open == alone.gate.judged_open
        for one, other in zip(together.lora.parameters(), alone.lora.parameters(), strict=True):
            assert torch.allclose(one, other, atol=2e-3)


def test_gates_that_are_bounded_together_open_together_as_often_as_one_alone(pipe):
    denoiser, bank = RememberingDenoiser(denoiser_for(pipe)), load_bank("demo")
    adapters = [erase(denoiser, Concept(name), bank, "instant") for name in ("cat", "ship", "apple", "star", "house")]
    found, parts = bounded_together(denoiser, adapters, bank, USUAL), Parts.of(bank)
    opened = set()
    for adapter, gate in zip(adapters, found.gates, strict=True):
        assert gate.shared_by == 5 and gate.false_open_rate == USUAL.false_open_rate
        assert gate.threshold >= adapter.gate.threshold - 1e-4 and gate.true_open_rate > 0.9
        closed = [p for p in parts.without(adapter.concept).calibrate if p not in gate.mentions]
        scores = text_scores(denoiser, gate, closed).tolist()
        opened |= {prompt for prompt, score in zip(closed, scores, strict=True) if score >= gate.threshold}
    assert len(opened) <= USUAL.false_open_rate * (len(parts.calibrate) + 1)
    assert found.judged == len(parts.judge) and found.judged_open <= found.judged


def test_one_gate_bounded_together_is_the_gate_itself(pipe):
    denoiser, bank = RememberingDenoiser(denoiser_for(pipe)), load_bank("demo")
    adapter = erase(denoiser, Concept("cat"), bank, "instant")
    (gate,) = bounded_together(denoiser, [adapter], bank, USUAL).gates
    assert abs(gate.threshold - adapter.gate.threshold) < 1e-4
