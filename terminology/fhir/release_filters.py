"""Filters of ValueSet.compose as conditions in SQL on the tables of a release.

https://hl7.org/fhir/R4/valueset-filter-operator.html; SNOMED CT's and LOINC's own: R4 snomedct.html, loinc.html.
"""

# ruff: noqa: S608 (every value goes in as a parameter; what is formatted in are words of this file)
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from terminology.fhir.concept import Filter
from terminology.fhir.ecl import where
from terminology.fhir.filters import pattern
from terminology.fhir.problem import TxError, TxIssue, too_costly
from terminology.importers.rows import LOINC, SNOMED

MAX_VALUE = 50_000

_BELOW = (
    "(with recursive below(n) as (select id from concept where code = ? union select e.child from edge e "
    "join below b on e.parent = b.n) select n from below)"
)
_ABOVE = (
    "(with recursive above(n) as (select id from concept where code = ? union select e.parent from edge e "
    "join above a on e.child = a.n) select n from above)"
)


@dataclass(slots=True)
class Clause:
    """A condition on concept c, with its values."""

    sql: list[str] = field(default_factory=lambda: ["1"])
    values: list[Any] = field(default_factory=list)

    def add(self, sql: str, *values: Any) -> None:
        self.sql.append(sql)
        self.values += values

    def __str__(self) -> str:
        return " and ".join(self.sql)


def clause_of(system: str, filters: Sequence[Filter]) -> Clause:
    """Raises TxError for a filter that cannot be used on a release."""
    clause = Clause()
    for given in filters:
        _add(clause, system, given)
    return clause


def _add(clause: Clause, system: str, given: Filter) -> None:
    name, op, value = given.property, given.op, given.value
    if len(value) > MAX_VALUE:
        raise too_costly("The value of a filter is too long")
    if name == "constraint" and op == "=" and system == SNOMED:
        clause.add(*where(value))
    elif name == "expressions" and op == "=":
        pass  # post-coordinated expressions are never expanded here
    elif name == "is-refset" and system == SNOMED:
        clause.add("c.code in (select value from property where name = 'member-of')")
    elif op in ("is-a", "descendent-of", "is-not-a", "generalizes", "child-of", "descendent-leaf"):
        _add_tree(clause, op, value)
    elif op == "=" and name in ("concept", "parent", "child", "ancestor", "ANCESTOR"):
        how = {"concept": "member", "parent": "child-of", "child": "parent-of"}.get(name, "descendent-of")
        _add_tree(clause, how, value)
    elif op in ("in", "not-in") and name == "concept":
        _add_members(clause, system, op, value)
    else:
        _add_property(clause, system, given)


def _add_tree(clause: Clause, op: str, value: str) -> None:
    below = f"c.id in {_BELOW}"
    number = "(select id from concept where code = ?)"
    if op == "member":  # SNOMED CT: concept = refset (https://hl7.org/fhir/R4/snomedct.html#4.3.1.0.5)
        clause.add("c.id in (select concept from property where name = 'member-of' and value = ?)", value)
    elif op == "is-a":
        clause.add(below, value)
    elif op == "is-not-a":
        clause.add(f"c.id not in {_BELOW}", value)
    elif op == "generalizes":
        clause.add(f"c.id in {_ABOVE}", value)
    elif op == "child-of":
        clause.add(f"c.id in (select child from edge where parent = {number})", value)
    elif op == "parent-of":
        clause.add(f"c.id in (select parent from edge where child = {number})", value)
    else:
        clause.add(f"{below} and c.code <> ?", value, value)
        if op == "descendent-leaf":
            clause.add("not exists (select 1 from edge e where e.parent = c.id)")


def _add_members(clause: Clause, system: str, op: str, value: str) -> None:
    word = "not in" if op == "not-in" else "in"
    codes = [v.strip() for v in value.split(",")]
    if system == SNOMED:  # concept in REFSET
        inside = "(select concept from property where name = 'member-of' and value = ?)"
        clause.add(f"c.id {word} {inside}", value)
    else:
        clause.add(f"c.code {word} ({','.join('?' * len(codes))})", *codes)


def _add_property(clause: Clause, system: str, given: Filter) -> None:
    name, op, value = given.property, given.op, given.value
    column = {"code": "c.code", "display": "c.display", "definition": "c.definition"}.get(name)
    if name == "inactive" and op == "=":
        clause.add("c.active = ?", int(value.lower() != "true"))
        return
    inner = "exists (select 1 from property p where p.concept = c.id and p.name = ? and {})"
    values = [v.strip() for v in value.split(",")]
    marks = ",".join("?" * len(values))
    tests = {
        "=": ("{} = ? collate nocase" if system == LOINC else "{} = ?", [value]),
        "regex": ("fits(?, {})", [value]),
        "in": (f"{{}} in ({marks})", values), "not-in": (f"{{}} in ({marks})", values),
        "exists": ("{} is not null", []),
    }  # fmt: skip
    if op not in tests:
        text = f"The filter operator '{op}' is not known"
        raise TxError(TxIssue("error", "invalid", "vs-invalid", text), status=400)
    if op == "regex":
        pattern(value)
    test, given_values = tests[op]
    negated = op == "not-in" or (op == "exists" and value.lower() != "true")
    sql = test.format(column) if column else inner.format(test.format("p.value"))
    clause.add(f"not ({sql})" if negated else sql, *([] if column else [name]), *given_values)
