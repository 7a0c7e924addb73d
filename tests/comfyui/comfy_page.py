"""ComfyUI's own page in a headless Chromium, used as a person would: menus, double clicks, the Run button."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import Any

from comfy_server import Live
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

CHROME, DRIVER = which("chromium") or which("google-chrome"), which("chromedriver")
PATIENCE = 240
"""Seconds that anything on the page may take, on a machine with much else to do."""
OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1600,1000")
READY = "return !!(window.app && app.graph && app.extensionManager && document.querySelector('#graph-canvas'))"
FIND = """
return [...document.querySelectorAll(arguments[0])]
    .filter(e => e.getClientRects().length && (!arguments[1] || e.textContent.trim() === arguments[1])).pop()
"""
SEARCH = ".comfy-vue-node-search-container input, [role=dialog] input[role=combobox]"
"""The box that a double click on the canvas opens, on older and on newer pages."""
SETTINGS = {
    "Comfy.TutorialCompleted": True,
    "Comfy.Locale": "en",
    "Comfy.Minimap.Visible": False,
    "Comfy.Graph.CanvasInfo": False,
}


class Page:
    """The page of a running server.

    Attributes:
        pictures: where screenshots go; None: nowhere.
    """

    def __init__(self, live: Live, driver: webdriver.Chrome) -> None:
        self.live, self.driver = live, driver
        folder = os.environ.get("SCREENSHOTS")
        self.pictures = Path(folder) if folder else None
        for name, value in SETTINGS.items():
            live.post(f"/api/settings/{name}", value)

    def open(self) -> None:
        """Load the page."""
        self.driver.get(self.live.address)
        self.until(lambda: self.driver.execute_script(READY))
        time.sleep(2)  # what it shows at its first visit comes late

    def until(self, true: Callable[[], Any], what: str = "something on the page") -> Any:
        """Wait for something and return it; anything false, and elements that vanish meanwhile, count as not yet."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                if found := true():
                    return found
            except WebDriverException:
                pass
            time.sleep(0.1)
        self.shoot("failed")
        raise AssertionError(f"waited {PATIENCE} s for {what}")

    def command(self, name: str) -> None:
        """Do what a menu's entry does."""
        self.driver.execute_script("app.extensionManager.command.execute(arguments[0])", name)

    def find(self, selector: str, text: str = "") -> Any:
        """The last visible element of that kind with that text; None if there is none."""
        return self.driver.execute_script(FIND, selector, text)

    def click(self, selector: str, text: str = "") -> None:
        """Click it once it is there."""
        self.until(lambda: self.find(selector, text), f"{selector} {text}").click()

    def template(self, name: str) -> None:
        """Open one of the pack's workflows from the template browser."""
        self.command("Comfy.BrowseTemplates")
        self.click("[role=dialog] *", "lora-unlearn")
        self.until(lambda: self.find(f"[data-testid$='{name}']"), name).click()
        self.until(lambda: not self.find("[role=dialog]") and self.nodes(), "the workflow")
        time.sleep(1)

    def search(self, words: str) -> list[str]:
        """What a double click on the canvas and some words find: names of nodes."""
        canvas = self.driver.find_element(By.ID, "graph-canvas")
        ActionChains(self.driver).move_to_element_with_offset(canvas, -200, 300).double_click().perform()
        box = self.until(lambda: self.find(SEARCH), "the search box")
        box.send_keys(words)
        time.sleep(1.5)
        found = self.driver.find_elements(By.CSS_SELECTOR, "[role=option]")
        return [each.text.split("\n")[0].strip() for each in found if each.text]

    def choose(self) -> None:
        """Take the first of what the search has found."""
        self.driver.switch_to.active_element.send_keys(Keys.ENTER)
        self.until(lambda: not self.find(SEARCH), "the search box to close")

    def nodes(self) -> list[dict[str, Any]]:
        """Every node on the canvas: type, how far its bar is, and its widgets' values by name."""
        return self.driver.execute_script(
            "return app.graph._nodes.map(n => ({id: n.id, type: n.type, title: n.title, progress: n.progress,"
            " values: Object.fromEntries((n.widgets || []).map(w => [w.name, w.value])),"
            " pictures: (n.imgs || []).length}))"
        )

    def node(self, kind: str) -> dict[str, Any]:
        """The first node of a type."""
        return next(node for node in self.nodes() if node["type"] == kind)

    def element(self, title: str) -> Any:
        """A node that the page draws as an element (Nodes 2.0); None while there is none."""
        nodes = self.driver.find_elements(By.CSS_SELECTOR, "[data-node-id]")
        return next((node for node in nodes if node.text.startswith(title)), None)

    def text_on(self, kind: str) -> str:
        """The text that a node shows below its widgets."""
        return str(self.node(kind)["values"].get("$$node-text-preview") or "")

    def picture_on(self, kind: str) -> list[int] | None:
        """Width and height of the picture that a node shows."""
        return self.driver.execute_script(
            "const shown = (app.graph._nodes.find(n => n.type == arguments[0]).imgs || []).at(-1);"
            "return shown && [shown.naturalWidth, shown.naturalHeight]",
            kind,
        )

    def set(self, kind: str, name: str, value: Any) -> None:
        """Change a widget."""
        self.driver.execute_script(
            "const w = app.graph._nodes.find(n => n.type == arguments[0]).widgets.find(w => w.name == arguments[1]);"
            "w.value = arguments[2]; w.callback?.(arguments[2]); app.graph.setDirtyCanvas(true, true)",
            kind, name, value,
        )  # fmt: skip

    def look_at(self, kind: str) -> None:
        """Bring a node into the middle: nodes out of sight are not drawn."""
        self.driver.execute_script(
            "app.canvas.ds.scale = 0.8; app.canvas.centerOnNode(app.graph._nodes.find(n => n.type == arguments[0]))",
            kind,
        )

    def press_run(self) -> None:
        """Press Run."""
        older = "button[aria-label=Run]"  # newer pages give this label to the arrow beside the button
        self.until(lambda: self.find("button", "Run") or self.find(older), "the button Run").click()

    def finished(self) -> bool:
        """Whether nothing waits or runs."""
        queue = self.live.get("/queue")
        return not queue["queue_running"] and not queue["queue_pending"]

    def shoot(self, name: str) -> None:
        """Keep a picture of the page."""
        if self.pictures:
            self.pictures.mkdir(parents=True, exist_ok=True)
            self.driver.save_screenshot(str(self.pictures / f"{name}.png"))


@contextmanager
def browser() -> Iterator[webdriver.Chrome]:
    """A headless Chromium."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROME or ""
    for option in OPTIONS:
        options.add_argument(option)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()
