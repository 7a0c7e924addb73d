"""What erasers on one model share: sums over prompts, and the factors of wide edits."""

from __future__ import annotations

import pytest
import torch

from lora_unlearn import Concept, denoiser_for, load_bank
from lora_unlearn.bank import Parts
from lora_unlearn.directions import factors
from lora_unlearn.moments import Moments, means, summed
from lora_unlearn.remembered import RememberingDenoiser


def test_sums_by_the_difference_are_the_sums(pipe):
    plain, remembering = denoiser_for(pipe), RememberingDenoiser(denoiser_for(pipe))
    shape = Parts.of(load_bank("demo")).shape
    summed(remembering, shape)
    for word in ("cat", "ship"):
        group = [*Parts(shape, [], []).without(Concept(word)).shape, "a prompt of one's own", ""]
        assert 0 < len(group) != len(shape)
        wanted, found = summed(plain, group), summed(remembering, group)
        assert found.count == wanted.count
        assert torch.allclose(found.outer, wanted.outer, rtol=1e-4, atol=1e-4 * float(wanted.outer.abs().max()))
        assert torch.allclose(found.mean, wanted.mean, atol=1e-5)
    assert len(remembering.totals.known) == 1
    assert torch.allclose(means(remembering, shape[:5]), means(plain, shape[:5]), atol=1e-6)


def test_the_variance_of_answers_is_the_covariances(pipe):
    found = Moments().add(denoiser_for(pipe).encode(["a cat", "a ship on the sea"]))
    direction = torch.randn(len(found.mean), generator=torch.Generator().manual_seed(0))
    waiting = float(found.variance(direction))
    assert waiting == pytest.approx(float(direction @ found.covariance @ direction), rel=1e-3)
    assert float(found.variance(direction)) == pytest.approx(waiting, rel=1e-3)  # now that they are summed


def test_the_factors_of_a_wide_edit_are_as_good_as_the_best():
    generator = torch.Generator().manual_seed(0)
    left, right = torch.randn(600, 30, generator=generator), torch.randn(30, 600, generator=generator)
    edit = left @ right + 0.3 * torch.randn(600, 600, generator=generator)
    down, rest = factors(edit, 16)
    u, values, v = torch.linalg.svd(edit)
    best = (u[:, :16] * values[:16]) @ v[:16]
    assert (down.T @ rest - edit).norm() <= 1.001 * (best - edit).norm()
    assert torch.allclose(down @ down.T, torch.eye(16), atol=1e-4)
