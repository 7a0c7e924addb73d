"""The page as a person uses it: the tab, a training with its progress, the sheet, the export, the accordion."""

from __future__ import annotations

import os
import time
from pathlib import Path
from shutil import which

import pytest
from webui_server import KINDS, Server, furnish, visible

from lora_unlearn import Adapter

webdriver = pytest.importorskip("selenium.webdriver", reason="the pages are driven by selenium")

pytestmark = [pytest.mark.browser, pytest.mark.webui]

CHROME, DRIVER = which("chromium") or which("google-chrome"), which("chromedriver")
OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1400,1400")
LAPTOP = (1366, 768)
PATIENCE = 600
"""Seconds that anything may take, on a machine with much else to do."""
CAT = "a photo of a cat"
CONCEPT = "#lora_unlearn_concept textarea, #lora_unlearn_concept input"
ENTER = """
arguments[0].dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', code: 'Enter', bubbles: true}))
arguments[0].dispatchEvent(new KeyboardEvent('keypress', {key: 'Enter', code: 'Enter', bubbles: true}))
"""
FIND = """
return [...document.querySelectorAll(arguments[0])]
    .filter(e => e.getClientRects().length && (!arguments[1] || e.textContent.trim() === arguments[1])).pop()
"""
TYPE = """
const box = arguments[0], proto = box.tagName === 'TEXTAREA' ? HTMLTextAreaElement : HTMLInputElement
Object.getOwnPropertyDescriptor(proto.prototype, 'value').set.call(box, arguments[1])
box.dispatchEvent(new Event('input', {bubbles: true})); box.dispatchEvent(new Event('change', {bubbles: true}))
"""
OFFERED = """
arguments[0].blur(); arguments[0].focus()
return [...document.querySelectorAll('ul.options li')].map(e => e.textContent.replace('\u2713', '').trim())
"""


class Page:
    """A web UI's page. Screenshots go to the folder that SCREENSHOTS names."""

    def __init__(self, server, driver):
        self.server, self.driver = server, driver
        driver.get(f"http://127.0.0.1:{server.port}/?__theme=light")
        self.until("#tabs > .tab-nav > button", "Erase concept")
        self.until("#txt2img_generate")
        time.sleep(2)

    def find(self, selector, text=""):
        """The last visible element of that kind with that text."""
        return self.driver.execute_script(FIND, selector, text)

    def until(self, selector, text="", holds=""):
        """Wait for an element, or for a text in it; returns it."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            found = self.find(selector, text)
            if found is not None and holds in (found.text or found.get_attribute("textContent")):
                return found
            time.sleep(0.2)
        self.shoot("failed")
        raise AssertionError(f"waited {PATIENCE} s for {selector} {text} {holds}")

    def click(self, selector, text=""):
        """Click an element once it is there, wherever it is on the page."""
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", self.until(selector, text))
        self.driver.execute_script("arguments[0].click()", self.find(selector, text))

    def type(self, selector, text):
        """Fill a field."""
        self.driver.execute_script(TYPE, self.until(selector), text)

    def open(self, tab):
        """Open one of the page's tabs."""
        self.click("#tabs > .tab-nav > button", tab)
        self.driver.execute_script("window.scrollTo(0, 0)")

    def offers(self, name):
        """Wait until the accordion's list has an eraser in it."""
        field = self.until("[id$='txt2img_erase_concepts_name_1'] input")
        end = time.monotonic() + PATIENCE
        while name not in self.driver.execute_script(OFFERED, field):
            assert time.monotonic() < end, f"{name} is not in the list"
            time.sleep(1)

    def idle(self):
        """Wait until nothing is being drawn."""
        end = time.monotonic() + PATIENCE
        while self.find(".progressDiv, #txt2img_interrupt") is not None and time.monotonic() < end:
            time.sleep(0.2)

    def shoot(self, name):
        """Keep what can be seen."""
        if folder := os.environ.get("SCREENSHOTS"):
            path = Path(folder) / f"{self.server.kind.name}-{name}.png".lower()
            path.parent.mkdir(parents=True, exist_ok=True)
            self.driver.save_screenshot(str(path))


@pytest.fixture(scope="module", params=list(KINDS))
def page(request, tmp_path_factory):
    kind = KINDS[request.param]
    reason = kind.missing() or ("" if CHROME and DRIVER else "there is no chromium with its chromedriver")
    if reason:
        pytest.skip(reason)
    data = tmp_path_factory.mktemp(f"{request.param}-page")
    furnish(data)
    server = Server(kind, data, home=visible(kind.home, data))
    options = webdriver.ChromeOptions()
    options.binary_location = CHROME
    for option in OPTIONS:
        options.add_argument(option)
    driver = None
    try:
        server.wait()
        driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
        yield Page(server, driver)
    finally:
        if driver is not None:
            driver.quit()
        server.stop()


def test_a_concept_is_erased_exported_and_used_by_the_accordion(page):
    page.open("Erase concept")
    page.shoot("tab")
    page.type(CONCEPT, "cat")
    page.click("#lora_unlearn_preset label", "balanced")
    page.click("#lora_unlearn_erase")
    page.until("#lora_unlearn_progress", holds="left")
    page.shoot("progress")
    page.until("#lora_unlearn_note, #lora_unlearn_erase_page", holds="Done:")
    page.shoot("sheet")
    page.click("#lora_unlearn_export")
    page.until("#lora_unlearn_erase_page", holds=".safetensors")
    assert list((page.server.data / "models" / "Lora").glob("*.safetensors"))

    page.open(page.find("#tabs > .tab-nav > button:first-child").text)
    page.type("#txt2img_prompt textarea", "a photo of a cat")
    for name, number in {"width": 128, "height": 128, "cfg_scale": 5, "seed": 1}.items():
        page.type(f"#txt2img_{name} input[type=number]", str(number))
    page.click("#script_txt2img_erase_concepts_enabled .label-wrap")
    page.offers("cat")  # without the button that refreshes the list
    page.type("[id$='txt2img_erase_concepts_name_1'] input", "cat")
    page.driver.execute_script(
        "arguments[0].dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', code: 'Enter', bubbles: true}))",
        page.find("[id$='txt2img_erase_concepts_name_1'] input"),
    )
    page.click("#txt2img_generate")
    page.until("#html_info_txt2img", holds="Eraser 1 decision")
    page.idle()
    page.shoot("accordion")
    assert "open, erases it" in page.find("#html_info_txt2img").text


def test_a_page_that_is_loaded_anew_offers_every_eraser(page):
    folder = page.server.data / "models" / "lora-unlearn"
    first = Page(page.server, page.driver)
    made = max(folder.glob("*.safetensors"), key=lambda path: path.stat().st_mtime)
    (folder / "copied meanwhile.safetensors").write_bytes(made.read_bytes())
    again = Page(page.server, page.driver)
    again.open(first.find("#tabs > .tab-nav > button:first-child").text)
    again.click("#script_txt2img_erase_concepts_enabled .label-wrap")
    again.offers("copied meanwhile")
    again.click("#script_txt2img_erase_concepts_enabled .label-wrap")
    (folder / "copied meanwhile.safetensors").unlink()


EDGES = "const box = arguments[0].getBoundingClientRect(); return [box.top, box.bottom]"


def test_what_a_button_says_is_on_a_laptops_screen(page):
    page.driver.set_window_size(*LAPTOP)
    try:
        page = Page(page.server, page.driver)
        page.open("Erase concept")
        for tab, button, place, said in (
            ("Erase", "erase", "note", "concept is empty"),
            ("My erasers", "rename", "library_written", "new name is empty"),
            ("My erasers", "delete", "library_note", "Delete the eraser"),
            ("My erasers", "delete_no", "table", "erases"),
        ):
            page.click("#lora_unlearn_pages > .tab-nav > button", tab)
            time.sleep(2)
            page.click(f"#lora_unlearn_{button}")
            page.until(f"#lora_unlearn_{place}", holds=said)
            page.shoot(f"laptop-{button}")
            if place != "table":
                top, bottom = page.driver.execute_script(EDGES, page.find(f"#lora_unlearn_{place}"))
                assert 0 <= top < bottom <= page.driver.execute_script("return window.innerHeight"), button
    finally:
        page.driver.set_window_size(1400, 1400)


BLUR = "arguments[0].focus(); arguments[0].blur(); arguments[0].dispatchEvent(new Event('blur'))"
TICK = """
const box = [...document.querySelectorAll('#lora_unlearn_near label')].find(e => e.textContent.trim() === arguments[0])
box.querySelector('input').click()
"""


def test_words_are_ticked_and_a_prompt_is_tried(page):
    page.open("Erase concept")
    page.click("#lora_unlearn_pages > .tab-nav > button", "Erase")
    page.type(CONCEPT, "cat")
    page.driver.execute_script(BLUR, page.find(CONCEPT))
    page.until("#lora_unlearn_near", holds="kitten")
    page.driver.execute_script(TICK, "kitten")
    time.sleep(1)
    page.shoot("ticked")
    page.click("#lora_unlearn_preset input[value=quick]")
    erasers = page.server.data / "models" / "lora-unlearn"
    made, end = set(erasers.glob("cat*.safetensors")), time.monotonic() + PATIENCE
    page.click("#lora_unlearn_erase")
    while not (fresh := set(erasers.glob("cat*.safetensors")) - made):  # an earlier "Done:" may still stand there
        assert time.monotonic() < end
        time.sleep(0.5)
    page.until("#lora_unlearn_progress", holds="Done:")
    assert Adapter.load(fresh.pop()).concept.also == ("kitten",)
    page.type("#lora_unlearn_try textarea, #lora_unlearn_try input", "a kitten on a sofa")
    page.click("#lora_unlearn_try_button")
    page.until("#lora_unlearn_try_answer", holds='Opens because of "kitten"')
    assert page.find("#lora_unlearn_try_answer mark").text == "kitten"
    page.shoot("tried")
    field = page.find("#lora_unlearn_try textarea, #lora_unlearn_try input")
    page.type("#lora_unlearn_try textarea, #lora_unlearn_try input", "a dog")
    page.driver.execute_script(ENTER, field)
    page.until("#lora_unlearn_try_answer", holds="Stays closed")
    assert "Traceback" not in page.server.said()


INFOTEXT = (
    "a photo of a cat\nNegative prompt: ugly\nSteps: 5, Sampler: Euler, Schedule type: Automatic, CFG scale: 4.0, "
    "Seed: 9, Size: 128x128, Model: demo,{} Version: 1.10.1"
)
ERASED = (
    ' Eraser 1: cat, Eraser 1 strength: 0.75, Eraser 1 gate: on, Eraser 1 decision: "open, score 3", '
    "Eraser 2: dog, Eraser 2 strength: 2, Eraser 2 gate: off,"
)
VALUES = """
const at = name => document.querySelector(`[id$='txt2img_erase_concepts_${name}']`)
const slot = n => [at(`name_${n}`).querySelector('input').value, at(`strength_${n}`).querySelector('input').value,
    at(`gate_${n}`).querySelector('input:checked')?.value]
return [document.querySelector('#script_txt2img_erase_concepts_enabled .label-wrap').classList.contains('open'),
    ...slot(1), ...slot(2), ...slot(3)]
"""


def test_the_hosts_paste_button_brings_the_accordion_back(page):
    page.open(page.find("#tabs > .tab-nav > button:first-child").text)

    def pasted(text, expected):
        page.type("#txt2img_prompt textarea", text)
        time.sleep(1)
        page.click("#txt2img_tools #paste")
        end = time.monotonic() + 60
        while (found := page.driver.execute_script(VALUES))[: len(expected)] != expected:
            assert time.monotonic() < end, found
            time.sleep(0.2)
        page.until("#txt2img_prompt textarea")
        if page.server.kind.name != "Forge Neo":  # whose own button skips fields that began without a value
            assert page.driver.execute_script("return arguments[0].value", page.find("#txt2img_prompt textarea")) == CAT

    pasted(INFOTEXT.format(ERASED), [True, "cat", "0.75", "on", "dog", "2", "off", "none", "1", "auto"])
    page.shoot("pasted")
    page.click("#txt2img_generate")
    page.until("#html_info_txt2img", holds="Eraser 1 strength: 0.75, Eraser 1 gate: on")
    assert "Seed: 9" in page.find("#html_info_txt2img").text
    page.idle()
    pasted(INFOTEXT.format(""), [False])


def test_two_pages_watch_one_training_and_a_reload_finds_it_again(page):
    driver, first = page.driver, page.driver.current_window_handle
    page.open("Erase concept")
    page.type(CONCEPT, "dog")
    page.click("#lora_unlearn_preset label", "balanced")
    page.click("#lora_unlearn_advanced .label-wrap")
    page.type("#lora_unlearn_iterations textarea, #lora_unlearn_iterations input", "2000")
    page.type("#lora_unlearn_learning_rate textarea, #lora_unlearn_learning_rate input", "0.00001")
    page.click("#lora_unlearn_erase")
    page.until("#lora_unlearn_progress", holds="Erasing dog")
    try:
        driver.switch_to.new_window("tab")
        second = Page(page.server, driver)
        second.open("Erase concept")
        second.until("#lora_unlearn_progress", holds="Erasing dog")
        assert not second.find("#lora_unlearn_erase").is_enabled()
        second.type(CONCEPT, "car")
        driver.execute_script(ENTER, second.find(CONCEPT))
        second.until("#lora_unlearn_note", holds="one training at a time is enough")
        second.shoot("second-page")
        again = Page(page.server, driver)  # the page loaded anew
        again.open("Erase concept")
        again.until("#lora_unlearn_progress", holds="Erasing dog")
        again.until("#lora_unlearn_course", holds="redirected")
        again.shoot("reloaded")
        again.click("#lora_unlearn_stop")
        again.until("#lora_unlearn_progress", holds="Stopped")
    finally:
        driver.close()
        driver.switch_to.window(first)
    page.until("#lora_unlearn_progress", holds="Stopped")
    assert "Traceback" not in page.server.said()
