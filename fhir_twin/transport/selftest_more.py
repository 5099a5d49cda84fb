"""More questions of the self-test: what the REST client meets (interop.md F), and the parts that are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from fhir_twin.errors import TwinError
from fhir_twin.transport.answers import try_resource
from fhir_twin.transport.capability import ServerCapability
from fhir_twin.transport.fhir_server import JSON, FhirServer
from fhir_twin.transport.selftest import Ask, Check, State
from fhir_twin.transport.selftest_bulk import bulk
from fhir_twin.transport.selftest_hooks import hooks
from fhir_twin.transport.selftest_smart import smart
from fhir_twin.transport.selftest_subscriptions import subscriptions
from fhir_twin.transport.selftest_write import writing

Json = dict[str, Any]
NOBODY = "fhir-twin-no-such-id"
FAR = "2999-01-01"


def reading(server: FhirServer, capability: ServerCapability) -> Iterator[Check]:
    """Questions about reading; each asks for nobody's data, or for one row that is not looked at."""
    for name, question in _QUESTIONS.items():
        yield guarded(name, lambda q=question: q(server, capability))  # type: ignore[misc]
    yield from subscriptions(capability)


def asked_for(server: FhirServer, capability: ServerCapability, ask: Ask) -> Iterator[Check]:
    """SMART, Bulk Data, CDS Hooks and writing, each when it was asked for."""
    parts: tuple[tuple[bool, str, Callable[[], Iterator[Check]]], ...] = (
        (ask.smart, "SMART", lambda: smart(server, capability)),
        (ask.bulk, "bulk export", lambda: bulk(server, capability)),
        (bool(ask.hooks), "CDS Hooks", lambda: hooks(ask.hooks)),
        (ask.write, "writing", lambda: writing(server, capability, ask.patient)),
    )
    for wanted, name, part in parts:
        if wanted:
            try:
                yield from part()
            except TwinError as error:
                yield Check(
                    f"{name} checks", "fail", f"stopped: {error.message}", "mend this and check again"
                )


def guarded(name: str, question: Callable[[], Check]) -> Check:
    """The check, or its failure in the server's words."""
    try:
        return question()
    except TwinError as error:
        return Check(name, "fail", error.message)


def _total(page: Json) -> int:
    found = page.get("total")
    return found if isinstance(found, int) else len([e for e in page.get("entry") or () if _is_match(e)])


def _is_match(entry: Any) -> bool:
    return isinstance(entry, dict) and (entry.get("search") or {}).get("mode", "match") == "match"


def _last_updated(server: FhirServer, _: ServerCapability) -> Check:
    page = server.search_page("Patient", {"_lastUpdated": f"ge{FAR}", "_count": "1"})
    if _total(page) == 0:
        return Check("_lastUpdated", "pass", "filters by the time of the last change", id="F6")
    return Check(
        "_lastUpdated",
        "warn",
        "is ignored",
        "`watch` reads the whole record of a patient at each look",
        id="F6",
    )


def _history(server: FhirServer, capability: ServerCapability) -> Check:
    if not capability.supports("Observation", "history-type"):
        return Check(
            "history",
            "not offered",
            "no history by type",
            "deleted results are found only when a record is read anew",
            id="F6b",
        )
    reply = server.client.request(
        "GET", f"Observation/_history?_count=1&_since={FAR}", headers={"Accept": JSON}
    )
    ok = reply.status == 200 and (try_resource(reply) or {}).get("resourceType") == "Bundle"
    return Check(
        "history",
        "pass" if ok else "warn",
        f"answered {reply.status}",
        "" if ok else "deleted results are found only when a record is read anew",
        id="F6b",
    )


def _everything(server: FhirServer, capability: ServerCapability) -> Check:
    if not capability.has_operation("Patient", "everything"):
        return Check(
            "$everything",
            "not offered",
            "not in the capability statement",
            "records are read by type",
            id="F5",
        )
    reply = server.client.request("GET", f"Patient/{NOBODY}/$everything", headers={"Accept": JSON})
    state: State = "pass" if reply.status in (200, 404, 410) else "warn"
    return Check("$everything", state, f"offered; answers {reply.status} for nobody", id="F5")


def _include(server: FhirServer, _: ServerCapability) -> Check:
    params = {"patient": NOBODY, "_include": "MedicationRequest:medication", "_count": "1"}
    reply = server.search_reply("MedicationRequest", params)
    if reply.status == 200:
        return Check("_include", "pass", "medications come with their orders", id="F5b")
    return Check(
        "_include", "warn", f"refused ({reply.status})", "medications are fetched one by one", id="F5b"
    )


def _identifier(server: FhirServer, _: ServerCapability) -> Check:
    page = server.search_page("Patient", {"identifier": f"urn:fhir-twin:check|{NOBODY}", "_count": "1"})
    if _total(page) == 0:
        return Check("find by identifier", "pass", "nobody found for a number that nobody has", id="F11")
    return Check(
        "find by identifier",
        "fail",
        "everybody is found for a number that nobody has",
        "do not use --identifier on this server",
        id="F11",
    )


def _xml(server: FhirServer, capability: ServerCapability) -> Check:
    reply = server.client.request("GET", "metadata", headers={"Accept": "application/fhir+xml"})
    offered = "xml" in " ".join(capability.formats)
    if reply.status == 200 and "xml" in reply.content_type:
        return Check("XML", "pass", "is served beside JSON", id="E12")
    state: State = "warn" if offered else "not offered"
    return Check(
        "XML",
        state,
        f"answered {reply.status}",
        "JSON is used" if not offered else "it was declared",
        id="E12",
    )


def _format(server: FhirServer, _: ServerCapability) -> Check:
    reply = server.client.request("GET", "Patient?_count=1", headers={"Accept": "image/png"})
    if reply.status == 406:
        return Check("content negotiation", "pass", "an impossible format is refused with 406", id="F8b")
    return Check("content negotiation", "warn", f"an impossible format answers {reply.status}", id="F8b")


def _bad_value(server: FhirServer, _: ServerCapability) -> Check:
    reply = server.search_reply("Patient", {"birthdate": "not-a-date", "_count": "1"})
    if reply.status == 400 and (try_resource(reply) or {}).get("resourceType") == "OperationOutcome":
        return Check("bad search values", "pass", "refused with an OperationOutcome", id="F4b")
    if reply.status >= 500:
        return Check(
            "bad search values", "warn", f"answer {reply.status}", "slips look like outages here", id="F4b"
        )
    return Check(
        "bad search values",
        "warn",
        f"answer {reply.status}",
        "a slip may find nobody, or everybody",
        id="F4b",
    )


def _strict(server: FhirServer, _: ServerCapability) -> Check:
    headers = {"Accept": JSON, "Prefer": "handling=strict"}
    reply = server.client.request("GET", "Patient?fhir-twin-unknown=x&_count=1", headers=headers)
    if 400 <= reply.status < 500:
        return Check(
            "Prefer handling=strict", "pass", f"unknown parameters are refused ({reply.status})", id="F8c"
        )
    return Check(
        "Prefer handling=strict", "warn", "has no effect", "self links are looked at instead", id="F8c"
    )


def _versions(server: FhirServer, _: ServerCapability) -> Check:
    page = server.search_page("Patient", {"_count": "1"})
    rows = [e.get("resource") or {} for e in page.get("entry") or () if isinstance(e, dict)]
    row = next((r for r in rows if r.get("resourceType") == "Patient" and isinstance(r.get("id"), str)), None)
    if row is None:
        return Check(
            "versions", "warn", "there is no Patient to look at", "load one and check again", id="E7a"
        )
    reply = server.client.request("GET", f"Patient/{row['id']}", headers={"Accept": JSON})
    tag = reply.headers.get("ETag", "")
    version = ((try_resource(reply) or {}).get("meta") or {}).get("versionId")
    if tag or version:
        again = server.client.request(
            "GET", f"Patient/{row['id']}", headers={"Accept": JSON, "If-None-Match": tag}
        )
        more = "; unchanged answers 304" if tag and again.status == 304 else ""
        return Check("versions", "pass", ("ETag" if tag else "meta.versionId") + more, id="E7a")
    return Check(
        "versions",
        "fail",
        "neither ETag nor meta.versionId",
        "lost updates cannot be noticed: do not write",
        id="E7a",
    )


def _compressed(server: FhirServer, _: ServerCapability) -> Check:
    reply = server.client.request("GET", "metadata", headers={"Accept": JSON, "Accept-Encoding": "gzip"})
    coded = reply.headers.get("Content-Encoding", "") == "gzip"
    if coded:
        return Check("compression", "pass", "answers are compressed", id="F8e")
    return Check(
        "compression", "warn", "answers are not compressed", "records take longer over slow lines", id="F8e"
    )


def _limits(server: FhirServer, _: ServerCapability) -> Check:
    reply = server.client.request("GET", "metadata", headers={"Accept": JSON})
    named = sorted(k for k in reply.headers if "ratelimit" in k.lower().replace("-", ""))
    if named:
        return Check(
            "rate limits", "warn", f"the server counts requests ({len(named)} headers)", "set --rate", id="F3"
        )
    return Check(
        "rate limits", "pass", "none announced; 429 and Retry-After are obeyed all the same", id="F3"
    )


_QUESTIONS: dict[str, Callable[[FhirServer, ServerCapability], Check]] = {
    "_lastUpdated": _last_updated,
    "history": _history,
    "$everything": _everything,
    "_include": _include,
    "find by identifier": _identifier,
    "XML": _xml,
    "content negotiation": _format,
    "bad search values": _bad_value,
    "Prefer handling=strict": _strict,
    "versions": _versions,
    "compression": _compressed,
    "rate limits": _limits,
}
