"""A launch in a frame of an EHR on another site, in a browser that blocks third-party cookies (SL-16, issue 7)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from chromium import Chromium
from ehr_peer import Ehr, Quirks, ehr
from flask import Flask, Response
from selenium.webdriver.common.by import By
from serving import served

from fhir_twin.knowledge import Knowledge
from fhir_twin.sandbox.stories import load_bundles, stories
from fhir_twin.settings import load_settings
from fhir_twin.web import create_app
from fhir_twin.wiring import open_service

PATIENT = stories()[0][0]
NAME = "Arthur Bell"


@contextmanager
def framed_twin(
    folder: Path, knowledge: Knowledge, peer: Ehr, ancestors: str, extra: str = ""
) -> Iterator[str]:
    """fhir-twin without a server of its own, registered at the EHR."""
    file = folder / "servers.toml"
    registered = f'[[server]]\nname = "ehr"\nbase = "{peer.base}"\nclient_id = "twin"\n{extra}'
    file.write_text(registered, "utf-8")
    chosen = {"servers_file": str(file), "cache": str(folder / "cache"), "frame_ancestors": ancestors}
    settings = load_settings(chosen, {})
    with served(create_app(open_service(settings, knowledge), settings)) as base:
        yield base


def chart_of(src: list[str]) -> Flask:
    """The EHR's own page, with the app in a frame."""
    app = Flask("chart")

    @app.get("/")
    def chart() -> Response:
        return Response(
            f'<title>EHR</title><iframe id="app" width="1200" height="800" src="{src[0]}"></iframe>'
        )

    return app


@pytest.fixture(scope="module")
def stocked() -> Iterator[Ehr]:
    with ehr() as peer:
        peer.load(load_bundles()[0])
        yield peer


@pytest.mark.parametrize("kind", ["browser", "strict_browser"], ids=["plain", "no-3rd-party"])
def test_the_page_works_in_a_frame_of_another_site(
    tmp_path: Path, all_knowledge: Knowledge, stocked: Ehr, request: pytest.FixtureRequest, kind: str
) -> None:
    """`localhost` and `127.0.0.1` are different sites to a browser."""
    browser: Chromium = request.getfixturevalue(kind)
    src: list[str] = []
    with served(chart_of(src)) as chart:
        outside = chart.replace("127.0.0.1", "localhost")
        with framed_twin(tmp_path, all_knowledge, stocked, outside) as base:
            src[:] = [f"{base}/launch?iss={quote(stocked.base)}&amp;launch={stocked.launch(PATIENT)}"]
            browser.open(outside)
            browser.driver.switch_to.frame(browser.driver.find_element(By.ID, "app"))
            browser.wait(lambda: NAME in browser.one("body").text, "the patient did not appear in the frame")
            assert browser.driver.execute_script("return location.pathname").startswith("/s/")
            assert stocked.faults == []


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_a_login_request_by_post(
    tmp_path: Path, all_knowledge: Knowledge, browser: Chromium, scripts: bool
) -> None:
    """SL-4 authorize-post: the form sends itself within the policy; without scripts by its button."""
    quirks = Quirks(capabilities=(*Quirks().capabilities, "authorize-post"), post_only=True)
    with ehr(quirks=quirks) as peer:
        peer.load(load_bundles()[0])
        with framed_twin(tmp_path, all_knowledge, peer, "", "authorize_post = true\n") as base:
            browser.cdp("Emulation.setScriptExecutionDisabled", value=not scripts)
            browser.open(f"{base}/launch?iss={quote(peer.base)}&launch={peer.launch(PATIENT)}")
            if not scripts:
                assert "Continue" in browser.text("form")
                browser.submit("form button")
            browser.wait(lambda: NAME in browser.one("body").text, "the patient did not appear")
            browser.cdp("Emulation.setScriptExecutionDisabled", value=False)
            assert browser.violations() == []
            assert peer.faults == []


def test_the_ehrs_colours_are_taken_and_can_be_read(
    tmp_path: Path, all_knowledge: Knowledge, browser: Chromium
) -> None:
    """SL-12, A16: the specification's own example has a highlight too light for words (WCAG 1.4.3)."""
    style = {"color_background": "#edeae3", "color_highlight": "#69b5ce", "color_text": "#303030"}
    with ehr(quirks=Quirks(style=style)) as peer:
        peer.load(load_bundles()[0])
        with framed_twin(tmp_path, all_knowledge, peer, "") as base:
            browser.open(f"{base}/launch?iss={quote(peer.base)}&launch={peer.launch(PATIENT)}")
            browser.wait(lambda: browser.all("#glance"), "no page")
            assert (
                browser.run("return getComputedStyle(document.body).backgroundColor") == "rgb(237, 234, 227)"
            )
            taken = browser.run(
                "return getComputedStyle(document.documentElement).getPropertyValue('--accent')"
            )
            assert taken not in ("#0a5ea8", "#69b5ce")
            browser.drop("main > section:not(#glance)")
            assert browser.axe() == []


def test_nobody_else_may_frame_it(
    tmp_path: Path, all_knowledge: Knowledge, stocked: Ehr, browser: Chromium
) -> None:
    src: list[str] = []
    allowed = framed_twin(tmp_path, all_knowledge, stocked, "https://ehr.example.org")
    with served(chart_of(src)) as chart, allowed as base:
        src[:] = [f"{base}/smart/login"]
        browser.open(chart.replace("127.0.0.1", "localhost"))
        browser.driver.switch_to.frame(browser.driver.find_element(By.ID, "app"))
        assert "Log in" not in browser.one("body").text
