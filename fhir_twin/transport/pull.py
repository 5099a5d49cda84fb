"""Records from a FHIR server: who is there, and everything we read of one patient, with how complete it is.

The way is chosen per server: one batch of searches per patient (or per group of patients) where the server takes
it, else the searches one by one on a pool of threads. `$everything` is not used: several servers cut it silently
(docs/transport.md), and a batch costs no more requests.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from fhir_twin.errors import Conflict, Issue, NotFound, TwinError, UpstreamError
from fhir_twin.model.chart import Completeness
from fhir_twin.model.directory import PatientRow
from fhir_twin.transport.fhir_server import FhirServer
from fhir_twin.transport.gather import Gatherer, Runner
from fhir_twin.transport.http import Tally
from fhir_twin.transport.hydrate import hydrate
from fhir_twin.transport.merge import Record, collection, completeness, short_issues, split
from fhir_twin.transport.patient_list import find_patients
from fhir_twin.transport.queries import token
from fhir_twin.transport.urls import local_reference
from fhir_twin.transport.wanted import WANTED

Resource = dict[str, Any]
T = TypeVar("T")
U = TypeVar("U")
_MAX_REPLACED = 5
_GROUPS = 4


@dataclass(frozen=True, slots=True, repr=False)
class Fetched:
    """One patient's record as a collection Bundle, and how complete it is. patient: the id that was really read
    (another one than asked for when the Patient was replaced). requests and seconds_waiting: what it cost; for a
    group each patient carries its share."""

    bundle: Resource
    completeness: tuple[Completeness, ...]
    issues: tuple[Issue, ...]
    requests: float = 0
    seconds_waiting: float = 0.0
    patient: str = ""


class ServerSource:
    """Implements service.Source for a FHIR server. threads: searches under way at once. Thread-safe."""

    def __init__(
        self, server: FhirServer, *, page_size: int = 200, threads: int = 8, batch: bool = True
    ) -> None:
        self.server = server
        self._page_size = page_size
        self._threads = threads
        self._gatherer = Gatherer(server, page_size=page_size, batch=batch)
        # Groups wait for searches, so they have threads of their own: one pool for both could lock up.
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="pull")
        self._groups = ThreadPoolExecutor(max_workers=_GROUPS, thread_name_prefix="group")

    @property
    def base(self) -> str:
        return self.server.base

    def close(self) -> None:
        self._groups.shutdown(wait=False, cancel_futures=True)
        self._pool.shutdown(wait=False, cancel_futures=True)
        self.server.close()

    def patients(self) -> Iterator[str]:
        """Ids of all Patients, sorted. Raises UpstreamError when the list could not be read to its end, or is shorter
        than the server's own count: a run over "all" patients must not leave out some in silence."""
        rows = self.server.search("Patient", {"_count": str(self._page_size), "_elements": "id,link,active"})
        yield from sorted({str(r["id"]) for r in rows if r.get("id") and not _replacement(r, self.server)})

    def directory(self, words: str, *, most: int = 50) -> tuple[tuple[PatientRow, ...], bool]:
        """Patients to choose from, and whether there are more (see patient_list)."""
        return find_patients(self.server, words, most=most)

    def find(self, system: str, value: str) -> str:
        """The id of the one Patient with this identifier. Raises NotFound and Conflict without naming it."""
        page = self.server.search_page(
            "Patient", {"identifier": token(system, value), "_count": "10"}, private=True
        )
        found = self.server.pager.follow(page, "Patient")
        rows = [r for r in found.matches if _carries(r, system, value)]
        ids = sorted({_replacement(r, self.server) or str(r.get("id", "")) for r in rows} - {""})
        if not ids:
            raise NotFound("no patient on the server has this identifier")
        if len(ids) > 1:
            raise Conflict(f"{len(ids)} patients on the server have this identifier")
        return ids[0]

    def fetch(self, patient: str) -> Fetched:
        """Everything we read of one patient. Raises NotFound, Forbidden, LoginRequired or UpstreamError when the
        Patient itself cannot be read; whatever else fails is in `completeness` and `issues`."""
        tally = Tally()
        resource, issues = self._patient(patient, tally)
        fetched = self._fetch({str(resource["id"]): resource}, self._parallel, tally)[0]
        return _with_issues(fetched, issues)

    def fetch_many(self, patients: Iterable[str], *, group: int = 10) -> Iterator[Fetched | TwinError]:
        """The same for many, in their order, `group` patients per query and several groups at once: fewest requests
        for a whole population. A patient that cannot be read gives its error in place of a record. A group whose
        answer is not complete, or refused, is read again patient by patient."""
        groups = _chunks(patients, max(1, group))
        waiting: deque[Future[list[Fetched | TwinError]]] = deque()
        for ids in groups:
            waiting.append(self._groups.submit(self._group, ids))
            if len(waiting) >= _GROUPS * 2:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()

    # --- one patient -------------------------------------------------------------------------------

    def _patient(self, patient: str, tally: Tally) -> tuple[Resource, list[Issue]]:
        """The Patient, after following replaced-by links."""
        self.server.capability()
        issues: list[Issue] = []
        for _ in range(_MAX_REPLACED):
            resource = self.server.read("Patient", patient, tally=tally)
            if resource is None:
                raise NotFound("the server has no such patient (or it was deleted)")
            other = _replacement(resource, self.server)
            if not other or other == patient:
                return resource, issues
            text = "this Patient was replaced by another one; that one's record was read"
            issues.append(Issue("warning", "duplicate", text, "Patient.link", "fetch"))
            patient = other
        raise UpstreamError("the Patient's replaced-by links go in a circle")

    def _fetch(self, patients: dict[str, Resource], run: Runner, tally: Tally) -> list[Fetched]:
        """Records of `patients` (id -> Patient), in their order."""
        ids = tuple(patients)
        answers = self._gatherer.gather(WANTED, ids, run, tally)
        rows = completeness(answers)
        shared = [*self.server.capability().issues, *short_issues(rows)]
        records = split(answers, self.server.client.base, ids)
        fetched = []
        for id_, record in records.items():
            hydrate(record, id_, self.server, run, tally)
            mine = rows if len(ids) == 1 else _own_rows(rows, record)
            bundle = collection(patients[id_], record, self.base)
            issues = tuple(dict.fromkeys([*shared, *record.issues]))
            share = len(ids)
            fetched.append(
                Fetched(bundle, mine, issues, tally.requests / share, tally.seconds_waiting / share, id_)
            )
        return fetched

    def _parallel(self, work: Callable[[T], U], items: Sequence[T], /) -> list[U]:
        return list(self._pool.map(work, items))

    # --- groups ------------------------------------------------------------------------------------

    def _group(self, ids: tuple[str, ...]) -> list[Fetched | TwinError]:
        tally = Tally()
        try:
            patients = self._read_patients(ids, tally)
            fetched = self._fetch(patients, self._parallel, tally) if patients else []
        except TwinError as error:
            return [self._alone(i) for i in ids] if len(ids) > 1 else [error]
        by_id: dict[str, Fetched | TwinError] = {f.patient: f for f in fetched}
        if any(row.state in ("short", "failed") for f in fetched for row in f.completeness):
            by_id = {i: self._alone(i) for i in patients}
        return [by_id[i] if i in by_id else self._alone(i) for i in ids]

    def _alone(self, patient: str) -> Fetched | TwinError:
        tally = Tally()
        try:
            resource, issues = self._patient(patient, tally)
            return _with_issues(
                self._fetch({str(resource["id"]): resource}, self._parallel, tally)[0], issues
            )
        except TwinError as error:
            return error

    def _read_patients(self, ids: tuple[str, ...], tally: Tally) -> dict[str, Resource]:
        """Those of `ids` that one search finds and that were not replaced; the others are read alone."""
        page = self.server.search_page(
            "Patient", {"_id": ",".join(ids), "_count": str(len(ids))}, tally=tally
        )
        found = self.server.pager.follow(page, "Patient", tally=tally)
        known = {str(r.get("id", "")): r for r in found.matches if not _replacement(r, self.server)}
        return {i: known[i] for i in ids if i in known}


def _chunks(items: Iterable[str], size: int) -> Iterator[tuple[str, ...]]:
    chunk: list[str] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == size:
            yield tuple(chunk)
            chunk = []
    if chunk:
        yield tuple(chunk)


def _own_rows(rows: tuple[Completeness, ...], record: Record) -> tuple[Completeness, ...]:
    """A complete group means that each of its patients is complete, with what was read of him."""
    own = []
    for row in rows:
        read = len(record.own.get(row.type, ()))
        expected = read if row.state == "complete" else None
        own.append(Completeness(row.type, read, expected, row.state, row.note))
    return tuple(own)


def _with_issues(fetched: Fetched, issues: list[Issue]) -> Fetched:
    return Fetched(
        fetched.bundle,
        fetched.completeness,
        (*issues, *fetched.issues),
        fetched.requests,
        fetched.seconds_waiting,
        fetched.patient,
    )


def _replacement(patient: Resource, server: FhirServer) -> str:
    """Id of the Patient that replaces this one, "" when none."""
    links = patient.get("link")
    for link in links if isinstance(links, list) else ():
        other = link.get("other") if isinstance(link, dict) and link.get("type") == "replaced-by" else None
        reference = other.get("reference") if isinstance(other, dict) else None
        local = local_reference(server.client.base, reference) if isinstance(reference, str) else None
        if local is not None and local[0] == "Patient":
            return local[1]
    return ""


def _carries(patient: Resource, system: str, value: str) -> bool:
    """The server's answer is checked: an ignored parameter would give any patient."""
    listed = patient.get("identifier")
    return any(
        isinstance(i, dict) and i.get("value") == value and (not system or i.get("system") == system)
        for i in (listed if isinstance(listed, list) else ())
    )
