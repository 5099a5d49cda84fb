"""The page in a real browser: what it shows, and that it does so cleanly (performance.md 6.3, security.md 5.2)."""

from __future__ import annotations

import base64

import pytest
from chromium import Chromium
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select
from serving import Twin

BELL, WALSH, LEO, NOEL = (
    "sandbox-arthur-bell",
    "sandbox-henry-walsh",
    "sandbox-leo-marin",
    "sandbox-noel-fischer",
)


def test_from_the_list_to_a_patient_cleanly(browser: Chromium) -> None:
    """A search by name finds the patient; list and page have nothing in console or CSP reports, and ask nobody else."""
    browser.open("/")
    assert len(browser.all("table.patients tbody tr")) == 12
    assert browser.axe() == []
    browser.one("#q").send_keys("walsh 1954" + Keys.ENTER)
    browser.wait(
        lambda: len(browser.all("table.patients tbody tr")) == 1, "the search did not narrow the list"
    )
    assert "walsh" not in browser.driver.current_url.lower()  # no name in an address
    browser.submit("table.patients button")
    browser.wait(lambda: browser.all("#plan"), "no page")
    assert "Walsh" in browser.text(".banner")
    assert WALSH not in browser.driver.current_url
    browser.is_clean("list and page")


def test_a_search_that_finds_nobody_says_so(browser: Chromium) -> None:
    browser.open("/")
    browser.one("#q").send_keys("<script>alert(1)</script>" + Keys.ENTER)
    browser.wait(lambda: "Nobody found" in browser.text(), "no words about an empty result")
    assert browser.axe() == []
    browser.is_clean("empty search")


def test_the_page_shows_the_whole_twin(browser: Chromium) -> None:
    """Header, courses with target and forecast, risks with interval and trend, plan, genes, coding, goals, data."""
    browser.patient(WALSH)
    assert "Data as of" in browser.text(".banner")
    assert "Record complete" in browser.text(".banner")
    shown = browser.run(
        "document.querySelectorAll('details').forEach(d => d.open = true); return document.body.textContent"
    )
    for words in (
        "80 % interval", "Moved most by", "Considered and rejected", "Medication review", "CYP2C19", "taken now",
        "Discrepancies", "Screening and prevention", "Coding review", "Goals and preferences", "Completeness by type",
        "Why this patient", "What would change this", "Monitor", "Evidence",
    ):  # fmt: skip
        assert words in shown, words
    assert "Screening that is not due" in shown or "SCREENING" in shown.upper()
    charts = browser.all("svg.course")
    assert charts
    assert all(c.find_element(By.TAG_NAME, "desc").get_attribute("textContent") for c in charts)
    assert browser.axe() == []
    browser.is_clean("page")


def test_a_risk_shows_how_it_moved(browser: Chromium) -> None:
    browser.patient("sandbox-maria-ortega")
    trend = browser.run(
        "return [...document.querySelectorAll('.risks .was')].map(e => e.textContent).join('|')"
    )
    assert "points since" in trend


def test_charts_are_drawn_twice_the_same(browser: Chromium) -> None:
    """uPlot draws the very numbers of the table; the SVG stays for screen readers, print and no scripts."""
    browser.patient(BELL)
    browser.run("document.getElementById('b-sbp').scrollIntoView()")
    browser.wait(lambda: browser.all("#b-sbp .plot.live canvas"), "uPlot did not draw")
    assert browser.one("#b-sbp .uplot").get_attribute("aria-hidden") == "true"
    rows = browser.all("#numbers-sbp tr[data-kind=seen]")
    assert len(rows) == 9
    browser.is_clean("charts")


def test_what_if_side_by_side_in_well_under_a_second(browser: Chromium) -> None:
    browser.patient(BELL)
    Select(browser.one("#w-statin")).select_by_value("high")
    Select(browser.one("#w-smoking-cessation")).select_by_index(1)
    browser.click("[data-whatif] button[name=deep]")
    browser.wait(lambda: browser.all("#answer table.side"), "no answer")
    told = browser.one("#answer").get_attribute("textContent") or ""
    assert "atorvastatin 40 mg" in told
    assert "What this answer hangs on" in told
    rows = browser.all("#answer table.side tbody tr")
    assert len(rows) >= 5
    for row in rows:  # never a number without its interval
        assert all(" to " in cell.text for cell in row.find_elements(By.CSS_SELECTOR, "td")[:3]), row.text
    assert browser.run("return document.activeElement.id") == "h-answer"
    took = browser.run(
        "return performance.getEntriesByType('resource').filter(r => r.name.endsWith('what-if')).map(r => r.duration)"
    )
    assert len(took) == 1
    browser.drop("main > section:not(#what-if)")
    assert browser.axe("#what-if") == []
    browser.is_clean("what-if")


def test_what_safety_stops_is_not_offered(browser: Chromium, page_twin: Twin) -> None:
    """Angio-oedema on lisinopril: no ACE inhibitor can be chosen, and a forged form is refused."""
    browser.patient("sandbox-denise-carter")
    assert not browser.all("#w-ace-inhibitor")
    shown = browser.run(
        "document.querySelectorAll('details').forEach(d => d.open = true); return document.body.textContent"
    )
    assert "Not offered for safety" in shown
    status = browser.run(
        "const f = new URLSearchParams(new FormData(document.querySelector('[data-whatif]')));"
        "f.set('w-ace-inhibitor', 'standard');"
        "const r = new XMLHttpRequest(); r.open('POST', document.querySelector('[data-whatif]').action, false);"
        "r.setRequestHeader('X-Fragment', '1'); r.send(f); return [r.status, r.responseText];"
    )
    assert status[0] == 400
    assert "safety rule" in status[1]


def test_without_scripts_all_of_it_works(browser: Chromium) -> None:
    """List, page, what-if, decision and review are plain pages and forms."""
    browser.cdp("Emulation.setScriptExecutionDisabled", value=True)
    browser.open("/")
    browser.submit("table.patients tbody tr button")
    browser.wait(lambda: browser.all("#plan"), "the page did not come by itself")
    assert browser.all("#b-sbp svg.course")
    Select(browser.one("#w-statin")).select_by_value("moderate")
    browser.submit("[data-whatif] button.primary")
    browser.wait(lambda: browser.all("#answer table.side"), "no answer without scripts")
    assert Select(browser.one("#w-statin")).first_selected_option.get_attribute("value") == "moderate"
    browser.submit("#p-statin button[value=accept]")
    browser.wait(lambda: "Accepted" in browser.text("#p-statin"), "the decision was not kept")
    browser.submit(".tally a")
    assert "What will be written" in browser.text()
    assert "Your decisions (1)" in browser.text()


def test_by_keyboard_alone(browser: Chromium) -> None:
    """Skip link first, a visible focus, and a decision with Tab and Enter only."""
    browser.patient(BELL)
    body = browser.one("body")
    body.send_keys(Keys.TAB)
    assert browser.run("return document.activeElement.className") == "skip"
    browser.run("document.querySelector('#p-statin summary').focus()")  # where a person would have tabbed to
    for _ in range(40):
        active = browser.driver.switch_to.active_element
        if "Accept: " in (active.get_attribute("textContent") or "") and active.tag_name == "button":
            break
        active.send_keys(Keys.SHIFT, Keys.TAB)
    outline = browser.run("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    active.send_keys(Keys.ENTER)
    browser.wait(lambda: browser.all(".verdict.accept"), "Enter did not accept")


@pytest.mark.parametrize(("width", "scale"), [(320, 1), (640, 2)])
def test_narrow_and_zoomed_without_scrolling_sideways(browser: Chromium, width: int, scale: int) -> None:
    """320 CSS px; and 1280 px at 200 %, which is 640 CSS px (WCAG 1.4.10, 1.4.4)."""
    browser.patient("sandbox-maria-ortega")
    browser.cdp(
        "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=scale, mobile=False
    )
    here = browser.driver.current_url
    for path in ("", "methods", "sheet", "review"):
        browser.open(here + path)
        wide = browser.run(
            "const w = document.documentElement.clientWidth;"
            "return [document.documentElement.scrollWidth > w, [...document.querySelectorAll('main *')].filter(e => "
            "e.getBoundingClientRect().right > w + 1 && !e.closest('.scroll, .sections, pre, svg, .uplot, .sr'))"
            ".slice(0, 5).map(e => e.outerHTML.slice(0, 90))]"
        )
        assert wide == [False, []], path
        assert browser.run(_SQUEEZED) == [], path
    browser.open(here)
    browser.click("#p-sglt2-inhibitor .pop summary")
    form = browser.run(
        "return document.querySelector('#p-sglt2-inhibitor .pop form').getBoundingClientRect().right"
    )
    assert form <= browser.run(
        "return document.querySelector('#p-sglt2-inhibitor').getBoundingClientRect().right"
    )


# Cells so narrow that words stand letter by letter.
_SQUEEZED = """
document.querySelectorAll('details').forEach(d => d.open = true);
return [...document.querySelectorAll('th, td')].filter(c => {
  const box = c.getBoundingClientRect(), words = c.textContent.trim();
  return words.length > 3 && !c.closest('.stack thead') && box.width && box.width < 30 && box.height > 60;
}).map(c => c.outerHTML.slice(0, 90));
"""


def test_what_if_and_an_edit_by_keyboard_alone(browser: Chromium) -> None:
    """Tab and arrows choose, Enter compares, focus goes to the answer; a dose is edited and kept; what is open never
    lies over what has the focus (WCAG 2.1.1, 2.4.3, 2.4.11)."""
    browser.patient(BELL)
    browser.run("document.querySelector('#w-statin').focus()")
    keys(browser, Keys.ARROW_DOWN)
    assert browser.run("return document.activeElement.value") != ""
    tab_to(browser, "[data-whatif] button.primary")
    keys(browser, Keys.ENTER)
    browser.wait(lambda: browser.all("#answer table.side"), "no answer")
    browser.wait(
        lambda: browser.run("return document.activeElement.id") == "h-answer", "focus was left behind"
    )
    browser.run("document.querySelector('#p-thiazide button.good').focus()")
    keys(browser, Keys.TAB)
    keys(browser, Keys.ENTER)
    assert browser.all("#p-thiazide .pop[open]")
    keys(browser, Keys.ESCAPE)
    assert not browser.all("#p-thiazide .pop[open]")
    assert browser.run("return document.activeElement.matches('#p-thiazide .pop summary')")
    keys(browser, Keys.ENTER)
    tab_to(browser, "#t-thiazide")
    keys(browser, "12.5 mg once daily")
    tab_to(browser, "#p-thiazide .pop form button")
    keys(browser, Keys.TAB)
    assert not browser.all("#p-thiazide .pop[open]"), "left open over what comes next"
    keys(browser, Keys.SHIFT + Keys.TAB)
    keys(browser, Keys.ENTER)
    assert browser.one("#t-thiazide").get_attribute("value") == "12.5 mg once daily", "what was typed is kept"
    tab_to(browser, "#p-thiazide .pop form button")
    keys(browser, Keys.ENTER)
    browser.wait(lambda: "Accepted, edited" in browser.text("#p-thiazide"), "the edit was not kept")
    browser.is_clean("by keyboard")


def keys(browser: Chromium, pressed: str) -> None:
    browser.driver.switch_to.active_element.send_keys(pressed)


def tab_to(browser: Chromium, css: str) -> None:
    """Press Tab until the element has the focus."""
    for _ in range(80):
        if browser.run("return document.activeElement.matches(arguments[0])", css):
            return
        keys(browser, Keys.TAB)
    raise AssertionError(f"Tab does not reach {css}")


def test_in_forced_colours_the_charts_take_them(browser: Chromium) -> None:
    """High contrast: no canvas with colours of its own; the SVG's words have the user's."""
    forced = [{"name": "forced-colors", "value": "active"}]
    browser.cdp("Emulation.setEmulatedMedia", features=forced)
    try:
        browser.patient(BELL)
        browser.run("document.getElementById('b-sbp').scrollIntoView()")
        assert not browser.all(".plot canvas")
        fill = browser.run("return getComputedStyle(document.querySelector('#b-sbp svg .tick')).fill")
        words = browser.run("return getComputedStyle(document.body).color")
        assert fill == words
    finally:
        browser.cdp("Emulation.setEmulatedMedia", features=[])


def test_printing(browser: Chromium) -> None:
    """No controls on paper; the charts are the SVGs; the sheet fills a page."""
    browser.patient(BELL)
    browser.run("document.getElementById('b-sbp').scrollIntoView()")
    browser.wait(lambda: browser.all("#b-sbp .plot.live canvas"), "uPlot did not draw")
    browser.cdp("Emulation.setEmulatedMedia", media="print")
    hidden = browser.run(
        "return ['.tools', '.tally', '#what-if', '.sections', '.answer-box', '.whatif form', '.uplot', '.top']"
        ".map(c => getComputedStyle(document.querySelector(c)).display)"
    )
    assert set(hidden) == {"none"}
    assert browser.run("return document.querySelector('#b-sbp svg').getBoundingClientRect().height") > 50
    pdf = base64.b64decode(browser.cdp("Page.printToPDF", printBackground=True)["data"])
    assert pdf.startswith(b"%PDF")
    assert len(pdf) > 20_000
    browser.open(browser.driver.current_url.split("#")[0] + "sheet")
    assert "Of 100 people like you" in browser.text()
    assert browser.one(".no-print").value_of_css_property("display") == "none"


def test_other_pages_are_clean_too(browser: Chromium) -> None:
    browser.patient("sandbox-noel-fischer")
    here = browser.driver.current_url
    for path in ("methods", "sheet", "review"):
        browser.open(here + path)
        assert browser.axe() == [], path
        browser.is_clean(path)
    browser.open(here + "methods")
    assert "used for this patient" in browser.text()


@pytest.mark.parametrize(
    ("patient", "words"),
    [
        (LEO, "No plan for this patient"),
        (NOEL, "No data to work with"),
        ("sandbox-grace-okafor", "Check first"),
    ],
)
def test_patients_without_a_full_plan(browser: Chromium, patient: str, words: str) -> None:
    browser.patient(patient)
    assert words in browser.text("#glance")
    assert browser.axe() == []
    browser.is_clean(patient)
