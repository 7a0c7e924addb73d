"""The studio by itself: one job at a time, stopped, resumed, watched, and whatever can go wrong with it."""

import importlib
import logging
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest
from extension_parts import NAME, part
from PIL import ImageChops, ImageStat

from lora_unlearn import Adapter, Eraser, Sampling, generate


def stop_in_training(studio, at=3):
    """Stop after some updates, and return the state that is left."""
    while len(studio.state.losses) < at and studio.state.running:
        time.sleep(0.01)
    studio.stop()
    return studio.join(60)


def test_an_eraser_is_made_and_what_it_takes_is_told(studio, order, pipe):
    seen = set()
    studio.erase(order(previews=True, pictures=1, keep="dog"))
    version = -1
    while (state := studio.board.wait(version, 60)).running:
        version = state.version
        seen.add(state.stage)
    assert state.phase == "done", state.message
    assert {"recording", "training", "drawing"} <= seen
    assert [step for step, _ in state.losses] == [1, 2, 3]
    assert [shown.step for shown in state.previews] == [0, 1, 2, 3]
    assert [pair.prompt for pair in state.pairs][:2] == ["a photo of a cat", "a photo of a dog"]
    concept, neighbour = state.pairs[:2]
    assert concept.after[0].decisions[0].open and not neighbour.after[0].decisions[0].open
    assert concept.before[0].image.tobytes() != concept.after[0].image.tobytes()
    assert neighbour.before[0].image.tobytes() == neighbour.after[0].image.tobytes()
    sides = [concept.before[0], concept.half[0], concept.after[0]]
    assert len({side.image.tobytes() for side in sides}) == 3 and not neighbour.half
    assert "name something under Draw instead" in part("panels").sheet(state)
    assert state.message.startswith("Done") and "'cat'" in state.message
    adapter = Adapter.load(studio.host.erasers / "cat.safetensors")
    assert not adapter.partial and adapter.gate.false_open_rate == 0.01
    expected = generate(pipe, ["a photo of a cat"], [0], Sampling(3, 5.0), [Eraser(adapter)])
    assert expected[0].image.tobytes() == concept.after[0].image.tobytes()
    last = generate(pipe, ["a photo of a cat"], [0], Sampling(3, 5.0), [Eraser(adapter, mode="on")])
    difference = ImageChops.difference(last[0].image.convert("RGB"), state.previews[-1].image.convert("RGB"))
    assert max(ImageStat.Stat(difference).mean) < 1  # the file's values are rounded, the preview's are not


def test_previews_do_not_change_what_is_learned(studio, order):
    for previews in (True, False):
        studio.erase(order(previews=previews))
        assert studio.join(60).phase == "done"
    plain, watched = (studio.library.load(name).lora.state_dict() for name in ("cat", "cat 2"))
    assert len(plain) > 2 and all((plain[key] == watched[key]).all() for key in plain)


def test_a_stopped_training_is_kept_and_gone_on_from(studio, order):
    studio.erase(order(iterations=5000))
    state = stop_in_training(studio)
    assert state.phase == "stopped" and "Resume" in state.message
    begun = studio.library.load("cat")
    assert begun.partial and begun.iterations >= 3
    assert studio.library.unfinished() == ["cat"]
    assert studio.resume(previews=False, pictures=0) == "cat"
    while not studio.state.losses and studio.state.running:
        time.sleep(0.01)
    assert studio.state.losses[0][0] == begun.iterations + 1
    assert stop_in_training(studio, 2).phase == "stopped"
    assert studio.library.load("cat").iterations > begun.iterations


def test_a_stop_before_anything_was_learned_leaves_nothing(studio, order):
    studio.erase(order(iterations=5000))
    studio.stop()
    state = studio.join(60)
    assert state.phase == "stopped" and state.message == "Stopped; nothing was changed."
    assert studio.library.entries() == []


def test_an_instant_eraser_needs_no_training(studio, order):
    studio.erase(order(preset="quick", iterations=None, batch=None, learning_rate=None, pictures=1))
    state = studio.join(60)
    assert state.phase == "done" and not state.losses and len(state.pairs) == 4


def test_a_second_training_at_the_same_time_gets_a_sentence(studio, order, refused):
    studio.erase(order(iterations=5000))
    sentence = refused(studio.erase, order("dog"))
    assert "Erasing cat is under way" in sentence
    assert "one training at a time" in refused(studio.resume)
    assert "one training at a time" in refused(studio.gauge, order())
    assert refused(studio.check_idle, "cat").startswith("Erasing cat")
    stop_in_training(studio)
    studio.erase(order("dog"))
    assert studio.join(60).phase == "done"


def test_many_pages_watch_one_training(studio, order):
    ends = []

    def watch():
        version = -1
        while (state := studio.board.wait(version, 30)).running or version == -1:
            version = state.version
        ends.append(state.version)

    studio.erase(order())
    pages = [threading.Thread(target=watch) for _ in range(8)]
    for page in pages:
        page.start()
    for page in pages:
        page.join(60)
    assert len(ends) == 8 and len(set(ends)) == 1


def test_the_same_concept_twice_makes_two_erasers(erased, order):
    assert erased.erase(order()) == "cat 2"
    erased.join(60)
    assert sorted(erased.library.names()) == ["cat", "cat 2"]


def test_the_model_draws_as_before_afterwards(studio, order, pipe):
    before = generate(pipe, ["a photo of a cat"], [0], Sampling(6))[0].image.tobytes()
    studio.erase(order(pictures=1, previews=True))
    studio.join(60)
    studio.erase(order("dog", iterations=5000))
    stop_in_training(studio)
    assert generate(pipe, ["a photo of a cat"], [0], Sampling(6))[0].image.tobytes() == before


def test_a_concept_that_the_model_does_not_draw_is_said_to_be_no_erasure(studio, order):
    studio.erase(order(learning_rate=1e-6, iterations=1))
    state = studio.join(60)
    if state.phase == "failed":
        assert "count as an erasure" in state.message


def test_the_gate_is_measured_anew(erased):
    before = erased.library.load("cat")
    before.gate = type(before.gate)(
        **{**before.gate.to_dict(), "threshold": 99.0, "text_closed": 99.0, "text_open": 99.0}
    )
    before.save(erased.library.path("cat"))
    erased.calibrate("cat")
    state = erased.join(60)
    assert state.phase == "done" and "measured anew" in state.message and "sentences with cat" in state.message
    assert erased.library.load("cat").gate.threshold < 50


def test_a_new_measurement_keeps_the_bound_that_was_asked_for(studio, order):
    studio.erase(order(false_open_rate="0.05"))
    assert studio.join(60).phase == "done"
    studio.calibrate("cat")
    studio.join(60)
    assert studio.library.load("cat").gate.false_open_rate == 0.05


def test_a_prompt_is_tried_by_the_eraser_that_is_named(erased, refused):
    opened, closed = erased.try_prompt("cat", "a small cat on a sofa"), erased.try_prompt("cat", "a dog")
    assert opened.open and opened.word == "cat" and "".join(text for text, _ in opened.parts) == "a small cat on a sofa"
    assert not closed.open and str(closed).startswith("Stays closed")
    assert "prompt is empty" in refused(erased.try_prompt, "cat", " ")
    assert "4000 characters" in refused(erased.try_prompt, "cat", "x" * 5000)
    assert "No eraser is selected" in refused(erased.try_prompt, None, "a cat")
    assert "no eraser 'dog' any more" in refused(erased.try_prompt, "dog", "a cat")
    adapter = erased.library.load("cat")
    adapter.family = "sd1"
    adapter.save(erased.library.path("other"))
    assert "was made for sd1" in refused(erased.try_prompt, "other", "a cat")
    adapter.family, adapter.partial = "demo", True
    adapter.save(erased.library.path("begun"))
    assert "not finished" in refused(erased.try_prompt, "begun", "a cat")


def test_the_model_names_its_own_synonyms(studio, order, refused):
    found = {one.word: one.kind for one in studio.suggest(order("cat").concept)}
    assert found["kitty"] == found["kitten"] == "near"
    assert "kitten" not in {one.word for one in studio.suggest(order("cat", also="kitten").concept)}
    studio.erase(order(iterations=5000))
    assert "is under way and has the model" in refused(studio.suggest, order("dog").concept)
    stop_in_training(studio)
    assert studio.suggest(order("dog").concept)


def test_a_model_without_words_says_so_and_is_trained_on_all_the_same(studio, order, refused, monkeypatch):
    for name in ("flow", "unet"):
        for kind in vars(importlib.import_module(f"lora_unlearn.hosts.{name}")).values():
            if isinstance(kind, type) and "vocabulary" in vars(kind):
                monkeypatch.setattr(kind, "vocabulary", lambda self: None)
    assert "no list of whole words" in refused(studio.suggest, order("sofa").concept)
    studio.erase(order())
    state = studio.join(60)
    assert state.phase == "done" and "nearly the same" not in state.message


def test_an_erasure_does_not_wait_for_suggestions(studio, order, refused, monkeypatch):
    begun = []

    def slow(denoiser, concept, count, report):
        begun.append(studio.erase(order()))  # a page presses Erase while words are read
        report(1, 60)
        raise AssertionError("the reading should have let go")

    monkeypatch.setattr(part("studio"), "suggest", slow)
    assert "Erasing cat is under way" in refused(studio.suggest, order("dog").concept)
    monkeypatch.undo()
    assert begun == ["cat"] and studio.join(60).phase == "done", studio.state.message


def test_the_end_names_words_that_were_not_given(studio, order):
    studio.erase(order())
    assert "reads as nearly the same: feline, kitty, kitten;" in studio.join(60).message


def test_prompts_of_ones_own_reach_the_gate(studio, order):
    own = ("a dog on a sofa", "a red house at night")
    for fields in ({}, {"own": "\n".join([*own, "my cat"])}):
        studio.erase(order(**fields))
        assert studio.join(60).phase == "done", studio.state.message
    plain, mine = (studio.library.load(name).gate for name in ("cat", "cat 2"))
    assert mine.negatives + len(mine.mentions) == plain.negatives + len(plain.mentions) + 2


def test_what_was_promised_holds_after_a_resume(studio, order):
    studio.erase(order(iterations=5000, own="a dog on a sofa", false_open_rate=0.05))
    stop_in_training(studio)
    adapter = studio.library.load("cat")
    adapter.settings = order(iterations=adapter.iterations + 2).settings
    adapter.save(studio.library.path("cat"))
    studio.resume("cat", False, 0)
    assert studio.join(60).phase == "done", studio.state.message
    assert studio.library.load("cat").gate.false_open_rate == 0.05


def test_a_second_look_is_measured_when_it_is_asked_for_and_kept_by_a_new_measurement(studio, order):
    studio.erase(order(look="careful"))
    assert studio.join(120).phase == "done", studio.state.message
    assert studio.library.load("cat").gate.look_mode == "careful"
    studio.calibrate("cat")
    assert studio.join(120).phase == "done", studio.state.message
    assert studio.library.load("cat").gate.look_mode == "careful"


def test_a_bound_for_which_the_bank_is_too_small_is_refused_before_the_training(studio, order):
    studio.erase(order(false_open_rate=0.001))
    state = studio.join(60)
    assert state.phase == "failed" and "cannot be promised" in state.message and not state.losses


def test_before_and_after_is_drawn_for_a_kept_eraser(erased):
    erased.show("cat", 1)
    state = erased.join(60)
    assert state.phase == "done" and len(state.pairs) == 4 and state.eraser == "cat"
    shown = part("panels").sheet(state)
    assert 0 < shown.count(">at 0.5</span>") < shown.count(">after</span>") == 4 and "under Draw instead" in shown
    state.adapter.concept = replace(state.adapter.concept, replace_with="tree")
    assert "under Draw instead" not in part("panels").sheet(state)


def test_an_eraser_of_another_family_is_refused(erased):
    adapter = erased.library.load("cat")
    adapter.family = "sd1"
    adapter.save(erased.library.path("other"))
    for job in (erased.calibrate, erased.show):
        job("other")
        state = erased.join(60)
        assert state.phase == "failed" and "was made for sd1" in state.message


def test_a_training_of_another_checkpoint_is_not_gone_on_from(erased):
    adapter = erased.library.load("cat")
    adapter.partial, adapter.base_hash = True, "0" * 16
    adapter.save(erased.library.path("cat"))
    erased.resume()
    state = erased.join(60)
    assert state.phase == "failed" and "another checkpoint" in state.message


def test_finished_missing_and_unnamed_erasers_are_not_resumed(erased, refused):
    assert "finished already" in refused(erased.resume, "cat")
    assert "no unfinished training" in refused(erased.resume)
    for pictures in (1.5, -5, 5, 10**400):
        assert "pictures on the sheet must be" in refused(erased.resume, "cat", True, pictures)
    assert "no eraser 'dog' any more" in refused(erased.resume, "dog")
    assert "No eraser is selected" in refused(erased.calibrate, "")
    assert "No eraser is selected" in refused(erased.show, None)


def test_the_estimate_appears_once_the_checkpoint_is_measured(studio, order):
    assert studio.estimate(order()) is None
    studio.gauge(order())
    state = studio.join(60)
    assert state.phase == "done" and "memory beside the model" in state.message
    few, many = studio.estimate(order(iterations=10)), studio.estimate(order(iterations=1000))
    assert 0 < few.seconds < many.seconds


def test_a_place_that_cannot_be_written_to_is_a_sentence(studio, order):
    studio.host.erasers.write_text("a file where the folder should be")
    studio.erase(order())
    state = studio.join(60)
    assert state.phase == "failed" and "could not be written" in state.message
    studio.host.erasers.unlink()
    studio.erase(order())
    assert studio.join(60).phase == "done"


def test_what_nobody_foresaw_is_logged_and_leaves_the_studio_usable(studio, order, monkeypatch):
    logged = []
    monkeypatch.setattr(threading, "excepthook", logged.append)
    with monkeypatch.context() as broken:
        broken.setattr(studio.host, "interrupted", lambda: 1 / 0)
        studio.erase(order())
        state = studio.join(60)
    assert state.phase == "failed" and "log" in state.message
    assert logged[0].exc_type is ZeroDivisionError
    studio.erase(order())
    assert studio.join(60).phase == "done"


def test_too_little_memory_is_a_sentence(studio, order, monkeypatch):
    def short(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(part("training"), "load_bank", short)
    studio.erase(order())
    state = studio.join(60)
    assert state.phase == "failed" and "memory" in state.message and "quick" in state.message


def test_the_log_stays_clean(erased, caplog, capfd):
    with caplog.at_level(logging.WARNING):
        erased.show("cat", 1)
        erased.join(60)
    assert not caplog.records
    assert capfd.readouterr().err == ""


KILLED = """
import os, sys, time
sys.path[:0] = {paths!r}
from pathlib import Path
from extension_parts import part
from lora_unlearn.hosts.checkpoints import load_pipeline
host = part("standalone.host").PipelineHost(load_pipeline("demo"), "demo", Path({folder!r}))
studio = part("studio").Studio(host)
slowly = {{"iterations": 5000, "learning_rate": 1e-5, "batch": 1}}
studio.erase(part("orders").order_of({{"concept": "cat", "previews": False, **slowly}}))
while len(studio.state.losses) < 5:
    time.sleep(0.01)
os._exit(9)
"""


@pytest.mark.slow
def test_a_killed_program_leaves_something_to_resume(studio, tmp_path, pytestconfig):
    paths = [str(pytestconfig.rootpath), str(pytestconfig.rootpath / "tests" / "extension")]
    script = KILLED.format(paths=paths, folder=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", script], cwd=pytestconfig.rootpath, capture_output=True, timeout=120)
    assert done.returncode == 9, done.stderr.decode()
    assert studio.library.unfinished() == ["cat"]
    begun = studio.library.load("cat")
    assert begun.iterations >= 1
    studio.resume(previews=False, pictures=0)
    assert stop_in_training(studio, 1).phase == "stopped"
    assert studio.library.load("cat").iterations > begun.iterations


def test_the_studio_needs_neither_gradio_nor_a_host(pytestconfig):
    """Its modules can be imported where gradio can't, under any name."""
    lines = f"""
import sys; sys.modules["gradio"] = None
import importlib.util, pathlib
folder = pathlib.Path("extension")
start, place = folder / "__init__.py", [str(folder)]
spec = importlib.util.spec_from_file_location("any_name", start, submodule_search_locations=place)
sys.modules["any_name"] = importlib.util.module_from_spec(spec); spec.loader.exec_module(sys.modules["any_name"])
import importlib
for name in ("host", "studio", "training", "library", "orders", "panels", "state", "work", "standalone.host"):
    importlib.import_module("any_name." + name)
assert not [name for name in sys.modules if name.startswith(("modules", "{NAME}")) or name == "fastapi"]
"""
    subprocess.run([sys.executable, "-c", lines], cwd=pytestconfig.rootpath, check=True, timeout=120)


@pytest.mark.parametrize("also", ["", "kitten, tomcat"])
def test_the_order_reaches_the_file(studio, order, also):
    studio.erase(order(also=also, replace_with="dog", keep="tiger", seed="7", learning_rate="0.08", rank=2))
    assert studio.join(60).phase == "done"
    adapter = studio.library.load("cat")
    assert adapter.concept.also == tuple(also.split(", ") if also else ())
    assert (adapter.concept.replace_with, adapter.concept.keep) == ("dog", ("tiger",))
    assert (adapter.settings.seed, adapter.settings.learning_rate, adapter.settings.rank) == (7, 0.08, 2)
