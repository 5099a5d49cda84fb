"""Ask a server, without writing anything, whether fhir-twin can work with it: one line per question.

What vendors' servers do not do is usually found late, one patient at a time (interop.md 4); this finds it at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from fhir_twin.errors import LoginRequired, NotSupported, TwinError
from fhir_twin.transport.answers import error_of, try_resource
from fhir_twin.transport.capability import ServerCapability
from fhir_twin.transport.fhir_server import JSON, FhirServer
from fhir_twin.transport.queries import applied
from fhir_twin.transport.urls import next_of
from fhir_twin.transport.wanted import WANTED, offered

Resource = dict[str, Any]
State = Literal["pass", "warn", "fail", "not offered"]
# What the plan is made of; the first is what it cannot do without.
_WRITTEN = (
    "CarePlan",
    "Goal",
    "ServiceRequest",
    "MedicationRequest",
    "RiskAssessment",
    "DetectedIssue",
    "Provenance",
)


@dataclass(frozen=True, slots=True)
class Check:
    """state: pass, warn (works, with the loss that `advice` names), fail, or "not offered" (a feature that the server
    says it does not have). id: of the check list in docs/check.md. No text holds patient data."""

    name: str
    state: State
    seen: str
    advice: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """What else to check, beyond reading: each is asked for on its own. write: makes test resources and deletes them
    again; patient: the one to write for where a Patient cannot be created. hooks: base of a CDS service."""

    smart: bool = False
    bulk: bool = False
    hooks: str = ""
    write: bool = False
    patient: str = ""


def check_server(server: FhirServer, ask: Ask | None = None) -> Iterator[Check]:
    """All checks in order; stops after the first when the server cannot be used at all. Never raises TwinError."""
    yield from map(_numbered, _checks(server, ask or Ask()))


def _checks(server: FhirServer, ask: Ask) -> Iterator[Check]:
    from fhir_twin.transport import selftest_more  # it knows this module's Check

    try:
        capability = server.capability()
    except LoginRequired as error:
        yield Check("connection", "fail", error.message, "give a token or user and password, or renew it")
        return
    except NotSupported as error:
        yield Check("FHIR version", "fail", error.message, "use the server's R4 endpoint")
        return
    except TwinError as error:
        yield Check(
            "connection", "fail", error.message, "check the base URL, the network and the certificates"
        )
        return
    yield _connection(server, capability.software or "the server does not name its software")
    version = f"FHIR {capability.fhir_version}"
    warned = next((i.diagnostics for i in capability.issues), "")
    yield Check("FHIR version", "warn" if warned else "pass", version, warned)
    for name, question in _QUESTIONS.items():
        try:
            yield question(server, capability)
        except TwinError as error:
            yield Check(name, "fail", error.message)
    yield from selftest_more.reading(server, capability)
    yield from _types(server, capability)
    yield from _writing(capability)
    yield from selftest_more.asked_for(server, capability, ask)


def _connection(server: FhirServer, software: str) -> Check:
    base = server.client.base
    if base.scheme == "https" or base.host in ("localhost", "::1") or base.host.startswith("127."):
        return Check("connection", "pass", software)
    return Check(
        "connection", "warn", f"{software}, without TLS", "tokens and records cross the network in the clear"
    )


def _listing(server: FhirServer, _: ServerCapability) -> Check:
    """Can Patients be listed, is there a total, and do the next links lead where we may go?"""
    page = server.search_page("Patient", {"_count": "1", "_total": "accurate"})
    total = page.get("total")
    links = [link for link in page.get("link") or () if isinstance(link, dict)]
    following = next((str(link.get("url")) for link in links if link.get("relation") == "next"), "")
    if not following:
        given = len(page.get("entry") or ())
        if isinstance(total, int) and total > given:
            return Check(
                "paging", "fail", f"{total} Patients, {given} given, no next link", "lists will be cut"
            )
        return Check("paging", "pass", "one page is enough for all Patients")
    try:
        rewritten = next_of(server.client.base, following)[1]
    except TwinError:
        return Check(
            "paging", "fail", "next links lead to another server", "use the base URL that its links name"
        )
    if rewritten:
        return Check(
            "paging", "warn", "next links name another host", "works; the server's own base URL is set wrong"
        )
    return Check("paging", "pass", "next links stay on this server")


def _counting(server: FhirServer, _: ServerCapability) -> Check:
    page = server.search_page("Patient", {"_summary": "count"})
    if isinstance(page.get("total"), int):
        return Check("counts", "pass", "the server counts its rows")
    return Check(
        "counts", "warn", "no total for _summary=count", "completeness will be unknown, never complete"
    )


def _batch(server: FhirServer, _: ServerCapability) -> Check:
    urls = ("Patient?_count=1", "Observation?_count=1")
    bundle = {
        "resourceType": "Bundle",
        "type": "batch",
        "entry": [{"request": {"method": "GET", "url": url}} for url in urls],
    }
    slower = "the searches run one by one: about eight times the requests"
    try:
        answer = server.batch(bundle)
    except TwinError as error:
        return Check("batch", "warn", error.message, slower)
    entries = answer.get("entry")
    if isinstance(entries, list) and len(entries) == len(urls):
        return Check("batch", "pass", "one request reads a record")
    return Check("batch", "warn", "the answer has not one entry per request", slower)


def _post_search(server: FhirServer, _: ServerCapability) -> Check:
    headers = {"Accept": JSON, "Content-Type": "application/x-www-form-urlencoded"}
    reply = server.client.request("POST", "Patient/_search", body=b"_count=1", headers=headers, repeat="safe")
    if reply.status == 200 and (try_resource(reply) or {}).get("resourceType") == "Bundle":
        return Check("POST _search", "pass", "identifiers can stay out of URLs")
    return Check(
        "POST _search", "warn", f"answered {reply.status}", "identifiers will be in URLs and server logs"
    )


def _unknown(server: FhirServer, _: ServerCapability) -> Check:
    """Is an ignored parameter visible, or could a misspelt filter give everybody?"""
    reply = server.search_reply("Patient", {"fhir-twin-unknown": "x", "_count": "1"})
    if reply.status >= 400:
        return Check("unknown parameters", "pass", f"refused with {reply.status}")
    page = try_resource(reply) or {}
    link = next((str(k.get("url")) for k in page.get("link") or () if k.get("relation") == "self"), "")
    names = applied(link)
    if names is not None and "fhir-twin-unknown" not in names:
        return Check("unknown parameters", "pass", "ignored, and the self link says so")
    return Check(
        "unknown parameters", "warn", "ignored without a word", "every row is checked here all the same"
    )


def _errors(server: FhirServer, _: ServerCapability) -> Check:
    reply = server.client.request("GET", "Patient/fhir-twin-no-such-id", headers={"Accept": JSON})
    kind = (try_resource(reply) or {}).get("resourceType")
    if reply.status in (404, 410) and kind == "OperationOutcome":
        return Check("errors", "pass", f"{reply.status} with an OperationOutcome")
    if reply.status in (401, 403):
        return Check(
            "errors", "fail", error_of(reply, "reading a Patient").message, "this login may not read Patients"
        )
    return Check("errors", "warn", f"a missing resource answers {reply.status} without an OperationOutcome")


# Ids of the check list (interop.md) of the checks of this module.
_IDS = {
    "connection": "F00",
    "FHIR version": "F0",
    "paging": "F1",
    "counts": "F1b",
    "batch": "F9",
    "POST _search": "F8d",
    "unknown parameters": "F8",
    "errors": "F4",
    "writing": "E8",
    "write CarePlan": "E8",
    "write the rest": "E8a",
    "transaction offered": "E9a",
    "_lastUpdated": "F6",
    "find by identifier": "F11",
    "versions": "E7a",
    "history": "F6b",
    "$everything": "F5",
    "_include": "F5b",
    "XML": "E12",
    "content negotiation": "F8b",
    "bad search values": "F4b",
    "compression": "F8e",
}


def _numbered(check: Check) -> Check:
    return (
        check
        if check.id
        else replace(check, id=_IDS.get(check.name, "F5" if check.name.startswith("read ") else ""))
    )


_QUESTIONS: dict[str, Callable[[FhirServer, ServerCapability], Check]] = {
    "paging": _listing,
    "counts": _counting,
    "batch": _batch,
    "POST _search": _post_search,
    "unknown parameters": _unknown,
    "errors": _errors,
}


def _types(server: FhirServer, capability: ServerCapability) -> Iterator[Check]:
    """Each type that a record is made of, asked for a patient that does not exist (so nothing is disclosed)."""
    for wanted in WANTED:
        name = f"read {wanted.type}"
        if not offered(capability, wanted.type):
            yield Check(name, "warn", "not offered", "the twin goes without it, and says so")
            continue
        try:
            reply = server.search_reply(wanted.type, {"patient": "fhir-twin-no-such-id", "_count": "1"})
        except TwinError as error:
            yield Check(name, "fail", error.message)
            continue
        if reply.status in (401, 403):
            yield Check(
                name, "warn", f"not permitted ({reply.status})", "ask for read and search on this type"
            )
        elif reply.status in (400, 422):
            yield Check(
                name,
                "warn",
                f"refused as asked ({reply.status})",
                "it is asked again with status or category",
            )
        elif reply.status >= 400 and reply.status != 404:
            yield Check(name, "fail", error_of(reply, f"searching {wanted.type}").message)
        else:
            yield Check(name, "pass", "can be searched by patient")


def _writing(capability: ServerCapability) -> Iterator[Check]:
    """By its own word only: nothing is written here."""
    if not capability.listed:
        yield Check("writing", "warn", "the capability statement lists no types", "try a dry run first")
        return
    missing = [t for t in _WRITTEN if not capability.supports(t, "create")]
    if "CarePlan" in missing:
        yield Check(
            "write CarePlan",
            "warn",
            "not offered",
            "the plan can only go into a DocumentReference, or nowhere",
        )
    else:
        yield Check("write CarePlan", "pass", "offered")
    if rest := [t for t in missing if t != "CarePlan"]:
        yield Check(
            "write the rest",
            "warn",
            f"not offered: {', '.join(rest)}",
            "their content goes into the narrative",
        )
    if capability.supports_system("transaction"):
        yield Check("transaction offered", "pass", "a plan is written whole or not at all")
    else:
        yield Check("transaction offered", "warn", "not offered", "written one by one, undone on failure")
