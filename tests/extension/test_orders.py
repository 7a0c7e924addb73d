"""What is typed on the page becomes an order, or a sentence."""

import pytest
from extension_parts import part

from lora_unlearn.erase import PRESETS
from lora_unlearn.files import file_name


@pytest.mark.parametrize("preset", PRESETS)
def test_the_presets_are_the_cores_own(preset):
    order = part("orders").order_of({"concept": "cat", "preset": preset})
    assert (order.mode, order.settings, order.promise) == PRESETS[preset]


def test_what_is_typed_of_the_gate_counts_more_than_the_preset():
    order_of = part("orders").order_of
    thorough = order_of({"concept": "cat", "preset": "thorough", "look": "preset", "false_open_rate": ""}).promise
    assert (thorough.look, thorough.false_open_rate) == ("careful", 0.02)
    typed = order_of({"concept": "cat", "preset": "thorough", "look": "text", "false_open_rate": 0.005}).promise
    assert (typed.look, typed.false_open_rate) == ("text", 0.005)
    method = order_of({"concept": "cat", "preset": "thorough", "method": "esd"}).promise
    assert (method.look, method.false_open_rate) == ("text", 0.01)


def test_words_are_split_at_commas_and_trimmed():
    order = part("orders").order_of({"concept": "  red   car ", "also": "auto, ,  roadster,", "keep": "bus"})
    assert order.concept.name == "red car"
    assert order.concept.also == ("auto", "roadster") and order.concept.keep == ("bus",)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "concept is empty"),
        ({"concept": "   "}, "concept is empty"),
        ({"concept": None}, "concept is empty"),
        ({"concept": "x" * 201}, "201 characters"),
        ({"concept": "c\x00at"}, "no text"),
        ({"concept": "cat", "keep": "\ud800"}, "'keep' holds a character that is no text"),
        ({"concept": "cat", "also": "y" * 5000}, "5000 characters"),
        ({"concept": "cat", "preset": "best"}, "no preset 'best'"),
        ({"concept": "cat", "iterations": "many"}, "updates must be a number from 1 to 5000"),
        ({"concept": "cat", "iterations": 0}, "updates must be"),
        ({"concept": "cat", "rank": "nan"}, "rank must be"),
        ({"concept": "cat", "learning_rate": "inf"}, "learning rate must be"),
        ({"concept": "cat", "seed": -2}, "seed must be a number from -1 to 2147483647"),
        ({"concept": "cat", "seed": 2**31}, "seed must be"),
        ({"concept": "cat", "seed": 0.5}, "seed must be a whole number"),
        ({"concept": "cat", "batch": [1]}, "batch must be"),
        ({"concept": "cat", "batch": True}, "batch must be"),
        ({"concept": "cat", "rank": 1.5}, "rank must be a whole number from 1 to 128, not 1.5"),
        ({"concept": "cat", "iterations": -5}, "updates must be"),
        ({"concept": "cat", "iterations": 10**400}, "updates must be"),
        ({"concept": "cat", "learning_rate": "9" * 400}, "learning rate must be"),
        ({"concept": "cat", "pictures": 5}, "pictures on the sheet must be"),
        ({"concept": "cat", "pictures": 1.5}, "pictures on the sheet must be a whole number"),
        ({"concept": "cat", "pictures": -1}, "pictures on the sheet must be"),
        ({"concept": "cat", "preset": ["quick"]}, "no preset"),
        ({"concept": "cat", "preset": "x" * 5000}, f"no preset '{'x' * 40}'; choose"),
        ({"concept": "cat", "also": "kitten", "keep": "Kitten"}, "to be erased and to be kept"),
        ({"concept": "embedding:foo"}, "plain words"),
        ({"concept": "cat", "replace_with": "cats"}, "its own place"),
        ({"concept": "cat", "own": "a dog\x00"}, "the field 'Prompts that you usually draw' is no text"),
        ({"concept": "cat", "own": "\ud800"}, "no text in the field"),
        ({"concept": "cat", "own": "a" * 100_001}, "100001 characters"),
        ({"concept": "cat", "own": "my cat\nCATS"}, "asks for cat itself"),
        ({"concept": "cat", "false_open_rate": "often"}, "share of mistakes must be a number from 0.001 to 0.1"),
        ({"concept": "cat", "false_open_rate": 0.5}, "share of mistakes must be"),
        ({"concept": "cat", "look": "twice"}, "can't be decided by 'twice'; choose one of text, careful, always"),
    ],
)
def test_a_bad_field_is_named(fields, said, refused):
    assert said in refused(part("orders").order_of, fields)


def test_a_seed_of_minus_one_is_a_new_one_each_time():
    found = {part("orders").order_of({"concept": "cat", "seed": seed}).settings.seed for seed in (-1, "-1", -1.0)}
    assert len(found) == 3 and all(0 <= seed < 2**31 for seed in found)
    assert part("orders").order_of({"concept": "cat", "seed": ""}).settings.seed == 0


def test_prompts_of_ones_own_are_lines_and_those_with_the_concept_go():
    fields = {"concept": "cat", "own": " a dog \n\na dog\nmy cat\na red house", "false_open_rate": ""}
    promise = part("orders").order_of(fields).promise
    assert promise.own == ("a dog", "a red house") and promise.false_open_rate == 0.01
    assert part("orders").order_of({"concept": "cat", "false_open_rate": "0.05"}).promise.false_open_rate == 0.05


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("cat", "cat"),
        ("Van Gogh style", "Van Gogh style"),
        ("../../etc/passwd", "etc passwd"),
        ("CON", "erase CON"),
        ("a:b*c?", "a b c"),
        ("...", "eraser"),
        ("katze \u00e4\u00f6", "katze \u00e4\u00f6"),
        ("x" * 500, "x" * 60),
        ("\U00020000" * 60, "\U00020000" * 37),
    ],
)
def test_any_words_give_a_name_for_a_file(words, name):
    assert file_name(words) == name


def test_a_method_takes_the_place_of_the_preset_and_its_options_are_checked():
    fields = {"concept": "cat", "method": "esd", "options": "average=ema\nema.decay=0.5", "rank": "2"}
    order_of, fields_of = part("orders").order_of, part("orders").fields_of
    order = order_of(fields)
    assert (order.mode, order.settings.objective, order.settings.average) == ("esd", "esd", "ema")
    assert order.settings.options == {"ema.decay": 0.5} and order.settings.rank == 2
    shown = fields_of(order)
    assert (shown["method"], shown["rank"], shown["preset"]) == ("esd", "2", "quick")
    assert order_of(shown) == order  # what a page shows of a training under way asks for the same
    order = order_of({"concept": "cat", "method": "restricted", "options": "terms=goal,anchors"})
    assert order_of(fields_of(order)) == order  # what the term that went had as its option went with it
    for wrong, said in (
        ({"method": "esdd"}, "the nearest name is 'esd'"),
        ({"preset": "balanced", "options": "average=emma"}, "the nearest name is 'ema'"),
    ):
        with pytest.raises(part("orders").UnlearnError, match=said):
            order_of({"concept": "cat", **wrong})
