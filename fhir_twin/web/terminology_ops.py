"""FHIR terminology operations on the imported releases, exact R4 parameter names (standards 5.2).

A negative answer of $validate-code and $translate is a 200 with result=false (OP-3); an unknown system or code of
$lookup is a 404.
"""

from __future__ import annotations

import threading
from typing import Any

from flask import Blueprint, Response, current_app

from fhir_twin.errors import InvalidInput, NotFound, NotSupported, TooCostly
from fhir_twin.web.answers import fhir_response
from fhir_twin.web.capability import RELEASED
from fhir_twin.web.parameters import answer, coding_of, flag, given_parameters, text, whole
from terminology import store
from terminology.store import Terminology, UnknownCode, UnknownSystem

blueprint = Blueprint("terminology", __name__, url_prefix="/fhir")
Json = dict[str, Any]
_OPENING = threading.Lock()
_CODE = frozenset(
    {"code", "system", "version", "coding", "codeableConcept", "display", "date", "displayLanguage"}
)
BOTH = {"methods": ["GET", "POST"]}


def library() -> Terminology:
    """Opened (and ICD-10-CM imported) at the first question."""
    kept = current_app.extensions["fhir-twin"]
    with _OPENING:
        if "library" not in kept:
            if kept["open_library"] is None:
                raise NotSupported("this service was started without terminology releases")
            kept["library"] = kept["open_library"]()
    found: Terminology = kept["library"]
    return found


@blueprint.route("/CodeSystem/$lookup", **BOTH)
def lookup() -> Response:
    given = given_parameters(_CODE | {"property"}, many=frozenset({"property"}))
    system, code, version, _ = coding_of(given)
    concept = _known(lambda: library().lookup(system, code, version))
    wanted = set(given.get("property", ()))
    properties = [("parent", p) for p in concept.parents] + [("child", c) for c in concept.children]
    properties = [p for p in (*concept.properties, *properties) if not wanted or p[0] in wanted]
    designations = [("designation", [("value", t)]) for _, t in concept.designations]
    parts = [("property", [("code", name), ("value", value)]) for name, value in properties]
    head = (("name", concept.name), ("version", concept.version), ("display", concept.display))
    inactive = [] if concept.active else [("property", [("code", "inactive"), ("value", True)])]
    return fhir_response(answer(*head, *designations, *inactive, *parts))


@blueprint.route("/CodeSystem/$validate-code", **BOTH)
def validate_in_system() -> Response:
    given = given_parameters((_CODE - {"system"}) | {"url", "abstract"})
    if "code" in given and "url" not in given:
        raise InvalidInput("url (of the code system) is needed with code")
    system, code, version, display = coding_of(given, "url")
    if text(given, "url") not in ("", system):
        raise InvalidInput("url and the coding's system differ")
    return _validated(system, code, display, version)


@blueprint.route("/CodeSystem/$subsumes", **BOTH)
def subsumes() -> Response:
    given = given_parameters(frozenset({"codeA", "codeB", "codingA", "codingB", "system", "version"}))
    a = _side(given, "A")
    b = _side(given, "B")
    if a[0] != b[0]:
        raise InvalidInput("both codes must be of one system")
    outcome = _known(lambda: library().subsumes(a[0], a[1], b[1], text(given, "version")))
    return fhir_response(answer(("outcome", outcome)))


@blueprint.route("/ValueSet/$expand", **BOTH)
def expand() -> Response:
    names = "url valueSet filter count offset includeDesignations activeOnly date displayLanguage excludeNested context"
    given = given_parameters(frozenset(names.split()))
    system, root = _value_set(given)
    count, offset = whole(given, "count"), whole(given, "offset") or 0
    try:
        found = _known(
            lambda: library().expand(
                system, text(given, "filter"), root=root, count=count, offset=offset,
                active_only=flag(given, "activeOnly"), include_designations=flag(given, "includeDesignations"),
            )
        )  # fmt: skip
    except store.TooCostly as error:
        raise TooCostly(f"the expansion is too large: {error}") from None
    contains = [_contained(system, hit) for hit in found.contains]
    used = [
        (k, given[k])
        for k in ("filter", "count", "offset", "activeOnly", "includeDesignations")
        if k in given
    ]
    expansion = {
        "identifier": f"{system}/{root or 'all'}/{offset}",
        "timestamp": f"{RELEASED}T00:00:00Z",
        "total": found.total,
        "offset": found.offset,
        "parameter": [_expansion_parameter(name, value) for name, value in used],
        "contains": contains,
    }
    url = {"url": text(given, "url")} if given.get("url") else {}
    kept = {k: v for k, v in expansion.items() if v not in ([], None)}
    return fhir_response({"resourceType": "ValueSet", **url, "status": "active", "expansion": kept})


@blueprint.route("/ValueSet/$validate-code", **BOTH)
def validate_in_value_set() -> Response:
    more = {"url", "valueSet", "systemVersion", "abstract", "context", "valueSetVersion"}
    given = given_parameters((_CODE - {"version"}) | more)
    inside, root = _value_set(given)
    system, code, version, display = coding_of(given)
    if system != inside:
        return fhir_response(
            answer(("result", False), ("message", "the code's system is not in the value set"))
        )
    if root:
        try:
            outcome = library().subsumes(system, root, code, version)
        except (UnknownCode, UnknownSystem):
            outcome = "not-subsumed"
        if outcome not in ("equivalent", "subsumes"):
            return fhir_response(answer(("result", False), ("message", "the code is not in the value set")))
    return _validated(system, code, display, version)


@blueprint.route("/ConceptMap/$translate", **BOTH)
def translate() -> Response:
    more = {"url", "source", "target", "targetsystem", "reverse", "conceptMapVersion"}
    given = given_parameters((_CODE - {"date", "display", "displayLanguage"}) | more)
    system, code, _, _ = coding_of(given)
    reverse = flag(given, "reverse")
    target = text(given, "targetsystem") or text(given, "target").partition("?")[0]
    found = library().translate(system, code, target, map_url=text(given, "url"), reverse=reverse)
    matches = [("match", _match(m)) for m in found]
    good = any(m.equivalence not in ("unmatched", "disjoint") for m in found)
    words = "" if found else "no loaded map has this code"
    if reverse and found:
        words = "a map read backwards: a suggestion for a person to check, not safe to apply"
    conditional = sorted({m.advice or m.rule for m in found if m.rule not in ("", "TRUE", "OTHERWISE TRUE")})
    words = words or ("; ".join(conditional) and "conditional: " + "; ".join(conditional))
    return fhir_response(answer(("result", good), ("message", words), *matches))


@blueprint.get("/CodeSystem")
def code_systems() -> Response:
    """The loaded releases, as CodeSystems without content."""
    resources = [
        {
            "resourceType": "CodeSystem",
            "id": f"release-{i}",
            "url": r.system,
            "version": r.version,
            "name": "".join(c for c in r.name.title() if c.isalnum()),
            "title": r.name,
            "status": "active",
            "content": "not-present",
        }
        for i, r in enumerate(library().releases)
    ]
    entries = [{"resource": r, "search": {"mode": "match"}} for r in resources]
    return fhir_response(
        {"resourceType": "Bundle", "type": "searchset", "total": len(entries), "entry": entries}
    )


def terminology_capabilities() -> Json:
    """What $expand, $lookup ... can be asked of (`/metadata?mode=terminology`)."""
    systems: dict[str, list[str]] = {}
    for release in library().releases:
        systems.setdefault(release.system, []).append(release.version)
    return {
        "resourceType": "TerminologyCapabilities",
        "status": "active",
        "date": RELEASED,
        "kind": "instance",
        "implementation": {"description": "fhir-twin: imported terminology releases"},
        "codeSystem": [
            {"uri": uri, "version": [{"code": v} for v in versions], "subsumption": True}
            for uri, versions in systems.items()
        ],
        "expansion": {
            "hierarchical": False,
            "paging": True,
            "textFilter": "every word begins a word of a term",
        },
    }


def _validated(system: str, code: str, display: str, version: str) -> Response:
    found = _known(lambda: library().validate(system, code, display, version))
    return fhir_response(
        answer(("result", found.result), ("message", found.message), ("display", found.display))
    )


def _known(ask: Any) -> Any:
    try:
        return ask()
    except UnknownSystem:
        raise NotFound("no release of this code system is loaded") from None
    except UnknownCode:
        raise NotFound("the code system has no such code") from None


def _match(found: store.Translation) -> list[tuple[str, Any]]:
    shown = {"display": found.display} if found.display else {}
    concept = {"system": found.system, "code": found.code, **shown}
    return [("equivalence", found.equivalence), ("concept", concept), ("source", found.map_url)]


def _side(given: Json, side: str) -> tuple[str, str]:
    coding, code = given.get(f"coding{side}"), given.get(f"code{side}")
    if isinstance(coding, dict) and code is None:
        return str(coding.get("system", "")), str(coding.get("code", ""))
    if not isinstance(code, str) or coding is not None or not text(given, "system"):
        raise InvalidInput(f"give code{side} with system, or coding{side}")
    return text(given, "system"), code


def _value_set(given: Json) -> tuple[str, str]:
    """(system, root): implicit value sets (`<system>?fhir_vs`, `?fhir_vs=isa/CODE`), or one include of a valueSet."""
    if "valueSet" in given:
        include = ((given["valueSet"] or {}).get("compose") or {}).get("include") or [{}]
        if (
            len(include) != 1
            or "concept" in include[0]
            or "valueSet" in include[0]
            or not include[0].get("system")
        ):
            raise NotSupported(
                "only a value set of one whole system, or one is-a filter of it, can be expanded"
            )
        filters = include[0].get("filter") or []
        if any(f.get("op") != "is-a" for f in filters) or len(filters) > 1:
            raise NotSupported("of filters only one is-a is supported")
        return str(include[0]["system"]), str(filters[0]["value"]) if filters else ""
    system, mark, rest = text(given, "url").partition("?")
    if not mark or not rest.startswith("fhir_vs"):
        raise NotFound(
            "no such value set; known are <code system>?fhir_vs and <code system>?fhir_vs=isa/<code>"
        )
    _, _, wanted = rest.partition("=")
    if wanted and not wanted.startswith("isa/"):
        raise NotSupported("of implicit value sets only isa/<code> is supported")
    return system, wanted.removeprefix("isa/")


def _contained(system: str, hit: store.Hit) -> Json:
    value: Json = {"system": system, "code": hit.code, "display": hit.display}
    if not hit.active:
        value["inactive"] = True
    if hit.designations:
        value["designation"] = [{"value": words} for _, words in hit.designations]
    return value


def _expansion_parameter(name: str, value: Any) -> Json:
    if name in ("count", "offset"):
        return {"name": name, "valueInteger": int(value)}
    if name == "filter":
        return {"name": name, "valueString": str(value)}
    return {"name": name, "valueBoolean": str(value).lower() == "true"}
