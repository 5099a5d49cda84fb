"""Whatever JSON a server sends, a pull ends in a record with issues or in one of our errors; nothing else escapes."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_twin.errors import TwinError
from fhir_twin.transport.answers import error_of, resource_of
from fhir_twin.transport.capability import read_capability
from fhir_twin.transport.fhir_server import FhirServer
from fhir_twin.transport.gather import Answer
from fhir_twin.transport.http import HttpClient, Reply
from fhir_twin.transport.hydrate import missing
from fhir_twin.transport.merge import collection, completeness, short_issues, split
from fhir_twin.transport.paging import Found, Pager, take_page
from fhir_twin.transport.pull import _replacement
from fhir_twin.transport.wanted import WANTED, offered, queries

CANARY = "Canary"
SERVER = FhirServer(HttpClient("http://127.0.0.1:9/fhir"))
BASE = SERVER.client.base

_KEYS = """
    resourceType type entry resource id link relation url search mode total subject patient reference issue severity
    code diagnostics details text expression fhirVersion rest interaction searchParam name operation format software
    response status other searchInclude medicationReference result hasMember meta coding
"""
_WORDS = """
    Bundle Patient Observation MedicationRequest OperationOutcome CapabilityStatement searchset Patient/p1 Patient/p2
    Medication/m next self match outcome include 4.0.1 p1 replaced-by 400 Canary
    http://evil.example/fhir/Patient/p1 http://127.0.0.1:9/fhir?p=2
"""
KEYS = st.sampled_from(_KEYS.split())
WORDS = st.sampled_from(["", "\x00", "200 OK", *_WORDS.split()])
SCALARS = st.none() | st.booleans() | st.integers(-5, 10**20) | st.floats(allow_nan=False) | WORDS
JSON = st.recursive(
    SCALARS, lambda v: st.lists(v, max_size=4) | st.dictionaries(KEYS, v, max_size=6), max_leaves=25
)
RESOURCES = st.dictionaries(KEYS, JSON, max_size=6).map(
    lambda r: {"resourceType": "Observation", "id": "x", **r}
)
MANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@MANY
@given(st.dictionaries(KEYS, JSON, max_size=6), st.lists(RESOURCES, max_size=4))
def test_any_page(page: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    found = Found()
    known: set[tuple[str, str]] = set()
    take_page(found, page, "Observation", known)
    take_page(
        found, {"entry": [{"resource": r, "search": {"mode": "match"}} for r in rows]}, "Observation", known
    )
    answer = Answer("Observation", "read", found, expected=found.total)
    records = split({"Observation": answer}, BASE, ("p1", "p3"))
    rows_ = completeness({"Observation": answer})
    for record in records.values():
        missing(record, SERVER)
        made = collection({"resourceType": "Patient", "id": "p1"}, record, BASE.text)
        assert all("resourceType" in e["resource"] for e in made["entry"])
        assert CANARY not in repr([*record.issues, *short_issues(rows_)])
    assert not any(
        r["subject"]["reference"] == "Patient/p2"
        for r in records["p1"].own.get("Observation", [])
        if _refers(r)
    )


def _refers(row: dict[str, Any]) -> bool:
    return isinstance(row.get("subject"), dict) and isinstance(row["subject"].get("reference"), str)


@MANY
@given(st.dictionaries(KEYS, JSON, max_size=6))
def test_any_first_page_is_followed_or_stopped(page: dict[str, Any]) -> None:
    class Dead(Pager):
        def _next(self, url: str, found: Found, *_: Any) -> None:
            assert url.startswith(BASE.origin)
            found.end = "error"

    Dead(SERVER.client).follow(page, "Observation")


@MANY
@given(st.dictionaries(KEYS, JSON, max_size=8), st.lists(JSON, max_size=3))
def test_any_capability_statement(statement: dict[str, Any], types: list[Any]) -> None:
    for found in (statement, {"fhirVersion": "4.0.1", "rest": [{"mode": "server", "resource": types}]}):
        try:
            capability = read_capability({**found, "resourceType": "CapabilityStatement"})
        except TwinError as error:
            assert CANARY not in error.message
            continue
        for wanted in WANTED:
            if offered(capability, wanted.type):
                assert queries(wanted, capability, ["p1"], 50)


@MANY
@given(JSON, st.integers(100, 599), st.sampled_from(["application/fhir+json", "text/html", ""]))
def test_any_answer(body: Any, status: int, kind: str) -> None:
    """MDL-6 aside, `resource_of` gives a resource or raises ours; texts hold nothing of the body."""
    reply = Reply(
        status,
        {"Content-Type": kind},
        orjson.dumps(body, option=orjson.OPT_NON_STR_KEYS) if _small(body) else b"{}",
    )
    error = error_of(reply, "reading")
    assert CANARY not in error.message + repr(error.issues)
    try:
        assert isinstance(resource_of(reply, "reading")["resourceType"], str)
    except TwinError as raised:
        assert CANARY not in raised.message


@MANY
@given(st.binary(max_size=200))
def test_any_bytes(body: bytes) -> None:
    reply = Reply(200, {}, body)
    try:
        resource_of(reply, "reading")
    except TwinError as error:
        assert "reading" in error.message


@MANY
@given(st.dictionaries(KEYS, JSON, max_size=6))
def test_any_patient(patient: dict[str, Any]) -> None:
    assert isinstance(_replacement(patient, SERVER), str)


def _small(value: Any) -> bool:
    """orjson, here only the tests' writer, takes 64-bit integers."""
    if isinstance(value, dict):
        return all(_small(v) for v in value.values())
    if isinstance(value, list):
        return all(_small(v) for v in value)
    return not isinstance(value, int) or abs(value) < 2**63
