"""The sandbox as a function: a request in, an answer out. Knows FHIR's REST rules, nothing of sockets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl

from fhir_twin.sandbox import transaction as bundles
from fhir_twin.sandbox.capability import capability_statement
from fhir_twin.sandbox.everything import everything
from fhir_twin.sandbox.paging import Listing, Pages, self_link
from fhir_twin.sandbox.problems import Problem, outcome
from fhir_twin.sandbox.search import Pairs, known_pairs, search, sort
from fhir_twin.sandbox.store import Resource, Store, Version
from fhir_twin.sandbox.validating import validate
from fhir_twin.sandbox.writing import Writer, Written, known_type


@dataclass(frozen=True, slots=True, repr=False)
class Ask:
    """path is below the base, without a leading slash; headers in lower case; body already parsed."""

    method: str
    path: str
    pairs: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None

    @property
    def query(self) -> str:
        return "&".join(f"{n}={v}" for n, v in self.pairs)

    def prefers(self, word: str) -> bool:
        return word in self.headers.get("prefer", "").replace(" ", "").replace(";", ",").split(",")


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    status: int
    body: Resource | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Engine:
    """One sandbox: its store, its pages, its clock. Thread-safe (one lock around each request)."""

    def __init__(self, base: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.base = base
        self.store = Store(now)
        self.pages = Pages(base)
        self.writer = Writer(self.store, base)
        self._started = now()

    def answer(self, ask: Ask) -> Answer:
        """Every Problem as an OperationOutcome."""
        try:
            with self.store.lock:
                return self._dispatch(ask)
        except Problem as problem:
            return Answer(problem.status, problem.outcome())

    def _dispatch(self, ask: Ask) -> Answer:
        parts = [p for p in ask.path.split("/") if p]
        if not parts:
            return self._system(ask)
        if parts == ["metadata"]:
            _only(ask, "GET")
            return Answer(200, capability_statement(self.base, self._started))
        type_ = known_type(parts[0])
        if len(parts) == 1:
            return self._type(ask, type_)
        if parts[1] in ("_search", "$validate"):
            if len(parts) > 2:
                raise Problem(404, "not-found", "no such address")
            _only(ask, "POST")
            return self._search(ask, type_) if parts[1] == "_search" else Answer(200, validate(ask.body))
        if len(parts) == 2:
            return self._instance(ask, type_, parts[1])
        return self._below(ask, type_, parts[1], parts[2:])

    def _system(self, ask: Ask) -> Answer:
        if ask.method == "GET":
            token = dict(ask.pairs).get("_page")
            if not token:
                raise Problem(400, "not-supported", "a search over all types is not supported")
            return Answer(200, self.pages.later(self.store, token))
        _only(ask, "POST")
        bundle = ask.body
        if not isinstance(bundle, dict) or bundle.get("resourceType") != "Bundle":
            raise Problem(400, "structure", "the body must be a Bundle")
        if bundle.get("type") == "transaction":
            entries = bundles.transaction(self.writer, bundle, self._get_entry)
        elif bundle.get("type") == "batch":
            entries = bundles.batch(bundle, self._batch_entry)
        else:
            raise Problem(400, "value", "the Bundle must be a transaction or a batch", "Bundle.type")
        if ask.prefers("return=minimal"):
            entries = [{"response": e["response"]} for e in entries]
        answer = {"resourceType": "Bundle", "type": f"{bundle['type']}-response", "entry": entries}
        return Answer(200, answer)

    def _type(self, ask: Ask, type_: str) -> Answer:
        if ask.method == "GET":
            return self._search(ask, type_)
        if ask.method == "PUT":
            if_match = ask.headers.get("if-match", "")
            return self._written(
                ask, self.writer.conditional_update(type_, ask.query, ask.body, if_match=if_match)
            )
        if ask.method == "POST":
            condition = ask.headers.get("if-none-exist", "")
            return self._written(ask, self.writer.create(type_, ask.body, if_none_exist=condition))
        raise Problem(405, "not-supported", "only GET, POST and conditional PUT are supported here")

    def _instance(self, ask: Ask, type_: str, id_: str) -> Answer:
        if_match = ask.headers.get("if-match", "")
        if ask.method in ("GET", "HEAD"):
            return self._found(ask, self.store.read(type_, id_))
        if ask.method == "PUT":
            return self._written(ask, self.writer.update(type_, id_, ask.body, if_match=if_match))
        if ask.method == "DELETE":
            self.writer.delete(type_, id_, if_match=if_match)
            return Answer(204)
        raise Problem(405, "not-supported", "PATCH and others are not supported")

    def _below(self, ask: Ask, type_: str, id_: str, rest: list[str]) -> Answer:
        if rest == ["$everything"] and type_ == "Patient":
            if ask.method not in ("GET", "POST"):
                raise Problem(405, "not-supported", "$everything takes GET or POST")
            return self._everything(ask, id_)
        if rest == ["$validate"]:
            _only(ask, "POST")
            return Answer(200, validate(ask.body))
        _only(ask, "GET")
        versions = self.store.versions(type_, id_)
        if rest == ["_history"] and versions:
            return Answer(200, self._history(versions))
        if len(rest) == 2 and rest[0] == "_history":
            wanted = next((v for v in versions if str(v.number) == rest[1]), None)
            return self._found(ask, wanted)
        raise Problem(404, "not-found", "no such address or resource")

    # --- reading -----------------------------------------------------------------------------------

    def _found(self, ask: Ask, version: Version | None) -> Answer:
        if version is None:
            raise Problem(404, "not-found", "no such resource")
        if version.resource is None:
            raise Problem(410, "deleted", "the resource was deleted")
        if ask.headers.get("if-none-match", "") == version.etag:
            return Answer(304, None, _version_headers(version))
        return Answer(200, version.resource, _version_headers(version))

    def _search(self, ask: Ask, type_: str) -> Answer:
        pairs = tuple(known_pairs(type_, ask.pairs, strict=ask.prefers("handling=strict")))
        rows = search(self.store, type_, pairs)
        named = dict(pairs)
        if "_sort" in named:
            rows = sort(type_, rows, named["_sort"])
        return Answer(200, self._listing(type_, rows, pairs, known_total=named.get("_total") != "none"))

    def _everything(self, ask: Ask, id_: str) -> Answer:
        rows = everything(self.store, id_, ask.pairs)
        kept = tuple((n, v) for n, v in ask.pairs if n in ("_count", "_type", "_since"))
        return Answer(200, self._listing(f"Patient/{id_}/$everything", rows, kept, known_total=False))

    def _listing(self, path: str, rows: list[Version], pairs: Pairs, *, known_total: bool) -> Resource:
        summary = next((v for n, v in pairs if n == "_summary"), "false")
        if summary not in ("count", "false"):
            raise Problem(400, "not-supported", "only _summary=count is supported")
        size = self.pages.size(pairs)
        url = self_link(self.base, path, pairs)
        if summary == "count" or (size == 0 and known_total):
            link = [{"relation": "self", "url": url}]
            return {"resourceType": "Bundle", "type": "searchset", "total": len(rows), "link": link}
        total = len(rows) if known_total else None
        return self.pages.first(self.store, Listing(tuple(rows), tuple(pairs), url, max(size, 1), total))

    def _history(self, versions: tuple[Version, ...]) -> Resource:
        entries = []
        for version in reversed(versions):
            method = "DELETE" if version.resource is None else "POST" if version.number == 1 else "PUT"
            entry: Resource = {
                "fullUrl": f"{self.base}/{version.type}/{version.id}",
                "request": {"method": method, "url": f"{version.type}/{version.id}"},
                "response": {"status": "200 OK", "etag": version.etag, "lastModified": version.updated},
            }
            if version.resource is not None:
                entry["resource"] = version.resource
            entries.append(entry)
        return {"resourceType": "Bundle", "type": "history", "total": len(entries), "entry": entries}

    # --- writing -----------------------------------------------------------------------------------

    def _written(self, ask: Ask, written: Written) -> Answer:
        version = written.version
        headers = _version_headers(version)
        headers["Location"] = f"{self.base}/{version.type}/{version.id}/_history/{version.number}"
        if ask.prefers("return=minimal"):
            return Answer(written.status, None, headers)
        if ask.prefers("return=OperationOutcome"):
            return Answer(written.status, outcome("information", "informational", "done"), headers)
        return Answer(written.status, version.resource, headers)

    def _get_entry(self, method: str, url: str) -> Resource:
        path, _, query = url.partition("?")
        answer = self._dispatch(Ask(method, path, tuple(parse_qsl(query, keep_blank_values=True))))
        entry: Resource = {"response": {"status": f"{answer.status} OK"}}
        if answer.body is not None:
            entry["resource"] = answer.body
        return entry

    def _batch_entry(self, entry: Any) -> Resource:
        """One entry of a batch, with its own status; nothing of it stays when it fails."""
        try:
            single = {"entry": [entry]}
            return bundles.transaction(self.writer, single, self._get_entry)[0]
        except Problem as problem:
            return {"response": {"status": str(problem.status), "outcome": problem.outcome()}}


def _only(ask: Ask, method: str) -> None:
    if ask.method != method and not (method == "GET" and ask.method == "HEAD"):
        raise Problem(405, "not-supported", f"only {method} is supported here")


def _version_headers(version: Version) -> dict[str, str]:
    updated = datetime.fromisoformat(version.updated).astimezone(UTC)
    return {"ETag": version.etag, "Last-Modified": format_datetime(updated, usegmt=True)}
