"""The page as a person uses it: the tab, a training with its progress, the sheet, the export, the accordion."""

from __future__ import annotations

import os
import time
from pathlib import Path
from shutil import which

import pytest
from webui_server import KINDS, Server, furnish, visible

webdriver = pytest.importorskip("selenium.webdriver", reason="the pages are driven by selenium")

pytestmark = [pytest.mark.browser, pytest.mark.webui]

CHROME, DRIVER = which("chromium") or which("google-chrome"), which("chromedriver")
OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1400,1400")
PATIENCE = 600
"""Seconds that anything may take, on a machine with much else to do."""
FIND = """
return [...document.querySelectorAll(arguments[0])]
    .filter(e => e.getClientRects().length && (!arguments[1] || e.textContent.trim() === arguments[1])).pop()
"""
TYPE = """
const box = arguments[0], proto = box.tagName === 'TEXTAREA' ? HTMLTextAreaElement : HTMLInputElement
Object.getOwnPropertyDescriptor(proto.prototype, 'value').set.call(box, arguments[1])
box.dispatchEvent(new Event('input', {bubbles: true})); box.dispatchEvent(new Event('change', {bubbles: true}))
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
    page.type("#lora_unlearn_concept textarea, #lora_unlearn_concept input", "cat")
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
    page.click("[id$='erase_concepts_refresh_1']")
    time.sleep(1)
    page.type("[id$='txt2img_erase_concepts_name_1'] input", "cat")
    page.driver.execute_script(
        "arguments[0].dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', code: 'Enter', bubbles: true}))",
        page.find("[id$='txt2img_erase_concepts_name_1'] input"),
    )
    page.click("#txt2img_generate")
    page.until("#html_info_txt2img", holds="Eraser 1 decision")
    page.idle()
    page.shoot("accordion")
    assert "open, score" in page.find("#html_info_txt2img").text
