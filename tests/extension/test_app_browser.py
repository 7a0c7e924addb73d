"""The tab in headless Chromium: in the app, and inside another page with every gradio that a web UI has.

Needs selenium, Chromium and its driver. GRADIO_PYTHONS names further interpreters (separated as in PATH), each with
another gradio, for example 3.41.2 and 4.40.0. Pictures of the pages go to the folder in SCREENSHOTS.
"""

import json
import os
import shutil
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("gradio")
pytest.importorskip("selenium")

from app_server import Server
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By

from lora_unlearn import Adapter

pytestmark = pytest.mark.browser
PYTHONS = [sys.executable, *filter(None, os.environ.get("GRADIO_PYTHONS", "").split(os.pathsep))]
SHOTS = os.environ.get("SCREENSHOTS")
WIDE, NARROW, LAPTOP = 1280, 400, (1366, 768)
PATIENCE = 400.0
"""Seconds that a busy machine may take."""


class Browser:
    """One page in Chromium."""

    def __init__(self, width=WIDE):
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
        for word in (
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            f"--window-size={width},1000",
        ):
            options.add_argument(word)
        options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
        self.width = width
        self.resize(1000)

    def resize(self, height):
        size = {"width": self.width, "height": height, "deviceScaleFactor": 1, "mobile": self.width <= NARROW}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def find(self, name, inner=""):
        return self.driver.find_element(By.CSS_SELECTOR, f"#lora_unlearn_{name} {inner}".strip())

    def text(self, name):
        try:
            return self.find(name).text
        except WebDriverException:
            return ""

    def until(self, check, seconds=PATIENCE):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if found := check():
                    return found
            except WebDriverException:
                pass
            time.sleep(0.2)
        raise AssertionError(self.driver.find_element(By.TAG_NAME, "body").text)

    def type(self, name, words):
        self.until(lambda: self.find(name, ":is(input, textarea)").is_displayed())
        field = self.find(name, ":is(input, textarea)")
        field.clear()
        field.send_keys(words)

    def press(self, name):
        def pressed():
            button = self.driver.find_element(
                By.CSS_SELECTOR, f"button#lora_unlearn_{name}, #lora_unlearn_{name} button"
            )
            button.click()  # and may be gone by now
            return True

        self.until(pressed)

    def choose(self, name, label):
        """Click one of a radio's labels."""
        self.until(lambda: self.find(name, f"label:has(input[value={label}])").click() or True)

    def tab(self, name):
        def opened():
            buttons = self.driver.find_elements(By.TAG_NAME, "button")
            next(button for button in buttons if button.text.strip() == name and button.is_displayed()).click()
            return True

        self.until(lambda: any(b.text.strip() == name for b in self.driver.find_elements(By.TAG_NAME, "button")))
        self.until(opened)

    def shot(self, name):
        """Keep a picture of the whole page, where pictures are kept."""
        if SHOTS:
            time.sleep(1)
            self.resize(min(4000, self.driver.execute_script("return document.documentElement.scrollHeight")))
            time.sleep(0.5)
            Path(SHOTS).mkdir(parents=True, exist_ok=True)
            self.driver.save_screenshot(str(Path(SHOTS) / f"{name}.png"))
            self.resize(1000)

    def view(self, name, at):
        """Keep a picture of the window as it is, with a part of the page at its top, where pictures are kept."""
        if SHOTS:
            self.driver.execute_script("arguments[0].scrollIntoView({block: 'start'})", self.find(at))
            time.sleep(1)
            Path(SHOTS).mkdir(parents=True, exist_ok=True)
            self.driver.save_screenshot(str(Path(SHOTS) / f"{name}.png"))

    def asked(self):
        """Every address that was asked for so far."""
        events = (json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance"))
        sent = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
        return [address for address in sent if not address.startswith(("data:", "blob:"))]

    def too_wide(self):
        """By how many pixels the page is wider than its window."""
        return self.driver.execute_script("return document.documentElement.scrollWidth - window.innerWidth")


@pytest.fixture
def browser():
    opened = []

    def start(address, **options):
        found = Browser(**options)
        opened.append(found)
        found.driver.get(address)
        return found

    yield start
    for found in opened:
        found.driver.quit()


@pytest.fixture
def serve(tmp_path):
    running = []

    def start(*words, **options):
        running.append(Server(tmp_path, *words, **options))
        return running[-1].wait()

    yield start
    for server in running:
        server.close()


@pytest.mark.parametrize("python", PYTHONS, ids=lambda path: path.removeprefix("/").replace("/", "-"))
def test_the_tab_inside_another_page(browser, serve, python, tmp_path):
    """Erase, reload in the middle, stop, resume, export, look at the library."""
    server = serve(start=(python, str(Path(__file__).with_name("nested_tab.py")), str(tmp_path)))
    name = Path(python).parents[1].name
    page = browser(server.address)
    page.tab("Erase concept")
    page.type("concept", "cat")
    page.choose("preset", "balanced")
    page.press("erase")
    page.until(lambda: "redirected" in page.text("course"))
    page.driver.refresh()
    page.tab("Erase concept")
    page.until(lambda: "Erasing cat" in page.text("progress"))
    page.until(lambda: page.find("concept", ":is(input, textarea)").get_property("value") == "cat")
    page.until(lambda: "On the way" in page.text("course"))
    page.shot(f"{name}-training")
    page.press("stop")
    page.until(lambda: "Stopped after" in page.text("progress"))
    assert Adapter.load(tmp_path / "erasers" / "cat.safetensors").partial
    page.until(lambda: "Resume cat" in page.text("resume"))
    page.press("resume")
    page.until(lambda: "Done" in page.text("progress"))
    assert "Switch it on under txt2img." in page.text("progress")
    assert "byte for byte" in page.text("sheet") and "closed, changes nothing" in page.text("gate")
    assert "score" not in page.text("gate")
    assert not Adapter.load(tmp_path / "erasers" / "cat.safetensors").partial
    page.shot(f"{name}-done")
    page.press("export")
    page.until(lambda: "erase cat.safetensors" in page.text("exported"))
    assert (tmp_path / "loras" / "erase cat.safetensors").is_file()
    page.tab("My erasers")
    page.until(lambda: "erases cat" in page.text("table"))
    page.type("new_name", "feline")
    page.press("rename")
    page.until(lambda: "feline" in page.text("table"))
    page.shot(f"{name}-library")
    page.press("delete")
    page.until(lambda: "Delete the eraser" in page.text("library_note"))
    page.shot(f"{name}-delete")
    page.press("delete_yes")
    page.until(lambda: "no erasers yet" in page.text("table"))
    assert (tmp_path / "erasers" / "trash" / "feline.safetensors").is_file()
    page.tab("Help")
    assert not server.faults()


@pytest.mark.parametrize("python", PYTHONS, ids=lambda path: path.removeprefix("/").replace("/", "-"))
def test_words_are_ticked_and_a_prompt_is_tried(browser, serve, python, tmp_path):
    """What an artist does who never heard of a gate, on a small laptop's screen."""
    server = serve(start=(python, str(Path(__file__).with_name("nested_tab.py")), str(tmp_path)))
    name = Path(python).parents[1].name
    page = browser(server.address, width=LAPTOP[0])
    page.resize(LAPTOP[1])
    page.tab("Erase concept")
    page.type("concept", "cat")
    page.find("keep", ":is(input, textarea)").click()  # leaves the field
    page.until(lambda: "kitten" in page.text("near"))
    for word in ("kitty", "kitten"):
        page.find("near", f"label:has(input[name={word}], input[value={word}])").click()
    page.view(f"{name}-ticked", "concept")
    page.choose("preset", "quick")
    page.press("erase")
    page.until(lambda: "Done" in page.text("progress"))
    assert Adapter.load(tmp_path / "erasers" / "cat.safetensors").concept.also == ("kitty", "kitten")
    page.type("try", "a kitten on a sofa\n")
    page.until(lambda: 'Opens because of "kitten"' in page.text("try_answer"))
    assert page.find("try_answer", "mark").text == "kitten"
    assert "Score" not in page.text("try_answer")
    page.view(f"{name}-opens", "gate")
    page.find("try_answer", "summary").click()
    page.until(lambda: "Score" in page.text("try_answer"))
    page.type("try", "<i>a dog</i> & a tree")
    page.press("try_button")
    page.until(lambda: "Stays closed" in page.text("try_answer") and "<i>a dog</i> & a tree" in page.text("try_answer"))
    page.view(f"{name}-closed", "gate")
    page.find("advanced", ".label-wrap").click()
    page.type("own", "my cat\nCATS")
    page.press("erase")
    page.until(lambda: "asks for cat itself" in page.text("note"))
    page.view(f"{name}-advanced", "own")
    page.type("own", "a dog on a sofa")
    page.type("concept", "sofa")
    page.press("ask")
    page.until(lambda: "no word that it reads like sofa" in page.text("named"))
    page.type("concept", "bird")
    page.press("erase")
    page.until(lambda: (tmp_path / "erasers" / "bird.safetensors").is_file() and "Done" in page.text("progress"))
    assert Adapter.load(tmp_path / "erasers" / "bird.safetensors").concept.also == ()
    page.tab("My erasers")
    page.type("library_try", "a bird\n")
    page.until(lambda: "Opens" in page.text("library_try_answer"))
    page.view(f"{name}-library-try", "library_try_row")
    assert page.too_wide() <= 0
    assert not server.faults()


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_the_app_from_first_look_to_a_picture(browser, serve, width, tmp_path):
    server = serve()
    page = browser(server.address, width=width)
    page.until(lambda: "Type a concept" in page.text("invitation"))
    page.until(lambda: "a few seconds" in page.text("estimate"))  # by the preset that is chosen already
    page.shot(f"app-{width}-start")
    page.press("erase")
    page.until(lambda: "The concept is empty" in page.text("note"))
    page.type("concept", "cat")
    page.press("erase")
    page.until(lambda: "Done" in page.text("progress"))
    page.shot(f"app-{width}-done")
    assert page.too_wide() <= 0
    page.tab("Draw")
    page.type("draw_eraser", "cat")
    page.until(lambda: [o for o in page.driver.find_elements(By.CSS_SELECTOR, "[role=option]") if o.text == "cat"])
    next(o for o in page.driver.find_elements(By.CSS_SELECTOR, "[role=option]") if o.text == "cat").click()
    page.press("draw")
    page.until(lambda: "open, erases it" in page.text("decided"))
    page.until(lambda: page.find("gallery", "img").get_attribute("naturalWidth") == "128")
    page.until(lambda: "picture 2" in page.text("decided"))
    assert "with * for any letters" in page.text("draw_eraser")
    page.shot(f"app-{width}-draw")
    assert page.too_wide() <= 0
    assert {address.split("/")[2] for address in page.asked()} == {server.address.split("/")[2]}
    complaints = [entry for entry in page.driver.get_log("browser") if entry["level"] == "SEVERE"]
    assert not complaints
    assert not server.faults()


ACCORDIONS = {"measure": "advanced", "python_export": "python", "merge": "merging"}
BUTTONS = {
    "Erase": {"erase": ("note", "concept is empty"), "measure": ("measured", "Measured: such a training")},
    "Draw": {"draw": ("draw_note", "prompt is empty")},
    "My erasers": {
        **dict.fromkeys(("show", "calibrate", "resume_chosen", "delete"), ("library_note", "No eraser is selected")),
        **dict.fromkeys(("rename", "library_export"), ("library_written", "No eraser is selected")),
        "python_export": ("python_written", "No eraser is selected"),
        "merge": ("merge_note", "at least two"),
        "library_try_button": ("library_try_answer", "The prompt is empty"),
    },
}
"""The buttons of each page, where they say something and what."""
CENTRED = "arguments[0].scrollIntoView({block: 'center'}); return true"
EDGES = "const box = arguments[0].getBoundingClientRect(); return [box.top, box.bottom]"


def test_what_a_button_says_is_on_a_laptops_screen(browser, serve):
    server = serve()
    page = browser(server.address, width=LAPTOP[0])
    page.resize(LAPTOP[1])
    page.until(lambda: "Type a concept" in page.text("invitation"))

    def seen(button, place):
        (top, bottom), (first, last) = (page.driver.execute_script(EDGES, page.find(name)) for name in (button, place))
        assert 0 <= first < last <= LAPTOP[1], (button, top, bottom, first, last)
        assert first - bottom < 150, f"{place} is far from {button}"

    for name, buttons in BUTTONS.items():
        if name != "Erase":  # which is open
            page.tab(name)
        for button, (place, said) in buttons.items():
            if button in ACCORDIONS:
                page.until(lambda button=button: page.find(ACCORDIONS[button], ".label-wrap").click() or True)
            if button == "draw":
                page.type("prompt", " ")
            page.until(lambda button=button: page.driver.execute_script(CENTRED, page.find(button)))
            page.press(button)
            page.until(lambda place=place, said=said: said in page.text(place))
            seen(button, place)
    page.driver.get(server.address)
    page.type("concept", "cat")
    page.choose("preset", "quick")
    page.press("erase")
    page.until(lambda: "Done" in page.text("progress"))
    seen("erase", "progress")
    page.view("app-laptop-done", "erase_row")


def test_two_windows_and_one_training(browser, serve):
    server = serve()
    first, second = browser(server.address), browser(server.address)
    first.until(lambda: "Type a concept" in first.text("invitation"))
    second.until(lambda: "Type a concept" in second.text("invitation"))
    first.type("concept", "cat")
    second.type("concept", "dog")
    first.choose("preset", "balanced")
    first.press("erase")
    first.until(lambda: "Erasing cat" in first.text("progress"))
    second.press("erase")
    second.until(lambda: "one training at a time is enough" in second.text("note"))
    second.until(lambda: "Erasing cat" in second.text("progress"))
    second.press("stop")
    for page in (first, second):
        page.until(lambda page=page: "Stopped" in page.text("progress"))
