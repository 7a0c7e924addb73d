"""Translations: complete, without leftovers, and true to the numbers of the English text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from comfy_workflows import ROOT

pytestmark = pytest.mark.comfyui

LANGUAGES = ["de", "en", "es", "fr", "ja", "ko", "ru", "zh"]
OTHERS = [language for language in LANGUAGES if language != "en"]


def texts(value, path=()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every text of a file with the keys that lead to it."""
    if isinstance(value, str):
        yield path, value
    else:
        for key, inner in value.items():
            yield from texts(inner, (*path, key))


def locale(language, name):
    return dict(texts(json.loads((ROOT / "locales" / language / f"{name}.json").read_text(encoding="utf-8"))))


def spoken(schema):
    """What a schema shows to people, in the form of `nodeDefs.json`."""
    parts = {name: value for part in ("required", "optional") for name, value in schema.input.get(part, {}).items()}
    inputs = {name: {"name": name, **said(options)} for name, (_type, options) in parts.items()}
    outputs = {
        str(index): {"name": name, "tooltip": tooltip}
        for index, (name, tooltip) in enumerate(zip(schema.output_name, schema.output_tooltips, strict=True))
    }
    shown = {"display_name": schema.display_name, "description": schema.description}
    return shown | ({"inputs": inputs} if inputs else {}) | ({"outputs": outputs} if outputs else {})


def said(options):
    """An input's own words, where it has any."""
    renamed = {"name": options["display_name"]} if options.get("display_name") else {}
    return {**renamed, "tooltip": options["tooltip"]}


@pytest.fixture(scope="module")
def schemas(pack):
    infos = [(node.GET_SCHEMA().node_id, node.GET_SCHEMA().get_v1_info(node)) for node in pack("nodes").NODES]
    return dict(texts({name: spoken(info) for name, info in infos}))


def numbers(text):
    """All numbers in a text, sorted; decimal commas count as points."""
    return sorted(number.replace(",", ".") for number in re.findall(r"-?\d+(?:[.,]\d+)?", text))


def test_english_is_what_the_schemas_say(schemas):
    """But for the name that is longer where the search knows no aliases."""
    names = {("LoraUnlearnEraseConcept", "display_name")}
    assert locale("en", "nodeDefs") == {path: text for path, text in schemas.items() if path not in names}


@pytest.mark.parametrize("language", OTHERS)
def test_a_language_has_every_text_and_no_other(language, schemas):
    found = locale(language, "nodeDefs")
    assert found.keys() - schemas.keys() == set()
    assert schemas.keys() - found.keys() == set()
    assert locale(language, "main").keys() == locale("en", "main").keys()


@pytest.mark.parametrize("language", OTHERS)
def test_a_translation_keeps_numbers_and_file_names(language, schemas):
    for path, text in locale(language, "nodeDefs").items():
        assert numbers(text) == numbers(schemas[path]), path
        for word in ("loras", "pipe.load_lora_weights", "ComfyUI/user/lora_unlearn", "UnGuide"):
            assert (word in text) == (word in schemas[path]), path


@pytest.mark.parametrize("language", OTHERS)
def test_choices_are_called_what_the_widgets_call_them(language, schemas):
    """The page shows choices as they are in the schema, so a tooltip must not translate them."""
    found = locale(language, "nodeDefs")
    for path, text in schemas.items():
        choices = re.findall(r"(?:^|\. )([a-z]+|LoRA): ", text)
        assert all(choice in found[path] for choice in choices), path


@pytest.mark.parametrize("language", OTHERS)
def test_sentences_are_translated(language, schemas):
    found = locale(language, "nodeDefs")
    assert [path for path, text in schemas.items() if " " in text and len(text) > 8 and found[path] == text] == []


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", ["main", "nodeDefs"])
def test_no_text_is_empty_or_has_the_signs_of_placeholders(language, name):
    for path, text in locale(language, name).items():
        assert text == text.strip() != "", path
        assert not set("{}@|") & set(text), path


def test_categories_and_sockets_are_named_in_every_language(pack):
    categories = {part for node in pack("nodes").NODES for part in node.GET_SCHEMA().category.split("/")}
    expected = {("nodeCategories", name) for name in categories} | {("dataTypes", "ERASER")}
    assert all(locale(language, "main").keys() == expected for language in LANGUAGES)


def test_the_host_merges_all_languages(host, monkeypatch, tmp_path):
    from app.custom_node_manager import CustomNodeManager

    (tmp_path / "lora-unlearn").symlink_to(ROOT, target_is_directory=True)
    monkeypatch.setattr("folder_paths.get_folder_paths", lambda _name: [str(tmp_path)])
    merged = CustomNodeManager().build_translations()
    assert sorted(merged) == LANGUAGES
    assert merged["de"]["nodeDefs"]["LoraUnlearnEraseConcept"]["display_name"] == "Konzept entfernen"
    assert merged["zh"]["nodeCategories"] == {"unlearn": locale("zh", "main")["nodeCategories", "unlearn"]}
