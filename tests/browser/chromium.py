"""A headless Chromium driven over WebDriver, with what a test wants to know of a page: console, CSP, requests, axe."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

AXE = Path(__file__).parent / "vendor" / "axe.min.js"
# Runs in every page before anything else: what the page's policy had to stop.
_WATCH = """
window.__csp = [];
document.addEventListener("securitypolicyviolation",
  (e) => window.__csp.push(e.violatedDirective + " " + e.blockedURI));
"""


def programs() -> tuple[str, str] | None:
    """(browser, driver), None when one of them is missing."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


class Chromium:
    """One browser. `base` is the only origin that may be asked."""

    def __init__(
        self, base: str = "", *, arguments: tuple[str, ...] = (), width: int = 1440, height: int = 900
    ) -> None:
        found = programs()
        assert found is not None
        options = webdriver.ChromeOptions()
        options.binary_location = found[0]
        fixed = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars", "--disable-gpu",
                 "--disable-background-networking", "--force-device-scale-factor=1", "--no-first-run")  # fmt: skip
        for argument in (*fixed, f"--window-size={width},{height}", *arguments):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.base = base
        self._style_unseen = True
        self.driver = webdriver.Chrome(options=options, service=Service(found[1]))
        self.driver.set_page_load_timeout(60)
        self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": _WATCH})

    def close(self) -> None:
        self.driver.quit()

    def open(self, path: str) -> None:
        self.driver.get(path if path.startswith(("http", "about:")) else self.base + path)

    def patient(self, patient: str) -> None:
        """Open a patient's page and wait until it is there."""
        self.open(f"/patients/{patient}")
        self.wait(lambda: not self.all("[data-progress]"), "the record was not read")

    def all(self, css: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def one(self, css: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def click(self, css: str) -> None:
        self.one(css).click()

    def submit(self, css: str) -> None:
        """Click what leads to another page, and wait for that."""
        before = self.one("html").id
        self.click(css)
        self.wait(lambda: self.one("html").id != before, f"{css} led nowhere")

    def text(self, css: str = "body") -> str:
        return self.one(css).text

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def cdp(self, command: str, **parameters: Any) -> Any:
        return self.driver.execute_cdp_cmd(command, parameters)

    def wait(self, until: Callable[[], Any], words: str, seconds: float = 20.0) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if until():
                    return
            except (StaleElementReferenceException, NoSuchElementException):
                continue  # the page was just leaving for another one
            time.sleep(0.05)
        raise AssertionError(words)

    def drop(self, css: str) -> None:
        """Take elements out of the page: axe reads a whole page even for one part of it."""
        self.run("document.querySelectorAll(arguments[0]).forEach(e => e.remove())", css)

    def axe(self, part: str = "") -> list[str]:
        """Violations of WCAG 2.2 AA and best practices, as "rule: target", with everything unfolded. part: only of what
        is inside this selector, and only that is unfolded (a whole page takes axe seconds, most of them on contrast).

        The style sheet, the same on every page, is looked at by the first call of a browser only (axe fetches it anew
        each time, for one rule: css-orientation-lock)."""
        self.run(
            "document.querySelectorAll(arguments[0] + ' details').forEach(d => d.open = true); if (!window.axe) {"
            + AXE.read_text("utf-8")
            + "}",
            part,
        )
        found = self.driver.execute_async_script(
            "const done = arguments[2]; axe.run(arguments[0] || document, {resultTypes: ['violations'], "
            "preload: arguments[1]}).then(r => done(r.violations))",
            part,
            self._style_unseen,
        )
        self._style_unseen = False
        return [f"{v['id']}: {node['target']} {node['html'][:120]}" for v in found for node in v["nodes"]]

    def violations(self) -> list[str]:
        """What the page's CSP had to stop."""
        return list(self.run("return window.__csp || []"))

    def console(self) -> list[str]:
        """Every line of the console since the last call."""
        return [f"{e['level']} {e['message']}" for e in self.driver.get_log("browser")]

    def foreign(self) -> list[str]:
        """Addresses outside `base` that were asked since the last call."""
        asked = []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                asked.append(message["params"]["request"]["url"])
        own = urlsplit(self.base).netloc
        return [
            u
            for u in asked
            if urlsplit(u).scheme in ("http", "https", "ws", "wss") and urlsplit(u).netloc != own
        ]

    def is_clean(self, where: str) -> None:
        """Console and CSP reports are empty, nothing left the origin."""
        assert self.violations() == [], where
        assert self.console() == [], where
        assert self.foreign() == [], where

    def full_page(self, path: Path, width: int = 1440, most: int = 16_000) -> None:
        """A screenshot of the whole page."""
        height = min(most, self.run("return document.documentElement.scrollHeight"))
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.cdp("Emulation.setDeviceMetricsOverride", **metrics)
        time.sleep(0.6)  # charts are drawn when they come near
        self.driver.save_screenshot(str(path))
        self.cdp("Emulation.clearDeviceMetricsOverride")


@contextmanager
def chromium(base: str, **options: Any) -> Iterator[Chromium]:
    browser = Chromium(base, **options)
    try:
        yield browser
    finally:
        browser.close()
