"""A real browser for tests: headless Chromium, and a Sluice page in it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from tests.running import installed, wait_until

FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--window-size=1280,900",
]
ITS_OWN = ("data:", "blob:")
"""Addresses that lead nowhere: what they name is in the page already."""


@contextmanager
def running_chromium(folder: Path) -> Iterator[webdriver.Chrome]:
    """Chromium with a profile of its own below `folder`; skips where it is not installed."""
    options = webdriver.ChromeOptions()
    options.binary_location = installed("chromium")
    for flag in (*FLAGS, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = Service(installed("chromedriver"), env={**os.environ, "SE_OFFLINE": "true"})
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield driver
    finally:
        driver.quit()


class Page:
    """The page of the gateway at `url`, as a browser at `address` behind a proxy sees it.

    What the console complained of is kept in `complaints`, whom it asked in `origins`.
    """

    def __init__(self, driver: webdriver.Chrome, url: str, address: str) -> None:
        self.driver = driver
        self.url = url
        self.address = address
        self.complaints: list[str] = []
        self.origins: set[str] = set()

    # Coming and going.

    def open(self) -> Page:
        """As someone who was never here."""
        self.driver.get("about:blank")
        self._cdp("Network.enable")
        self._cdp("Network.setExtraHTTPHeaders", headers={"X-Forwarded-For": self.address})
        self._cdp("Storage.clearDataForOrigin", origin=self.url, storageTypes="all")
        for log in ("browser", "performance"):
            self._log(log)
        self.driver.get(self.url + "/")
        return self.ready()

    def reload(self) -> Page:
        self.driver.refresh()
        return self.ready()

    def ready(self) -> Page:
        self.until(lambda: bool(self.all("html[data-ready]")), "the page is ready")
        return self

    def read_logs(self) -> None:
        """Keep what the console and the network have seen since the last time."""
        self.complaints += [
            entry["message"]
            for entry in self._log("browser")
            if entry["level"] in ("SEVERE", "WARNING")
        ]
        for entry in self._log("performance"):
            event = json.loads(entry["message"])["message"]
            if event["method"] == "Network.requestWillBeSent":
                url = event["params"]["request"]["url"]
                if not url.startswith(ITS_OWN):
                    self.origins.add("/".join(url.split("/")[:3]))

    def looks(self, width: int = 1280, height: int = 900, *, scheme: str = "light") -> None:
        """Be a window of that size whose person likes it light or dark."""
        self._cdp(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        self._cdp(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )

    def downloads_to(self, folder: Path) -> None:
        self._cdp("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))

    def _log(self, kind: str) -> list[dict[str, Any]]:
        return list(self.driver.get_log(kind))  # type: ignore[no-untyped-call]

    def _cdp(self, command: str, **parameters: Any) -> None:
        self.driver.execute_cdp_cmd(command, parameters)

    # Looking.

    def all(self, css: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def find(self, css: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def js(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def text(self, css: str) -> str:
        """What it says, shown or not."""
        return str(self.find(css).get_property("textContent")).strip()

    def shows(self, css: str, text: str = "") -> bool:
        try:
            return any(text in found.text for found in self.all(css) if found.is_displayed())
        except StaleElementReferenceException:
            return False

    def until(self, happened: Callable[[], bool], what: str) -> None:
        wait_until(happened, what, timeout_s=20.0)

    def sees(self, css: str, text: str = "") -> None:
        """Wait until `css` is displayed with `text` in it."""
        self.until(lambda: self.shows(css, text), f"{css} shows {text!r}")

    def pictures(self) -> list[str]:
        """Paths of the pictures on the shelf, newest first."""
        return list(self.js("return [...document.querySelectorAll('#pictures button')]"
                            ".map(button => button.dataset.url)"))  # fmt: skip

    # Doing.

    def fill(self, css: str, text: str | int) -> None:
        field = self.find(css)
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(str(text) or Keys.DELETE)

    def click(self, css: str) -> None:
        self.js("arguments[0].scrollIntoView({block: 'center'})", self.find(css))
        self.find(css).click()

    def press(self, *keys: str) -> None:
        """Keys, all at once, for whatever has the focus."""
        chain = ActionChains(self.driver)
        for key in keys:
            chain.key_down(key)
        for key in reversed(keys):
            chain.key_up(key)
        chain.perform()

    def brush(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """One stroke by mouse; places are shares of the picture's sides."""
        canvas = self.find("#mask")
        self.js("arguments[0].scrollIntoView({block: 'center'})", canvas)
        width, height = canvas.size["width"], canvas.size["height"]
        (x, y), (to_x, to_y) = (
            (round((place[0] - 0.5) * width), round((place[1] - 0.5) * height))
            for place in (start, end)
        )
        chain = ActionChains(self.driver, duration=40)
        chain.move_to_element_with_offset(canvas, x, y).click_and_hold()
        chain.move_by_offset(to_x - x, to_y - y).release().perform()

    def ask(self, prompt: str, **fields: str | int) -> None:
        """Fill in and press Generate."""
        for name, value in {"prompt": prompt, **fields}.items():
            self.fill(f"#{name}", value)
        self.click("#generate")

    def made(self, count: int = 1) -> list[str]:
        """Wait for `count` pictures on the shelf and the newest on the stage."""
        self.until(lambda: len(self.pictures()) >= count, f"{count} pictures are made")
        self.sees("#shown")
        return self.pictures()
