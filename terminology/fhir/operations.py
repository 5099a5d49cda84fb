"""The operations as a FHIR server serves them: a list of parameters in, a resource out. Raises TxError.

Parameter names of R4 (standards 5.2); `shelf` is where terminology is found, `at` the instant of the answer, `language`
the Accept-Language of the caller, used where displayLanguage is not given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from terminology.fhir import expand as expanding
from terminology.fhir import languages, validate
from terminology.fhir.canonical import joined
from terminology.fhir.contains import Wish
from terminology.fhir.given import Given, contained_in
from terminology.fhir.lookup import lookup as looked_up
from terminology.fhir.lookup import subsumes as compared
from terminology.fhir.problem import TxError, TxIssue, invalid, not_found, not_supported
from terminology.fhir.scope import Scope
from terminology.fhir.selection import dicts
from terminology.fhir.shelf import Shelf
from terminology.fhir.translate import Search, answer, in_resources
from terminology.fhir.verdict import Question
from terminology.mapping import Match

Json = dict[str, Any]
MAX_PAGE = 10_000
_CODED = frozenset(
    ("code", "system", "version", "coding", "codeableConcept", "display", "date", "displayLanguage")
)
_CHECKED = frozenset(
    (
        "abstract",
        "activeOnly",
        "inferSystem",
        "lenient-display-validation",
        "valueset-membership-only",
        "valueSetMode",
    )
)
LOOKUP = frozenset(("code", "system", "version", "coding", "date", "displayLanguage", "property"))
VALIDATE_SYSTEM = (_CODED - {"system"}) | _CHECKED | {"url", "codeSystem"}
VALIDATE_SET = (_CODED - {"version"}) | _CHECKED | {
    "url", "valueSet", "valueSetVersion", "context", "systemVersion", "version",
}  # fmt: skip
SUBSUMES = frozenset(("codeA", "codeB", "codingA", "codingB", "system", "version"))
EXPAND = frozenset(
    ("url", "valueSet", "valueSetVersion", "context", "contextDirection", "filter", "date", "offset", "count",
     "includeDesignations", "designation", "includeDefinition", "activeOnly", "excludeNested", "excludeNotForUI",
     "excludePostCoordinated", "displayLanguage", "exclude-system", "property")
)  # fmt: skip
TRANSLATE = frozenset(
    ("url", "conceptMap", "conceptMapVersion", "code", "system", "version", "source", "coding", "codeableConcept",
     "target", "targetsystem", "dependency", "reverse", "sourceCode", "sourceCoding", "sourceCodeableConcept",
     "targetSystem", "sourceScope", "targetScope", "targetCode", "targetCoding")
)  # fmt: skip


class Maps(Protocol):
    def table_matches(self, asked: Any) -> Iterable[Match]: ...


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks: the shelf, and what comes from the HTTP request."""

    shelf: Shelf
    at: str
    language: str = ""
    lenient: bool = False

    def given(self, parameters: Iterable[Any], known: frozenset[str]) -> Given:
        return Given(parameters, known, lenient=self.lenient)


def lookup(asker: Asker, parameters: Iterable[Any]) -> Json:
    given = asker.given(parameters, LOOKUP)
    [coding], _ = _codings(given, ("code", "coding"))
    if not coding.get("system"):
        raise invalid("a code needs its system")
    return looked_up(
        given.scope(asker.shelf), str(coding["system"]), str(coding["code"]), str(coding.get("version") or ""),
        _languages(given, asker), given.texts("property"),
    )  # fmt: skip


def subsumes(asker: Asker, parameters: Iterable[Any]) -> Json:
    given = asker.given(parameters, SUBSUMES)
    (system_a, code_a), (system_b, code_b) = _side(given, "A"), _side(given, "B")
    if system_a != system_b:
        raise invalid("both codes must be of one system")
    return compared(given.scope(asker.shelf), system_a, code_a, code_b, given.text("version"))


def validate_in_system(asker: Asker, parameters: Iterable[Any]) -> Json:
    given = asker.given(parameters, VALIDATE_SYSTEM)
    resource = given.resource("codeSystem", "CodeSystem")
    url = given.text("url") or str((resource or {}).get("url") or "")
    codings, concept = _codings(given, ("code", "coding", "codeableConcept"), incomplete=True)
    if "code" in given and not url:
        raise invalid("url (of the code system) is needed with code")
    for coding in codings:
        if url and coding.get("system") not in (None, "", url):
            raise invalid("url and the coding's system differ")
        coding["system"] = coding.get("system") or url
    scope = given.scope(asker.shelf, [resource] if resource else [])
    return validate.in_system(scope, "", _question(given, asker, codings, concept, None))


def validate_in_value_set(asker: Asker, parameters: Iterable[Any]) -> Json:
    given = asker.given(parameters, VALIDATE_SET)
    codings, concept = _codings(given, ("code", "coding", "codeableConcept"), incomplete=True)
    if "code" in given and not given.text("system") and not given.flag("inferSystem"):
        raise invalid("code without system (or inferSystem = true)")
    scope, value_set = _value_set(given, asker)
    return validate.in_value_set(scope, value_set, _question(given, asker, codings, concept, value_set))


def expand(asker: Asker, parameters: Iterable[Any]) -> Json:
    given = asker.given(parameters, EXPAND)
    scope, value_set = _value_set(given, asker)
    spoken = expanding.expansion_languages(value_set, _languages(given, asker))
    if excluded := given.texts("exclude-system"):
        compose = dict(value_set.get("compose") or {})
        compose["exclude"] = [
            *(compose.get("exclude") or ()),
            *({"system": s.split("|")[0]} for s in excluded),
        ]
        value_set = {**value_set, "compose": compose}
    wish = Wish(
        given.text("filter"), _count(given), given.whole("offset") or 0, given.flag("activeOnly"),
        not given.flag("excludeNested", default=True), given.flag("includeDesignations"),
        tuple(given.texts("designation")), tuple(given.texts("property")), given.flag("includeDefinition"), spoken,
        tuple(_echo(given, spoken)), asker.at,
    )  # fmt: skip
    return expanding.expand(scope, value_set, wish)


def _count(given: Given) -> int | None:
    """What one page holds; a server may give fewer than were asked for."""
    count = given.whole("count")
    return None if count is None else min(count, MAX_PAGE)


def translate(asker: Asker, parameters: Iterable[Any], tables: Maps | None = None) -> Json:
    """`tables`: the maps that came with releases, beside those that are ConceptMap resources."""
    given = asker.given(parameters, TRANSLATE)
    backwards = given.flag("reverse") or "targetCode" in given or "targetCoding" in given
    names = ("code", "coding", "codeableConcept", "sourceCode", "sourceCoding", "sourceCodeableConcept", "targetCode",
             "targetCoding")  # fmt: skip
    codings, _ = _codings(given, names)
    resource = given.resource("conceptMap", "ConceptMap")
    target = given.text("target") or given.text("targetScope")
    wanted = given.text("targetsystem") or given.text("targetSystem")
    scope = given.scope(asker.shelf, [resource] if resource else [])
    found: list[Match] = []
    asked = None
    for coding in codings:
        if not coding.get("system"):
            raise invalid("a code needs its system")
        asked = Search(
            str(coding["system"]), str(coding["code"]), str(coding.get("version") or ""), given.text("url"),
            given.text("conceptMapVersion"), given.text("source") or given.text("sourceScope"), target, wanted,
            backwards,
        )  # fmt: skip
        _check_map(scope, asked, resource)
        found += in_resources(scope, asked, [resource] if resource else [])
        if tables is not None and resource is None:
            found += tables.table_matches(asked)
    if asked is None:
        raise invalid("there is no code to translate")
    return answer(asked, found)


def _check_map(scope: Scope, asked: Search, resource: Json | None) -> None:
    known = asked.map_url.startswith(("http://snomed.info/sct?fhir_cm=", "urn:", "https://www.cms.gov/"))
    if (
        resource is None
        and asked.map_url
        and not known
        and not scope.shelf.versions("ConceptMap", asked.map_url)
    ):
        tables = getattr(scope.shelf, "map_urls", None)
        if tables is None or asked.map_url not in tables():
            raise not_found(f"A definition for the concept map '{asked.map_url}' could not be found")


def _value_set(given: Given, asker: Asker) -> tuple[Scope, Json]:
    resource = given.resource("valueSet", "ValueSet")
    if resource is not None:
        return given.scope(asker.shelf, [*contained_in(resource), resource]), resource
    if "context" in given and "url" not in given:
        raise not_supported("context is not supported: give the url of the value set")
    if not given.text("url"):
        raise invalid("url or valueSet is needed")
    scope = given.scope(asker.shelf)
    version = given.text("valueSetVersion")
    url = given.text("url")
    found = scope.value_set(joined(url, version) if "|" not in url else url)
    contained = contained_in(found)
    return (given.scope(asker.shelf, contained) if contained else scope), found


def _languages(given: Given, asker: Asker) -> languages.Languages:
    return languages.parse(given.text("displayLanguage") or asker.language)


def _question(
    given: Given, asker: Asker, codings: list[Json], concept: Json | None, value_set: Json | None
) -> Question:
    spoken = _languages(given, asker)
    if value_set is not None:
        spoken = expanding.expansion_languages(value_set, spoken)
    form = "CodeableConcept" if concept is not None else "Coding" if "coding" in given else "code"
    return Question(
        form, codings, concept, given.flag("inferSystem"), given.flag("activeOnly"),
        given.flag("abstract", default=True),
        given.flag("lenient-display-validation"), given.flag("valueset-membership-only"), spoken,
    )  # fmt: skip


def _codings(
    given: Given, forms: tuple[str, ...], *, incomplete: bool = False
) -> tuple[list[Json], Json | None]:
    """(codings, the CodeableConcept they came from). Exactly one form may be given (OP-4). incomplete: a Coding without
    code is let through, for the answer to say what is missing."""
    present = [name for name in forms if name in given]
    if len(present) != 1:
        raise invalid(f"give exactly one of {', '.join(forms[:3])}")
    name = present[0]
    if name.endswith(("code", "Code")):
        coding: Json = {"code": given.text(name), "system": given.text("system")}
        coding["version"] = given.text("systemVersion") or given.text("version")
        coding["display"] = given.text("display")
        if not coding["code"]:
            raise invalid(f"{name} is empty")
        return [{k: v for k, v in coding.items() if v}], None
    value = given.part(name) or {}
    if not name.lower().endswith("codeableconcept"):
        if not value.get("code") and not incomplete:
            raise invalid(f"{name} needs a code")
        return [_plain(value)], None
    codings = [_plain(c) for c in dicts(value.get("coding")) if c.get("code") or incomplete]
    if not codings:
        raise invalid(f"{name} needs a coding with a code")
    return codings, value


def _plain(coding: Json) -> Json:
    found = {k: coding.get(k) for k in ("system", "version", "code", "display") if coding.get(k) is not None}
    if any(not isinstance(v, str) for v in found.values()):
        raise invalid("system, version, code and display of a coding are strings")
    return found


def _side(given: Given, side: str) -> tuple[str, str]:
    coding = given.part(f"coding{side}")
    if (coding is None) == (f"code{side}" not in given):
        raise invalid(f"give code{side} with system, or coding{side}")
    if coding is not None:
        plain = _plain(coding)
        system, code = plain.get("system", ""), plain.get("code", "")
    else:
        system, code = given.text("system"), given.text(f"code{side}")
    if not system or not code:
        text = f"code{side} needs a code and a system"
        raise TxError(TxIssue("error", "invalid", "invalid-data", text), status=400)
    return system, code


_ECHOED: tuple[tuple[str, str, Callable[[Given, str], Any]], ...] = (
    ("filter", "valueString", lambda g, n: g.text(n)),
    ("count", "valueInteger", lambda g, n: g.whole(n)),
    ("offset", "valueInteger", lambda g, n: g.whole(n)),
    ("activeOnly", "valueBoolean", lambda g, n: g.flag(n)),
    ("excludeNested", "valueBoolean", lambda g, n: g.flag(n)),
    ("includeDesignations", "valueBoolean", lambda g, n: g.flag(n)),
)


def _echo(given: Given, spoken: languages.Languages) -> list[Json]:
    """The parameters that shaped the expansion, as R4 asks for in expansion.parameter."""
    found = [{"name": name, kind: read(given, name)} for name, kind, read in _ECHOED if name in given]
    found += [{"name": "designation", "valueString": value} for value in given.texts("designation")]
    for name in ("exclude-system", "system-version", "check-system-version", "force-system-version"):
        found += [{"name": name, "valueUri": value} for value in given.texts(name)]
    if spoken.written:
        found.append({"name": "displayLanguage", "valueCode": spoken.written})
    return found
