"""Patients to choose from: by words of the name, birth date or identifier. Names travel in a POST body, not in a URL,
where the server takes that (RD-5)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from fhir_twin.errors import InvalidInput, NotSupported
from fhir_twin.model.directory import PatientRow
from fhir_twin.transport.fhir_server import FhirServer
from fhir_twin.transport.paging import links
from fhir_twin.transport.urls import ID

Resource = dict[str, Any]
_DATE = re.compile(r"(?:eq)?\d{4}(?:-\d\d(?:-\d\d)?)?\Z")
_ELEMENTS = "id,name,birthDate,gender,identifier,link,active"
LONGEST = 200


def find_patients(server: FhirServer, words: str, *, most: int = 50) -> tuple[tuple[PatientRow, ...], bool]:
    """(patients, are there more). words: parts of the name and a birth date (2001-02-03), or an identifier; "" = the
    first of all. What the server gives is checked: a row without a usable id is left out."""
    words = " ".join(words.split())
    if len(words) > LONGEST:
        raise InvalidInput("the search is too long")
    rows: dict[str, PatientRow] = {}
    more = False
    for params in _questions(words):
        page = _ask(server, {**params, "_count": str(most + 1), "_elements": _ELEMENTS})
        found = [r for r in map(_row, _matches(page)) if r is not None]
        more = more or len(found) > most or any(link.get("relation") == "next" for link in links(page))
        rows |= {r.id: r for r in found if r.id not in rows}
    ordered = sorted(rows.values(), key=lambda r: (not r.active, r.name.casefold(), r.id))
    return tuple(ordered[:most]), more or len(ordered) > most


def _questions(words: str) -> list[dict[str, Any]]:
    """The searches that the words may mean. One word with a digit may be an identifier or the id itself."""
    if not words:
        return [{}]
    tokens = words.split()
    dates = [t for t in tokens if _DATE.match(t)]
    names = [t for t in tokens if t not in dates]
    asked: dict[str, Any] = {}
    if names:
        asked["name"] = [_escaped(t) for t in names]
    if dates:
        asked["birthdate"] = dates
    questions = [asked]
    if len(tokens) == 1 and re.search(r"\d", words):
        questions.append({"identifier": words if "|" in words else _escaped(words)})
        if ID.match(words):
            questions.append({"_id": words})
    return questions


def _ask(server: FhirServer, params: dict[str, Any]) -> Resource:
    try:
        return server.search_page("Patient", params, private=True)
    except (InvalidInput, NotSupported):
        if "identifier" in params or "_id" in params:
            return {}
        raise


def _escaped(word: str) -> str:
    return re.sub(r"([\\$,|])", r"\\\1", word)


def _matches(page: Resource) -> Iterable[Resource]:
    entries = page.get("entry")
    for entry in entries if isinstance(entries, list) else ():
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if isinstance(resource, dict) and resource.get("resourceType") == "Patient":
            yield resource


def _row(patient: Resource) -> PatientRow | None:
    id_ = patient.get("id")
    replaced = any(link.get("type") == "replaced-by" for link in links(patient))
    if not isinstance(id_, str) or not ID.match(id_) or replaced:
        return None
    return PatientRow(
        id_,
        _name(patient.get("name")),
        _text(patient.get("birthDate")),
        _text(patient.get("gender")),
        _identifier(patient.get("identifier")),
        patient.get("active") is not False,
    )


def _name(names: Any) -> str:
    listed = [n for n in names if isinstance(n, dict)] if isinstance(names, list) else []
    listed.sort(key=lambda n: {"official": 0, "usual": 1}.get(_text(n.get("use")), 2))
    for name in listed:
        given = (
            [g for g in name.get("given", []) if isinstance(g, str)]
            if isinstance(name.get("given"), list)
            else []
        )
        words = ", ".join(x for x in (_text(name.get("family")), " ".join(given)) if x) or _text(
            name.get("text")
        )
        if words:
            return " ".join(words.split())[:120]
    return ""


def _identifier(identifiers: Any) -> str:
    listed = [i for i in identifiers if isinstance(i, dict)] if isinstance(identifiers, list) else []
    return next((_text(i.get("value"))[:60] for i in listed if _text(i.get("value"))), "")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
