"""All wanted searches for one patient or a small group: in one batch where the server takes it, else one by one.

The server's answers are kept as they are; `merge` picks them apart by patient and judges completeness.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from fhir_twin.errors import Issue, LoginRequired, TooCostly, TwinError, UpstreamError
from fhir_twin.transport.answers import error_of, resource_of, try_resource
from fhir_twin.transport.fhir_server import FhirServer
from fhir_twin.transport.http import Reply, Tally
from fhir_twin.transport.ownership import belongs_to
from fhir_twin.transport.paging import NO_CACHE, Found
from fhir_twin.transport.queries import encode
from fhir_twin.transport.wanted import Query, Wanted, offered, queries

Resource = dict[str, Any]
T = TypeVar("T")
U = TypeVar("U")
_REFUSED = frozenset({400, 422})
_NOT_PERMITTED = frozenset({401, 403})
_NOT_OFFERED = frozenset({404, 405, 501})


class Runner(Protocol):
    """Runs a function over items, perhaps in parallel; results in the order of the items."""

    def __call__(self, work: Callable[[T], U], items: Sequence[T], /) -> list[U]: ...


@dataclass(slots=True, repr=False)
class Answer:
    """What became of one type. state: "read" (see `found`), not-permitted, not-offered or failed.

    expected: matches by the server's own count, None when it gives none."""

    type: str
    state: str
    found: Found = field(default_factory=Found)
    query: Query | None = None
    expected: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class _First:
    """The first answer to one query: a page, or a status (0 = no answer) and its error."""

    page: Resource | None
    status: int
    error: TwinError | None = None


class Gatherer:
    """Remembers per server what worked: whether batch does, and which rung of each type's ladder. Thread-safe."""

    def __init__(self, server: FhirServer, *, page_size: int = 200, batch: bool = True) -> None:
        self.server = server
        self._page_size = page_size
        self._rungs: dict[str, int] = {}
        self._batch = batch
        self._guard = threading.Lock()

    def gather(
        self, wanted: Iterable[Wanted], patients: Sequence[str], run: Runner, tally: Tally
    ) -> dict[str, Answer]:
        """Answers by type. Raises LoginRequired when the login itself is refused for everything."""
        capability = self.server.capability()
        answers: dict[str, Answer] = {}
        ladders: dict[str, tuple[Query, ...]] = {}
        for each in wanted:
            if closed := self.server.closed(each.type):
                answers[each.type] = Answer(each.type, "not-permitted", note=closed)
            elif offered(capability, each.type):
                ladders[each.type] = self.server.narrow(queries(each, capability, patients, self._page_size))
            else:
                answers[each.type] = Answer(
                    each.type, "not-offered", note="the server does not offer this type"
                )
        types = list(ladders)
        chosen = [ladders[t][min(self._rungs.get(t, 0), len(ladders[t]) - 1)] for t in types]
        firsts = self._ask(chosen, run, tally)
        if firsts and all(f.status == 401 for f in firsts):
            raise firsts[0].error or LoginRequired("the FHIR server wants a login (401)")

        def finish(item: tuple[str, Query, _First]) -> Answer:
            type_, query, first = item
            return self._finish(ladders[type_], query, first, patients, tally)

        for answer in run(finish, list(zip(types, chosen, firsts, strict=True))):
            answers[answer.type] = answer
        self._count(answers, run, tally)
        return answers

    # --- first pages -------------------------------------------------------------------------------

    def _ask(self, asked: Sequence[Query], run: Runner, tally: Tally) -> list[_First]:
        if self._batch and self._may_batch() and len(asked) > 1:
            firsts = self._by_batch([f"{q.type}?{encode(q.params)}" for q in asked], tally)
            if firsts is not None:
                return firsts
        return run(lambda query: self._by_search(query, tally), asked)

    def _may_batch(self) -> bool:
        """HAPI lists "transaction" only, and takes both on the same endpoint."""
        capability = self.server.capability()
        return capability.supports_system("batch") or capability.supports_system("transaction")

    def _by_batch(self, urls: Sequence[str], tally: Tally) -> list[_First] | None:
        """None when it did not work. A server that does not really do batches is not asked again; one that was only
        too slow, or whose answer was too large for this patient, is."""
        bundle = {
            "resourceType": "Bundle",
            "type": "batch",
            "entry": [{"request": {"method": "GET", "url": url}} for url in urls],
        }
        try:
            answer = self.server.batch(bundle, tally=tally)
        except LoginRequired:
            raise
        except (UpstreamError, TooCostly):
            return None
        except TwinError:
            answer = {}
        entries = answer.get("entry")
        if not isinstance(entries, list) or len(entries) != len(urls):
            self._batch = False
            return None
        return [_first_of(entry) for entry in entries]

    def _by_search(self, query: Query, tally: Tally) -> _First:
        try:
            reply = self.server.search_reply(query.type, query.params, tally=tally)
        except TwinError as error:
            return _First(None, 0, error)
        return _first_of_reply(reply, query.type)

    # --- one type to its end -----------------------------------------------------------------------

    def _finish(
        self, ladder: tuple[Query, ...], query: Query, first: _First, patients: Sequence[str], tally: Tally
    ) -> Answer:
        query, first = self._climb(ladder, query, first, tally)
        if first.page is None:
            return _refused(query, first)

        def again() -> Resource:
            return self.server.search_page(query.type, query.params, tally=tally)

        found = self.server.pager.follow(
            first.page,
            query.type,
            tally=tally,
            headers={"Accept": "application/fhir+json", **NO_CACHE},
            again=again,
            keep_on=lambda so_far: not _foreign(self.server, so_far, frozenset(patients)),
        )
        return Answer(query.type, "read", found, query, found.total, query.note)

    def _climb(
        self, ladder: tuple[Query, ...], query: Query, first: _First, tally: Tally
    ) -> tuple[Query, _First]:
        """Down the ladder while the server refuses the search as such; a batch's 5xx is asked again alone."""
        if first.page is None and (first.status >= 500 or first.status == 429):
            first = self._by_search(query, tally)
        rung = ladder.index(query)
        while first.page is None and first.status in _REFUSED and rung + 1 < len(ladder):
            rung += 1
            query = ladder[rung]
            first = self._by_search(query, tally)
        if first.page is not None:
            with self._guard:
                self._rungs[query.type] = rung
        return query, first

    # --- counts ------------------------------------------------------------------------------------

    def _count(self, answers: dict[str, Answer], run: Runner, tally: Tally) -> None:
        """Ask `_summary=count` where a search gave no total, or fewer rows than its total."""
        open_ = [
            a
            for a in answers.values()
            if a.state == "read"
            and a.query is not None
            and a.found.end != "stopped"
            and (a.expected is None or len(a.found.matches) < a.expected)
        ]
        if not open_:
            return
        asked = [Query(a.query.wanted, _counting(a.query)) for a in open_ if a.query is not None]
        for answer, first in zip(open_, self._ask(asked, run, tally), strict=True):
            total = first.page.get("total") if first.page else None
            if isinstance(total, int) and not isinstance(total, bool):
                answer.expected = total


def _counting(query: Query) -> dict[str, str]:
    kept = {k: v for k, v in query.params.items() if k not in ("_count", "_total", "_include")}
    return {**kept, "_summary": "count"}


def _first_of(entry: Any) -> _First:
    response = entry.get("response") if isinstance(entry, dict) else None
    told = response.get("status") if isinstance(response, dict) else None
    text = told.split()[0] if isinstance(told, str) and told.strip() else "0"
    status = int(text) if text.isdigit() else 0
    resource = entry.get("resource") if isinstance(entry, dict) else None
    if status == 0 and isinstance(resource, dict) and resource.get("resourceType") == "Bundle":
        status = 200
    if 200 <= status < 300 and isinstance(resource, dict) and resource.get("resourceType") == "Bundle":
        return _First(resource, status)
    return _First(None, 500 if 200 <= status < 300 or status == 0 else status)


def _first_of_reply(reply: Reply, type_: str) -> _First:
    if not 200 <= reply.status < 300:
        return _First(None, reply.status, error_of(reply, f"searching {type_}"))
    try:
        page = resource_of(reply, f"searching {type_}")
    except TwinError as error:
        return _First(None, 0, error)
    if page["resourceType"] == "Bundle":
        return _First(page, reply.status)
    if try_resource(reply) is not None and page["resourceType"] == "OperationOutcome":
        # Some servers say "I will not" with 200 and an OperationOutcome (RD-2).
        return _First(None, 400, error_of(reply, f"searching {type_}"))
    return _First(None, 0, None)


def _refused(query: Query, first: _First) -> Answer:
    if first.status in _NOT_PERMITTED:
        state, note = "not-permitted", f"the server does not permit it ({first.status})"
    elif first.status in _NOT_OFFERED:
        state, note = "not-offered", f"the server does not offer this search ({first.status})"
    else:
        state = "failed"
        note = first.error.message if first.error else f"the server answered {first.status}"
    answer = Answer(query.type, state, query=query, note=note)
    answer.found.issues.extend(first.error.issues if first.error else ())
    if state == "failed":
        answer.found.issues.append(Issue("warning", "incomplete", note, query.type, "fetch"))
    return answer


def _foreign(server: FhirServer, found: Found, patients: frozenset[str]) -> bool:
    """True when new matches are not (only) of the patients asked for: the server ignored the filter."""
    fresh, found.checked = found.matches[found.checked :], len(found.matches)
    return any(belongs_to(r, server.client.base, patients) == "other" for r in fresh)
