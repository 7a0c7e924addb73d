"""Words: what the model suggests, which word opens a gate, prompts of one's own, and words that can't be meant."""

from __future__ import annotations

import copy

import pytest
import torch
from comfy_graphs import one_node, plain

pytestmark = pytest.mark.comfyui

CAT, KITTEN, TIGER = "a photo of a cat", "a photo of a kitten", "a tiger in the snow"


class Wordless:
    """A CLIP whose tokenizer keeps no list of whole words, as those of some language models."""

    def __init__(self, real):
        self.real = real

    def tokenize_with_weights(self, *args, **kwargs):
        return self.real.tokenize_with_weights(*args, **kwargs)


class NoVocabulary:
    """Makes such a CLIP of an ordinary one."""

    INPUT_TYPES = classmethod(lambda cls: {"required": {"clip": ("CLIP",)}})
    RETURN_TYPES, FUNCTION = ("CLIP",), "change"

    def change(self, clip):
        clip = clip.clone()
        clip.tokenizer = Wordless(clip.tokenizer)
        return (clip,)


@pytest.fixture
def training(pack):
    """The module that trains, with an empty cache."""
    module = pack("nodes.training")
    module.CACHE.clear()
    return module


def suggesting(concept="cat", **more):
    return {
        "1": ("LoraUnlearnDemoCheckpoint", {}),
        "2": ("LoraUnlearnSuggestWords", {"model": ("1", 0), "clip": ("1", 1), "concept": concept, **more}),
    }


def trying(prompt, **more):
    """Erase cats, then try a prompt: no sampler anywhere."""
    given = {"model": ("1", 0), "clip": ("1", 1)}
    return {
        "1": ("LoraUnlearnDemoCheckpoint", {}),
        "2": ("LoraUnlearnTrainEraser", {**given, "concept": "cat", "mode": "instant", "iterations": 1, **more}),
        "3": ("LoraUnlearnTryPrompt", {**given, "eraser": ("2", 0), "prompt": prompt}),
    }


def shown(done, node):
    """The lines that a node showed when it was done."""
    assert done.error is None
    (output,) = [data["output"] for event, data in done.sent if event == "executed" and data["node"] == node]
    return output["text"][0].splitlines() if output else []


def told(failed):
    """The sentence of a mistake that the user can mend."""
    (data,) = [data for event, data in failed.sent if event == "execution_error"]
    assert data["exception_type"] == "lora-unlearn"
    assert failed.error.strip().count("\n") == 0
    return failed.error


def test_the_model_names_words_in_groups_and_hands_them_on(run):
    done = run(suggesting("kitten", also="tomcat"))
    also, neighbours = (output[0] for output in done.outputs["2"])
    assert also.split(", ")[0] == "tomcat" and {"cat", "kitty", "feline"} <= set(also.split(", "))
    lines = shown(done, "2")
    assert lines[-2].startswith("Nearly the same to this model: ") and lines[-2].endswith(
        " (erase too, or leave, or keep)"
    )
    assert lines[-1] == f"Neighbours that stay: {neighbours}" and not set(neighbours.split(", ")) & set(
        also.split(", ")
    )


def test_suggestions_are_asked_for_once_and_cached_by_the_host(run):
    assert "2" in run(suggesting()).ran
    assert "2" not in run(suggesting()).ran
    assert "2" in run(suggesting("dog")).ran


def test_a_word_without_relatives_has_a_sentence_and_empty_outputs(run):
    done = run(suggesting("sofa"))
    assert shown(done, "2") == ["This model has no word that it reads like sofa."]
    assert [output[0] for output in done.outputs["2"]] == ["", ""]


def test_a_model_without_vocabulary_says_so_and_nothing_fails(run, host, training):
    host.NODE_CLASS_MAPPINGS["TestNoVocabulary"] = NoVocabulary
    graph = suggesting(also="tomcat")
    graph["9"] = ("TestNoVocabulary", {"clip": ("1", 1)})
    graph["2"][1]["clip"] = ("9", 0)
    done = run(graph)
    (line,) = shown(done, "2")
    assert "no list of whole words" in line and [output[0] for output in done.outputs["2"]] == ["tomcat", ""]
    graph = trying(CAT)
    graph["9"] = ("TestNoVocabulary", {"clip": ("1", 1)})
    graph["2"][1]["clip"] = ("9", 0)
    done = run(graph)
    assert done.outputs["3"][0] == [True]
    assert [line[:5] for line in shown(done, "2")] == ["gate:"]


def test_suggestions_wired_into_the_eraser_make_it_hear_the_other_words(run, training):
    graph = one_node(KITTEN, 1)
    graph["9"] = ("LoraUnlearnSuggestWords", {"model": ("1", 0), "clip": ("1", 1), "concept": "cat"})
    graph["2"][1].update(also=("9", 0), keep=("9", 1))
    graph["10"] = ("LoraUnlearnGateReadout", {"model": ("2", 0), "latent": ("6", 0)})
    assert shown(run(graph), "10")[0] == "picture 1: cat: open, erases it"


def test_a_training_says_what_its_gate_promises_and_names_further_words_once(run, training):
    graph = one_node(count=1)
    words, more = shown(run(graph), "2")
    assert words.startswith("gate: would have opened for ") and "score" not in words
    assert more == "Also to this model: feline, kitty, kitten; add them under also if you mean them"
    graph["2"][1]["strength"] = 0.5
    done = run(graph)
    assert "2" in done.ran
    assert shown(done, "2") == ["Eraser for cat: kept from before, not trained again, at work with strength 0.5", words]


def test_what_was_named_is_not_named_again(run, training):
    lines = shown(run(one_node(count=1, also="feline, kitty", keep="kitten")), "2")
    assert not [line for line in lines if "feline" in line or "kitty" in line or "kitten" in line]


def test_torchs_own_failure_in_a_hint_loses_no_training(pack, demo, monkeypatch, caplog):
    """As when memory runs out while words are compared."""
    words = pack("nodes.suggest_words")
    clip = copy.copy(demo.clip)
    clip.tokenizer = demo.clip.tokenizer

    class Spoilt(pack("nodes.denoiser").ComfyDenoiser):
        def vocabulary(self):
            torch.empty(2**50)  # torch's own error

    monkeypatch.setattr(words, "ComfyDenoiser", Spoilt)
    assert words.also_read(demo.model, clip, pack("lora_unlearn").Concept("cat")) == []
    assert "no words are suggested" in caplog.text


@pytest.mark.parametrize(
    ("prompt", "marked"),
    [
        ("a cat, and a dog on a red background", "a [cat], and a dog on a red background"),
        ("(cat:1.3) on grass", "([cat]:1.3) on grass"),
        (KITTEN, "a photo of a [kitten]"),
    ],
)
def test_a_prompt_that_opens_the_gate_is_shown_with_the_word_that_does(run, prompt, marked):
    done = run(trying(prompt))
    answer, shows, details = shown(done, "3")
    word = marked.partition("[")[2].partition("]")[0]
    assert answer == f'Opens because of "{word}": the concept will be erased.' and shows == f"prompt: {marked}"
    assert details.startswith("details: score ") and done.outputs["3"][0] == [True]
    assert done.outputs["3"][1][0].splitlines() == [answer, shows, details]


@pytest.mark.parametrize("prompt", ["a photo of a dog", "", "!!", "\u732b", "word " * 200, "embedding:nothing"])
def test_other_prompts_stay_closed_whatever_they_are(run, prompt):
    done = run(trying(prompt))
    answer, details = shown(done, "3")
    assert answer == "Stays closed: the picture will be the model's own, byte for byte."
    assert details.startswith("details: score ") and done.outputs["3"][0] == [False]


def test_words_that_brackets_weigh_are_heard_as_they_are(run, seen):
    """A faint prompt asks for the whole concept, and much of something else for no more than that."""

    def drawn(graph):
        done = run(graph)
        assert done.error is None
        return done.outputs["7"][0][0]

    for faint in (f"({CAT}:0.3)", "a photo of a (cat:0.5)"):
        assert seen(drawn(plain(faint))).count("cat") >= 3
        assert "cat" not in seen(drawn(one_node(faint)))
    loud = "(a photo of a dog:1.6)"
    assert torch.equal(drawn(plain(loud)), drawn(one_node(loud)))


def test_trying_agrees_with_what_a_run_decides(run, training):
    for prompt in (CAT, KITTEN, "a photo of a house", "a dog and a cat"):
        graph = one_node(prompt, 1)
        graph["9"] = (
            "LoraUnlearnTryPrompt",
            {"model": ("1", 0), "clip": ("1", 1), "eraser": ("2", 1), "prompt": prompt},
        )
        graph["10"] = ("LoraUnlearnGateReadout", {"model": ("2", 0), "latent": ("6", 0)})
        done = run(graph)
        tried, decided = shown(done, "9")[-1], shown(done, "10")[-1]
        assert tried.partition("score")[2] == decided.partition("score")[2]


def test_a_gate_that_looks_at_the_picture_says_that_it_cannot_be_tried(host, pack, demo, cat):
    from dataclasses import replace

    gate = replace(cat.gate, text_closed=0.0, text_open=9.0)
    node, core = host.NODE_CLASS_MAPPINGS["LoraUnlearnTryPrompt"], pack("lora_unlearn")
    given = {"model": demo.model, "clip": demo.clip, "prompt": CAT}
    with torch.inference_mode(), pytest.raises(core.UnlearnError, match="can't be tried beforehand"):
        node.execute(eraser=replace(cat, gate=gate), **given)
    with torch.inference_mode(), pytest.raises(core.UnlearnError, match="was not finished"):
        node.execute(eraser=replace(cat, partial=True), **given)
    with torch.inference_mode(), pytest.raises(core.UnlearnError, match="was made for sdxl"):
        node.execute(eraser=replace(cat, family="sdxl"), **given)
    with torch.inference_mode(), pytest.raises(core.UnlearnError, match="connect CLIP"):
        node.execute(eraser=cat, **{**given, "clip": None})


def test_prompts_of_ones_own_count_and_are_another_eraser(run, training):
    plain = run(trying(CAT)).outputs["2"][0][0]
    own = run(trying(CAT, bank=f"{TIGER}\n\n a photo of a lion \n{CAT}")).outputs["2"][0][0]
    assert own is not plain and own.gate.negatives + len(own.gate.mentions) == 2 + plain.gate.negatives + len(
        plain.gate.mentions
    )
    again = run(trying("a photo of a dog", bank=f"{TIGER}\na photo of a lion")).outputs["2"][0][0]
    assert again is own
    assert run(trying(CAT)).outputs["2"][0][0] is plain


def test_an_own_prompt_that_means_the_concept_to_the_model_is_named(run, training):
    lines = shown(run(one_node(count=1, bank=f"a photo of a feline\n{TIGER}")), "2")
    assert "your own prompts that are too like cat to keep closed: a photo of a feline" in lines


def test_a_larger_share_of_false_openings_is_another_eraser_with_a_lower_threshold(run, training):
    strict, loose = (run(trying(CAT, false_open_rate=rate)).outputs["2"][0][0] for rate in (0.01, 0.1))
    assert (strict.gate.false_open_rate, loose.gate.false_open_rate) == (0.01, 0.1)
    assert loose.gate.threshold < strict.gate.threshold


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"concept": ""}, "The concept is empty"),
        ({"concept": "x"}, "nothing to erase"),
        ({"concept": "\u043a\u043e\u0442"}, "nothing to erase"),
        ({"concept": "\u732b"}, "nothing to erase"),
        ({"concept": "embedding:foo"}, "reads like the call of a file"),
        ({"concept": "<lora:foo:1>"}, "reads like the call of a file"),
        ({"concept": "(cat:1.2)"}, "reads like the call of a file"),
        ({"also": "dog, kitten", "keep": "Dog"}, "to be erased and to be kept"),
        ({"keep": "cat"}, "to be erased and to be kept"),
        ({"replace_with": "cats"}, "cannot take its own place"),
        ({"bank": "a\0b"}, "'bank' is no text but binary data"),
        ({"bank": "two cats\nA CAT"}, "Every prompt of 'bank' asks for cat itself"),
    ],
)
def test_words_that_cannot_be_meant_are_told_in_one_sentence(run, words, sentence):
    assert sentence in told(run(one_node(count=1, **words)))


@pytest.mark.parametrize("concept", ["", " \n", "embedding:foo"])
def test_no_words_are_suggested_for_what_cannot_be_meant(run, concept):
    told(run(suggesting(concept)))


@pytest.mark.parametrize(
    "concept",
    ["x", "\u043a\u043e\u0442", "\u732b", "!!", "word " * 30],
    ids=["letter", "Cyrillic", "Chinese", "!", "30"],
)
def test_odd_words_are_no_mistake_to_ask_about(run, concept):
    assert len(shown(run(suggesting(concept)), "2")) == 1


def test_several_things_in_one_concept_are_told_to_be_one_phrase(run):
    told_first, *found = shown(run(suggesting("cat, dog")), "2")
    assert told_first.startswith('"cat, dog" is taken as one phrase; ') and found


def test_a_share_that_the_models_bank_cannot_promise_is_told_before_the_training(run, training):
    assert "allow 0.0" in told(run(trying(CAT, false_open_rate=0.001)))


def test_thirty_words_train_or_say_why_not(run):
    done = run(one_node(count=1, concept=" ".join(f"{letter}word" for letter in "abcdefghijklmnopqrstuvwxyzabcd")))
    assert done.error is None or told(done)


def test_the_new_nodes_are_found_by_what_people_would_type(host):
    for name, words in (("LoraUnlearnSuggestWords", "synonyms"), ("LoraUnlearnTryPrompt", "test prompt")):
        schema = host.NODE_CLASS_MAPPINGS[name].GET_SCHEMA()
        assert schema.is_output_node and words in getattr(schema, "search_aliases", [words])
