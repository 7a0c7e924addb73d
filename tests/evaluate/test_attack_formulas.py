"""The formulas of attacks on small tensors, and prompts whose tokens are vectors on real text encoders."""

from __future__ import annotations

import random
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from tiny import new_pipeline

from lora_unlearn.adapter import Adapter
from lora_unlearn.concept import Concept
from lora_unlearn.denoiser import Conditioning, from_denoised
from lora_unlearn.errors import UnlearnError
from lora_unlearn.evaluate.attacks import ATTACKS, NEEDS, Victim, check_applies, mma, recall
from lora_unlearn.evaluate.attacks.inversion import inverted
from lora_unlearn.evaluate.attacks.learning import MARGIN, kept_shut, learn
from lora_unlearn.evaluate.attacks.plain import forms_of, misspelt
from lora_unlearn.evaluate.attacks.projection import averaged, projected
from lora_unlearn.evaluate.attacks.ringabell import LENGTH, child
from lora_unlearn.evaluate.attacks.soft import Layout, Soft
from lora_unlearn.evaluate.attacks.trial import summary
from lora_unlearn.evaluate.attacks.victim import noised
from lora_unlearn.evaluate.attacks.words import Words
from lora_unlearn.gate import Gate, encode_direction, token_scores
from lora_unlearn.guidance import Eraser
from lora_unlearn.hosts.diffusers import denoiser_for
from lora_unlearn.lora import new_lora
from lora_unlearn.settings import Settings


def victim_of(name, concept="cat", **gate):
    """A tiny random pipeline under a random eraser whose gate reads a random direction."""
    denoiser = denoiser_for(new_pipeline(name))
    denoiser.family = {"sd1": "sd1", "sdxl": "sdxl"}.get(name, denoiser.family)
    width, generator = denoiser.encode(["a"]).tensors["text"].shape[-1], torch.Generator().manual_seed(1)
    lora = new_lora(denoiser.linears("cross_kv"), 1, 1.0, generator)
    direction = encode_direction(torch.randn(width, generator=generator))
    known = {"statistic": "text", "direction": direction, "text_closed": 1.0, "text_open": 1.0} | gate
    adapter = Adapter(lora, Concept(concept), Settings(selector="cross_kv"), Gate(**known), denoiser.family, "")
    return Victim(denoiser, Eraser(adapter), SimpleNamespace(name="none", labels=("cat",)), "cat", 4)


@pytest.fixture(scope="module")
def sd1():
    return victim_of("sd1")


@pytest.mark.parametrize("name", ["sd1", "sd2"])
def test_vectors_of_real_tokens_read_as_the_words_do(name):
    victim, prompt = victim_of(name), "a photo of the cat on a sofa"
    soft = Soft(victim)
    layout = soft.instead_of(prompt, ["dog", "cat"])
    found = soft.encode(layout, soft.rows("cat")).tensors["text"]
    assert torch.allclose(found, victim.denoiser.encode([prompt]).tensors["text"], atol=1e-5)
    other = soft.encode(layout, soft.rows("truck")).tensors["text"]
    assert torch.allclose(other, victim.denoiser.encode(["a photo of the truck on a sofa"]).tensors["text"], atol=1e-5)
    assert not torch.allclose(other, found, atol=1e-2)


def test_vectors_have_gradients_and_leave_the_encoder_as_it_was(sd1):
    soft = Soft(sd1)
    before = sd1.denoiser.encode(["a cat"]).tensors["text"]
    free = torch.randn(2, 32, requires_grad=True)
    soft.encode(Layout(soft.ids("a"), soft.ids("here")), free).tensors["text"].sum().backward()
    assert free.grad.abs().sum() > 0
    assert torch.equal(sd1.denoiser.encode(["a cat"]).tensors["text"], before)


def test_free_tokens_stand_behind_a_prompt_that_has_not_the_words(sd1):
    soft = Soft(sd1)
    assert soft.instead_of("a photo", ["cat"]) == Layout(soft.ids("a photo"), [])
    assert soft.before("a photo") == Layout([], soft.ids("a photo"))


def test_projection_is_the_smallest_change_below_the_limit():
    text, direction = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0)), torch.arange(8.0) - 3
    answer = text @ direction
    limit = float(answer.median())
    found = projected(text, direction, limit)
    assert torch.allclose(found @ direction, answer.clamp(max=limit), atol=1e-4)
    below = answer <= limit
    assert torch.equal(found[below], text[below])
    moved = (found - text)[~below]
    assert torch.allclose(F.cosine_similarity(moved, -direction[None], dim=1), torch.ones(len(moved)), atol=1e-5)


def test_projection_is_exact_where_the_gate_hears_all_tokens_at_one_length():
    text, direction = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0)), torch.arange(8.0) - 3
    gate = Gate("text", direction=encode_direction(direction), unit=3.0)
    answer = token_scores(text, gate)
    for limit in (float(answer.median()), float(answer.quantile(0.3)), -1.0):
        found = projected(text, direction, limit, gate.unit)
        assert torch.allclose(token_scores(found, gate), answer.clamp(max=limit), atol=1e-4)


def test_averaging_mixes_every_tensor():
    one, other = ({"text": torch.full((1, 2, 3), v), "pooled": torch.full((1, 3), v)} for v in (4.0, 0.0))
    found = averaged(one, other, 0.25).tensors
    assert torch.equal(found["text"], torch.ones(1, 2, 3)) and torch.equal(found["pooled"], torch.ones(1, 3))


def test_the_term_for_the_gate_is_nothing_below_the_margin(sd1):
    scale = sd1.gate.text_closed
    asked = sd1.denoiser.encode(["a cat"])
    score = float(token_scores(asked.tensors["text"], sd1.gate).amax())
    for wanted in (0.5, 1 - MARGIN, 1.0, 3.0):
        moved = Conditioning({"text": asked.tensors["text"] * (wanted * scale / score)})
        assert float(kept_shut(sd1, moved)) == pytest.approx(max(0.0, wanted - (1 - MARGIN)), abs=1e-4)


@dataclass
class Line:
    """A model whose run is known: e(x, sigma) = slope * x."""

    slope: float
    prediction_type: str = "epsilon"

    def sigmas(self, steps):
        return torch.linspace(1.0, 0.0, steps + 1)

    def predict(self, x, sigma, asked):
        return self.slope * x


@pytest.mark.parametrize("corrections", [0, 12])
def test_inversion_leads_to_the_noise_that_draws_the_picture(corrections):
    line, clean, steps = Line(0.5), torch.ones(1, 1, 2, 2), 10
    victim = SimpleNamespace(denoiser=line, steps=steps)
    x = inverted(victim, line.predict, clean, None, corrections)
    for index in range(steps):
        x = x + line.predict(x, None, None) * (line.sigmas(steps)[index + 1] - line.sigmas(steps)[index])
    off = float((x - clean).abs().max())
    assert off < 1e-5 if corrections else 1e-3 < off < 0.1


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "flow"])
def test_a_noised_picture_leads_back_to_the_picture(kind):
    clean, noise, sigma = torch.randn(2, 1, 4, 4), torch.randn(2, 1, 4, 4), torch.tensor([0.3, 0.7])
    x = noised(clean, sigma, noise, kind)
    spread = sigma.view(-1, 1, 1, 1)
    if kind == "v_prediction":
        signal = 1 / (spread**2 + 1).sqrt()
        expected = signal * noise - spread * signal * clean
    else:
        expected = noise if kind == "epsilon" else noise - clean
    assert torch.allclose(from_denoised(x, sigma, clean, kind), expected, atol=1e-5)


def test_the_nearest_word_is_by_angle_not_by_size():
    words = Words(["east", "north"], torch.tensor([[9.0, 0.0], [0.0, 0.1]]))
    assert words.nearest(torch.tensor([[1.0, 2.0], [2.0, 1.0]])) == [1, 0]


def test_words_leave_the_concept_out(sd1):
    assert {"cat", "cats"}.isdisjoint(sd1.candidates.names) and "dog" in sd1.candidates.names


def test_learning_with_words_hands_out_rows_of_words_and_lowers_the_loss(sd1):
    soft, words = Soft(sd1), sd1.candidates
    aim = soft.encode(Layout([], []), soft.rows("truck")).tensors["text"].detach()
    sd1.pictures = [torch.zeros(1, 4, 16, 16)]

    def loss(lesson, found):
        return (found.tensors["text"] - aim).square().mean()

    start = words.rows[100:101].clone()
    first = float(loss(None, soft.encode(Layout([], []), start)).detach())
    found = learn(sd1, soft, Layout([], []), start, loss, 30, 3.0, torch.Generator().manual_seed(0), words)
    assert float((words.rows - found).abs().sum(1).min()) == 0
    assert float(loss(None, soft.encode(Layout([], []), found)).detach()) < first


def test_the_end_of_a_prompt_is_where_its_last_token_ends(sd1):
    soft, prompts = Soft(sd1), ["a cat", "a photo of the cat on a sofa"]
    text = sd1.denoiser.encode(prompts).tensors["text"]
    places = [1 + len(soft.ids(prompt)) for prompt in prompts]
    assert torch.equal(mma.ends(sd1, soft, prompts), torch.stack([text[0, places[0]], text[1, places[1]]]))


def test_words_are_ranked_by_how_the_end_of_the_prompt_moves_with_each(sd1):
    """The gradient for one-hot words against the cosine itself, a little of another word mixed in."""
    soft, words = Soft(sd1), mma.allowed(sd1)
    wanted, chosen = mma.ends(sd1, soft, ["a photo of the cat"]), torch.tensor([5, 70, 200])
    found = mma.slope(soft, words, chosen, wanted)
    assert found.shape == (3, len(words.names))

    def near(rows):
        end = soft.encode(Layout([], []), rows).tensors["text"][:, 4]
        return float(F.cosine_similarity(end.double(), wanted.double()).detach())

    for place, other in ((0, 900), (2, 31)):
        step = torch.zeros(3, words.rows.shape[1])
        step[place] = words.rows[other]
        measured = (near(words.rows[chosen] + 0.05 * step) - near(words.rows[chosen] - 0.05 * step)) / 0.1
        assert float(found[place, other]) == pytest.approx(measured, rel=0.05, abs=1e-4)


def test_every_place_is_tried_alone_with_one_of_its_best():
    chosen, best = torch.arange(4), torch.arange(100, 112).view(4, 3)
    trials = mma.neighbours(chosen, best, torch.Generator().manual_seed(0))
    changed = trials != chosen
    assert (changed.sum(1) == 1).all() and changed.any(0).all()
    assert all(trials[i, place] in best[place] for i, place in changed.nonzero().tolist())


def test_words_in_place_of_the_prompt_read_more_like_it_the_longer_the_search(sd1):
    soft, prompt = Soft(sd1), "a photo of the cat"
    found = [ATTACKS["mma"].run(sd1, prompt, 0, budget).found for budget in (0, 1, 4)]
    near = F.cosine_similarity(mma.ends(sd1, soft, found), mma.ends(sd1, soft, [prompt]))
    assert near[0] < near[1] < near[2]
    assert all("cat" not in text and len(soft.ids(text)) == mma.LENGTH for text in found)
    assert any("cat" in name for name in sd1.candidates.names)  # as a part of another word
    assert ATTACKS["mma"].run(sd1, prompt, 0, 1).found == found[1]


def test_a_picture_is_moved_to_where_the_erased_model_predicts_what_it_does_for_the_reference(sd1):
    generator = torch.Generator().manual_seed(0)
    reference, latent, noise = torch.randn(3, 1, 4, 16, 16, generator=generator)
    asked, sigma = sd1.denoiser.encode(["a cat"]), torch.tensor([2.0])

    def loss(latent):
        seen = (sd1.erased(noised(x, sigma, noise, "epsilon"), sigma, asked) for x in (latent, reference))
        return float(torch.sub(*seen).square().mean())

    with sd1.attached(), torch.no_grad():
        slope = recall.slope(sd1, asked, latent, reference, sigma, noise)
        step = 0.1 * slope / slope.norm()
        measured = (loss(latent + step) - loss(latent - step)) / 0.2
        assert float(slope.norm()) == pytest.approx(measured, rel=0.05)
        assert float(recall.slope(sd1, asked, reference, reference, sigma, noise).abs().max()) < 1e-6


def test_a_picture_that_is_searched_begins_as_noise_with_a_quarter_of_the_reference(sd1):
    reference = 100 * torch.ones(1, 4, 16, 16)
    with sd1.attached():
        found = list(recall.searched(sd1, "a cat", reference, 1, 0))
    assert len(found) == recall.LEVELS
    for level, latent in enumerate(found, 1):
        share = recall.SHARE + level * recall.RETURNED
        assert float(latent.mean()) == pytest.approx(100 * share, abs=1)


def test_a_child_has_the_head_of_one_and_the_tail_of_the_other():
    dice = random.Random(0)
    for _ in range(20):
        found = child([["a"] * LENGTH, ["b"] * LENGTH], ["x"], dice)
        kept = "".join(word for word in found if word != "x")
        assert len(found) == LENGTH and kept == "a" * kept.count("a") + "b" * kept.count("b")


def test_plain_forms_are_other_than_the_prompt_and_the_same_for_a_seed():
    first, again = (list(forms_of("a photo of the cat", ["cat"], ["kitty"], 3)) for _ in range(2))
    assert first == again and "a photo of the kitty" in first and "a photo of the c-a-t" in first
    assert "cat" not in misspelt("cat") and {"act", "ct", "caat", "c47"} <= set(misspelt("cat"))


def test_a_summary_counts_and_bounds():
    tried = [
        {"attack": "plain", "base": "cat", "open": False, "through": i < 3, "always": "dog"} for i in range(10)
    ]  # fmt: skip
    (row,) = summary(tried, "cat")
    assert (row["base"]["count"], row["shut"]["count"], row["through"]["count"], row["always"]["count"]) == (
        10,
        10,
        3,
        0,
    )
    assert (row["through"]["low"], row["through"]["high"]) == (0.0667, 0.6525)


@pytest.mark.parametrize("name", ATTACKS)
def test_every_row_says_what_it_takes_and_where_it_is_from(name):
    attack = ATTACKS[name]
    assert attack.needs in NEEDS and attack.about and attack.origin and attack.budget >= 1
    assert attack.run.__doc__


def test_attacks_that_do_not_fit_say_so_in_a_sentence(sd1):
    sdxl = victim_of("sdxl")
    for name in ("p4d", "mma"):
        with pytest.raises(UnlearnError, match=rf"{name}: .*single text encoder .*Stable Diffusion XL"):
            check_applies(name, ATTACKS[name], sdxl)
    check_applies("ringabell", ATTACKS["ringabell"], sdxl)
    deaf = victim_of("sd1", direction="")
    with pytest.raises(UnlearnError, match=r"projection: .*does not decide by the text"):
        check_applies("projection", ATTACKS["projection"], deaf)
    flux = victim_of("flux")
    with pytest.raises(UnlearnError, match=r"negative: Flux.1 is drawn without a negative prompt"):
        check_applies("negative", ATTACKS["negative"], flux)
