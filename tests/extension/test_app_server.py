"""The standalone app over HTTP: what it does, and what it refuses."""

import os
import signal
import time
from dataclasses import replace

import pytest

pytest.importorskip("gradio")
httpx = pytest.importorskip("httpx")

from app_server import Page, Server  # noqa: E402

from lora_unlearn import Adapter  # noqa: E402
from lora_unlearn.files import read_metadata  # noqa: E402

LEARNING = "learning to steer away from it</b>"
SHORT = {
    "preset": "balanced",
    "iterations": "3",
    "batch": "4",
    "learning_rate": "0.1",
    "pictures": 0,
    "previews": False,
}
LONG = {**SHORT, "iterations": "5000", "learning_rate": "0.00001"}
"""It never has redirected enough to end by itself."""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    found = Server(tmp_path_factory.mktemp("app"))
    yield found.wait()
    found.close()


@pytest.fixture
def page(server):
    return Page(server.address)


def test_an_erasure_from_the_page_to_the_exported_file(server, page):
    steps = list(page.do("lora_unlearn_erase", concept="cat", **SHORT))
    assert len(steps) > 2 and any(LEARNING in step["progress"] for step in steps)
    assert "Done" in steps[-1]["progress"] and steps[-1]["export_name"] == "erase cat"
    assert not Adapter.load(server.folder / "erasers" / "cat.safetensors").partial
    exported = page.last("lora_unlearn_export", export_name="my cat")
    assert "my cat.safetensors" in exported["exported"]
    assert Adapter.load(server.folder / "loras" / "my cat.safetensors").concept.name == "cat"
    drawn = {"draw_count": 1, "draw_steps": 3, "draw_guidance": 7, "draw_seed": 0, "strength": 1, "gate_mode": "auto"}
    opened = page.last("lora_unlearn_draw", prompt="a photo of a cat", draw_eraser="cat", **drawn)
    assert "open, erases it" in opened["decided"] and len(opened["gallery"]) == 1
    closed = page.last("lora_unlearn_draw", prompt="a photo of a tree", draw_eraser="cat", **drawn)
    assert "closed, changes nothing" in closed["decided"] and "measured on another" not in opened["decided"]
    elsewhere = replace(Adapter.load(server.folder / "erasers" / "cat.safetensors"), base_hash="0123456789abcdef")
    elsewhere.save(server.folder / "erasers" / "from elsewhere.safetensors")
    other = page.last("lora_unlearn_draw", prompt="a photo of a cat", draw_eraser="from elsewhere", **drawn)
    assert "gate of the eraser for &#x27;cat&#x27; was measured on another demo model" in other["decided"]
    drawn["gate_mode"] = "on"
    always = page.last("lora_unlearn_draw", prompt="a photo of a cat", draw_eraser="from elsewhere", **drawn)
    assert "measured on another" not in always["decided"]
    (server.folder / "erasers" / "from elsewhere.safetensors").unlink()


def test_the_words_that_the_model_reads_as_the_same_become_boxes(server, page):
    shown = page.last("lora_unlearn_concept", "blur", concept="cat")
    assert [label for label, _ in page.props["near"]["choices"]] == ["feline", "kitty", "kitten"]
    assert page.props["near"]["visible"] and shown["near"] == []
    again = page.last("lora_unlearn_ask", concept="cat", near=["kitty"], meant="cat", also="kitten")
    assert again["near"] == ["kitty"]
    assert "kitten" not in [label for label, _ in page.props["near"]["choices"]]
    nothing = page.last("lora_unlearn_ask", concept="sofa", near=["kitty"], meant="cat")
    assert "no word that it reads like sofa" in nothing["named"] and not page.props["near"]["visible"]
    late = page.last("lora_unlearn_ask", concept="bird", near=["kitty"], meant="cat")  # clicked before the boxes went
    assert late["near"] == [] and "kitty" not in [label for label, _ in page.props["near"]["choices"]]
    assert "concept is empty" in page.last("lora_unlearn_ask", concept=" ")["named"]


def test_what_is_ticked_is_erased_along_and_what_belongs_to_other_words_is_not(server, page):
    ticked = {"near": ["kitty", "kitten"], "also": "tabby", "meant": "cat"}
    page.last("lora_unlearn_concept", "blur", concept="cat")
    page.last("lora_unlearn_erase", concept="cat", **ticked, **SHORT)
    made = Adapter.load(max((server.folder / "erasers").glob("cat*.safetensors"), key=lambda p: p.stat().st_mtime_ns))
    assert made.concept.also == ("tabby", "kitty", "kitten")
    page.last("lora_unlearn_ask", concept="sofa")  # the boxes are gone before the click arrives
    page.last("lora_unlearn_erase", concept="bird", **ticked, **SHORT)
    assert Adapter.load(server.folder / "erasers" / "bird.safetensors").concept.also == ("tabby",)


def test_a_prompt_is_tried_beside_the_gate_and_in_the_library(server, page):
    page.last("lora_unlearn_erase", concept="fish", **SHORT)
    answer = page.last("lora_unlearn_try", "submit", **{"try": "two fish <b>& a dog"})["try_answer"]
    assert "Opens because of &quot;fish&quot;" in answer and ">fish</mark>" in answer
    assert "&lt;b&gt;&amp; " in answer and "<b>" not in answer
    assert answer.index("Opens because") < answer.index("<details>") < answer.index("Score ")
    assert "Stays closed" in page.last("lora_unlearn_try_button", **{"try": "a dog"})["try_answer"]
    asked = page.last("lora_unlearn_library_try_button", library_try="a fish", chosen="fish")
    assert "Opens" in asked["library_try_answer"]


def test_the_gate_is_told_of_in_words_and_the_numbers_are_folded(server, page):
    gate = page.last("lora_unlearn_erase", concept="tree", preset="quick", pictures=1)["gate"]
    words, numbers = gate.split("<details>")
    assert "new sentences with tree" in words and "open, erases it" in words
    assert not any(said in words for said in ("score", "threshold", "95 %"))
    assert "from a score of" in numbers and "95 % interval" in numbers


DRAW = {"prompt": "a photo of a cat", "draw_count": 1, "draw_steps": 3, "draw_guidance": 7, "strength": 1}


def test_a_drawing_tells_how_far_it_is_is_stopped_and_takes_older_pictures_off(server, page):
    page.last("lora_unlearn_draw", **DRAW)
    steps = page.do("lora_unlearn_draw", **{**DRAW, "draw_count": 8, "draw_steps": 100})
    assert next(steps)["gallery"] == []
    while "of 800" not in next(steps)["draw_note"]:
        pass
    assert "one drawing at a time" in next(Page(server.address).do("lora_unlearn_draw", **DRAW))["draw_note"]
    Page(server.address).last("lora_unlearn_draw_stop")
    *_, last = steps
    assert "Stopped" in last["draw_note"] and len(last["gallery"]) < 8
    assert page.props["draw"]["interactive"] and not page.props["draw_stop"]["interactive"]
    assert len(page.last("lora_unlearn_draw", **DRAW)["gallery"]) == 1


@pytest.mark.parametrize("seed", ["-1", "", None])
def test_no_seed_is_any_seed_and_the_picture_tells_which(server, page, seed):
    told = [page.last("lora_unlearn_draw", **DRAW, draw_seed=seed)["gallery"][0]["caption"] for _ in range(2)]
    assert told[0] != told[1] and told[0].startswith("seed ")
    again = page.last("lora_unlearn_draw", **DRAW, draw_seed=told[0].removeprefix("seed "))
    assert again["gallery"][0]["caption"] == told[0]


def test_deleting_asks_first_selects_nothing_after_and_can_be_undone(server, page):
    page.last("lora_unlearn_erase", concept="deer", preset="quick", pictures=0)
    page.last("lora_unlearn_erase", concept="bear", preset="quick", pictures=0)
    path = server.folder / "erasers" / "deer.safetensors"
    content = path.read_bytes()
    asked = page.last("lora_unlearn_delete", chosen="deer")
    assert "Delete the eraser &#x27;deer&#x27;?" in asked["library_note"] and path.is_file()
    assert page.props["deleting"]["visible"]
    page.last("lora_unlearn_delete_no")
    assert not page.props["deleting"]["visible"] and "No eraser is selected" in str(
        page.last("lora_unlearn_delete_yes")
    )
    page.last("lora_unlearn_delete", chosen="deer")
    gone = page.last("lora_unlearn_delete_yes")
    assert "Deleted" in gone["library_note"] and not path.exists() and page.props["chosen"]["value"] is None
    assert page.props["undo"]["visible"] and not page.props["deleting"]["visible"]
    assert "is back" in page.last("lora_unlearn_undo")["library_note"]
    assert path.read_bytes() == content and page.props["chosen"]["value"] == "deer"
    assert not page.props["undo"]["visible"]


def test_erasers_are_merged_by_the_method_that_is_chosen(server, page):
    for concept in ("frog", "truck"):
        page.last("lora_unlearn_erase", concept=concept, preset="quick", pictures=0)
    page.last("lora_unlearn_rename", chosen=None)  # the list as it is now
    for method in (None, "negmerge"):
        fields = {"parts": ["frog", "truck"], "merged": method or "usual"} | (
            {"merge_method": method} if method else {}
        )
        assert "Merged into" in page.last("lora_unlearn_merge", **fields)["merge_note"]
    said = [
        read_metadata(server.folder / "loras" / f"{name}.safetensors")["modelspec.description"]
        for name in ("usual", "negmerge")
    ]
    assert [text.split()[-1] for text in said] == ["stack.", "negmerge."]


def test_what_failed_is_told_once(server):
    fields = {"concept": "cat", "false_open_rate": "0.001", "pictures": 0, "previews": False}
    asked = Page(server.address)
    assert "cannot be promised" in asked.last("lora_unlearn_erase", **fields)["progress"]
    later = Page(server.address)
    assert not later.load()["progress"] and "Type a concept" in later.load()["invitation"]
    assert "progress" not in asked.last("lora_unlearn_erase_page", "select")  # which leaves there what there was


def test_a_page_that_is_loaded_in_the_middle_of_a_training_shows_what_is_erased(server, page):
    given = {**LONG, "also": "puppy", "keep": "wolf", "preset": "balanced", "own": "my own words"}
    watching = page.do("lora_unlearn_erase", concept="dog", **given)
    while "3 of" not in (told := next(watching).get("progress", "")) or LEARNING not in told:
        pass
    again = Page(server.address)
    shown = again.load(steps=1)
    assert (shown["concept"], shown["also"], shown["keep"], shown["preset"]) == ("dog", "puppy", "wolf", "balanced")
    assert (shown["iterations"], shown["learning_rate"], shown["rank"]) == ("5000", "1e-05", "")
    assert not shown.get("own")
    Page(server.address).last("lora_unlearn_stop")
    *_, _ = watching


def test_several_things_in_one_field_are_said_to_be_one_phrase_beside_it(server, page):
    told = page.last("lora_unlearn_keep", "blur", concept="cat, dog", keep="wolf and fox")
    assert "&quot;cat, dog&quot; is taken as one phrase" in told["notice"] and "wolf" not in told["notice"]
    assert "&quot;wolf and fox&quot; is taken as one phrase" in told["further_notice"]
    told = page.last("lora_unlearn_keep", "blur", concept="cat", keep="wolf, fox")
    assert not told["notice"] and not told["further_notice"]


def test_a_second_page_is_told_that_one_training_is_enough_and_a_third_watches(server, page):
    watching = page.do("lora_unlearn_erase", concept="penguin", **LONG)
    while "3 of" not in (told := next(watching).get("progress", "")) or LEARNING not in told:
        pass
    second = Page(server.address).do("lora_unlearn_erase", concept="bird", **SHORT)
    assert "one training at a time is enough" in next(second)["note"]
    third = Page(server.address)
    attached = third.do("lora_unlearn_erase_page", "select")
    assert "Erasing penguin" in next(attached)["progress"]
    Page(server.address).last("lora_unlearn_stop")
    *_, end = watching
    assert "Stopped after" in end["progress"] and end["resume"] == "Resume penguin"
    assert Adapter.load(server.folder / "erasers" / "penguin.safetensors").partial
    second.close()
    attached.close()


@pytest.mark.parametrize(
    ("button", "fields", "said"),
    [
        ("erase", {"concept": "cat", "also": "kitten", "keep": "kitten"}, "to be erased and to be kept"),
        ("erase", {"concept": "cat", "own": "a\x01b"}, "no text but binary data"),
        ("erase", {"concept": "cat", "own": "cats"}, "asks for cat itself"),
        ("erase", {"concept": "cat", "false_open_rate": "2"}, "share of mistakes must be a number"),
        ("try_button", {"try": " "}, "The prompt is empty"),
        ("library_try_button", {"library_try": "a cat", "chosen": "gone"}, "any more"),
        ("library_try_button", {"library_try": "a cat", "chosen": "../cat"}, "can&#x27;t be a file name"),
        ("erase", {"concept": "  "}, "The concept is empty"),
        ("erase", {"concept": "cat", "rank": "9999"}, "rank must be a number from 1 to 128"),
        ("export", {"export_name": "../../evil"}, "can&#x27;t be a file name"),
        ("rename", {"chosen": "../../etc/passwd", "new_name": "x"}, "can&#x27;t be a file name"),
        ("rename", {"chosen": "gone", "new_name": "x"}, "no eraser &#x27;gone&#x27; any more"),
        ("delete", {"chosen": None}, "No eraser is selected"),
        ("delete", {"chosen": "/etc/passwd"}, "can&#x27;t be a file name"),
        ("show", {"chosen": "..\\cat"}, "can&#x27;t be a file name"),
        ("calibrate", {"chosen": "gone"}, "any more"),
        ("library_export", {"chosen": "gone"}, "any more"),
        ("merge", {"parts": []}, "at least two"),
        ("merge", {"parts": [], "method": "negmerge"}, "at least two"),
        ("merge", {"parts": [], "strengths": "a, b"}, "strengths must be 0 numbers"),
        ("draw", {"prompt": ""}, "The prompt is empty"),
        ("draw", {"prompt": "x", "draw_eraser": "gone"}, "any more"),
        ("draw", {"prompt": "x", "draw_eraser": "../cat"}, "can&#x27;t be a file name"),
        ("draw", {"prompt": "x", "draw_seed": "-2"}, "seed must be a number from -1"),
        ("draw", {"prompt": "x", "draw_seed": "1.5"}, "seed must be a whole number"),
        ("draw", {"prompt": "x", "draw_seed": "9" * 400}, "seed must be a number"),
        ("draw", {"prompt": "x", "draw_eraser": "x" * 300}, "is too long"),
        ("rename", {"chosen": "x" * 300, "new_name": "y"}, "is too long"),
        ("rename", {"chosen": "cat", "new_name": "y" * 300}, "is too long"),
        ("export", {"export_name": "y" * 300}, "is too long"),
        ("python_export", {"chosen": "gone", "library_format": "peft"}, "any more"),
        ("delete_yes", {}, "No eraser is selected"),
        ("undo", {}, "in the trash any more"),
        ("draw", {"prompt": "x" * 5000}, "4000 characters"),
    ],
)
def test_bad_input_is_a_sentence_on_the_page(server, page, button, fields, said):
    if button == "export":
        page.last("lora_unlearn_erase", concept="cat", **SHORT)
    outputs = page.last(f"lora_unlearn_{button}", **fields)
    assert any(said in str(value) for value in outputs.values()), outputs
    assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/file=/etc/passwd",
        "/gradio_api/file=../../../../etc/passwd",
        "/gradio_api/file=%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/gradio_api/file={folder}/erasers/cat.safetensors",
        "/gradio_api/file={folder}/log.txt",
        "/gradio_api/file=pyproject.toml",
        "/static/../../../../etc/passwd",
        "/assets/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/gradio_api/file=http://example.org/",
    ],
)
def test_no_route_hands_out_a_file(server, path):
    answer = httpx.get(server.address + path.format(folder=server.folder))
    assert answer.status_code in (403, 404, 422), answer.text[:200]
    assert "root:" not in answer.text


def test_nothing_can_be_uploaded(server):
    answer = httpx.post(f"{server.address}/gradio_api/upload", files={"files": ("big.bin", b"x" * 100_000)})
    assert answer.status_code >= 400


def test_the_page_refers_to_no_other_server(server):
    answer = httpx.get(server.address)
    loaded = [part for part in answer.text.split("<") if part.startswith(("script", "link", "img", "iframe"))]
    assert loaded and not [part for part in loaded if "//" in part.split(">")[0] and "127.0.0.1" not in part]
    assert "default-src 'self'" in answer.headers["content-security-policy"]


def test_another_sites_page_gets_nothing(server):
    assert httpx.get(server.address, headers={"Host": "evil.example"}).status_code == 421
    assert httpx.get(f"{server.address}/config", headers={"Host": "evil.example:80"}).status_code == 421
    body = {"data": [], "fn_index": 0, "session_hash": "x"}
    for origin in ("http://evil.example", "http://127.0.0.1:1", "null"):
        answer = httpx.post(f"{server.address}/gradio_api/queue/join", json=body, headers={"Origin": origin})
        assert answer.status_code == 421
    own = httpx.post(f"{server.address}/gradio_api/queue/join", json=body, headers={"Origin": server.address})
    assert own.status_code == 200


@pytest.mark.parametrize("path", ["call/_delete", "run/_delete", "api/_delete", "run/predict", "call/v2/begin"])
def test_no_action_has_a_name_to_call(server, path):
    answer = httpx.post(f"{server.address}/gradio_api/{path}", json={"data": ["cat"]})
    assert answer.status_code == 404 and "event_id" not in answer.text


@pytest.mark.slow
def test_an_interrupt_keeps_the_training_and_a_restart_goes_on_with_it(tmp_path):
    server = Server(tmp_path).wait()
    try:
        page = Page(server.address)
        for step in page.do("lora_unlearn_erase", concept="cat", **LONG):
            if LEARNING in step.get("progress", "") and "3 of" in step["progress"]:
                break
        time.sleep(1)
        assert server.end(signal.SIGINT) in (0, 130)
        assert "Traceback" not in server.log.read_text()
        begun = Adapter.load(tmp_path / "erasers" / "cat.safetensors")
        assert begun.partial and begun.iterations > 0
        server = Server(tmp_path).wait()
        page = Page(server.address)
        watching = page.do("lora_unlearn_resume", **SHORT)
        while "3 of" not in (told := next(watching).get("progress", "")) or LEARNING not in told:
            pass
        Page(server.address).last("lora_unlearn_stop")
        *_, _ = watching
        assert Adapter.load(tmp_path / "erasers" / "cat.safetensors").iterations > begun.iterations
    finally:
        server.close()


@pytest.mark.slow
def test_a_password_keeps_others_out(tmp_path):
    server = Server(tmp_path, "--host", "0.0.0.0", "--password", "long enough").wait()
    try:
        for path in ("/config", "/gradio_api/file=/etc/passwd", "/gradio_api/info"):
            assert httpx.get(server.address + path).status_code in (401, 403, 404)
        wrong = httpx.post(f"{server.address}/login", data={"username": "me", "password": "wrong"})
        assert wrong.status_code == 400
        right = {"username": "me", "password": "long enough"}
        with httpx.Client(base_url=server.address) as client:
            assert client.post("/login", data=right).status_code == 200
            assert client.get("/config").status_code == 200
        foreign = {"Origin": "http://localhost:1234"}
        answer = httpx.post(f"{server.address}/login", data=right, headers=foreign)
        assert answer.status_code == 421 and "access-control-allow-origin" not in answer.headers
        tried = [httpx.post(f"{server.address}/login", data={"username": "me", "password": "no"}) for _ in range(20)]
        assert [answer.status_code for answer in tried] == [400] * 5 + [429] * 15
        assert "wrong passwords" in tried[-1].text and int(tried[-1].headers["retry-after"]) > 20
        assert httpx.post(f"{server.address}/login/", data=right).status_code == 429
        assert "long enough" not in server.log.read_text()
    finally:
        server.close()


@pytest.mark.skipif(os.name != "posix", reason="needs /dev/null as a folder that is none")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--host", "0.0.0.0"], "a password is needed"),
        (["--host", "192.168.0.9"], "a password is needed"),
        (["--host", "example.org"], "a password is needed"),
        (["--password", "short"], "use at least 8"),
        (["--folder", "/dev/null/x"], "no folder to write to"),
        (["--port", "99999"], "from 1 to 65535"),
        (["--checkpoint", "nowhere.safetensors"], "does not exist"),
    ],
)
def test_the_command_refuses_in_a_sentence(capsys, words, said, tmp_path, monkeypatch):
    from lora_unlearn.cli import main

    monkeypatch.delenv("LORA_UNLEARN_PASSWORD", raising=False)
    given = words if "--folder" in words else [*words, "--folder", str(tmp_path)]
    assert main(["ui", *given]) == 1
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1


@pytest.mark.slow
def test_a_taken_port_is_a_sentence(server, tmp_path):
    second = Server(tmp_path, "--port", str(server.port))
    try:
        assert second.process.wait(180) == 1
        said = second.log.read_text().splitlines()[-1]
        assert str(server.port) in said and "--port" in said
    finally:
        second.close()


def test_without_gradio_the_command_says_what_to_install(capsys, monkeypatch):
    from lora_unlearn.cli import main
    from lora_unlearn.commands import ui

    monkeypatch.setattr(ui.util, "find_spec", lambda name: None)
    assert main(["ui"]) == 1
    assert "pip install 'lora-unlearn[ui]'" in capsys.readouterr().err
