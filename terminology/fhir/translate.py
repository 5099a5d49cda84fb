"""ConceptMap/$translate. https://hl7.org/fhir/R4/conceptmap-operation-translate.html

equivalence is read as "the target is ... than the source" (OP-1). R5 resources say it in other words (relationship,
with "source-is-narrower-than-target" = wider); both are read, R4 is written. The way back is a suggestion, marked so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from terminology.fhir.canonical import fits, newest, split
from terminology.fhir.members import Members
from terminology.fhir.problem import TxError, TxIssue, not_found
from terminology.fhir.scope import Scope
from terminology.fhir.selection import dicts
from terminology.mapping import REVERSED, Match, conditions

Json = dict[str, Any]
_R5 = {
    "related-to": "relatedto", "equivalent": "equivalent", "source-is-narrower-than-target": "wider",
    "source-is-broader-than-target": "narrower", "not-related-to": "disjoint",
}  # fmt: skip
UNSAFE = "a map read backwards: a suggestion for a person to check, not safe to apply"
EQUIVALENCES = frozenset(
    [
        "relatedto",
        "equivalent",
        "equal",
        "wider",
        "subsumes",
        "narrower",
        "specializes",
        "inexact",
        "unmatched",
        "disjoint",
    ]
)


@dataclass(frozen=True, slots=True)
class Search:
    """What is asked: `target` a value set canonical, `target_system` a code system, both optional."""

    url: str
    code: str
    version: str = ""
    map_url: str = ""
    map_version: str = ""
    source: str = ""
    target: str = ""
    target_system: str = ""
    reverse: bool = False


def in_resources(scope: Scope, asked: Search, given: Sequence[Json] = ()) -> list[Match]:
    """Matches of ConceptMap resources: `given` with the question, or all on the shelf."""
    found: list[Match] = []
    for concept_map in given or _maps(scope, asked):
        found += _matches(concept_map, asked, scope, ())
    return [m for m in dict.fromkeys(found) if _in_target(scope, asked, m)]


def answer(asked: Search, found: Sequence[Match]) -> Json:
    """The Parameters of $translate. result is true when some match says more than "no" (OP-3)."""
    good = any(m.equivalence not in ("unmatched", "disjoint") for m in found)
    parts: list[Json] = [{"name": "result", "valueBoolean": good}]
    words = "" if found else f"No translation of the code '{asked.code}' of '{asked.url}' is known"
    if asked.reverse and found:
        words = UNSAFE
    elif conditional := conditions(found):
        words = "conditional: " + "; ".join(conditional)
    elif found and not good:
        words = f"No match for the code '{asked.code}' in the target"
    if words:
        parts.append({"name": "message", "valueString": words})
    parts += [_match(m) for m in found]
    return {"resourceType": "Parameters", "parameter": parts}


def _match(found: Match) -> Json:
    body: list[Json] = [{"name": "equivalence", "valueCode": found.equivalence}]
    if found.code:
        shown = {"display": found.display} if found.display else {}
        body.append({"name": "concept", "valueCoding": {"system": found.system, "code": found.code, **shown}})
    for system, code, display in found.products:
        shown = {"display": display} if display else {}
        coding = {"system": system, "code": code, **shown}
        body.append({"name": "product", "part": [{"name": "concept", "valueCoding": coding}]})
    if found.map_url:
        body.append({"name": "source", "valueUri": found.map_url})
    if found.advice or found.rule not in ("", "TRUE", "OTHERWISE TRUE"):
        said = found.advice or found.rule
        body.append({"name": "comment", "valueString": said})
    return {"name": "match", "part": body}


def _maps(scope: Scope, asked: Search) -> Iterator[Json]:
    for head in scope.shelf.resources("ConceptMap"):
        url, version = str(head.get("url", "")), str(head.get("version") or "")
        if asked.map_url and (url != asked.map_url or not fits(version, asked.map_version)):
            continue
        whole = scope.shelf.resource("ConceptMap", url, version)
        if whole is not None and _of_source(whole, asked):
            yield whole


def _of_source(concept_map: Json, asked: Search) -> bool:
    if not asked.source:
        return True
    scope_of = _scope_of(concept_map, "target" if asked.reverse else "source")
    return not scope_of or split(scope_of)[0] == split(asked.source)[0]


def _scope_of(concept_map: Json, side: str) -> str:
    for name in (f"{side}Canonical", f"{side}Uri", f"{side}ScopeCanonical", f"{side}ScopeUri"):
        if concept_map.get(name):
            return str(concept_map[name])
    return ""


def _matches(concept_map: Json, asked: Search, scope: Scope, path: tuple[str, ...]) -> Iterator[Match]:
    """`path`: the maps that led here, by "unmapped: other-map". Raises TxError when they go in a circle."""
    url = str(concept_map.get("url", ""))
    for group in dicts(concept_map.get("group")):
        source, target = (split(str(group.get(k, "")))[0] for k in ("source", "target"))
        near, far = (target, source) if asked.reverse else (source, target)
        if near != asked.url or (asked.target_system and far != asked.target_system):
            continue
        hits = list(_of_group(group, asked, url, far))
        yield from hits
        if not hits and not asked.reverse:
            yield from _unmapped(group, asked, url, target)
            yield from _other_map(group, asked, scope, (*path, url))


def _of_group(group: Json, asked: Search, url: str, far: str) -> Iterator[Match]:
    for element in dicts(group.get("element")):
        if not asked.reverse and element.get("code") != asked.code:
            continue
        if element.get("noMap") is True and not asked.reverse:
            yield Match(url, "", "", "", "unmatched")
        for place, target in enumerate(dicts(element.get("target")), 1):
            word = _equivalence(target)
            if word is None:
                continue
            advice = str(target.get("comment") or "")
            products = tuple(
                (
                    str(p.get("system") or ""),
                    str(p.get("value") or p.get("code") or ""),
                    str(p.get("display") or ""),
                )
                for p in dicts(target.get("product"))
            )
            if not asked.reverse:
                code = str(target.get("code") or "")
                display = str(target.get("display") or "")
                yield Match(url, far, code, display, word, 1, place, "", advice, False, products)
            elif target.get("code") == asked.code:
                back = REVERSED.get(word, word)
                code = str(element.get("code") or "")
                yield Match(
                    url, far, code, str(element.get("display") or ""), back, 1, place, "", advice, True
                )


def _unmapped(group: Json, asked: Search, url: str, target: str) -> Iterator[Match]:
    """What a group says about codes that it does not list."""
    rule = group.get("unmapped") or {}
    mode = rule.get("mode")
    if mode in ("provided", "use-source-code"):
        yield Match(url, target, asked.code, "", "equal")
    elif mode == "fixed" and rule.get("code"):
        yield Match(url, target, str(rule["code"]), str(rule.get("display") or ""), "inexact")


def _other_map(group: Json, asked: Search, scope: Scope, path: tuple[str, ...]) -> Iterator[Match]:
    rule = group.get("unmapped") or {}
    canonical = str(rule.get("url") or rule.get("otherMap") or "")
    if rule.get("mode") != "other-map" or not canonical:
        return
    url, version = split(canonical)
    if url in path:
        text = f"Found a circularity of concept maps pointing to {url} with pathway [{', '.join(path)}]"
        raise TxError(TxIssue("error", "processing", "", text))
    best = newest(v for v in scope.shelf.versions("ConceptMap", url) if fits(v, version))
    other = None if best is None else scope.shelf.resource("ConceptMap", url, best)
    if other is None:
        raise not_found(f"A definition for the concept map '{canonical}' could not be found")
    yield from _matches(other, asked, scope, path)


def _equivalence(target: Json) -> str | None:
    word = target.get("equivalence") or _R5.get(str(target.get("relationship")))
    return str(word) if word in EQUIVALENCES else None


def _in_target(scope: Scope, asked: Search, found: Match) -> bool:
    """A target value set, where it is known, must have the code; where it is not, its url may be that of the map."""
    if not asked.target or not found.code:
        return True
    try:
        value_set = scope.value_set(asked.target)
    except TxError:
        return True
    return Members(scope).find(value_set, found.system, found.code) is not None
