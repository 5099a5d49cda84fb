"""Filters of ValueSet.compose on concepts in memory. https://hl7.org/fhir/R4/valueset-filter-operator.html

Regular expressions come from whoever asks, so they run on RE2, which cannot run super-linearly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Protocol

from terminology.fhir.concept import Entry, Filter, text_of, value_of
from terminology.fhir.problem import TxError, TxIssue

Test = Callable[[Entry], bool]
_TREE = ("is-a", "descendent-of", "is-not-a", "generalizes", "child-of", "descendent-leaf")
MAX_PATTERN = 500


class Tree(Protocol):
    def find(self, code: str) -> Entry | None: ...
    def below(self, code: str) -> set[str]: ...


def compiled(given: Filter, tree: Tree, uses: Mapping[str, str]) -> Test:
    """A test of one concept. `uses`: property code -> HL7's name of the concept property.

    Raises TxError for an operator that does not exist or a pattern that is none."""
    if given.op in _TREE:
        return _by_tree(given, tree)
    values = _reader(given.property, uses)
    if given.op == "=":
        return lambda entry: given.value in values(entry)
    if given.op in ("in", "not-in"):
        wanted = {v.strip() for v in given.value.split(",")}
        inside = given.op == "in"
        return lambda entry: bool(wanted.intersection(values(entry))) == inside
    if given.op == "exists":
        there = given.value.strip().lower() == "true"
        return lambda entry: bool(values(entry)) == there
    if given.op == "regex":
        match = pattern(given.value)
        return lambda entry: any(match(value) for value in values(entry))
    raise _refused(f"The filter operator '{given.op}' is not known")


def _by_tree(given: Filter, tree: Tree) -> Test:
    wanted = given.value
    entry = tree.find(wanted)
    if given.op == "generalizes":
        above = {wanted, *_above(tree, wanted)} if entry else set()
        return lambda e: e.code in above
    below = tree.below(wanted) if entry else set()
    if given.op == "is-a":
        return lambda e: e.code == wanted or e.code in below
    if given.op == "is-not-a":
        return lambda e: e.code != wanted and e.code not in below
    if given.op == "child-of":
        children = set(entry.children) if entry else set()
        return lambda e: e.code in children
    if given.op == "descendent-leaf":
        return lambda e: e.code in below and not e.children
    return lambda e: e.code in below


def _above(tree: Tree, code: str) -> set[str]:
    found: set[str] = set()
    stack = [code]
    while stack:
        entry = tree.find(stack.pop())
        for parent in entry.parents if entry else ():
            if parent not in found:
                found.add(parent)
                stack.append(parent)
    return found


def _reader(name: str, uses: Mapping[str, str]) -> Callable[[Entry], list[str]]:
    """The values of a property as text. Standard properties answer without being written on the concept."""
    meant = uses.get(name, name)
    fixed: dict[str, Callable[[Entry], list[str]]] = {
        "code": lambda e: [e.code], "concept": lambda e: [e.code],
        "display": lambda e: [e.display] if e.display else [],
        "definition": lambda e: [e.definition] if e.definition else [],
        "parent": lambda e: list(e.parents), "child": lambda e: list(e.children),
        "inactive": lambda e: [text_of(e.inactive)],
        "designation": lambda e: [str(d.get("value", "")) for d in e.designations],
    }  # fmt: skip
    if meant in fixed:
        return fixed[meant]

    codes = {name, *(code for code, hl7 in uses.items() if hl7 == meant)}

    def read(entry: Entry) -> list[str]:
        return [text_of(value_of(p)) for p in entry.properties if p.get("code") in codes]

    return read


@lru_cache(maxsize=200)
def pattern(expression: str) -> Callable[[str], Any]:
    """Whole-string match of a regular expression in RE2's syntax. Raises TxError for one that is none."""
    import re2

    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 22
    if len(expression) > MAX_PATTERN:
        raise _refused("A regular expression of a filter is too long")
    try:
        found = re2.compile(expression, options)
    except re2.error:
        raise _refused(
            f"'{expression[:100]}' is no regular expression that can be used in a filter"
        ) from None
    match: Callable[[str], Any] = found.fullmatch
    return match


def _refused(text: str) -> TxError:
    return TxError(TxIssue("error", "invalid", "vs-invalid", text), status=400)
