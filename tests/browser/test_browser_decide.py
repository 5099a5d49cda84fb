"""From decisions to the record: accept, edit, decline, see the diff, write, and what the next run makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from chromium import Chromium
from ehr_peer import Quirks, ehr
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select
from serving import Twin, served, twin

from fhir_twin.fhir.identity import item_of
from fhir_twin.fhir.validate import validate_resource
from fhir_twin.knowledge import Knowledge
from fhir_twin.sandbox.stories import load_bundles
from fhir_twin.settings import load_settings
from fhir_twin.web import create_app
from fhir_twin.wiring import open_service

BELL = "sandbox-arthur-bell"
CARTER = "sandbox-denise-carter"


@pytest.fixture
def own_twin(tmp_path: Path, all_knowledge: Knowledge, browser: Chromium) -> Iterator[Twin]:
    """A service of its own, because it is written to."""
    with twin(tmp_path, all_knowledge) as found:
        browser.base = found.base
        yield found


def request_for(held: list[dict[str, Any]], item: str) -> dict[str, Any]:
    found = [r for r in held if item_of(r) == item]
    assert len(found) == 1, item
    return found[0]


def test_accept_edit_decline_review_write(browser: Chromium, own_twin: Twin) -> None:
    browser.patient(BELL)
    browser.submit("#p-statin button[value=accept]")
    browser.click("#p-thiazide .pop summary")
    browser.one("#t-thiazide").send_keys("12.5 mg by mouth once daily")
    browser.one("#n-thiazide").send_keys("start low")
    browser.submit("#p-thiazide .pop button[value=accept]")
    browser.click("#p-dash-diet .pop:last-of-type summary")
    Select(browser.one("#r-dash-diet")).select_by_visible_text("Patient declines")
    browser.submit("#p-dash-diet button[value=reject]")
    assert "2 accepted, 1 declined" in browser.text(".tally")
    assert own_twin.held("CarePlan", BELL) == []  # nothing is written by deciding
    browser.submit(".tally a")
    told = browser.text("main")
    assert "Your decisions (3)" in told
    assert "12.5 mg by mouth once daily" in told
    assert "Patient declines" in told
    browser.drop(".change:not(.accept)")
    assert browser.axe(".change.accept") == []
    assert own_twin.held("CarePlan", BELL) == []  # nor by looking
    browser.submit("form.confirm button")
    assert "Written to the record" in browser.text("h1")
    assert browser.axe() == []
    browser.is_clean("review and write")
    _is_in_the_record(own_twin)
    _next_run_respects_it(own_twin)


def _is_in_the_record(found: Twin) -> None:
    plans = found.held("CarePlan", BELL)
    assert [p["status"] for p in plans] == ["draft"]  # CP-1: the plan itself is never activated
    drugs = found.held("MedicationRequest", BELL)
    statin, thiazide = request_for(drugs, "statin"), request_for(drugs, "thiazide")
    assert (statin["status"], statin["intent"]) == ("active", "proposal")
    assert thiazide["dosageInstruction"] == [{"text": "12.5 mg by mouth once daily"}]
    assert any("start low" in n["text"] for n in thiazide["note"])
    diets = found.held("NutritionOrder", BELL) + found.held("ServiceRequest", BELL)
    diet = request_for(diets, "dash-diet")
    assert diet["status"] == "revoked"
    assert "Patient declines" in str(diet["extension"])
    for one in (statin, thiazide, diet):
        assert validate_resource({**one, "status": "draft"}) == ()


def _next_run_respects_it(found: Twin) -> None:
    """The life cycle: a decision is read back, and a second run of the service changes nothing of it."""
    again = found.service.run_one(BELL, datetime.now(UTC))
    assert again.error is None
    assert again.run is not None
    assert "dash-diet" not in {r.key for r in again.run.plan.recommendations}
    assert any(r.kind == "declined" and "Patient declines" in r.reason for r in again.run.plan.rejected)
    drugs = found.held("MedicationRequest", BELL)
    assert request_for(drugs, "statin")["status"] == "active"
    assert request_for(drugs, "thiazide")["dosageInstruction"] == [{"text": "12.5 mg by mouth once daily"}]


def test_a_decline_needs_a_reason_and_can_be_undone(browser: Chromium, own_twin: Twin) -> None:
    browser.patient(BELL)
    browser.click("#p-statin .pop:last-of-type summary")
    browser.submit("#p-statin button[value=reject]")
    assert "say why" in browser.text("main").lower()
    browser.driver.back()
    browser.wait(lambda: browser.all("#p-statin"), "no way back")
    browser.submit("#p-statin button[value=accept]")
    browser.submit("#p-statin button[value=undo]")
    assert not browser.all("#p-statin .verdict")


def test_what_changed_meanwhile_is_shown_again(browser: Chromium, own_twin: Twin) -> None:
    browser.patient(BELL)
    browser.submit(".tally a")
    own_twin.service.run_one(BELL, datetime.now(UTC))  # somebody else writes the plan
    browser.submit("form.confirm button")
    assert "has changed since" in browser.text("[role=alert]")


def test_a_goal_and_a_preference_change_the_plan(browser: Chromium, own_twin: Twin) -> None:
    browser.patient("sandbox-amina-haddad")
    browser.click("#goals .pop summary")
    value = browser.one("#g1-value")
    value.clear()
    value.send_keys("8")
    browser.submit("#goals .pop form button.primary")
    assert "8" in browser.text(".diff")
    assert browser.axe() == []
    browser.submit("form.confirm button")
    browser.wait(lambda: browser.all("#goals"), "no page after writing")
    goals = own_twin.held("Goal", "sandbox-amina-haddad")
    stated = [g for g in goals if not g.get("identifier")]
    assert [g["target"][0]["detailQuantity"]["value"] for g in stated] == [8]
    browser.click("#goals input[value=avoid-injections]")
    browser.submit("#goals form[action$=preferences] button")
    browser.submit("form.confirm button")
    browser.wait(lambda: browser.all("#goals"), "no page after writing")
    assert browser.one("#goals input[value=avoid-injections]").is_selected()
    assert "no injections" in browser.text("#plan")
    browser.click("#goals input[value=avoid-injections]")  # and taken back
    browser.submit("#goals form[action$=preferences] button")
    browser.submit("form.confirm button")
    browser.wait(lambda: browser.all("#goals"), "no page after writing")
    assert not browser.one("#goals input[value=avoid-injections]").is_selected()
    browser.is_clean("goals")


def test_a_proposed_goal_is_agreed_on(browser: Chromium, own_twin: Twin) -> None:
    browser.patient(BELL)
    browser.submit("#goals button[name=proposed]")
    browser.submit("form.confirm button")
    browser.wait(lambda: browser.all("#goals"), "no page after writing")
    goals = own_twin.held("Goal", BELL)
    assert [g["lifecycleStatus"] for g in goals] == ["active"]
    assert len(goals[0]["target"]) == 2  # systolic and diastolic
    assert "agreed below 130" in browser.text("#b-sbp")


def test_a_corrected_code_is_kept_in_the_site_lexicon(browser: Chromium, own_twin: Twin) -> None:
    browser.patient(BELL)
    row = next(li for li in browser.all(".coding > li") if "recheck next time" in li.text.splitlines()[0])
    key = row.get_attribute("id")
    browser.click(f"#{key} .pop summary")
    browser.one(f"#{key} input[name=other]").send_keys("Z09.99" + Keys.ENTER)
    browser.wait(lambda: "no such code" in browser.text("main"), "a code that does not exist was taken", 60)
    browser.driver.back()
    browser.wait(lambda: browser.all(f"#{key}"), "no way back")
    if not browser.one(f"#{key} input[name=other]").is_displayed():
        browser.click(f"#{key} .pop summary")
    field = browser.one(f"#{key} input[name=other]")
    field.clear()
    field.send_keys("Z13.6" + Keys.ENTER)
    browser.wait(lambda: browser.all("#coding"), "no page after the correction", 60)
    lexicon = (own_twin.folder / "lexicon" / "site-corrections.tsv").read_text("utf-8")
    assert "recheck next time\tskos:exactMatch\tICD10CM:Z13.6" in lexicon
    row = next(li for li in browser.all(".coding > li") if "recheck next time" in li.text.splitlines()[0])
    assert "Z13.6" in row.text


def test_launch_to_written_care_plan(tmp_path: Path, all_knowledge: Knowledge, browser: Chromium) -> None:
    """The whole way: the EHR launches, a clinician decides, and the draft CarePlan is on the EHR's server."""
    with ehr(quirks=Quirks()) as peer:
        peer.load(load_bundles()[0])
        servers = tmp_path / "servers.toml"
        servers.write_text(
            f'[[server]]\nname = "ehr"\nbase = "{peer.base}"\nclient_id = "{peer.client.client_id}"\n'
            'login = "public"\nwrite = true\n',
            "utf-8",
        )
        settings = load_settings(
            {"server": peer.base, "servers_file": str(servers), "cache": str(tmp_path / "cache")}, {}
        )
        service = open_service(settings, all_knowledge, wait_for_server=True)
        with served(create_app(service, settings)) as base:
            browser.base = base
            browser.open(f"/launch?iss={peer.base}&launch={peer.launch(BELL)}")
            browser.wait(lambda: browser.all("#plan"), "the launch led to no page")
            assert "Arthur Bell" in browser.text(".banner")
            browser.submit("#p-statin button[value=accept]")
            browser.submit(".tally a")
            browser.submit("form.confirm button")
            assert "Written to the record" in browser.text("h1")
            assert "CarePlan/" in browser.text("main")
            assert browser.violations() == []
            assert browser.console() == []
        assert peer.faults == []
    _written_by_the_clinician(peer)


def _written_by_the_clinician(peer: Any) -> None:
    posts = [f for m, p, f in peer.seen if m == "POST" and p.rstrip("/").endswith("/fhir")]
    assert posts
    assert all(f["_authorization"].startswith("Bearer ") for f in posts)
