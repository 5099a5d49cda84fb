"""One search over all its pages, by the server's own opaque `next` links (F1, F2, RD-4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from fhir_twin.errors import Issue, TwinError, UpstreamError
from fhir_twin.fhir.outcome import issues_of
from fhir_twin.transport.answers import error_of, resource_of
from fhir_twin.transport.http import HttpClient, Reply, Tally
from fhir_twin.transport.urls import next_of

Resource = dict[str, Any]
NO_CACHE = {"Cache-Control": "no-cache"}


@dataclass(slots=True, repr=False)
class Found:
    """What a search gave. matches and included are in the server's order, each type/id once.

    total: what the first page claimed. end: why paging stopped: "" = last page reached; "loop", "page-cap",
    "foreign-link", "expired", "error", "stopped". self_links: of the first page (what was applied, RD-6).
    rows counts matches before duplicates were dropped; checked is how many of the matches `keep_on` has seen."""

    matches: list[Resource] = field(default_factory=list)
    included: list[Resource] = field(default_factory=list)
    total: int | None = None
    end: str = ""
    pages: int = 0
    rows: int = 0
    checked: int = 0
    self_link: str = ""
    issues: list[Issue] = field(default_factory=list)
    error: TwinError | None = None


class Pager:
    """Follows pages. max_pages bounds one search. `keep_on` may stop early (it sees what was found so far)."""

    def __init__(self, client: HttpClient, *, max_pages: int = 500) -> None:
        self._client = client
        self._max_pages = max_pages

    def follow(
        self,
        first: Resource,
        type_: str,
        *,
        tally: Tally | None = None,
        headers: dict[str, str] | None = None,
        again: Callable[[], Resource] | None = None,
        keep_on: Callable[[Found], bool] | None = None,
    ) -> Found:
        """All pages from `first` (a searchset). type_: what counts as a match.

        again: asks the search anew; used once when the paging links have expired (410, or 404 on a later page).
        Never raises for a broken page: `end` and `error` say what is missing."""
        found = self._walk(first, type_, tally, headers, keep_on)
        if found.end == "expired" and again is not None:
            try:
                restarted = self._walk(again(), type_, tally, headers, keep_on)
            except TwinError as error:
                found.error = error
                return found
            restarted.issues.insert(
                0, _issue("information", "the paging links expired; the search was restarted")
            )
            return restarted
        return found

    def pages(self, first: Resource) -> Iterator[Resource]:
        """Every page of a Bundle that is no search (a history). Raises what reading gives cause for, and UpstreamError
        when the links repeat or do not end."""
        page, seen = first, set[str]()
        while True:
            yield page
            link = _link(page, "next")
            if not link:
                return
            url, _ = next_of(self._client.base, link)
            if url in seen or len(seen) >= self._max_pages:
                raise UpstreamError("the server's next links repeat or do not end")
            seen.add(url)
            reply = self._client.request("GET", url, headers={"Accept": "application/fhir+json"})
            page = resource_of(reply, "reading the next page")

    def _walk(
        self,
        page: Resource,
        type_: str,
        tally: Tally | None,
        headers: dict[str, str] | None,
        keep_on: Callable[[Found], bool] | None,
    ) -> Found:
        found = Found()
        seen: set[str] = set()
        known: set[tuple[str, str]] = set()
        while True:
            take_page(found, page, type_, known)
            link = _link(page, "next")
            if not link:
                return found
            if keep_on is not None and not keep_on(found):
                return _stop(found, "stopped", "")
            if found.pages >= self._max_pages:
                return _stop(found, "page-cap", f"paging stopped after {found.pages} pages")
            try:
                url, rewritten = next_of(self._client.base, link)
            except TwinError as error:
                return _stop(found, "foreign-link", f"paging stopped: {error.message}")
            if url in seen:
                return _stop(found, "loop", "paging stopped: the server's next link repeats")
            seen.add(url)
            if rewritten and len(seen) == 1:
                found.issues.append(
                    _issue("information", "the server's paging links name another host; ours was used")
                )
            following = self._next(url, found, tally, headers)
            if following is None:
                return found
            page = following

    def _next(
        self, url: str, found: Found, tally: Tally | None, headers: dict[str, str] | None
    ) -> Resource | None:
        try:
            reply = self._client.request("GET", url, headers=headers, tally=tally)
            if _expired(reply):
                found.error = error_of(reply, "reading the next page")
                found.end = "expired"
                found.issues.append(_issue("warning", "the paging links expired", "incomplete"))
                return None
            page = resource_of(reply, "reading the next page")
        except TwinError as error:
            found.error = error
            _stop(found, "error", error.message)
            return None
        if page.get("resourceType") != "Bundle":
            _stop(found, "error", "a page is no Bundle")
            return None
        return page


def take_page(found: Found, page: Resource, type_: str, known: set[tuple[str, str]]) -> None:
    """Sort one page's entries into matches, includes and outcomes (RD-3); a bad entry becomes an issue."""
    found.pages += 1
    if found.pages == 1:
        total = page.get("total")
        found.total = total if isinstance(total, int) and not isinstance(total, bool) and total >= 0 else None
        found.self_link = _link(page, "self")
    entries = page.get("entry")
    for entry in entries if isinstance(entries, list) else ():
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
            found.issues.append(_issue("warning", "an entry of a search page holds no resource", "structure"))
            continue
        search = entry.get("search")
        mode = search.get("mode") if isinstance(search, dict) else None
        kind = resource["resourceType"]
        if mode == "outcome" or kind == "OperationOutcome":
            found.issues.extend(issues_of(resource, stage="fetch"))
            continue
        is_match = kind == type_ and mode != "include"
        found.rows += is_match
        id_ = resource.get("id")
        key = (kind, id_ if isinstance(id_, str) else f"#{len(known)}")
        if key not in known:
            known.add(key)
            (found.matches if is_match else found.included).append(resource)


def _expired(reply: Reply) -> bool:
    return reply.status in (404, 410)


def _stop(found: Found, end: str, text: str) -> Found:
    found.end = end
    if text:
        found.issues.append(_issue("warning", text, "incomplete"))
    return found


def _issue(severity: str, text: str, code: str = "informational") -> Issue:
    return Issue(severity, code, text, "", "fetch")  # type: ignore[arg-type]


def links(bundle: Resource) -> list[Resource]:
    """Those of a page (or of a Patient) that can be read."""
    found = bundle.get("link")
    return [x for x in found if isinstance(x, dict)] if isinstance(found, list) else []


def _link(bundle: Resource, relation: str) -> str:
    for link in links(bundle):
        if link.get("relation") == relation and isinstance(link.get("url"), str):
            return str(link["url"])
    return ""
