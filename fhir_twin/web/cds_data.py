"""The record for one CDS call: what was prefetched, and what has to be fetched (CH-5, CH-6, CH-9, D4).

A prefetch key that is absent, or an OperationOutcome, means "not supplied": it is fetched with the client's token, or
it counts as not read. Null means "looked for, nothing there". Nothing is ever read as absent data that was only not
sent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeVar

from flask import current_app

from fhir_twin.errors import Forbidden, InvalidInput, Issue, LoginRequired, TwinError
from fhir_twin.fhir.drafts import DRUG_ORDER
from fhir_twin.model.chart import Completeness
from fhir_twin.model.registered import CdsClient, RegisteredServer
from fhir_twin.model.scopes import read_scopes
from fhir_twin.transport.gather import Gatherer
from fhir_twin.transport.http import Tally
from fhir_twin.transport.hydrate import hydrate, missing
from fhir_twin.transport.login import bearer
from fhir_twin.transport.merge import Record, collection, completeness, short_issues, split
from fhir_twin.transport.ownership import belongs_to
from fhir_twin.transport.paging import links
from fhir_twin.transport.scoped_server import ScopedServer
from fhir_twin.transport.urls import Base, parse_base
from fhir_twin.transport.wanted import WANTED
from fhir_twin.web.cds_request import HookCall
from fhir_twin.web.cds_services import ESSENTIAL, PATIENT_KEY, SEARCHED
from fhir_twin.web.cds_slots import Slots
from fhir_twin.web.smart_parts import smart_parts

T = TypeVar("T")
U = TypeVar("U")
Resource = dict[str, Any]
SECONDS = 8.0  # for one answer of the FHIR server; the EHR will not wait longer
NOT_SENT = "not prefetched, and this call gives no access to fetch it"
THREADS = 8


class DataMissing(TwinError):
    """412: without this nothing safe can be said, and it cannot be had (CH-6)."""

    code, status = "incomplete", 412


@dataclass(slots=True, repr=False)
class Gathered:
    """bundle: a collection of the record. base: of the FHIR server. medications: drugs that draft orders name."""

    bundle: Resource
    completeness: tuple[Completeness, ...]
    issues: tuple[Issue, ...]
    base: str
    patient: Resource
    fetched: bool
    extra: list[Resource] = field(default_factory=list)

    @property
    def gaps(self) -> tuple[Completeness, ...]:
        """Types that are not whole."""
        return tuple(c for c in self.completeness if c.state not in ("complete", "unknown"))


def allowed_base(call: HookCall, client: CdsClient | None) -> tuple[str, RegisteredServer | None]:
    """(FHIR base of the call, its registration). Raises InvalidInput for a server that is not registered, before any
    connection is made (CH-9, D12), and LoginRequired for one that this client may not speak for."""
    if not call.server:
        return "", None
    base = parse_base(call.server).text
    server = smart_parts().registry.covering(base)
    if server is None:
        raise InvalidInput("fhirServer is not registered here")
    if client is not None and client.servers and server.name not in client.servers:
        raise LoginRequired("this CDS client may not speak for this FHIR server")
    if call.access is not None and call.access.patient and call.access.patient != call.patient:
        raise Forbidden("fhirAuthorization is for another patient than the context")
    return base, server


def gather(call: HookCall, base: str, server: RegisteredServer | None) -> Gathered:
    """Raises DataMissing when the patient or an essential type cannot be had, Forbidden for another's data."""
    sent = _sent(call, base)
    wanted = [t for t in SEARCHED.values() if t not in sent.own and t not in sent.nothing]
    wanted += [t for t in SEARCHED.values() if t in sent.partial]
    access = _access(call, base, server)
    if access is None:
        found = _as_sent(call, sent, wanted)
    else:
        try:
            slots: Slots = current_app.extensions["fhir-twin"]["cds_slots"]
            with slots.turn(base) if wanted or sent.patient is None else nullcontext():
                found = _from_server(call, sent, wanted, access)
        except DataMissing:
            raise
        except TwinError as error:  # the FHIR server's 401 must not look like ours
            if not sent.enough:
                text = f"the record could not be read: {error.message}"
                raise DataMissing(text, issues=error.issues) from None
            found = _as_sent(call, sent, wanted, f"could not be fetched: {error.message}")
        finally:
            access.close()
    # What a server does not have at all is a gap that is told; what it has and we cannot see might be everything.
    lacking = [c.type for c in found.gaps if c.type in ESSENTIAL and c.read == 0 and c.state != "not-offered"]
    if lacking:
        raise DataMissing(
            f"{', '.join(lacking)} cannot be had: send it as prefetch, or fhirServer and fhirAuthorization "
            "that may read it"
        )
    return found


def _access(call: HookCall, base: str, server: RegisteredServer | None) -> ScopedServer | None:
    """None when the call gives none. An open server (login none) needs no token."""
    if server is None:
        return None
    if call.access is not None:
        granted = read_scopes(call.access.scope) if call.access.scope is not None else None
        login = bearer(call.access.token)
        return smart_parts().server(base, login, granted, retries=1, seconds=SECONDS)
    if server.login == "none":
        return smart_parts().server(base, None, None, retries=1, seconds=SECONDS)
    return None


# --- what was sent ---------------------------------------------------------------------------------


@dataclass(slots=True, repr=False)
class _Sent:
    patient: Resource | None = None
    own: dict[str, list[Resource]] = field(default_factory=dict)
    others: dict[tuple[str, str], Resource] = field(default_factory=dict)
    nothing: set[str] = field(default_factory=set)
    partial: set[str] = field(default_factory=set)

    @property
    def enough(self) -> bool:
        """What was sent can stand alone; the rest is a gap that is told."""
        return self.patient is not None and all(t in self.own or t in self.nothing for t in ESSENTIAL)


def _sent(call: HookCall, base: str) -> _Sent:
    found = _Sent()
    known = parse_base(base or "https://fhir.invalid/fhir")
    given = call.prefetch.get(PATIENT_KEY)
    if isinstance(given, dict) and given.get("resourceType") == "Patient":
        if given.get("id") != call.patient:
            raise Forbidden("the prefetched Patient is another one than the context's")
        found.patient = given
    for key, type_ in SEARCHED.items():
        if key not in call.prefetch:
            continue
        value = call.prefetch[key]
        if value is None:
            found.nothing.add(type_)
        elif isinstance(value, dict) and value.get("resourceType") == "Bundle":
            _take(found, type_, value, call.patient, known)
        elif isinstance(value, dict) and value.get("resourceType") == type_:
            _take(found, type_, {"entry": [{"resource": value}]}, call.patient, known)
    return found


def _take(found: _Sent, type_: str, bundle: Resource, patient: str, known: Base) -> None:
    """Entries that cannot be read, or that are a failure of the server, were not "nothing": the type is partial."""
    rows: list[Resource] = []
    entries = bundle.get("entry")
    whole = entries is None or isinstance(entries, list)
    for entry in entries if isinstance(entries, list) else ():
        resource: Any = entry.get("resource") if isinstance(entry, dict) else None
        kind = resource.get("resourceType") if isinstance(resource, dict) else None
        if not isinstance(kind, str) or (kind == "OperationOutcome" and _failed(resource)):
            whole = False
        elif kind == type_:
            rows.append(resource)
        elif kind != "OperationOutcome":
            found.others[(kind, str(resource.get("id", "")))] = resource
    if any(belongs_to(r, known, frozenset({patient})) == "other" for r in rows):
        raise Forbidden(f"prefetched {type_} of another patient than the context's")
    found.own[type_] = rows
    total = bundle.get("total")
    short = isinstance(total, int) and not isinstance(total, bool) and total > len(rows)
    if not whole or short or _goes_on(bundle):
        found.partial.add(type_)


def _failed(outcome: Resource) -> bool:
    issues = outcome.get("issue")
    return any(
        isinstance(issue, dict) and issue.get("severity") in ("error", "fatal")
        for issue in (issues if isinstance(issues, list) else ())
    )


def _goes_on(bundle: Resource) -> bool:
    return any(link.get("relation") == "next" for link in links(bundle))


def _as_sent(call: HookCall, sent: _Sent, wanted: list[str], why: str = "") -> Gathered:
    """Prefetch alone. why: fetching the types that were not sent was tried, and failed so."""
    if sent.patient is None:
        raise DataMissing("the Patient was not prefetched, and this call gives no access to fetch it")
    rows = []
    for type_ in SEARCHED.values():
        if type_ in sent.partial:
            note = "only a part was prefetched"
            rows.append(Completeness(type_, len(sent.own[type_]), None, "short", note))
        elif type_ in wanted:
            rows.append(Completeness(type_, 0, None, "failed" if why else "not-asked", why or NOT_SENT))
        else:
            rows.append(Completeness(type_, len(sent.own.get(type_, ())), None, "unknown", "as prefetched"))
    record = Record(own=dict(sent.own), others=dict(sent.others))
    base = parse_base(call.server).text if call.server else "urn:fhir-twin"
    bundle = collection(sent.patient, record, base)
    return Gathered(bundle, tuple(rows), tuple(short_issues(tuple(rows))), base, sent.patient, False)


def _first_page(row: Completeness, record: Record) -> Completeness:
    """A type that was sent in part and could not be read whole keeps what was sent."""
    sent = len(record.own.get(row.type, ()))
    if row.read or not sent or row.state in ("complete", "unknown"):
        return row
    return Completeness(row.type, sent, None, "short", f"only a part was prefetched; {row.note}")


# --- what is fetched -------------------------------------------------------------------------------


def _from_server(call: HookCall, sent: _Sent, wanted: list[str], server: ScopedServer) -> Gathered:
    """What is missing, with the client's token and nothing but it."""
    tally = Tally()
    patient = sent.patient
    with ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="cds") as pool:

        def run(work: Callable[[T], U], items: Sequence[T], /) -> list[U]:
            return list(pool.map(work, items))

        record = Record(own=dict(sent.own), others=dict(sent.others))
        rows = [
            Completeness(t, len(sent.own.get(t, ())), None, "unknown", "as prefetched")
            for t in SEARCHED.values()
            if t not in wanted
        ]
        if wanted or patient is None:
            smart_parts().remember(server)
        if patient is None:
            asked = pool.submit(server.read, "Patient", call.patient)
        if wanted:
            answers = Gatherer(server).gather(
                [w for w in WANTED if w.type in wanted], (call.patient,), run, tally
            )
            fetched = split(answers, server.client.base, (call.patient,))[call.patient]
            record.own.update({t: fetched.own.get(t, []) for t in wanted if answers[t].state == "read"})
            record.others.update(fetched.others)
            record.issues += fetched.issues
            rows += [_first_page(row, record) for row in completeness(answers)]
        if patient is None:
            patient = asked.result()
            if patient is None:
                raise DataMissing("the FHIR server has no such patient, or this access may not see it")
        drafts = [o for o in call.all_orders if o.get("resourceType") == DRUG_ORDER]
        ordered = Record(own={DRUG_ORDER: drafts}, others=dict(record.others))
        for part in (record, ordered):  # drugs that are only referred to
            if missing(part, server):
                hydrate(part, call.patient, server, run, tally)
        record.others.update(ordered.others)
    issues = (*record.issues, *short_issues(tuple(rows)))
    bundle = collection(patient, record, server.base)
    return Gathered(bundle, tuple(rows), tuple(dict.fromkeys(issues)), server.base, patient, bool(wanted))
