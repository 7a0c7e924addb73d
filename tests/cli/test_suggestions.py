"""What a layperson is told of the words that a model reads like a concept's."""

from __future__ import annotations

import json

WORDS = ("suggest", "--checkpoint", "demo", "--concept")


def test_words_are_named_in_groups(run):
    code, said, err = run(*WORDS, "cat")
    assert (code, err) == (0, "")
    near = next(line for line in said.splitlines() if "--also" in line)
    assert "--keep" in near
    assert near.endswith(": feline, kitty, kitten")


def test_what_was_given_is_not_suggested(run):
    _, said, _ = run(*WORDS, "dog", "--also", "puppy", "--keep", "hound", "--count", 3)
    assert not any(f" {word}" in said for word in ("puppy", "hound"))


def test_they_can_be_written_for_programs(run, tmp_path):
    out = tmp_path / "words.json"
    code, said, _ = run(*WORDS, "cat", "--json", out)
    assert code == 0
    assert f"file: {out}" in said
    found = json.loads(out.read_text())
    assert [entry["word"] for entry in found] == ["feline", "kitty", "kitten"]
    assert all(entry["kind"] == "near" and 0 < entry["similarity"] < 1 for entry in found)


def test_a_model_that_knows_nothing_like_it_says_so(run):
    code, said, _ = run(*WORDS, "sofa")
    assert code == 0
    assert said == "The model has no word that it reads like sofa.\n"
    assert run(*WORDS, "sofa, chair")[1].startswith('"sofa, chair" is taken as one phrase; ')


def test_what_cannot_be_meant_is_refused(refused, tmp_path):
    assert "concept is empty" in refused(*WORDS, " ")
    assert "--count" in refused(*WORDS, "cat", "--count", 0)
    assert "ends in .json" in refused(*WORDS, "cat", "--json", tmp_path / "words.txt")
    assert list(tmp_path.iterdir()) == []
