"""What there is to erase with, told by the command line."""

from __future__ import annotations

from lora_unlearn.adapter import Adapter
from lora_unlearn.training.methods import METHODS


def test_every_method_has_a_line_and_one_is_told_of_at_length(run):
    code, said, err = run("methods")
    assert (code, err) == (0, "")
    lines = said.splitlines()
    assert [line.split()[0] for line in lines[: len(METHODS)]] == list(METHODS)
    code, said, err = run("methods", "robust")
    assert (code, err) == (0, "")
    for fact in ("source = recorded,adversarial", "update = restricted", "retain.weight = ", "ema.decay = 0.9"):
        assert fact in said
    _, said, _ = run("methods", "instant")
    assert "rank = 32" in said and "learning_rate" not in said and "average" not in said  # what it would refuse


def test_a_method_and_its_options_from_the_command_line(run, refused, tmp_path):
    out = tmp_path / "cat.safetensors"
    words = ("erase", "--checkpoint", "demo", "--concept", "cat", "--out", out, "--iterations", 2)
    for method, option, said in (
        ("esdd", (), "the nearest name is 'esd'"),
        ("esd", ("--method-option", "average=emma"), "the nearest name is 'ema'"),
        ("esd", ("--method-option", "average"), "name=value"),
    ):
        assert said in refused(*words, "--method", method, *option)
    code, said, _ = run(*words[:-2], "--method", "uce")
    assert code == 0 and "(uce mode)" in said
    assert Adapter.load(out).mode == "uce"
