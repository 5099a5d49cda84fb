"""Whether an answer is what a test case of HL7's terminology ecosystem expects.

https://build.fhir.org/ig/HL7/fhir-tx-ecosystem-ig/testcases.html: expected responses are templates. Order in arrays
never counts; strings may be patterns ($uuid$, $instant$, $choice:a|b$, $fragments:a|b$, $external:1:a|b$ ...); objects
may be marked $optional$ or $only$ and may name optional properties.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_KINDS = {
    "id": r"[A-Za-z0-9\-.]{1,64}", "uuid": r"(urn:uuid:)?[0-9a-fA-F-]{36}", "url": r"(https?://|urn:)\S+",
    "token": r"[0-9a-zA-Z_][0-9a-zA-Z_.\-]*", "string": r"\S(.*\S)?", "date": r"\d{4}(-\d\d(-\d\d(T.*)?)?)?",
    "instant": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", "semver": r"\d+\.\d+(\.\d+)?([-+].*)?",
}  # fmt: skip
_MARKS = ("$optional$", "$only$", "$optional-properties$", "$count-arrays$")
FHIR_VERSION = "4.0.1"


@dataclass(slots=True)
class Rules:
    """modes: of the run. externals: our own words for the messages of this test case, by number. pattern: the answer
    may hold more than is expected (the official runner's pattern mode, for capabilities)."""

    modes: frozenset[str] = frozenset({"general"})
    externals: Mapping[str, str] = field(default_factory=dict)
    pattern: bool = False


def difference(expected: Any, actual: Any, rules: Rules, where: str = "$") -> str:
    """The first difference, "" when there is none."""
    if isinstance(expected, dict):
        return _objects(expected, actual, rules, where)
    if isinstance(expected, list):
        if not isinstance(actual, list):
            return f"{where}: a list is expected"
        return _lists(expected, actual, rules, where)
    if isinstance(expected, str):
        return (
            "" if _string_fits(expected, actual, rules) else f"{where}: expected {expected!r}, got {actual!r}"
        )
    same = expected == actual or (str(expected).lower() == str(actual).lower())
    return "" if same else f"{where}: expected {expected!r}, got {actual!r}"


def _objects(expected: Mapping[str, Any], actual: Any, rules: Rules, where: str) -> str:
    if not isinstance(actual, dict):
        return f"{where}: an object is expected, got {actual!r}"
    free = set(expected.get("$optional-properties$", ()))
    counted = set(expected.get("$count-arrays$", ()))
    names = [n for n in expected if n not in _MARKS and not n.startswith("$")]
    for name in names:
        if name not in actual:
            if name in free or "*" in free or (_is_optional(expected[name], rules)):
                continue
            return f"{where}.{name}: missing"
        if name in counted:
            if len(expected[name]) != len(actual[name]):
                return f"{where}.{name}: {len(expected[name])} entries expected, got {len(actual[name])}"
        elif found := difference(expected[name], actual[name], rules, f"{where}.{name}"):
            return found
    if rules.pattern:
        return ""
    extra = sorted(set(actual) - set(names) - free - ({"*"} & free and set(actual)))
    return f"{where}.{extra[0]}: not expected" if extra and "*" not in free else ""


def _lists(expected: list[Any], actual: list[Any], rules: Rules, where: str) -> str:
    """Every expected entry must be matched by another actual one; none may be left over."""
    left = list(range(len(actual)))
    missing = ""
    wanted = [e for e in expected if not _is_forbidden(e, rules)]
    for entry in sorted(wanted, key=lambda e: _is_optional(e, rules)):
        tried = [(difference(entry, actual[n], rules, f"{where}[{n}]"), n) for n in left]
        match = next((n for found, n in tried if not found), None)
        if match is not None:
            left.remove(match)
        elif not _is_optional(entry, rules) and not missing:
            near = min(
                tried, key=lambda pair: _nearness(entry, actual[pair[1]]), default=("nothing is there", 0)
            )
            missing = f"{where}: no entry fits {_short(entry)} ({near[0]})"
    if missing or not left or rules.pattern:
        return missing
    return f"{where}: not expected: {_short(actual[left[0]])}"


def _nearness(expected: Any, actual: Any) -> int:
    for key in ("name", "code", "url"):
        if (
            isinstance(expected, dict)
            and isinstance(actual, dict)
            and expected.get(key) == actual.get(key) is not None
        ):
            return 0
    return 1


def _short(value: Any) -> str:
    return str(value)[:160]


def _is_optional(value: Any, rules: Rules) -> bool:
    return isinstance(value, dict) and "$optional$" in value and _applies(value["$optional$"], rules)


def _is_forbidden(value: Any, rules: Rules) -> bool:
    return isinstance(value, dict) and "$only$" in value and not _applies(value["$only$"], rules)


def _applies(mark: Any, rules: Rules) -> bool:
    """$optional$: true, "MODE" (unless in that mode), "!MODE" (when not in it), "version:4", "warning:text"."""
    if isinstance(mark, bool):
        return mark
    text = str(mark)
    if text.startswith("warning:"):
        return True
    if text.startswith("version:"):
        return FHIR_VERSION.startswith(text.removeprefix("version:"))
    return text.removeprefix("!") not in rules.modes


def _string_fits(expected: str, actual: Any, rules: Rules) -> bool:
    text = expected.replace("$version$", FHIR_VERSION)
    if not (text.startswith("$") and text.endswith("$") and len(text) > 1):
        return text == (actual if isinstance(actual, str) else _literal(actual))
    if text == "$$":
        return True
    name, _, rest = text[1:-1].partition(":")
    value = actual if isinstance(actual, str) else _literal(actual)
    if name == "choice":
        return value in rest.split("|")
    if name == "fragments":
        return all(part.lower() in value.lower() for part in rest.split("|"))
    if name == "external":
        return _external(rest, value, rules)
    if name in _KINDS:
        return re.fullmatch(_KINDS[name], value, re.DOTALL) is not None
    return text == value


def _external(rest: str, value: str, rules: Rules) -> bool:
    number, _, fragments = rest.partition(":")
    if number in rules.externals:
        return value == rules.externals[number]
    return all(part.lower() in value.lower() for part in fragments.split("|") if part)


def _literal(value: Any) -> str:
    return {True: "true", False: "false"}.get(value, str(value)) if isinstance(value, bool) else str(value)
