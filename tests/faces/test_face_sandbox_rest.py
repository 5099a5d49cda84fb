"""The sandbox over a real socket: CRUD, versions, search, paging, refusals (standards.md 5.1, 1.9)."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from fhir_twin.fhir.validate import validate_resource
from fhir_twin.sandbox import serve_sandbox
from fhir_twin.transport.capability import read_capability

JSON = {"Content-Type": "application/fhir+json"}
CANARY = "Canary-Zebediah-1931"


class Box:
    def __init__(self, base: str) -> None:
        self.base = base
        self.session = requests.Session()

    def __call__(self, method: str, path: str = "", body: Any = None, **headers: str) -> requests.Response:
        sent = {k.replace("_", "-"): v for k, v in headers.items()}
        url = self.base + (path if path.startswith(("?", "/")) or not path else f"/{path}")
        return self.session.request(
            method, url, json=body, headers={**(JSON if body is not None else {}), **sent}
        )

    def put(self, resource: dict[str, Any], **headers: str) -> requests.Response:
        return self("PUT", f"{resource['resourceType']}/{resource['id']}", resource, **headers)

    def ids(self, query: str) -> list[str]:
        found = self("GET", query)
        assert found.status_code == 200, found.text
        return [e["resource"]["id"] for e in found.json().get("entry", [])]


@pytest.fixture
def box() -> Iterator[Box]:
    times = iter(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=n) for n in range(100_000))
    with contextlib.closing(serve_sandbox(now=lambda: next(times))) as running:
        made = Box(running.base)
        made.engine = running.engine  # type: ignore[attr-defined]
        yield made
        made.session.close()


def patient(id_: str = "p1", **more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": id_, **more}


def observation(
    id_: str, code: str = "8480-6", date: str = "2024-05-01", who: str = "p1", **more: Any
) -> dict[str, Any]:
    return {
        "resourceType": "Observation", "id": id_, "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
        "subject": {"reference": f"Patient/{who}"}, "effectiveDateTime": date, **more,
    }  # fmt: skip


def refused(answer: requests.Response, status: int, code: str = "") -> str:
    """FA-5: every error is an OperationOutcome in FHIR JSON without a stack trace; its diagnostics."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"].startswith("application/fhir+json")
    outcome = answer.json()
    assert outcome["resourceType"] == "OperationOutcome" and "Traceback" not in answer.text
    issue = outcome["issue"][0]
    assert issue["severity"] == "error" and (not code or issue["code"] == code)
    assert CANARY not in answer.text
    return str(issue["diagnostics"])


# --- what it says it is ----------------------------------------------------------------------------


def test_it_says_that_it_is_a_sandbox(box: Box) -> None:
    """FA-1: cpb-14 implementation, cpb-9 a type once, cpb-12 search names unique; and it validates."""
    statement = box("GET", "metadata").json()
    assert statement["software"]["name"] == "fhir-twin sandbox"
    assert "not for production" in statement["implementation"]["description"]
    assert statement["implementation"]["url"] == box.base
    # The model library's code list for `format` holds "mime type" in place of the mime types.
    assert [i for i in validate_resource(statement) if ".format[" not in i.expression] == []
    types = statement["rest"][0]["resource"]
    assert len({t["type"] for t in types}) == len(types)
    for each in types:
        names = [p["name"] for p in each["searchParam"]]
        assert len(set(names)) == len(names)


def test_every_parameter_of_the_capability_statement_works(box: Box) -> None:
    values = {"token": "a", "reference": "Patient/x", "date": "2020", "string": "a", "uri": "urn:a"}
    for each in box("GET", "metadata").json()["rest"][0]["resource"]:
        query = "&".join(f"{p['name']}={values[p['type']]}" for p in each["searchParam"])
        answer = box("GET", f"{each['type']}?{query}", Prefer="handling=strict")
        assert answer.status_code == 200 and answer.json()["total"] == 0
        for include in each.get("searchInclude", []):
            assert box("GET", f"{each['type']}?_include={include}").status_code == 200
        for include in each.get("searchRevInclude", []):
            assert box("GET", f"{each['type']}?_revinclude={include}").status_code == 200


def test_our_own_client_reads_it(box: Box) -> None:
    found = read_capability(box("GET", "metadata").json())
    assert found.supports_system("transaction") and found.has_operation("Patient", "everything")
    assert found.has_search_param("Observation", "combo-code") and found.issues == ()


def test_loopback_only(box: Box) -> None:
    port = int(box.base.split(":")[2].split("/")[0])
    outside = next(
        (a[4][0] for a in socket.getaddrinfo(socket.gethostname(), None) if not a[4][0].startswith("127")), ""
    )
    if outside:
        with pytest.raises(OSError):
            socket.create_connection((outside, port), 0.5)
    refused(box("GET", "metadata", Host="evil.example"), 400)  # DNS rebinding


# --- create, read, update, delete ------------------------------------------------------------------


def test_life_of_a_resource(box: Box) -> None:
    made = box("POST", "Patient", {"resourceType": "Patient", "gender": "female"})
    assert made.status_code == 201
    id_ = made.json()["id"]
    assert (
        made.headers["ETag"] == 'W/"1"' and made.headers["Location"] == f"{box.base}/Patient/{id_}/_history/1"
    )
    changed = box.put({**made.json(), "gender": "male"}, If_Match='W/"1"')
    assert (changed.status_code, changed.json()["meta"]["versionId"]) == (200, "2")
    assert box("GET", f"Patient/{id_}").json()["gender"] == "male"
    assert box("GET", f"Patient/{id_}/_history/1").json()["gender"] == "female"
    history = box("GET", f"Patient/{id_}/_history").json()
    assert [e["request"]["method"] for e in history["entry"]] == ["PUT", "POST"]
    assert box("DELETE", f"Patient/{id_}").status_code == 204
    refused(box("GET", f"Patient/{id_}"), 410, "deleted")
    assert box.ids("Patient") == []
    back = box.put({"resourceType": "Patient", "id": id_})
    assert back.status_code == 201 and back.json()["meta"]["versionId"] == "4"


def test_update_as_create_and_no_new_version_without_a_change(box: Box) -> None:
    """HP-8, and the digits of a decimal stay (row 36)."""
    raw = '{"resourceType":"Patient","id":"p1","extension":[{"url":"urn:x","valueDecimal":1.10}]}'
    send = lambda: box.session.put(f"{box.base}/Patient/p1", data=raw, headers=JSON)  # noqa: E731
    assert send().status_code == 201
    again = send()
    assert again.status_code == 200 and again.headers["ETag"] == 'W/"1"' and "1.10" in again.text


@pytest.mark.parametrize("tag", ['W/"7"', "7", "junk", '"1", "2"'])
def test_a_stale_version_is_refused(box: Box, tag: str) -> None:
    box.put(patient())
    refused(box.put(patient(gender="other"), If_Match=tag), 412, "conflict")
    assert box("GET", "Patient/p1").headers["ETag"] == 'W/"1"'


def test_prefer_and_if_none_match(box: Box) -> None:
    """FA-3, FA-4."""
    assert box.put(patient(), Prefer="return=minimal").content == b""
    assert (
        box.put(patient(gender="male"), Prefer="return=OperationOutcome").json()["resourceType"]
        == "OperationOutcome"
    )
    assert box.put(patient(gender="female"), Prefer="return=representation").json()["id"] == "p1"
    assert box("GET", "Patient/p1", If_None_Match='W/"3"').status_code == 304
    assert box("GET", "Patient/p1", If_None_Match='W/"2"').status_code == 200
    assert box("HEAD", "Patient/p1").status_code == 200


def test_conditional_create_and_update(box: Box) -> None:
    """ID-2: none, one, several; the body's id must not differ."""
    body = {
        "resourceType": "Goal",
        "identifier": [{"system": "urn:a", "value": "1"}],
        "subject": {"reference": "Patient/p1"},
    }
    box.put(patient())
    first = box("POST", "Goal", body, If_None_Exist="identifier=urn:a|1")
    again = box("POST", "Goal", body, If_None_Exist="identifier=urn:a|1")
    assert (first.status_code, again.status_code) == (201, 200) and first.json()["id"] == again.json()["id"]
    updated = box("PUT", "Goal?identifier=urn:a|1", {**body, "lifecycleStatus": "active"})
    assert updated.status_code == 200 and updated.json()["id"] == first.json()["id"]
    refused(box("PUT", "Goal?identifier=urn:a|1", {**body, "id": "other"}), 400)
    fresh = box(
        "PUT",
        "Goal?identifier=urn:a|2",
        {**body, "id": "mine", "identifier": [{"system": "urn:a", "value": "2"}]},
    )
    assert fresh.status_code == 201 and fresh.json()["id"] == "mine"
    box("POST", "Goal", body)
    refused(box("PUT", "Goal?identifier=urn:a|1", body), 412, "multiple-matches")
    refused(box("POST", "Goal", body, If_None_Exist="identifier=urn:a|1"), 412, "multiple-matches")
    refused(box("POST", "Goal", body, If_None_Exist="nonsense=1"), 400)


@pytest.mark.parametrize(
    ("reference", "status"),
    [("Patient/gone", 400), ("https://evil.example/fhir/Patient/p1", 400), ("Patient", 400),
     ("urn:uuid:00000000-0000-4000-8000-000000000000", 400), ("Patient?identifier=urn:x|9", 400),
     ("Patient/p1", 201), ("Patient/p1/_history/1", 201), ("#here", 201)],
)  # fmt: skip
def test_references_must_lead_somewhere(box: Box, reference: str, status: int) -> None:
    """HP-1, HP-2, HP-5."""
    box.put(patient())
    answer = box("POST", "Goal", {"resourceType": "Goal", "subject": {"reference": reference}})
    assert answer.status_code == status
    if reference.endswith("_history/1"):
        assert answer.json()["subject"]["reference"] == "Patient/p1"


def test_the_guideline_link_of_a_detected_issue_is_no_reference(box: Box) -> None:
    issue = {"resourceType": "DetectedIssue", "status": "final", "reference": "https://doi.org/10.1000/1"}
    stored = box("POST", "DetectedIssue", issue)
    assert stored.status_code == 201 and stored.json()["reference"] == "https://doi.org/10.1000/1"


def test_what_others_refer_to_is_not_deleted(box: Box) -> None:
    box.put(patient())
    box.put(observation("o1"))
    refused(box("DELETE", "Patient/p1"), 409, "conflict")
    assert box("DELETE", "Observation/o1").status_code == 204
    assert box("DELETE", "Patient/p1").status_code == 204
    assert box("DELETE", "Patient/p1").status_code == 204


# --- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "Nonsense", 404),
        ("GET", "Patient/none", 404),
        ("GET", "Patient/p1/x/y/z", 404),
        ("GET", "", 400),
        ("GET", "?_page=expired.20", 410),
        ("PATCH", "Patient/p1", 405),
        ("DELETE", "Patient", 405),
        ("DELETE", "metadata", 405),
        ("GET", "Patient?birthdate=yesterday", 400),
        ("GET", "Patient?_count=many", 400),
        ("GET", "Patient?_count=-1", 400),
        ("GET", "Patient?name:soundslike=x", 400),
        ("GET", "Patient?_sort=nonsense", 400),
        ("GET", "Patient?_include=Patient:nonsense", 400),
        ("GET", "Patient?_summary=text", 400),
        ("GET", "Patient/none/$everything", 404),
    ],
)
def test_every_error_is_an_outcome(box: Box, method: str, path: str, status: int) -> None:
    refused(box(method, path), status)


def test_errors_outside_the_base_too(box: Box) -> None:
    box.base = box.base.removesuffix("/fhir")
    refused(box("GET", "elsewhere"), 404, "not-found")


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b'"x"', b"null", b"{}", b'{"resourceType":"Goal"}', b'{"resourceType":["Patient"]}',
        b'{"resourceType":"Patient","meta":3}', b'{"resourceType":"Patient","x":NaN}',
        b'{"resourceType":"Patient","x":1e400}', b"\xff\xfe",
        b'{"resourceType":"Patient","gender":"male","gender":"female"}', b"[" * 100_000,
        b'{"resourceType":"Patient"}{"resourceType":"Patient"}', b'{"resourceType":"Patient","x":"\\ud800"}',
        f'{{"resourceType":"Patient","name":[{{"family":"{CANARY}"'.encode(),
    ],
)  # fmt: skip
def test_bodies_that_are_no_patient(box: Box, body: bytes) -> None:
    """Rows 34, 35, 37, 38, 39: 400 OperationOutcome, nothing stored, still alive."""
    refused(box.session.post(f"{box.base}/Patient", data=body, headers=JSON), 400)
    assert box("GET", "Patient").json()["total"] == 0


@pytest.mark.parametrize("id_", ["12345", "a_b", "x" * 65])
def test_ids_that_clients_may_not_choose(box: Box, id_: str) -> None:
    """HP-6."""
    refused(box.put(patient(id_)), 400)
    refused(box("PUT", "Patient/p1", patient("p2")), 400)


def test_media_types(box: Box) -> None:
    """FA-3; XML is not offered."""
    for accept in (
        "application/fhir+json",
        "application/json",
        "*/*",
        "text/json",
        "application/fhir+json;q=0.9, text/html",
    ):
        assert box("GET", "metadata", Accept=accept).status_code == 200
    refused(box("GET", "metadata", Accept="application/fhir+xml"), 406, "not-supported")
    refused(box("GET", "metadata?_format=xml"), 406)
    assert box("GET", "metadata?_format=json", Accept="application/fhir+xml").status_code == 200
    xml = box.session.post(
        f"{box.base}/Patient", data=b"<Patient/>", headers={"Content-Type": "application/fhir+xml"}
    )
    refused(xml, 415, "not-supported")
    form = box.session.post(f"{box.base}/Patient", data={"a": "b"})
    refused(form, 415)


def test_a_bug_says_nothing_of_itself(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    def boom(_: Any) -> Any:
        raise RuntimeError(CANARY)

    monkeypatch.setattr(box.engine, "answer", boom)  # type: ignore[attr-defined]
    refused(box("GET", "metadata"), 500, "exception")


# --- search ----------------------------------------------------------------------------------------


@pytest.fixture
def stocked(box: Box) -> Box:
    box.put(
        patient(
            identifier=[{"system": "urn:mrn", "value": "1"}],
            name=[{"family": "Ångström", "given": ["Bo"]}],
            birthDate="1950-06",
            gender="male",
        )
    )
    box.put(
        patient("p2", identifier=[{"system": "urn:mrn", "value": "2|3"}], birthDate="1980", gender="female")
    )
    vital = [{"coding": [{"system": "urn:cat", "code": "vital-signs"}]}]
    bp = [{"code": {"coding": [{"system": "http://loinc.org", "code": "8480-6"}]}}]
    box.put(observation("o1", date="2024-05-01", category=vital))
    box.put(observation("o2", code="85354-9", date="2024-05-02T10:00:00Z", component=bp))
    box.put(observation("o3", date="2023", status="amended"))
    box.put(observation("o4", who="p2", date="2024-05-01T23:30:00-05:00"))
    return box


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("Observation?patient=p1", ["o1", "o2", "o3"]),
        ("Observation?patient=Patient/p1", ["o1", "o2", "o3"]),
        ("Observation?subject=Patient/p1,Patient/p2", ["o1", "o2", "o3", "o4"]),
        ("Observation?subject:Patient=p2", ["o4"]),
        ("Observation?patient=p1,p2&code=8480-6", ["o1", "o3", "o4"]),
        ("Observation?patient=p1&code=http://loinc.org|8480-6", ["o1", "o3"]),
        ("Observation?code=urn:other|8480-6", []),
        ("Observation?code=http://loinc.org|", ["o1", "o2", "o3", "o4"]),
        ("Observation?combo-code=8480-6&patient=p1", ["o1", "o2", "o3"]),
        ("Observation?component-code=8480-6", ["o2"]),
        ("Observation?category=vital-signs", ["o1"]),
        ("Observation?category:missing=true&patient=p1", ["o2", "o3"]),
        ("Observation?status:not=final", ["o3"]),
        ("Observation?status=amended,final&patient=p2", ["o4"]),
        ("Observation?date=2024-05-01", ["o1"]),
        ("Observation?date=ge2024-05-02", ["o2", "o4"]),
        ("Observation?date=gt2024-05-01&date=lt2024-05-02T11:00:00Z", ["o2", "o4"]),
        ("Observation?date=2023", ["o3"]),
        ("Observation?date=lt2024", ["o3"]),
        ("Observation?date=sa2024-05-01", ["o2", "o4"]),
        ("Observation?date=eb2024", ["o3"]),
        ("Observation?date=ne2023", ["o1", "o2", "o4"]),
        ("Observation?date=le2023-12-31", ["o3"]),
        ("Observation?_id=o1,o4,none", ["o1", "o4"]),
        ("Patient?identifier=urn:mrn|1", ["p1"]),
        ("Patient?identifier=2%5C%7C3", ["p2"]),
        ("Patient?identifier=|1", []),
        ("Patient?name=%C3%A5ng", ["p1"]),
        ("Patient?name:exact=Bo", ["p1"]),
        ("Patient?name:contains=STR", ["p1"]),
        ("Patient?birthdate=1950", ["p1"]),
        ("Patient?birthdate=ge1951", ["p2"]),
        ("Patient?gender=female", ["p2"]),
        ("Patient?_lastUpdated=lt2025", []),
        ("Patient?_sort=-birthdate", ["p2", "p1"]),
        ("Patient?_sort=birthdate", ["p1", "p2"]),
        ("Observation?_sort=-date&patient=p1", ["o2", "o1", "o3"]),
        ("Patient?nonsense=1&_id=p1", ["p1"]),
        ("Patient?gender=", ["p1", "p2"]),
    ],
)
def test_searches(stocked: Box, query: str, ids: list[str]) -> None:
    assert sorted(stocked.ids(query)) == sorted(ids)
    if "_sort" in query:
        assert stocked.ids(query) == ids


def test_lenient_and_strict(stocked: Box) -> None:
    """FA-4, RD-6: what was ignored is not in the self link."""
    lenient = stocked("GET", "Patient?nonsense=1&gender=male").json()
    assert lenient["link"][0]["url"] == f"{stocked.base}/Patient?gender=male"
    refused(stocked("GET", "Patient?nonsense=1", Prefer="handling=strict"), 400, "not-supported")


def test_post_search_is_the_same(stocked: Box) -> None:
    """RD-5."""
    posted = stocked.session.post(
        f"{stocked.base}/Observation/_search", data={"patient": "p1", "_sort": "date"}
    )
    assert [e["resource"]["id"] for e in posted.json()["entry"]] == ["o3", "o1", "o2"]
    refused(stocked("GET", "Observation/_search"), 405)


def test_counts_pages_and_totals(stocked: Box) -> None:
    """F1: opaque links, each page its own; the result stays as it was when it was asked for."""
    count = stocked("GET", "Observation?_summary=count").json()
    assert count["total"] == 4 and "entry" not in count
    assert stocked("GET", "Observation?_count=0").json() == {
        **count,
        "link": [{"relation": "self", "url": f"{stocked.base}/Observation?_count=0"}],
    }
    assert "total" not in stocked("GET", "Observation?_total=none").json()
    page = stocked("GET", "Observation?_count=3").json()
    following = next(link["url"] for link in page["link"] if link["relation"] == "next")
    assert page["total"] == 4 and "Observation" not in following
    stocked("DELETE", "Observation/o4")
    rest = stocked.session.get(following).json()
    assert [e["resource"]["id"] for e in rest["entry"]] == ["o4"]
    assert all(link["relation"] != "next" for link in rest["link"])
    stocked.engine.pages.expire()  # type: ignore[attr-defined]
    refused(stocked.session.get(following), 410)


def test_page_size_is_capped(box: Box) -> None:
    """HP-7: 20 unless asked, 200 at most."""
    entries = [
        {"resource": patient(f"p{n}"), "request": {"method": "PUT", "url": f"Patient/p{n}"}}
        for n in range(250)
    ]
    assert (
        box("POST", "", {"resourceType": "Bundle", "type": "transaction", "entry": entries}).status_code
        == 200
    )
    assert len(box.ids("Patient")) == 20
    assert len(box.ids("Patient?_count=1000")) == 200


def test_includes(box: Box) -> None:
    box.put(patient())
    box.put({"resourceType": "Medication", "id": "m1"})
    drug = {
        "resourceType": "MedicationRequest",
        "subject": {"reference": "Patient/p1"},
        "medicationReference": {"reference": "Medication/m1"},
    }
    box.put({**drug, "id": "r1"})
    box.put({**drug, "id": "r2"})
    box.put(
        {
            "resourceType": "Provenance",
            "id": "v1",
            "target": [{"reference": "MedicationRequest/r1"}],
            "recorded": "2026-01-01T00:00:00Z",
        }
    )
    page = box(
        "GET",
        "MedicationRequest?patient=p1&_include=MedicationRequest:medication&_revinclude=Provenance:target",
    ).json()
    modes = [(e["resource"]["id"], e["search"]["mode"]) for e in page["entry"]]
    assert (
        modes == [("r1", "match"), ("r2", "match"), ("m1", "include"), ("v1", "include")]
        and page["total"] == 2
    )
    assert all(e["fullUrl"].startswith(box.base) for e in page["entry"])


def test_elements_are_marked_as_a_part(stocked: Box) -> None:
    """RD-9: SUBSETTED must never be written back."""
    found = stocked("GET", "Patient?_elements=gender&_id=p1").json()["entry"][0]["resource"]
    assert (
        set(found) == {"resourceType", "id", "meta", "gender"}
        and found["meta"]["tag"][-1]["code"] == "SUBSETTED"
    )


def test_everything(stocked: Box) -> None:
    """Own resources and what they refer to; nothing of another patient; pages without a total."""
    stocked.put({"resourceType": "Medication", "id": "m1"})
    stocked.put(
        {
            "resourceType": "MedicationRequest",
            "id": "r1",
            "subject": {"reference": "Patient/p1"},
            "medicationReference": {"reference": "Medication/m1"},
        }
    )
    assert stocked.ids("Patient/p1/$everything") == ["p1", "r1", "o1", "o2", "o3", "m1"]
    assert stocked.ids("Patient/p1/$everything?_type=Observation,Medication") == ["o1", "o2", "o3", "m1"]
    page = stocked("GET", "Patient/p1/$everything?_count=2").json()
    assert "total" not in page and any(link["relation"] == "next" for link in page["link"])
    assert stocked.ids("Patient/p1/$everything?_since=2030-01-01T00:00:00Z") == []


def test_validate(box: Box) -> None:
    good = {"resourceType": "Patient", "gender": "male"}
    bad = {
        "resourceType": "Goal",
        "lifecycleStatus": "banana",
        "description": {"text": CANARY},
        "subject": {"reference": "Patient/1"},
    }
    assert box("POST", "Patient/$validate", good).json()["issue"][0]["severity"] == "information"
    parameters = {"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": bad}]}
    answer = box("POST", "Goal/$validate", parameters)
    assert answer.status_code == 200
    assert answer.json()["issue"][0]["code"] == "code-invalid" and CANARY not in answer.text
    refused(box("POST", "Goal/$validate", {"resourceType": "Parameters"}), 400)
