"""Making erasers: a finished run, and every way in which one can end early."""

from __future__ import annotations

import json
import signal
from dataclasses import replace

import pytest
from processes import interrupt, start, wait_for

from lora_unlearn.adapter import Adapter
from lora_unlearn.keep import unfinished_beside
from lora_unlearn.training.methods import INSTANT

LONG = ("--concept", "cat", "--batch", 1, "--iterations", 100_000, "--learning-rate", 1e-6)


def erase(model, out, *words):
    """Words of the command; small pictures make it quick."""
    return ("erase", "--checkpoint", model, "--resolution", 32, *words, "--out", out)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("finished") / "new" / "cat.safetensors"
    words = ("--concept", "cat", "--also", "kitten", "--keep", "dog", "--batch", 5, "--iterations", 3, "--rank", 6)
    process = start(*erase("demo", out, *words, "--learning-rate", 0.1))
    said, err = process.communicate(timeout=600)
    return out, process.returncode, said, err


def test_a_finished_run_says_what_it_did_and_libraries_say_nothing(finished):
    out, code, said, err = finished
    assert (code, err) == (0, "")
    assert f"file: {out} ({out.stat().st_size / 1000:.0f} kB)" in said
    for fact in (
        "'cat'",
        "The training takes at most",
        "of memory beside the model",
        "redirected: ",
        "3 updates",
        "gate: would have opened",
        "95 % interval",
        "for calibration",
    ):
        assert fact in said
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_a_finished_eraser_holds_what_was_asked_for(finished):
    adapter = Adapter.load(finished[0])
    assert (adapter.partial, adapter.iterations, adapter.mode, adapter.family) == (False, 3, "fast", "demo")
    assert (adapter.concept.also, adapter.concept.keep) == (("kitten",), ("dog",))
    assert (adapter.settings.batch, adapter.settings.rank) == (5, 6) and 1 <= adapter.lora.rank <= 6
    assert adapter.gate.negatives >= 99
    assert adapter.gate.false_open_rate == 0.01
    assert adapter.evaluations["training"] > 0


def test_the_words_come_before_the_numbers(finished):
    said = finished[2]
    assert said.index("would have opened for") < said.index("opens from a score") < said.index("95 % interval")


def test_several_things_in_one_concept_are_told_to_be_one_phrase(run, tmp_path):
    words = ("erase", "--checkpoint", "demo", "--mode", "instant", "--out", tmp_path / "a.safetensors", "--concept")
    said = run(*words, "cat, dog")[1].splitlines()[0]
    assert said.startswith('"cat, dog" is taken as one phrase; ') and "an eraser for each" in said
    assert "one phrase" not in run(*words, "cow", "--overwrite")[1]


def test_the_models_own_synonyms_are_named_unless_they_were_given(run, tmp_path):
    out = tmp_path / "a.safetensors"
    words = ("erase", "--checkpoint", "demo", "--concept", "cat", "--mode", "instant", "--out", out)
    assert "nearly the same: feline, kitty, kitten; add them with --also" in run(*words)[1]
    said = run(*words, "--also", "kitten")[1]
    assert "feline" in said and "kitten;" not in said and ", kitten" not in said


@pytest.mark.thorough
def test_prompts_of_ones_own_stay_closed_and_the_bound_is_kept(model, run, tmp_path):
    bank, out = tmp_path / "mine.txt", tmp_path / "cat.safetensors"
    bank.write_text("a dog on a sofa\n\nmy cat\na red house\n")
    words = ("--concept", "cat", "--mode", "instant", "--false-open-rate", 0.05)
    before = run(*erase(model, out, *words)), Adapter.load(out).gate
    code, said, _ = run(*erase(model, out, *words, "--bank", bank))
    gate = Adapter.load(out).gate
    assert code == before[0][0] == 0
    assert "Note: 1 of the 3 prompts" in said
    assert gate.false_open_rate == 0.05
    assert gate.negatives + len(gate.mentions) == before[1].negatives + len(before[1].mentions) + 2


def test_a_bound_for_which_there_are_too_few_prompts(model, refused, tmp_path):
    out = tmp_path / "a.safetensors"
    said = refused(*erase(model, out, "--concept", "cat", "--mode", "instant", "--false-open-rate", 0.001))
    assert "cannot be promised" in said and "allow 0.0" in said
    assert not out.exists()


def test_inspect_shows_the_same(finished, run):
    code, said, _ = run("inspect", finished[0])
    assert code == 0
    assert "erases 'cat' from demo models" in said
    assert "also: kitten" in said
    code, said, _ = run("inspect", finished[0], "--json")
    values = json.loads(said)
    assert (values["concept"]["name"], values["iterations"], values["partial"]) == ("cat", 3, False)


def test_a_finished_training_is_not_resumed(finished, model, refused):
    assert "finished already" in refused(*erase(model, finished[0], "--concept", "cat", "--resume"))


def test_there_must_be_something_to_resume(model, refused, tmp_path):
    assert "does not exist" in refused(*erase(model, tmp_path / "a.safetensors", "--concept", "cat", "--resume"))


def test_instant_mode(model, run, tmp_path):
    out = tmp_path / "cat.safetensors"
    code, said, _ = run(*erase(model, out, "--concept", "cat", "--mode", "instant"))
    assert code == 0
    assert "instant mode" in said
    adapter = Adapter.load(out)
    assert (adapter.iterations, adapter.partial) == (0, False)
    assert 1 <= adapter.lora.rank <= INSTANT.rank
    assert 12 <= adapter.evaluations["training"] <= 140  # an untrained encoder takes ordinary prompts for the concept


def test_paper_mode(model, run, tmp_path):
    out = tmp_path / "cat.safetensors"
    code, said, _ = run(*erase(model, out, "--concept", "cat", "--mode", "paper", "--iterations", 2))
    assert code == 0
    assert "paper mode" in said
    adapter = Adapter.load(out)
    assert (adapter.mode, adapter.iterations, adapter.settings.learning_rate) == ("paper", 2, 3e-5)
    assert {(layer.rank, layer.scale) for _, layer in adapter.lora.items()} == {(1, 8.0)}


def test_a_training_that_changed_too_little_is_no_success(model, run, tmp_path):
    out = tmp_path / "cat.safetensors"
    words = ("--concept", "xyzzy", "--iterations", 1, "--learning-rate", 1e-6)
    words = (*words, "--method-option", "down=scaled")  # which starts with no change at all
    code, told, said = run(*erase(model, out, *words))
    assert code == 1 and told.count("\n") == said.count("\n") == 1 and "takes at most" in told
    assert "redirected" in said
    assert "--iterations" in said
    assert Adapter.load(unfinished_beside(out)).partial
    assert not out.exists()


def test_a_concept_that_the_model_does_not_draw(refused, tmp_path):
    said = refused("erase", "--checkpoint", "demo", "--concept", "xyzzy", "--out", tmp_path / "a.safetensors")
    assert "nothing to erase" in said
    assert not list(tmp_path.iterdir())


def test_a_concept_that_is_too_long(model, refused, tmp_path):
    said = refused(*erase(model, tmp_path / "a.safetensors", "--concept", "cat " * 90))
    assert "98 tokens" in said
    assert "77" in said


def test_a_concept_that_all_prompts_hold(model, refused, tmp_path):
    assert "99 are needed" in refused(*erase(model, tmp_path / "a.safetensors", "--concept", "a"))


def test_an_interrupted_training_is_kept_and_resumed(run, refused, tmp_path):
    out = tmp_path / "cat.safetensors"
    process = start(*erase("demo", out, *LONG))
    kept = unfinished_beside(out)
    wait_for(kept, process)
    code, said, err = interrupt(process)
    assert (code, err) == (130, "")
    assert [path.name for path in tmp_path.iterdir()] == [kept.name]
    begun = Adapter.load(kept)
    assert begun.partial
    assert begun.iterations > 0
    assert f"after {begun.iterations} of 100000 updates" in said
    assert "--resume" in said
    assert "NOT FINISHED" in run("inspect", kept)[1]
    assert "holds an unfinished training; add --resume" in refused(*erase("demo", out, *LONG))
    assert "another gamma" in refused(*erase("demo", out, *LONG, "--resume", "--gamma", 3))
    assert "another average" in refused(*erase("demo", out, *LONG, "--resume", "--method-option", "average=ema"))
    assert "another concept" in refused(*erase("demo", out, *LONG, "--resume", "--concept", "dog"))
    more = ("--iterations", begun.iterations + 4, "--learning-rate", 0.2, "--batch", 2)
    code, _, _ = run(*erase("demo", out, *LONG, "--resume", *more))
    ended = Adapter.load(out)
    assert (code, ended.partial, ended.iterations) == (0, False, begun.iterations + 4)
    assert ended.gate.negatives >= 99
    assert ended.evaluations["training"] > begun.evaluations["training"]  # it went on from what there was
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


@pytest.mark.thorough
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_finished_eraser_stays_until_the_new_one_is_finished(model, adapter, tmp_path, number):
    out = adapter.save(tmp_path / "cat.safetensors")
    before = out.read_bytes()
    process = start(*erase(model, out, *LONG))
    wait_for(unfinished_beside(out), process)
    code, _, err = interrupt(process, number)
    assert (code, err) == ({signal.SIGKILL: -9, signal.SIGTERM: 143}[number], "")
    assert out.read_bytes() == before
    assert Adapter.load(unfinished_beside(out)).partial


def test_a_training_that_an_earlier_version_left_at_its_place_is_gone_on_from(model, adapter, refused, tmp_path):
    out = replace(adapter, partial=True).save(tmp_path / "cat.safetensors")
    assert "was begun with another rank" in refused(*erase(model, out, "--concept", "cat", "--resume"))


def test_an_interrupt_before_the_first_update_writes_nothing(model, tmp_path):
    out = tmp_path / "new" / "cat.safetensors"
    process = start(*erase(model, out, *LONG))
    wait_for(out.parent, process)
    code, said, err = interrupt(process)
    assert code == 130
    assert "Interrupted" in said + err
    assert "Traceback" not in err
    assert list(out.parent.iterdir()) == []
