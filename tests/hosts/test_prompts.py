"""Prompts of any length, with weights in brackets, in every family."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

import tiny

from lora_unlearn.adapter import Adapter
from lora_unlearn.concept import Concept
from lora_unlearn.denoiser import CHUNK
from lora_unlearn.gate import Gate
from lora_unlearn.guidance import Eraser
from lora_unlearn.hosts import text
from lora_unlearn.hosts.diffusers import denoiser_for
from lora_unlearn.hosts.generate import Sampling, generate
from lora_unlearn.hosts.prompts import parse, plain
from lora_unlearn.lora import new_lora
from lora_unlearn.settings import Settings

LONG = " ".join(f"a cat and {animal} by the sea," for animal in ("dog", "bird", "horse", "frog") * 17)
SAMPLING = Sampling(steps=2, size=tiny.SIZE, guidance_scale=3.0)


@pytest.fixture(scope="module", params=["sd1", "sd2", "sdxl", "sd3", "sd35_without_t5", "flux"])
def pipe(request):
    return tiny.new_pipeline(request.param)


@pytest.fixture(scope="module")
def sd1():
    return tiny.new_pipeline("sd1")


@pytest.mark.parametrize(
    ("prompt", "parts"),
    [
        ("a cat", [("a cat", 1)]),
        ("", [("", 1)]),
        ("a (cat:1.3) here", [("a ", 1), ("cat", 1.3), (" here", 1)]),
        ("a (cat) here", [("a ", 1), ("cat", 1.1), (" here", 1)]),
        ("((cat))", [("cat", 1.21)]),
        ("a [cat]", [("a ", 1), ("cat", 1 / 1.1)]),
        ("([cat] dog)", [("cat", 1), (" dog", 1.1)]),
        ("(red (cat:2) dog:0.5)", [("red ", 0.5), ("cat", 1), (" dog", 0.5)]),
        ("(cat: .5 )", [("cat", 0.5)]),
        ("(cat:-1)", [("cat", -1)]),
        ("(cat:1)", [("cat", 1)]),
        (r"cat \(animal\) \[x\] \\", [("cat (animal) [x] \\", 1)]),
        (r"(cat \(animal\):1.5)", [("cat (animal)", 1.5)]),
        ("a (cat, dog", [("a ", 1), ("cat, dog", 1.1)]),
        ("a) cat] 4:3)", [("a) cat] 4:3)", 1)]),
        ("at 12:30, a cat", [("at 12:30, a cat", 1)]),
        ("()", [("", 1)]),
        ("a cat <lora:dog_v2:0.8>", [("a cat ", 1)]),
        ("<hypernet:x:1>a (cat)", [("a ", 1), ("cat", 1.1)]),
        ("I <3 cats: a < b > c", [("I <3 cats: a < b > c", 1)]),
    ],
)
def test_brackets_are_weights(prompt, parts):
    found = parse(prompt)
    assert [stretch for stretch, _ in found] == [stretch for stretch, _ in parts]
    assert [weight for _, weight in found] == pytest.approx([weight for _, weight in parts])
    assert plain(found) == "".join(stretch for stretch, _ in parts)


def own_rows(pipe, words):
    """What the pipeline itself makes of prompts."""
    ways = {
        "sd": lambda: pipe.encode_prompt(words, "cpu", 1, False),
        "sdxl": lambda: pipe.encode_prompt(words, do_classifier_free_guidance=False),
        "sd3": lambda: pipe.encode_prompt(words, None, None, do_classifier_free_guidance=False),
        "flux": lambda: pipe.encode_prompt(words, None),
    }
    with torch.no_grad():
        return ways[text.kind_of(pipe)]()[0]


def test_ordinary_prompts_go_the_pipelines_own_way(pipe):
    words = [r"a cat \(animal\)", "(a dog:1.0)", ""]
    assert text.extent(pipe, words) is None
    assert torch.equal(text.encode(pipe, words).tensors["text"], own_rows(pipe, ["a cat (animal)", "a dog", ""]))


def test_many_prompts_are_read_in_batches_and_in_their_order(pipe, monkeypatch):
    prompts = [f"a cat number {number}" for number in range(2 * CHUNK + 3)]
    read, own = [], pipe.text_encoder.forward
    monkeypatch.setattr(pipe.text_encoder, "forward", lambda ids, *a, **k: read.append(len(ids)) or own(ids, *a, **k))
    found = text.encode(pipe, prompts)
    assert max(read) <= CHUNK
    for place in (0, CHUNK, len(prompts) - 1):
        for name, rows in text.encode(pipe, prompts[place : place + 1]).tensors.items():
            torch.testing.assert_close(found.tensors[name][place : place + 1], rows, atol=1e-4, rtol=1e-4)


def test_ordinary_prompts_beside_weighted_ones_stay_what_they_are(pipe):
    rows, alone = text.encode(pipe, ["a cat", "a (dog:1.2)"]), text.encode(pipe, ["a cat"])
    assert text.extent(pipe, ["a cat", "a (dog:1.2)"]) is not None
    for name, tensor in alone.tensors.items():
        torch.testing.assert_close(rows[:1].tensors[name], tensor, atol=1e-5, rtol=1e-4)


def test_long_and_short_rows_share_a_length(pipe):
    rows = text.encode(pipe, ["a cat", LONG]).tensors["text"]
    alone = text.encode(pipe, ["a cat"]).tensors["text"]
    assert len(LONG.split()) > 400
    assert len(rows) == 2 and rows.shape[1] > alone.shape[1] and rows.isfinite().all()
    if text.kind_of(pipe) in ("sd", "sdxl"):
        assert rows.shape[1] % 77 == 0
        torch.testing.assert_close(rows[:1, :77], alone, atol=1e-5, rtol=1e-4)


def test_every_word_of_a_long_prompt_counts(pipe):
    last = text.encode(pipe, [LONG + " tree"]).tensors["text"] - text.encode(pipe, [LONG + " boat"]).tensors["text"]
    assert last.abs().max() > 1e-3


def test_each_piece_has_its_own_start_and_end(sd1):
    seventy_five = " ".join(["cat"] * 75)
    rows = text.encode(sd1, [seventy_five + " a dog"]).tensors["text"]
    first, second = (text.encode(sd1, [part]).tensors["text"] for part in (seventy_five, "a dog"))
    assert text.extent(sd1, [seventy_five]) is None
    torch.testing.assert_close(rows, torch.cat([first, second], dim=1), atol=1e-5, rtol=1e-4)


def test_the_first_piece_gives_the_pooled_output():
    pipe = tiny.new_pipeline("sdxl")
    seventy_five = " ".join(["cat"] * 75)
    long, first = (text.encode(pipe, [words]).tensors["pooled"] for words in (seventy_five + " a dog", seventy_five))
    torch.testing.assert_close(long, first, atol=1e-5, rtol=1e-4)


def test_weights_multiply_the_words_and_restore_the_mean():
    hidden = torch.rand(2, 77, 32, generator=torch.Generator().manual_seed(0)) + 0.5
    weights = torch.ones(2, 77)
    weights[0, 3:5] = 1.4
    out = text.weigh(hidden, weights)
    torch.testing.assert_close(out.mean((1, 2)), hidden.mean((1, 2)))
    ratio = out / hidden
    torch.testing.assert_close(ratio[0, 3] / ratio[0, 0], torch.full((32,), 1.4))
    assert torch.equal(out[1], hidden[1])


def test_a_mean_near_zero_does_not_turn_the_words_round():
    hidden = torch.randn(1, 77, 32, generator=torch.Generator().manual_seed(0))
    hidden -= hidden.mean() - 1e-4
    weights = torch.ones(1, 77)
    weights[0, 3] = 1.5
    assert torch.equal(text.weigh(hidden, weights), hidden * weights[:, :, None])


def test_weights_reach_the_conditioning(pipe):
    plain_rows, strong = (text.encode(pipe, [words]) for words in ("a cat and a dog", "a (cat:1.4) and a dog"))
    assert plain_rows.tensors["text"].shape == strong.tensors["text"].shape
    assert (plain_rows.tensors["text"] - strong.tensors["text"]).abs().max() > 1e-2
    if "pooled" in strong.tensors:
        torch.testing.assert_close(plain_rows.tensors["pooled"], strong.tensors["pooled"], atol=1e-4, rtol=1e-3)


def test_words_of_a_textual_inversion_stay_whole(sd1):
    pipe = tiny.new_pipeline("sd1")
    pipe.load_textual_inversion({"<thing>": torch.ones(2, tiny.WIDTH)}, token="<thing>")
    own, unknown = own_rows(pipe, ["a photo of <thing>"]), own_rows(sd1, ["a photo of <thing>"])
    rows = text.encode(pipe, ["a photo of <thing>", LONG]).tensors["text"]
    torch.testing.assert_close(rows[:1, :77], own, atol=1e-5, rtol=1e-4)
    assert (own - unknown).abs().max() > 1e-2


def test_pictures_of_ordinary_prompts_are_the_pipelines_own(pipe):
    prompts, seeds = ["a cat", r"a dog \(small\)"], [1, 2]
    made = generate(pipe, prompts, seeds, SAMPLING)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    own = pipe(
        ["a cat", "a dog (small)"], num_inference_steps=2, guidance_scale=3.0, height=32, width=32, generator=generators
    ).images
    assert [picture.image.tobytes() for picture in made] == [image.tobytes() for image in own]


@pytest.mark.parametrize("negative", ["", "(ugly:1.3)", LONG])
def test_pictures_of_long_and_weighted_prompts(pipe, negative):
    sampling = Sampling(steps=2, size=tiny.SIZE, guidance_scale=3.0, negative_prompt=negative)
    prompts = ["a cat", LONG, LONG.replace("cat", "(tree:1.3)"), "a (cat:1.9)", "a (cat:0.3)"]
    made = [picture.image.tobytes() for picture in generate(pipe, prompts, [1] * 5, sampling)]
    assert len(set(made)) == 5
    alone = generate(pipe, [prompts[0]], [1], sampling)[0].image.tobytes()
    assert made[0] == alone


def test_a_long_prompt_under_a_gate_that_probes(pipe):
    denoiser = denoiser_for(pipe)
    lora = new_lora(denoiser.linears(), 1, 1.0, torch.Generator().manual_seed(1))
    for _, layer in lora.items():
        layer.up.data.fill_(0.5)
    plain_picture = generate(pipe, [LONG], [1], SAMPLING)[0].image
    for threshold, changed in ((float("inf"), False), (float("-inf"), True)):
        gate = Gate(step=0.0, threshold=threshold)
        adapter = Adapter(lora, Concept("cat"), Settings(selector="cross_kv"), gate, denoiser.family, "")
        made = generate(pipe, [LONG], [1], SAMPLING, [Eraser(adapter, 2.0)])[0]
        assert made.decisions[0].by == "probe" and made.decisions[0].open == changed
        assert (made.image.tobytes() != plain_picture.tobytes()) == changed
