"""The page over HTTP: hostile records, forms without a token, two processes, what is kept and what is forgotten."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from fhir_twin.errors import UpstreamTimeout
from fhir_twin.knowledge import Knowledge
from fhir_twin.model.chart import Completeness
from fhir_twin.pipeline import run
from fhir_twin.sandbox.stories import load_bundles, stories
from fhir_twin.settings import load_settings
from fhir_twin.transport.pull import Fetched
from fhir_twin.web import create_app, viewing
from fhir_twin.web.keeping import as_text, from_text, pack, unpack
from fhir_twin.web.page_twin import from_card
from fhir_twin.web.session import PageSession
from fhir_twin.web.views.twin import biomarker_cards
from fhir_twin.wiring import open_server, open_service

PATIENT = stories()[0][0]
HERE = {"base_url": "http://127.0.0.1"}
SCRIPT = '<script>alert("x")</script>'
EVIL = f"{SCRIPT}<img src=x onerror=alert(1)>'\"&{{{{7*7}}}}"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, stocked_sandbox: str, all_knowledge: Knowledge) -> Flask:
    return made(tmp_path_factory.mktemp("app"), stocked_sandbox, all_knowledge)


@pytest.fixture
def own_app(tmp_path: Path, stocked_sandbox: str, all_knowledge: Knowledge) -> Flask:
    return made(tmp_path, stocked_sandbox, all_knowledge)


@pytest.fixture(scope="module")
def bell(app: Flask) -> Page:
    """One page for all tests that leave it as it was."""
    return Page(app.test_client(), PATIENT)


def made(folder: Path, sandbox: str, knowledge: Knowledge, **more: str) -> Flask:
    settings = load_settings({"server": sandbox, "cache": str(folder / "cache"), **more}, {})
    return create_app(open_service(settings, knowledge), settings)


class Page:
    """A browser without scripts on one patient's page."""

    def __init__(self, client: FlaskClient, patient: str) -> None:
        self.client = client
        opened = client.get(f"/patients/{patient}", **HERE)
        self.url, self.cookie = (
            opened.headers["Location"],
            opened.headers["Set-Cookie"].split(";")[0].split("=", 1),
        )
        answer = client.get(self.url, headers={"Accept": "text/html"}, **HERE)
        self.status, self.text = answer.status_code, answer.get_data(as_text=True)

    @property
    def token(self) -> str:
        found = re.search(r'name="csrf_token" value="([^"]+)"', self.text)
        assert found
        return found[1]

    def post(self, path: str, **form: Any) -> Any:
        data = {"csrf_token": self.token, **form}
        return self.client.post(self.url + path, data=data, headers={"Accept": "text/html"}, **HERE)

    def get(self, path: str = "") -> Any:
        return self.client.get(self.url + path, headers={"Accept": "text/html"}, **HERE)


@pytest.fixture(scope="module")
def evil(stocked_sandbox: str) -> str:
    """A patient whose every text is an attack."""
    server = open_server(load_settings({"server": stocked_sandbox}, {}))
    me = {"reference": "Patient/evil-1"}
    final = {
        "resourceType": "Observation",
        "status": "final",
        "subject": me,
        "effectiveDateTime": "2026-01-05",
    }
    sbp = {"coding": [{"system": "http://loinc.org", "code": "8480-6", "display": EVIL}], "text": EVIL}
    resources: list[dict[str, Any]] = [
        {
            "resourceType": "Patient",
            "id": "evil-1",
            "name": [{"family": EVIL, "given": [EVIL]}],
            "birthDate": "1960-02-03",
            "gender": "male",
            "identifier": [{"system": "urn:x", "value": EVIL}],
        },
        {
            **final,
            "id": "evil-o1",
            "code": sbp,
            "valueQuantity": {
                "value": 161,
                "unit": EVIL,
                "system": "http://unitsofmeasure.org",
                "code": "mm[Hg]",
            },
        },
        {**final, "id": "evil-o2", "code": sbp, "valueQuantity": {"value": 150, "unit": EVIL}},
        {"resourceType": "Condition", "id": "evil-c1", "subject": me, "code": {"text": f"HTN {EVIL}"}},
        {"resourceType": "AllergyIntolerance", "id": "evil-a1", "patient": me, "code": {"text": EVIL}},
        {
            "resourceType": "MedicationRequest",
            "id": "evil-m1",
            "status": "active",
            "intent": "order",
            "subject": me,
            "medicationCodeableConcept": {"text": f"{EVIL} 5 mg"},
            "dosageInstruction": [{"text": EVIL}],
        },
        {
            "resourceType": "Goal",
            "id": "evil-g1",
            "lifecycleStatus": "active",
            "subject": me,
            "description": {"text": EVIL},
            "target": [{"measure": {"text": EVIL}, "detailQuantity": {"value": 5, "unit": EVIL}}],
        },
    ]
    for resource in resources:
        server.update(resource)
    return "evil-1"


def test_nothing_of_a_record_becomes_markup(app: Flask, evil: str) -> None:
    """security.md 45, 46: on every page, in the list, in the what-if and in what is kept from forms."""
    page = Page(app.test_client(), evil)
    assert page.status == 200
    page.post("decide", item="evil", action="accept")
    item = re.search(r'name="item" value="([^"]+)"', page.text)
    assert item
    assert page.post("decide", item=item[1], action="reject", reason=EVIL, note=EVIL).status_code == 303
    listing = app.test_client().post("/", data={"q": EVIL}, **HERE).get_data(as_text=True)
    texts = [
        page.text,
        listing,
        *(page.get(p).get_data(as_text=True) for p in ("", "methods", "sheet", "review")),
    ]
    for text in texts:
        assert SCRIPT not in text
        assert "<img" not in text
        assert "onerror=alert(1)>" not in text
        assert "49" not in re.sub(r"\d{3,}|[\d.]*\.[\d.]*", "", text) or "{{7*7}}" in text
    assert "&lt;script&gt;" in page.text, "it is shown, as text"


@pytest.mark.parametrize(
    "path", ["decide", "what-if", "write", "reload", "goal", "preferences", "goals/write", "correct"]
)
def test_every_form_needs_its_token(bell: Page, path: str) -> None:
    """security.md 28."""
    for token in ("", "wrong", bell.token + "x"):
        assert bell.post(path, csrf_token=token).status_code == 403


def test_another_browser_gets_nothing(app: Flask, bell: Page) -> None:
    other = app.test_client()
    for path in ("", "progress", "methods", "sheet", "review", "goals/review", "ehr.css"):
        assert other.get(bell.url + path, **HERE).status_code == 401


@pytest.mark.parametrize(
    ("path", "form", "status"),
    [
        ("decide", {"item": "no-such", "action": "accept"}, 400),
        ("decide", {"item": "statin", "action": "explode"}, 400),
        ("decide", {"item": "statin", "action": "reject"}, 400),
        ("decide", {"item": "statin", "action": "accept", "dose": "no-such"}, 400),
        ("decide", {"item": "statin", "action": "accept", "note": "x" * 501}, 400),
        ("what-if", {}, 400),
        ("what-if", {"w-statin": "no-such", "horizon": "10.0"}, 400),
        ("what-if", {"w-no-such": "high", "horizon": "10.0"}, 400),
        ("what-if", {"w-statin": "high", "horizon": "1e9"}, 400),
        ("what-if", {"w-statin": "high", "horizon": "nan"}, 400),
        ("what-if", {"w-statin": "high", "adherence": "7"}, 400),
        ("what-if", {"w-statin": "stop"}, 400),
        ("goal", {"source": "Observation/1", "words": "x"}, 409),
        ("goal", {"measure": "sbp", "value": "1e99"}, 400),
        ("goal", {"measure": "sbp", "value": "NaN"}, 400),
        ("goal", {"measure": "no-such", "value": "1"}, 400),
        ("goal", {"words": ""}, 400),
        ("preferences", {"preference": "gold"}, 400),
        ("correct", {"key": "x"}, 400),
        ("write", {"token": "stale"}, 409),
    ],
)
def test_forms_that_make_no_sense(bell: Page, path: str, form: dict[str, str], status: int) -> None:
    assert bell.post(path, **form).status_code == status
    assert bell.get("progress").status_code == 200, "the page lives on"


class Silent:
    """A source that must not be asked."""

    def __init__(self, base: str) -> None:
        self.base = base

    def fetch(self, patient: str) -> Any:
        raise AssertionError("the record was read a second time")


def test_a_second_process_makes_the_same_page(
    tmp_path: Path, stocked_sandbox: str, all_knowledge: Knowledge
) -> None:
    """gunicorn's workers share the sealed record, not the run: bit for bit the same page."""
    first, second = (made(tmp_path, stocked_sandbox, all_knowledge) for _ in range(2))
    here = Page(first.test_client(), PATIENT)
    assert here.post("decide", item="statin", action="accept").status_code == 303
    there = second.test_client()
    there.set_cookie(*here.cookie, domain="127.0.0.1", path=here.url)
    second.extensions["fhir-twin"]["service"].source = Silent(stocked_sandbox)
    theirs = there.get(here.url, headers={"Accept": "text/html"}, **HERE)
    assert theirs.status_code == 200
    assert theirs.get_data(as_text=True) == here.get().get_data(as_text=True)
    assert "not written yet" in here.get().get_data(as_text=True)


def test_what_was_kept_goes_with_the_session(own_app: Flask) -> None:
    page = Page(own_app.test_client(), PATIENT)
    engine = own_app.extensions["fhir-twin"]["web_state"].engine

    def rows() -> int:
        with engine.connect() as connection:
            return int(connection.exec_driver_sql("select count(*) from web_record").scalar_one())

    assert rows() == 3
    assert page.post("logout").status_code == 200
    assert rows() == 0


def test_what_is_kept_is_sealed(own_app: Flask, tmp_path: Path) -> None:
    Page(own_app.test_client(), PATIENT)
    for file in (tmp_path / "cache" / "web").iterdir():
        data = file.read_bytes()
        assert b"Arthur" not in data
        assert PATIENT.encode() not in data


def test_a_record_keeps_its_digits() -> None:
    """MDL-6: 1.10 stays 1.10 on its way through the store."""
    bundle = {
        "resourceType": "Bundle",
        "entry": [{"resource": {"value": Decimal("1.10"), "text": "\u00e9\u2028"}}],
    }
    row = Completeness("Observation", 1, None, "unknown", "why")
    found = unpack(pack(Fetched(bundle, (row,), (), patient="p"), time_of()))
    assert found.fetched.bundle == bundle
    assert str(found.fetched.bundle["entry"][0]["resource"]["value"]) == "1.10"
    assert found.fetched.completeness == (row,)
    assert found.as_of == time_of()


def test_a_changed_goal_keeps_the_digits_that_it_had() -> None:
    goal = {
        "resourceType": "Goal",
        "target": [{"detailQuantity": {"value": Decimal("7.10")}}],
        "n": Decimal("1E-30"),
    }
    assert from_text(as_text(goal)) == goal
    assert '"value":7.10' in as_text(goal)


def time_of() -> Any:
    return datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


def session_of(run: Any, **more: Any) -> PageSession:
    base = {"tag": "t", "mode": "ehr", "patient": "p", "base": "b", "service": None, "user": "", "csrf": "c"}
    return PageSession(**{**base, "ends": time_of(), "granted": frozenset({"read"}), **more})  # type: ignore[arg-type]


def test_without_the_right_to_plan_there_is_no_proposal(all_knowledge: Knowledge) -> None:
    """A8: a record without medicines or allergies must not look like a patient who takes none."""
    done = run(load_bundles()[0], all_knowledge, time_of().replace(month=11), patient=PATIENT)
    assert done.plan.recommendations
    denied = {"plan": "no safe proposal without AllergyIntolerance"}
    shown = viewing._permitted(session_of(done, denied=denied), done)  # type: ignore[arg-type]
    assert shown.plan.recommendations == shown.plan.rejected == shown.plan.goals == ()
    assert shown.plan.refused == denied["plan"]
    assert shown.output == {}
    assert viewing._permitted(session_of(done, granted=frozenset({"read", "plan"})), done) is done


def test_the_page_says_what_the_card_was_about(all_knowledge: Knowledge) -> None:
    """CR-5: appContext is read back."""
    done = run(load_bundles()[0], all_knowledge, time_of().replace(month=11), patient=PATIENT)
    context = {"hook": "patient-view", "topics": ["proposal:statin", "proposal:gone", 7]}
    found = from_card(session_of(done, app_context=context), done.plan)
    assert [href for href, _ in found] == ["#p-statin"]
    assert from_card(session_of(done, app_context={"topics": "x"}), done.plan) == ()


def test_a_record_of_thousands_of_values_gives_a_page_of_ordinary_size(all_knowledge: Knowledge) -> None:
    me = {"reference": "Patient/x"}
    code = {"coding": [{"system": "http://loinc.org", "code": "8480-6"}]}
    unit = {"system": "http://unitsofmeasure.org", "code": "mm[Hg]"}
    entries: list[dict[str, Any]] = [
        {"resourceType": "Patient", "id": "x", "birthDate": "1960-01-01", "gender": "male"}
    ]
    for i in range(900):
        when = datetime(2023, 1, 1, tzinfo=UTC) + timedelta(hours=20 * i)
        value = {**unit, "value": 120 + i % 40}
        entries.append({"resourceType": "Observation", "id": f"o{i}", "status": "final", "subject": me,
                        "effectiveDateTime": when.isoformat(), "code": code, "valueQuantity": value})  # fmt: skip
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": e} for e in entries]}
    done = run(bundle, all_knowledge, datetime(2026, 1, 1, tzinfo=UTC))
    card = biomarker_cards(done, all_knowledge)[0]
    assert (card.key, len(card.rows), card.older) == ("sbp", 300, 600)
    assert card.rows[0].when == max(p.time for p in done.twin.used("sbp") if p.time)
    assert card.svg.count('class="mark') == 300


@pytest.fixture
def slow(own_app: Flask) -> Iterator[Flask]:
    source = own_app.extensions["fhir-twin"]["service"].source

    class Slow:
        base = source.base

        def fetch(self, patient: str) -> Any:
            time.sleep(1.5)
            return source.fetch(patient)

    own_app.extensions["fhir-twin"]["service"].source = Slow()
    yield own_app
    own_app.extensions["fhir-twin"]["service"].source = source


def test_a_browser_is_told_soon_a_program_gets_the_page(slow: Flask) -> None:
    """Who can show progress gets it at once; who cannot waits for the answer."""
    client = slow.test_client()
    url = client.get(f"/patients/{PATIENT}", **HERE).headers["Location"]
    began = time.monotonic()
    soon = client.get(url, headers={"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}, **HERE)
    assert time.monotonic() - began < 1.4
    assert "data-progress" in soon.get_data(as_text=True)
    told = client.get(url + "progress", **HERE).get_json()
    assert told["state"] == "loading"
    assert told["words"] == "Reading the record from the server"
    page = client.get(url, headers={"Accept": "text/html"}, **HERE)
    assert 'id="plan"' in page.get_data(as_text=True)


def test_a_half_written_plan_is_said_and_the_decisions_stay(own_app: Flask) -> None:
    """The drafts are there, the second step fails: nobody may believe that all of it was written."""
    service = own_app.extensions["fhir-twin"]["service"]
    real = service.sink

    class Half:
        write, preview, held = real.write, real.preview, real.held

        def change(self, patient: str, changes: Any, provenance: Any) -> Any:
            raise UpstreamTimeout("no answer within 60 s")

    service.sink = Half()
    page = Page(own_app.test_client(), stories()[4][0])
    item = re.search(r'name="item" value="([^"]+)"', page.text)
    assert item
    page.post("decide", item=item[1], action="accept")
    token = re.search(r'name="token" value="([^"]+)"', page.get("review").get_data(as_text=True))
    assert token
    answer = page.post("write", token=token[1])
    assert answer.status_code == 502
    assert "your decisions are not: no answer within 60 s" in answer.get_data(as_text=True)
    service.sink = real
    assert "not written yet" in page.get().get_data(as_text=True)
    token = re.search(r'name="token" value="([^"]+)"', page.get("review").get_data(as_text=True))
    assert token
    done = page.post("write", token=token[1]).get_data(as_text=True)
    assert "Written to the record" in done
    assert "not written yet" not in page.get().get_data(as_text=True)


def test_a_failure_is_tried_again_by_looking_again(own_app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    source = own_app.extensions["fhir-twin"]["service"].source

    class Down:
        base = source.base

        def fetch(self, patient: str) -> Any:
            raise UpstreamTimeout("no answer within 60 s")

    own_app.extensions["fhir-twin"]["service"].source = Down()
    page = Page(own_app.test_client(), PATIENT)
    assert page.status == 504
    own_app.extensions["fhir-twin"]["service"].source = source
    assert page.get().status_code == 504, "not at once: a server that is down is not hammered"
    monkeypatch.setattr(viewing, "FAILED_FOR", 0.0)
    assert page.get().status_code == 200


def test_a_bug_while_reading_is_told_without_its_text(own_app: Flask) -> None:
    class Broken:
        base = "http://127.0.0.1:1/fhir"

        def fetch(self, patient: str) -> Any:
            raise ValueError(f"secret {patient}")

    own_app.extensions["fhir-twin"]["service"].source = Broken()
    page = Page(own_app.test_client(), PATIENT)
    assert page.status == 500
    assert "secret" not in page.text
    assert "an error of ours" in page.text.lower()
