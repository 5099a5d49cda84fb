"""The page when it is not the page: loading, not permitted, missing, the server down, partial; and in a frame."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import Chromium
from serving import DOWN, REFUSED, Odd, Twin, served, twin

from fhir_twin.knowledge import Knowledge
from fhir_twin.service import Source

BELL = "sandbox-arthur-bell"


@pytest.fixture
def odd(page_twin: Twin) -> Iterator[Any]:
    """Puts an odd source before the service's own for one test."""
    own: Source = page_twin.service.source

    def put(**how: Any) -> None:
        page_twin.service.source = Odd(own, **how)

    yield put
    page_twin.service.source = own


def test_reading_tells_how_far_it_is(browser: Chromium, odd: Any) -> None:
    odd(seconds=1.2)
    browser.open(f"/patients/{BELL}")
    assert browser.one("progress").get_attribute("max") == "100"
    assert "Reading the record" in browser.text("h1")
    assert browser.axe() == []
    browser.wait(lambda: browser.all("#plan"), "the page did not come by itself")
    browser.is_clean("loading")


def test_reading_without_scripts_comes_by_itself(browser: Chromium, odd: Any) -> None:
    odd(seconds=1.0)
    browser.cdp("Emulation.setScriptExecutionDisabled", value=True)
    browser.open(f"/patients/{BELL}")
    assert browser.all("progress")
    browser.wait(lambda: browser.all("#plan"), "the page did not come by itself")


@pytest.mark.parametrize(
    ("how", "title", "status"),
    [
        ({"error": REFUSED}, "Not permitted", 403),
        ({"error": DOWN}, "The FHIR server did not answer in time", 504),
    ],
)
def test_a_failure_says_what_it_is(browser: Chromium, odd: Any, how: Any, title: str, status: int) -> None:
    odd(**how)
    browser.open(f"/patients/{BELL}")
    browser.wait(lambda: browser.all(".state .sign-big"), "no state")
    assert title in browser.text("h1")
    assert browser.run("return performance.getEntriesByType('navigation')[0].responseStatus") == status
    assert bool(browser.all("form[action$=reload]")) == (status == 504)
    assert browser.axe() == []
    assert browser.violations() == []
    assert browser.foreign() == []


def test_the_server_comes_back(browser: Chromium, odd: Any) -> None:
    odd(error=DOWN)
    browser.open(f"/patients/{BELL}")
    browser.wait(lambda: browser.all("form[action$=reload] button"), "no way to try again")
    odd()
    browser.submit("form[action$=reload] button")
    browser.wait(lambda: browser.all("#plan"), "trying again did not help")


def test_nobody_there(browser: Chromium) -> None:
    browser.open("/patients/nobody-of-that-id")
    browser.wait(lambda: browser.all(".state .sign-big"), "no state")
    assert "No such patient" in browser.text("h1")
    assert browser.axe() == []


def test_a_part_that_is_not_permitted_is_named(browser: Chromium, odd: Any) -> None:
    """Partial data: the page is there, and says what cannot be in it."""
    odd(short=("MedicationRequest", "AllergyIntolerance"))
    browser.patient(BELL)
    told = browser.text("#glance")
    assert "The record was not read completely" in told
    assert "Medication orders" in told
    assert "not permitted" in told
    assert "Record incomplete" in browser.text(".banner")
    assert "No medicine below was checked against what is missing" in told
    assert "Not checked, or not wholly, against allergies and what is taken already" in browser.text(
        "#p-statin"
    )
    assert "Not checked" not in browser.text("#p-dash-diet")
    browser.drop("main > section:not(#glance)")
    assert browser.axe("#glance") == []
    browser.is_clean("partial")


def test_a_session_that_is_over(browser: Chromium) -> None:
    browser.open("/s/abcdefgh1234/")
    assert "The session has ended" in browser.text("h1")
    assert browser.axe() == []
    assert browser.violations() == []


HOST = """<!doctype html><html lang="en"><title>EHR</title><h1>EHR</h1>
<iframe src="{src}" title="fhir-twin" width="1200" height="800"></iframe>"""


def test_in_a_cross_site_frame_with_third_party_cookies_blocked(
    tmp_path: Path, all_knowledge: Knowledge, strict_browser: Chromium
) -> None:
    """The EHR is another site (localhost against 127.0.0.1); the session's cookie is Partitioned. A site that is not
    registered gets nothing."""
    from werkzeug.wrappers import Request, Response

    page = {"src": ""}

    @Request.application
    def host(_request: Any) -> Any:
        return Response(HOST.format(src=page["src"]), mimetype="text/html")

    with (
        served(host, "localhost") as ehr,
        served(host, "127.0.0.1") as stranger,
        twin(tmp_path, all_knowledge, frame_ancestors=ehr) as found,
    ):
        browser = strict_browser
        browser.base = ehr
        browser.console()
        page["src"] = f"{found.base}/patients/{BELL}"
        browser.open("/")
        browser.driver.switch_to.frame(browser.one("iframe"))
        browser.wait(lambda: browser.all("#plan"), "no page in the frame")
        browser.submit("#p-statin button[value=accept]")
        browser.wait(lambda: browser.all(".verdict.accept"), "no decision in the frame")
        assert browser.violations() == []
        browser.driver.switch_to.default_content()
        assert [line for line in browser.console() if "favicon" not in line] == []
        browser.open(stranger)
        browser.driver.switch_to.frame(browser.one("iframe"))
        assert not browser.all("#plan")
