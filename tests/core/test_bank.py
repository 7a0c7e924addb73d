"""The bank of ordinary prompts: its parts, a user's own, and which prompts name a concept."""

from __future__ import annotations

import pytest

from lora_unlearn import Concept, UnlearnError, load_bank
from lora_unlearn.bank import Parts, read_bank, without_concept


def test_the_parts_share_no_prompt_and_bear_a_bound_of_one_in_a_thousand():
    bank = load_bank("sd1")
    parts = Parts.of(bank)
    assert len(bank) >= 1500 and sorted(parts.shape + parts.calibrate + parts.judge) == sorted(bank)
    assert len(parts.calibrate) >= 999 and len(parts.judge) >= 400


@pytest.mark.parametrize(
    ("word", "named", "other"),
    [
        ("man", ["a man", "two MANs", "the man's hat"], ["a woman", "mandarins"]),
        ("ear", ["her ears", "an ear."], ["a bear", "his beard"]),
        ("pony", ["ponies"], ["a ponytail"]),
        ("boat", ["boats, sunset"], ["a sailboat"]),
        ("Van Gogh style", ["in van  gogh style", "a house by Vincent van Gogh"], ["a van", "a gothic house in oil"]),
        ("\u732b", ["\u9ed2\u732b\u306e\u7d75"], ["a cat"]),
    ],
)
def test_a_prompt_names_a_concept_by_whole_words(word, named, other):
    assert without_concept([*named, *other], Concept(word)) == other


def test_a_users_bank_is_read_or_refused_in_a_sentence(tmp_path):
    def written(name: str, content: bytes):
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    assert read_bank(written("good.txt", "\ufeffa castle\n\n a castle \nein Schlo\u00df\r\n".encode())) == [
        "a castle",
        "ein Schlo\u00df",
    ]
    for name, content, said in [
        ("empty.txt", b"\n \n", "holds no prompt"),
        ("latin.txt", b"Schlo\xdf", "no text file in UTF-8"),
        ("binary.bin", b"\x00\x01\x02", "binary data"),
        ("huge.txt", b"a" * 4_000_001, "more than 4 MB"),
    ]:
        with pytest.raises(UnlearnError, match=said):
            read_bank(written(name, content))
    with pytest.raises(UnlearnError, match="cannot be read"):
        read_bank(tmp_path / "missing.txt")
