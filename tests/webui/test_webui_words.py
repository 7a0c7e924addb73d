"""The model's own synonyms and a prompt that is tried: the routes, and their fields in the tab."""

from __future__ import annotations

import urllib.error
import urllib.request

import pytest
from test_webui_accordion import CAT, DOG, same
from test_webui_training import API, wait_until

pytestmark = pytest.mark.webui


def words(server, kind="near", **fields):
    """What the route suggests of a kind."""
    return [s["word"] for s in server.call(f"{API}/suggest", fields)["suggestions"] if s["kind"] == kind]


def test_the_model_names_its_own_synonyms(server):
    plain, marks = server.draw(CAT), server.call("/test/marks", {})
    found = words(server, concept="cat")
    assert {"kitty", "kitten"} <= set(found)
    assert "kitten" not in words(server, concept="cat", also="kitten")
    assert "kitty" not in words(server, concept="cat", keep="kitty")
    assert len(words(server, concept="cat", count=1)) <= 1
    assert server.call(f"{API}/suggest", {"concept": "sofa"}) == {"suggestions": []}
    assert server.call("/test/marks", {}) == marks
    assert same(plain.pictures, server.draw(CAT).pictures)


def test_a_prompt_is_tried_without_a_picture(server, cat):
    plain, marks = server.draw(DOG), server.call("/test/marks", {})
    opened = server.call(f"{API}/try", {"name": cat, "prompt": "a small cat, on a sofa"})
    assert opened["open"] and opened["word"] == "cat" and opened["said"].startswith('Opens because of "cat"')
    assert "".join(text for text, _ in opened["parts"]) == "a small cat, on a sofa"
    closed = server.call(f"{API}/try", {"name": cat, "prompt": DOG})
    assert not closed["open"] and closed["score"] < closed["threshold"] <= opened["score"]
    decided = server.draw(DOG, True, cat, 1.0, "auto")
    assert 'Eraser 1 decision: "closed, changes nothing"' in decided.infotexts[0]  # in words; numbers are noise there
    assert server.call("/test/marks", {}) == marks
    assert same(plain.pictures, server.draw(DOG).pictures)


def test_neither_waits_for_a_training(server, cat):
    server.call(f"{API}/erase", {"concept": "horse", "preset": "balanced", "iterations": 40})
    assert wait_until(server, "training", 2)["phase"] == "running"
    for route, body in (("suggest", {"concept": "dog"}), ("try", {"name": cat, "prompt": "a dog"})):
        status, answer = server.ask(f"{API}/{route}", body)
        assert status == 400 and "is under way and has the model" in answer["detail"]
    server.call(f"{API}/stop", {})
    server.wait_for_job()
    assert words(server, concept="dog")


def test_prompts_of_ones_own_and_the_bound_reach_the_eraser(server):
    fields = {"concept": "fish", "preset": "quick", "own": "a dog on a sofa\nmy fish\n", "false_open_rate": 0.05}
    name = server.call(f"{API}/erase", fields)["name"]
    assert server.wait_for_job()["phase"] == "done"
    answer = server.call(f"{API}/try", {"name": name, "prompt": "a dog on a sofa"})
    assert not answer["open"]


@pytest.mark.parametrize(
    ("route", "body", "sentence"),
    [
        ("suggest", b"{", "is no JSON"),
        ("suggest", b"{" + b" " * 70000 + b"}", "more than 64 kB"),
        ("suggest", {}, "'concept' is missing"),
        ("suggest", {"concept": ""}, "concept is empty"),
        ("suggest", {"concept": 3}, "must be a string"),
        ("suggest", {"concept": "cat", "count": 0}, "from 1 to 100"),
        ("suggest", {"concept": "cat", "count": True}, "must be a number"),
        ("suggest", {"concept": "embedding:foo"}, "plain words"),
        ("suggest", {"concept": "cat", "path": "/etc"}, "There is no field 'path'"),
        ("try", b"[]", "must be a JSON object"),
        ("try", {"name": "cat"}, "'prompt' is missing"),
        ("try", {"prompt": "cat"}, "'name' is missing"),
        ("try", {"name": "cat", "prompt": " "}, "prompt is empty"),
        ("try", {"name": "cat", "prompt": "x" * 5000}, "4000 characters"),
        ("try", {"name": "../../config", "prompt": "a cat"}, "can't be a file name"),
        ("try", {"name": "/etc/passwd", "prompt": "a cat"}, "can't be a file name"),
        ("try", {"name": "nothing", "prompt": "a cat"}, "There is no eraser 'nothing'"),
        ("erase", {"concept": "cat", "also": "kitten", "keep": "kitten"}, "to be erased and to be kept"),
        ("erase", {"concept": "cat", "own": "cats\na cat"}, "asks for cat itself"),
        ("erase", {"concept": "cat", "own": "a\u0001"}, "binary data"),
        ("erase", {"concept": "cat", "false_open_rate": 0.5}, "share of mistakes must be a number"),
        ("erase", {"concept": "cat", "look": "twice"}, "can't be decided by 'twice'"),
    ],
)
def test_bad_requests_get_one_sentence(server, cat, route, body, sentence):
    before = server.tracebacks()
    status, answer = server.ask(f"{API}/{route}", body)
    assert status == 400 and sentence in answer["detail"]
    assert answer["detail"].count(". ") == 0
    assert server.tracebacks() == before
    assert server.call(f"{API}/status")["phase"] != "running"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "application/json", "Origin": "http://evil.example"}, 403),
        ({"Content-Type": "text/plain", "Origin": "http://evil.example"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/json"}, 400),
    ],
    ids=["foreign page", "foreign page without leave", "no JSON", "a program"],
)
def test_pages_of_other_sites_are_turned_away(server, headers, status):
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}{API}/suggest", b"{}", headers)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=60)
    assert refused.value.code == status


def test_the_tab_and_the_routes_are_there(server):
    shown = {component["props"].get("elem_id") for component in server.call("/config")["components"]}
    names = ("concept", "ask", "near", "neighbours", "own", "false_open_rate", "look", "try", "library_try")
    assert {f"lora_unlearn_{name}" for name in names} <= shown
    described = server.call("/openapi.json")["paths"]
    assert {f"{API}/suggest", f"{API}/try"} <= set(described)
