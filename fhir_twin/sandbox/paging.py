"""Searchset Bundles, page by page. Links are opaque and expire, as on real servers."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from fhir_twin.sandbox.problems import Problem
from fhir_twin.sandbox.search import Pairs, included
from fhir_twin.sandbox.store import Resource, Store, Version

SUBSETTED = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "SUBSETTED",
}
_MAX_OPEN = 1000


@dataclass(frozen=True, slots=True)
class Listing:
    """A result to be paged: versions as they were when it was asked for. total None = not told."""

    rows: tuple[Version, ...]
    pairs: tuple[tuple[str, str], ...]
    self_url: str
    count: int
    total: int | None


class Pages:
    """Open listings by token; the oldest are forgotten (410)."""

    def __init__(self, base: str, *, default: int = 20, largest: int = 200) -> None:
        self.base = base
        self.default, self.largest = default, largest
        self._open: OrderedDict[str, Listing] = OrderedDict()

    def size(self, pairs: Pairs) -> int:
        """`_count` as far as it is allowed."""
        asked = next((v for n, v in pairs if n == "_count"), "")
        if not asked:
            return self.default
        if not asked.isdecimal() or len(asked) > 9:
            raise Problem(400, "value", "_count must be a whole number")
        return min(int(asked), self.largest)

    def first(self, store: Store, listing: Listing) -> Resource:
        return self._page(store, listing, 0, "")

    def later(self, store: Store, token: str) -> Resource:
        """The page of a `next` link."""
        key, _, start = token.partition(".")
        listing = self._open.get(key)
        if listing is None or not start.isdecimal():
            raise Problem(410, "not-found", "this page link has expired; search again")
        return self._page(store, listing, int(start), key)

    def expire(self) -> None:
        """Forget all open listings (tests)."""
        self._open.clear()

    def _page(self, store: Store, listing: Listing, start: int, key: str) -> Resource:
        end = start + listing.count
        rows = listing.rows[start:end]
        links = [{"relation": "self", "url": listing.self_url}]
        if listing.count and end < len(listing.rows):
            key = key or self._remember(listing)
            links.append({"relation": "next", "url": f"{self.base}?_page={key}.{end}"})
        bundle: Resource = {"resourceType": "Bundle", "type": "searchset"}
        if listing.total is not None:
            bundle["total"] = listing.total
        extra = included(store, rows, listing.pairs)
        bundle["link"] = links
        entries = [_entry(self.base, r, "match", listing.pairs) for r in rows]
        entries += [_entry(self.base, r, "include", ()) for r in extra]
        if entries:
            bundle["entry"] = entries
        return bundle

    def _remember(self, listing: Listing) -> str:
        key = secrets.token_urlsafe(12)
        self._open[key] = listing
        while len(self._open) > _MAX_OPEN:
            self._open.popitem(last=False)
        return key


def self_link(base: str, path: str, pairs: Pairs) -> str:
    """What was applied, as a URL."""
    query = "&".join(f"{quote(n, safe=':_-.')}={quote(v, safe='')}" for n, v in pairs)
    return f"{base}/{path}" + (f"?{query}" if query else "")


def _entry(base: str, row: Version, mode: str, pairs: Sequence[tuple[str, str]]) -> Resource:
    resource = row.resource or {}
    elements = next((v for n, v in pairs if n == "_elements"), "")
    if elements:
        kept = {"resourceType", "id", "meta", *elements.split(",")}
        meta = {**resource["meta"], "tag": [*resource["meta"].get("tag", []), SUBSETTED]}
        resource = {**{k: v for k, v in resource.items() if k in kept}, "meta": meta}
    return {"fullUrl": f"{base}/{row.type}/{row.id}", "resource": resource, "search": {"mode": mode}}
