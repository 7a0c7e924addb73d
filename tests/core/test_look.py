"""The second look: the network is asked about prompts that the text leaves closed."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lora_unlearn import Adapter, Concept, Eraser, Sampling, UnlearnError, denoiser_for, erase, generate, load_bank
from lora_unlearn.decisions import decide
from lora_unlearn.describe import gate_lines
from lora_unlearn.erase import recalibrated
from lora_unlearn.look import Look, decide_prompts
from lora_unlearn.promise import Promise
from lora_unlearn.tried import try_prompt

pytestmark = pytest.mark.thorough

CAT, DOG = "a photo of a cat", "a photo of a dog"


@pytest.fixture(scope="module")
def denoiser(pipe):
    return denoiser_for(pipe)


@pytest.fixture(scope="module")
def careful(denoiser):
    concept = Concept("cat", keep=("deer",))
    return erase(denoiser, concept, load_bank("demo"), "instant", promise=Promise(look="careful"))


@pytest.fixture
def deaf(careful):
    """The same eraser, whose text hears nothing at all."""
    gate = replace(careful.gate, threshold=99.0, text_closed=99.0, text_open=99.0)
    return replace(careful, gate=gate)


def drawn(pipe, prompts, *erasers):
    return generate(pipe, prompts, list(range(len(prompts))), Sampling(15, 5.0), erasers)


def test_what_the_text_misses_is_erased_and_all_else_stays_byte_for_byte(pipe, deaf, seen):
    prompts = [CAT] * 4 + [DOG, "a photo of a ship", "a photo of an apple", ""]
    plain, erased = drawn(pipe, prompts), drawn(pipe, prompts, Eraser(deaf))
    assert seen(plain[:4]).count("cat") >= 3 and "cat" not in seen(erased[:4])
    assert all(picture.decisions[0].by == "look" for picture in erased)
    assert [picture.decisions[0].open for picture in erased] == [True] * 4 + [False] * 4
    assert all(a.image.tobytes() == b.image.tobytes() for a, b in zip(plain[4:], erased[4:], strict=True))


@pytest.mark.parametrize("share", [0.5, 0.1, 0.02])
def test_a_prompt_that_is_mixed_with_the_empty_one_is_seen_as_if_it_were_whole(share, careful, denoiser):
    look, rows = Look(denoiser), denoiser.encode([CAT, DOG, ""])
    mixed = rows.map(lambda tensor: share * tensor + (1 - share) * tensor[2:])
    (whole, other), (cat, dog) = look(careful, rows[:2]).tolist(), look(careful, mixed[:2]).tolist()
    assert cat > careful.gate.look and cat == pytest.approx(whole, abs=0.1)
    assert dog < careful.gate.look and dog == pytest.approx(other, abs=0.25)


def test_the_bound_is_shared_and_said(careful, denoiser):
    gate = careful.gate
    assert gate.look_mode == "careful" and gate.false_open_rate == 0.01 and gate.look_prompts >= 199
    usual = erase(denoiser, careful.concept, load_bank("demo"), "instant").gate
    assert gate.threshold >= usual.threshold  # half of the bound is the text's
    assert careful.evaluations["calibration"] >= 2 * gate.look_prompts
    assert any("second look" in line and "share the bound" in line for line in gate_lines(careful))


def test_what_is_kept_stays_closed(careful, denoiser):
    kept = careful.concept.kept()
    assert not any(decision.open for decision in decide_prompts(denoiser, careful, kept))


def test_prompts_are_asked_about_once(careful, denoiser):
    look = Look(denoiser)
    for _ in range(2):
        decide(careful, denoiser.encode(["a photo of a truck", "a photo of a ship"]), look)
        assert look.evaluations == 2 * 4  # two prompts, the concept, the empty prompt
    decide(careful, denoiser.encode([CAT]), look)
    assert look.evaluations == 2 * 4  # the text opens, so nobody asks


def test_what_seems_to_ask_is_seen_in_more_noises(careful, denoiser):
    """A dog is much like a cat in two of them; an earlier file's gate goes on to see it in these two alone."""
    asked, look = denoiser.encode([DOG]), Look(denoiser)
    earlier = replace(careful, gate=replace(careful.gate, look_noises=2))
    glance, score = float(look(earlier, asked)), float(look(careful, asked))
    assert look.evaluations == 8 * 3 and float(look(earlier, asked)) == glance != score
    assert glance >= 0.3 and glance == pytest.approx(float(Look(denoiser)(earlier, asked)), abs=1e-4)
    shown = [look.evaluated(asked, careful.gate.look_shape, (at, at + 2)) for at in range(0, 8, 2)]
    assert torch.allclose(torch.cat(shown, 1), look.evaluated(asked, careful.gate.look_shape), atol=1e-4)


def test_the_network_alone_decides_and_its_promise_is_its_own(denoiser):
    always = erase(denoiser, Concept("cat"), load_bank("demo"), "instant", promise=Promise(look="always"))
    gate = always.gate
    assert gate.look_mode == "always" and gate.statistic == "look" and not gate.probes
    assert 0 < gate.heard_open <= gate.heard <= 100 and gate.judged_open <= 0.1 * gate.judged
    cat, dog = decide_prompts(denoiser, always, [CAT, DOG])
    assert cat.open and cat.by == dog.by == "look" and not dog.open


def test_a_file_keeps_the_look_and_one_without_is_read_by_earlier_versions(careful, denoiser, tmp_path, cat):
    assert Adapter.load(careful.save(tmp_path / "careful.safetensors")).gate == careful.gate
    assert not any(name.startswith("look") for name in cat.gate.to_dict())


def test_it_can_be_taken_up_and_left_off_by_calibrating_again(cat, denoiser):
    taken = recalibrated(denoiser, cat, look="careful")
    assert taken.gate.look_mode == "careful" and recalibrated(denoiser, taken).gate.look_mode == "careful"
    left = recalibrated(denoiser, taken, look="text")
    assert left.gate == recalibrated(denoiser, cat).gate


def test_a_tried_prompt_says_who_opened(deaf, careful, denoiser):
    assert "the model begins to draw the concept" in str(try_prompt(denoiser, deaf, CAT))
    assert 'because of "cat"' in str(try_prompt(denoiser, careful, CAT))
    assert not try_prompt(denoiser, deaf, DOG).open


def test_without_a_network_it_says_so(deaf, denoiser):
    with pytest.raises(UnlearnError, match="asks the network, which can't be done here"):
        decide(deaf, denoiser.encode([DOG]))


def test_few_steps_and_no_guidance_make_no_difference(pipe, deaf):
    for sampling in (Sampling(1, 1.0), Sampling(2, 1.0), Sampling(2, 7.5)):
        pictures = [generate(pipe, [CAT, DOG], [0, 1], sampling, erasers) for erasers in ((), [Eraser(deaf)])]
        cat, dog = (a.image.tobytes() == b.image.tobytes() for a, b in zip(*pictures, strict=True))
        assert not cat and dog


def test_it_does_not_disturb_the_hosts_noise(pipe, deaf):
    state = torch.get_rng_state()
    drawn(pipe, [DOG], Eraser(deaf))
    assert torch.equal(state, torch.get_rng_state())
