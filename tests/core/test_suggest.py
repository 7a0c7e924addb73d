"""The model names its own synonyms: of the demo model's sixty words, and of a real text encoder where there is one."""

from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace

import pytest
import torch

from lora_unlearn import Concept, UnlearnError, denoiser_for, suggest
from lora_unlearn.denoiser import Conditioning
from lora_unlearn.hosts.text import encoder_words
from lora_unlearn.vocabulary import Vocabulary, same_word, whole_words, words_of

WORDS = [f"{a}{b}{c}" for a in "bdfgk" for b in "aeiou" for c in "lmnrt"]


@pytest.fixture(scope="module")
def demo(pipe):
    return denoiser_for(pipe)


@pytest.fixture(scope="module", params=["minilm", "mpnet"])
def real(request):
    """An encoder of real language."""
    encoders = pytest.importorskip("benchmarks.encoders", reason="benchmarks/encoders.py is not there")
    try:
        model = encoders.TextOnly(request.param, length=96)
    except SystemExit as error:
        pytest.skip(str(error))
    model.vocabulary = lambda: encoder_words(model.tokenizer, model.encoder.network)
    return model


def named(found, kind):
    return {suggestion.word for suggestion in found if suggestion.kind == kind}


@pytest.mark.parametrize(
    ("concept", "synonyms"),
    [
        ("cat", {"feline", "kitty", "kitten"}),
        ("dog", {"canine", "puppy", "hound", "pooch"}),
        ("airplane", {"aircraft", "plane", "jet"}),
        ("horse", {"equine", "steed", "mount"}),
        ("deer", {"hart", "stag", "doe"}),
    ],
)
def test_the_demo_models_synonyms(demo, concept, synonyms):
    found = suggest(demo, Concept(concept))
    assert named(found, "near") == synonyms
    assert concept not in {suggestion.word for suggestion in found}


def test_the_best_come_first_and_no_more_than_asked_for(demo):
    found = suggest(demo, Concept("cat"), count=3)
    assert [suggestion.word for suggestion in found] == ["feline", "kitty"]
    assert 1 > found[0].similarity > found[1].similarity > 0.5


def test_what_the_user_has_named_is_not_suggested_again(demo):
    concept = Concept("cat", also=("feline",), keep=("Kitty",))
    assert not {"feline", "kitty"} & {suggestion.word for suggestion in suggest(demo, concept)}


def test_a_word_that_the_model_does_not_know_has_no_synonyms(demo):
    assert suggest(demo, Concept("sofa")) == []


@pytest.mark.parametrize(
    "words",
    [
        "Van Gogh style",
        "Taylor Swift",
        "x",
        "!!",
        "word " * 30,
        "\u043a\u043e\u0448\u043a\u0430",
        "\u732b",
        "\U0001f600",
        "embedding:foo",
        "a (cat) [on] {}",
        "\\",
    ],
)
def test_odd_concepts_have_few_suggestions_or_none(demo, words):
    found = suggest(demo, Concept(words, also=("cat", words)))
    assert len(named(found, "near") | named(found, "neighbour")) <= 12


@pytest.mark.parametrize(
    ("concept", "synonyms", "others"),
    [
        ("dog", {"canine", "puppy", "pup"}, {"cat", "wolf", "horse", "kitten"}),
        ("cat", {"kitten", "kitty"}, {"dog", "dogs", "puppy", "tiger"}),
        ("airplane", {"plane", "aircraft"}, {"airport", "helicopter", "car", "train"}),
        ("bicycle", {"bike", "cyclist"}, {"car", "tire", "automobile"}),
        ("boat", {"ship", "yacht", "vessel"}, {"truck", "car", "sea"}),
        ("frog", {"toad"}, {"turtle", "lizard", "rabbit"}),
        ("woman", {"lady", "female"}, {"man", "men", "wife"}),
        ("couch", {"sofa"}, {"bed", "chair", "pillows"}),
        ("gun", {"pistol", "rifle", "firearm"}, {"knife", "shoot"}),
    ],
)
def test_a_real_encoder_tells_synonyms_from_neighbours(real, concept, synonyms, others):
    found = suggest(real, Concept(concept))
    near = named(found, "near")
    assert synonyms <= near
    assert not others & (near | named(found, "inflection"))
    assert not synonyms & named(found, "neighbour")


def test_other_forms_of_a_word_go_in_by_themselves(real):
    assert "dogs" in named(suggest(real, Concept("dog")), "inflection")
    assert "women" in named(suggest(real, Concept("woman")), "inflection")
    assert "police officers" in named(suggest(real, Concept("police officer")), "inflection")
    assert "dog" in named(suggest(real, Concept("dogs")), "inflection")


def test_concepts_of_several_words(real):
    for name in ("Van Gogh style", "Taylor Swift", "hot dog"):
        parts = {part.lower() for part in name.split()}
        assert not parts & {suggestion.word for suggestion in suggest(real, Concept(name))}


def test_a_vocabulary_is_read_whatever_its_marks():
    clip = ["!", "dog</w>", "ing", "Cat</w>", "ab</w>", "r2d2</w>", "cat</w>", "<|endoftext|>"]
    assert words_of(clip) == ["dog", "cat"]
    assert words_of(["[CLS]", "dog", "##dog", "##s", "the", "[unused1]"]) == ["dog", "the"]
    assert words_of(["\u2581dog", "dog", "s", "\u2581", "\u2581M\u00e4dchen"]) == ["dog", "m\u00e4dchen"]
    cyrillic = "\u0120\u00d0\u00ba\u00d0\u00be\u00d1\u0124"  # the bytes of a word of three letters
    assert words_of(["\u0120dog", "cat", cyrillic, "\u0120\u00d0\u00ba\u00d0"]) == ["dog", "\u043a\u043e\u0442"]


def test_bytes_are_no_words():
    assert words_of([chr(byte) for byte in range(33, 127)]) == []
    assert words_of(["<0x0A>", "<0x0B>"]) == []
    assert words_of([]) == []


def test_words_know_their_tokens():
    assert whole_words({"cat</w>": 7, "dog</w>": 3, "Dog</w>": 9}) == {"dog": 3, "cat": 7}


@pytest.mark.parametrize(
    ("one", "other"),
    [("dog", "dogs"), ("Dog", "dog"), ("dog", "dog's"), ("puppies", "puppy"), ("bus", "buses"), ("wolf", "wolves"),
     ("hot dog", "hotdog"), ("knife", "knives")],
)  # fmt: skip
def test_forms_of_one_word(one, other):
    assert same_word(one, other)


@pytest.mark.parametrize(("one", "other"), [("dog", "cat"), ("car", "cart"), ("bike", "biker"), ("", "s"), ("", "")])
def test_different_words(one, other):
    assert not same_word(one, other)


class Made:
    """A model of random vectors, as far as `suggest` looks; `spoil` makes its states NaN."""

    def __init__(self, words=WORDS, spoil=False):
        self.words, self.spoil, self.encoder, self.read = words, spoil, torch.nn.Identity(), 0

    def vectors(self, texts):
        rows = [torch.randn(16, generator=torch.Generator().manual_seed(sum(map(ord, text)))) for text in texts]
        return torch.stack(rows) * (float("nan") if self.spoil else 1.0)

    def encode(self, prompts):
        self.read += len(prompts)
        return Conditioning({"text": self.vectors(prompts)[:, None]})

    def vocabulary(self):
        return Vocabulary(self.encoder, self.words, lambda words: Made(spoil=False).vectors(words))


def test_an_encoder_that_returns_nan_is_named():
    with pytest.raises(UnlearnError, match="NaN"):
        suggest(Made(spoil=True), Concept("cat"))


@pytest.mark.parametrize("model", [SimpleNamespace(), SimpleNamespace(vocabulary=lambda: None), Made(words=["cat"])])
def test_a_model_without_words_is_refused_in_a_sentence(model):
    with pytest.raises(UnlearnError, match="goes on without suggestions"):
        suggest(model, Concept("cat"))


def test_an_encoder_is_measured_once_and_progress_is_told():
    model, told = Made(), []
    suggest(model, Concept("cat"), report=lambda done, total: told.append((done, total)))
    first = model.read
    assert told and all(0 < done <= total for done, total in told)
    suggest(model, Concept("cat"))
    assert model.read == first


def test_what_is_known_of_an_encoder_goes_with_it():
    model = Made()
    suggest(model, Concept("cat"))
    gone = weakref.ref(model.encoder)
    del model
    gc.collect()
    assert gone() is None
