"""Open any R4 Bundle: searchset, collection, transaction, batch-response, history, document, message.

Gives the resources to read, each once and in its newest version, with the place it came from; what is not a
resource to read (outcomes, refused sub-requests, deletions) becomes an Issue.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fhir_twin.errors import InvalidInput, Issue

_SEARCHES = ("searchset", "history", "collection", "document", "message")
_INTERACTIONS = ("transaction", "transaction-response", "batch", "batch-response")
BUNDLE_TYPES = frozenset((*_SEARCHES, *_INTERACTIONS))
MAX_ENTRIES = 1_000_000
# A batch of searches answers with Bundles inside the Bundle; nobody nests deeper.
MAX_NESTING = 3

Resource = dict[str, Any]


@dataclass(frozen=True, slots=True, repr=False)
class Entry:
    """One resource of a Bundle. `place` is its FHIRPath; `mode` match | include | ""; `raw` the JSON as given.
    `source` is "Type/id/_history/version"; without an id the place in the Bundle (never a made-up id)."""

    place: str
    full_url: str
    type: str
    id: str
    version: str
    mode: str
    source: str
    raw: Resource


@dataclass(frozen=True, slots=True, repr=False)
class Opened:
    """entries in the order of the Bundle; base: the server's base URL if the Bundle tells it."""

    entries: tuple[Entry, ...]
    issues: tuple[Issue, ...]
    bases: frozenset[str]


def open_bundle(bundle: Any) -> Opened:
    """The entries of a Bundle. Raises InvalidInput when it is no Bundle at all; a bad entry is an Issue."""
    if not isinstance(bundle, dict):
        raise InvalidInput("not a FHIR resource: expected a JSON object")
    if bundle.get("resourceType") != "Bundle":
        raise InvalidInput("not a Bundle: resourceType must be Bundle")
    kind = bundle.get("type")
    if not isinstance(kind, str) or kind not in BUNDLE_TYPES:
        raise InvalidInput("Bundle.type is missing or not an R4 bundle type")
    issues: list[Issue] = []
    found: list[Entry] = []
    gone: dict[tuple[str, str], tuple[int, str]] = {}
    for entry in _entries(bundle, "Bundle", issues, gone, 0):
        found.append(entry)
        if len(found) > MAX_ENTRIES:
            raise InvalidInput(f"Bundle: more than {MAX_ENTRIES} entries")
    kept = _newest(found, gone, issues)
    return Opened(tuple(kept), tuple(issues), _bases(bundle, kept))


def _entries(
    bundle: Resource,
    path: str,
    issues: list[Issue],
    gone: dict[tuple[str, str], tuple[int, str]],
    nesting: int,
) -> Iterator[Entry]:
    listed = bundle.get("entry", [])
    if not isinstance(listed, list):
        issues.append(
            Issue("error", "structure", "entry must be an array; nothing of it was read", f"{path}.entry")
        )
        return
    for index, item in enumerate(listed):
        place = f"{path}.entry[{index}]"
        if not isinstance(item, dict):
            issues.append(Issue("error", "structure", "an entry must be an object; it was not read", place))
            continue
        _outcome(item, place, issues)
        _deletion(item, gone)
        resource = item.get("resource")
        if resource is None:
            continue
        if not isinstance(resource, dict) or not _is_type(resource.get("resourceType")):
            issues.append(Issue("error", "structure", "an entry without resourceType was not read", place))
        elif resource["resourceType"] == "Bundle":
            if nesting >= MAX_NESTING:
                issues.append(Issue("error", "too-long", "Bundles nested too deep were not read", place))
            else:
                yield from _entries(resource, f"{place}.resource", issues, gone, nesting + 1)
        elif resource["resourceType"] == "OperationOutcome":
            issues.extend(outcome_issues(resource, place))
        else:
            yield _entry(item, resource, place)


def _is_type(name: Any) -> bool:
    return isinstance(name, str) and name.isascii() and name.isalpha() and len(name) <= 64


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _entry(item: Resource, resource: Resource, place: str) -> Entry:
    full_url = _text(item.get("fullUrl"))
    meta, search = resource.get("meta"), item.get("search")
    version = _text(meta.get("versionId")) if isinstance(meta, dict) else ""
    mode = _text(search.get("mode")) if isinstance(search, dict) else ""
    ident = _text(resource.get("id"))
    if not ident and full_url.startswith("urn:uuid:"):
        ident = full_url.removeprefix("urn:uuid:")
    kind = resource["resourceType"]
    source = f"{kind}/{ident}" if ident else f"{place}.resource"
    if ident and version:
        source = f"{source}/_history/{version}"
    return Entry(f"{place}.resource", full_url, kind, ident, version, mode, source, resource)


def _outcome(item: Resource, place: str, issues: list[Issue]) -> None:
    """What the server said about this entry: a failed sub-request must not pass for "no data" (RD-8)."""
    response = item.get("response")
    if not isinstance(response, dict):
        return
    status = _text(response.get("status"))
    if status[:1] in ("4", "5"):
        code = (
            "forbidden"
            if status[:3] in ("401", "403")
            else "not-found"
            if status[:3] == "404"
            else "incomplete"
        )
        issues.append(Issue("warning", code, f"the server answered {status[:3]} for this part", place))
    outcome = response.get("outcome")
    if isinstance(outcome, dict) and item.get("resource") is None:
        issues.extend(outcome_issues(outcome, place))


def outcome_issues(outcome: Resource, place: str) -> list[Issue]:
    """The server's own issues, with severity and code as given; its free text is not copied (it may hold PHI)."""
    found = outcome.get("issue")
    issues = []
    for issue in found if isinstance(found, list) else ():
        if not isinstance(issue, dict):
            continue
        severity, code = _text(issue.get("severity")), _text(issue.get("code"))
        if severity not in ("fatal", "error", "warning", "information"):
            severity = "warning"
        if code in ("informational", "success", ""):
            severity, code = "information", code or "informational"
        issues.append(Issue(severity, code, "the server reported an issue with its answer", place))  # type: ignore[arg-type]
    return issues


def _deletion(item: Resource, gone: dict[tuple[str, str], tuple[int, str]]) -> None:
    """A history entry may say that a resource was deleted; older versions in the Bundle then do not count."""
    request, response = item.get("request"), item.get("response")
    if not isinstance(request, dict) or request.get("method") != "DELETE" or item.get("resource") is not None:
        return
    parts = _text(request.get("url")).split("/")
    if len(parts) < 2 or not _is_type(parts[-2]):
        return
    etag = _text(response.get("etag")) if isinstance(response, dict) else ""
    modified = _text(response.get("lastModified")) if isinstance(response, dict) else ""
    version = etag.removeprefix("W/").strip('"')
    gone[(parts[-2], parts[-1])] = (int(version) if version.isdecimal() else -1, modified)


def _age(entry: Entry) -> tuple[int, str]:
    meta = entry.raw.get("meta")
    updated = _text(meta.get("lastUpdated")) if isinstance(meta, dict) else ""
    return (int(entry.version) if entry.version.isdecimal() and len(entry.version) < 19 else -1, updated)


def _newest(
    found: list[Entry], gone: dict[tuple[str, str], tuple[int, str]], issues: list[Issue]
) -> list[Entry]:
    """Each resource once: the newest version, in the place of its first mention (RD-4 dedupe, history)."""
    chosen: dict[tuple[str, ...], Entry] = {}
    conflict = 0
    for entry in found:
        key = (entry.type, entry.id) if entry.id else ("", entry.place)
        other = chosen.get(key)
        if other is None:
            chosen[key] = entry
            continue
        conflict += _age(entry) == _age(other) and entry.raw != other.raw
        if _age(entry) > _age(other):
            chosen[key] = entry
    if conflict:
        text = (
            f"{conflict} resources came twice with different content and no newer version; the first was read"
        )
        issues.append(Issue("warning", "duplicate", text, "Bundle.entry"))
    return [entry for key, entry in chosen.items() if key not in gone or gone[key] < _age(entry)]


def _bases(bundle: Resource, entries: list[Entry]) -> frozenset[str]:
    """Server bases this Bundle speaks for: of its fullUrls, else of its self link."""
    bases = set()
    for entry in entries:
        tail = f"/{entry.type}/{entry.id}"
        if entry.full_url.startswith("http") and entry.full_url.endswith(tail):
            bases.add(entry.full_url.removesuffix(tail))
    links = bundle.get("link")
    for link in links if isinstance(links, list) and not bases else ():
        if isinstance(link, dict) and link.get("relation") == "self" and isinstance(link.get("url"), str):
            bases |= {base for base in [_base_of(link["url"], {e.type for e in entries})] if base}
    return frozenset(bases)


def _base_of(url: str, types: set[str]) -> str:
    """What stands before the first path segment that names a resource type of this Bundle."""
    parts = url.split("?")[0].split("/")
    first = next((i for i, part in enumerate(parts) if part in types), 0)
    return "/".join(parts[:first])
