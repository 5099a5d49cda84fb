"""Screenshots of the page in every state: `make screenshots` puts them into out/screenshots, to be looked at.

python tests/browser/screenshots.py FOLDER [--docs]     --docs also renews the three in docs/figures
"""

from __future__ import annotations

import logging
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]

from chromium import Chromium, chromium, programs  # noqa: E402
from selenium.webdriver.support.ui import Select  # noqa: E402
from serving import DOWN, REFUSED, Odd, Twin, twin  # noqa: E402

from fhir_twin.knowledge import load_knowledge  # noqa: E402

BELL, ORTEGA, WALSH = "sandbox-arthur-bell", "sandbox-maria-ortega", "sandbox-henry-walsh"
DOCS = {
    "page-overview.png": "overview.png",
    "page-what-if.png": "what-if.png",
    "page-review.png": "review.png",
}
WIDE, TALL = 1280, 860


class Camera:
    """Takes pictures of one service in one browser."""

    def __init__(self, browser: Chromium, found: Twin, folder: Path) -> None:
        self.browser, self.twin, self.folder = browser, found, folder
        self.own = found.service.source

    def take(self, name: str, *, whole: bool = False) -> None:
        path = self.folder / f"{name}.png"
        if whole:
            self.browser.full_page(path, WIDE)
        else:
            self.browser.driver.save_screenshot(str(path))
        print(path)

    def at(self, css: str, name: str) -> None:
        """The window with `css` at its top."""
        self.browser.run("document.querySelector(arguments[0]).scrollIntoView()", css)
        self.browser.wait(lambda: True, "")
        self.browser.run("return new Promise(done => setTimeout(done, 600))")
        self.take(name)

    def odd(self, **how: Any) -> None:
        self.twin.service.source = Odd(self.own, **how) if how else self.own

    def lists(self) -> None:
        self.browser.open("/")
        self.take("list")
        self.browser.one("#q").send_keys("nobody at all\n")
        self.take("list-nobody")

    def states(self) -> None:
        self.odd(seconds=3)
        self.browser.open(f"/patients/{BELL}")
        self.take("loading")
        for name, how in (("not-permitted", {"error": REFUSED}), ("server-down", {"error": DOWN})):
            self.odd(**how)
            self.browser.open(f"/patients/{BELL}")
            self.browser.wait(lambda: self.browser.all(".sign-big"), "no state")
            self.take(name)
        self.odd()
        self.browser.open("/patients/nobody")
        self.browser.wait(lambda: self.browser.all(".sign-big"), "no state")
        self.take("no-such-patient")
        self.browser.open("/s/abcdefgh1234/")
        self.take("session-over")
        self.odd(short=("MedicationRequest", "AllergyIntolerance"))
        self.browser.patient(BELL)
        self.take("partial")
        self.odd()
        for name, patient in (
            ("refused", "sandbox-leo-marin"),
            ("no-data", "sandbox-noel-fischer"),
            ("danger", "sandbox-grace-okafor"),
        ):
            self.browser.patient(patient)
            self.take(name)

    def page(self) -> None:
        self.browser.patient(BELL)
        self.take("overview")
        self.take("whole", whole=True)
        self.at("#twin", "twin")
        self.browser.run("document.querySelector('#b-sbp details').open = true")
        self.at("#b-sbp", "twin-numbers")
        self.at("#risks", "risks")
        Select(self.browser.one("#w-statin")).select_by_value("high")
        Select(self.browser.one("#w-smoking-cessation")).select_by_index(1)
        self.browser.click("[data-whatif] button[name=deep]")
        self.browser.wait(lambda: self.browser.all("#answer table.side"), "no answer")
        self.at("#what-if", "what-if")
        self.at("#answer .charts", "what-if-values")
        self.browser.run("document.querySelector('#p-statin > details').open = true")
        self.at("#plan", "plan")
        self.at("#p-statin", "proposal")
        self.browser.click("#p-statin .pop summary")
        self.at("#p-statin", "proposal-edit")
        self.at("#goals", "goals")
        self.at("#coding", "coding")
        self.at("#data", "data")
        self.browser.patient(WALSH)
        self.at("#record", "record")

    def others(self) -> None:
        self.browser.patient(BELL)
        here = self.browser.driver.current_url
        self.browser.submit("#p-statin button[value=accept]")
        self.browser.click("#p-dash-diet .pop:last-of-type summary")
        Select(self.browser.one("#r-dash-diet")).select_by_visible_text("Patient declines")
        self.browser.submit("#p-dash-diet button[value=reject]")
        self.at("#p-dash-diet", "decided")
        self.browser.submit(".tally a")
        self.take("review")
        self.browser.submit("form.confirm button")
        self.take("written")
        self.browser.open(here + "methods")
        self.browser.wait(lambda: not self.browser.all("[data-progress]"), "not read")
        self.browser.open(here + "methods")
        self.take("methods")
        self.browser.open(here + "sheet")
        self.take("sheet", whole=True)
        self.browser.open(here)
        self.browser.click("#goals input[value=avoid-injections]")
        self.browser.submit("#goals form[action$=preferences] button")
        self.take("goal-review")

    def narrow(self) -> None:
        metrics = {"width": 320, "height": 700, "deviceScaleFactor": 2, "mobile": True}
        self.browser.patient(ORTEGA)
        self.browser.cdp("Emulation.setDeviceMetricsOverride", **metrics)
        self.at("body", "narrow")
        self.at("#b-hba1c", "narrow-chart")
        self.at("#plan", "narrow-plan")
        self.at("#what-if", "narrow-what-if")
        self.browser.cdp("Emulation.clearDeviceMetricsOverride")


def main() -> int:
    if programs() is None:
        print("needs Chromium and chromedriver (Debian: apt install chromium-driver)")
        return 1
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    logging.disable(logging.CRITICAL)
    with (
        tempfile.TemporaryDirectory() as private,
        twin(Path(private), load_knowledge()) as found,
        chromium(found.base, width=WIDE, height=TALL + 139) as browser,
    ):
        camera = Camera(browser, found, folder)
        for part in (camera.lists, camera.states, camera.page, camera.narrow, camera.others):
            part()
    if "--docs" in sys.argv:
        for target, source in DOCS.items():
            shutil.copy(folder / source, HERE.parents[1] / "docs" / "figures" / target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
