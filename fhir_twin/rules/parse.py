"""Conditions as data -> `Predicate`. The syntax is in mappings/safety/README.md."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from fhir_twin.model.rules import Bounds, Predicate

LIMITS = ("below", "at_least", "above", "at_most")
# Leaf -> what its value is, and which further keys it may have.
NAMED: dict[str, frozenset[str]] = {
    "has": frozenset(),
    "ever": frozenset({"within_days"}),
    "takes": frozenset(),
    "allergic": frozenset(),
    "family": frozenset({"onset_below", "degree"}),
    "latest": frozenset({*LIMITS, "within_days"}),
    "estimate": frozenset(LIMITS),
    "known": frozenset({"within_days"}),
    "dose": frozenset(LIMITS),
    "social": frozenset(LIMITS),
    "risk": frozenset({*LIMITS, "years"}),
    "gene": frozenset({"phenotype"}),
    "sex": frozenset(),
    "smoking": frozenset(),
}
FLAGS = frozenset({"smoker", "pregnant", "lactating", "childbearing", "always"})
AGES = frozenset({"age_at_least", "age_below"})
SOCIAL = frozenset({"pack-years", "cigarettes-per-day", "alcohol-per-week"})


def parse(table: object, where: str) -> Predicate:
    """A TOML table (or a list of tables, which means all of them) as a Predicate; equal tables give the same object,
    so that a patient is asked once.

    Raises ValueError naming `where` (file and rule) for an unknown or misplaced key."""
    return _same(_parse(table, where))


@lru_cache(maxsize=16_384)
def _same(predicate: Predicate) -> Predicate:
    return predicate


def _parse(table: object, where: str) -> Predicate:
    if isinstance(table, list) and table:
        return Predicate("all", parts=tuple(parse(part, where) for part in table))
    if not isinstance(table, Mapping) or not table:
        raise ValueError(f"{where}: a condition must be a table or a list of tables")
    keys = set(table)
    for op in ("all", "any"):
        if op in keys:
            return _combined(op, table, where)
    if "not" in keys:
        _only(keys, {"not"}, where)
        return Predicate("not", parts=(parse(table["not"], where),))
    if keys & AGES:
        _only(keys, AGES, where)
        bounds = Bounds(
            at_least=_number(table, "age_at_least", where), below=_number(table, "age_below", where)
        )
        return Predicate("age", bounds=bounds)
    if keys & FLAGS:
        return _flag(table, where)
    return _leaf(table, where)


def _combined(op: str, table: Mapping[str, Any], where: str) -> Predicate:
    _only(set(table), {op}, where)
    if not isinstance(table[op], list) or not table[op]:
        raise ValueError(f"{where}: {op} needs a list of conditions")
    return Predicate(op, parts=tuple(parse(part, where) for part in table[op]))


def _flag(table: Mapping[str, Any], where: str) -> Predicate:
    if len(table) != 1:
        raise ValueError(f"{where}: write several conditions as a list: {sorted(table)}")
    ((op, wanted),) = table.items()
    if not isinstance(wanted, bool):
        raise ValueError(f"{where}: {op} must be true or false")
    leaf = Predicate(op)
    return leaf if wanted else Predicate("not", parts=(leaf,))


def _leaf(table: Mapping[str, Any], where: str) -> Predicate:
    ops = [key for key in table if key in NAMED]
    if len(ops) != 1:
        raise ValueError(f"{where}: expected exactly one of {', '.join(NAMED)}; found {sorted(table)}")
    op = ops[0]
    _only(set(table), {op} | NAMED[op], where)
    key = table[op]
    if not isinstance(key, str) or not key:
        raise ValueError(f"{where}: {op} needs a name")
    if op == "social" and key not in SOCIAL:
        raise ValueError(f"{where}: social knows {', '.join(sorted(SOCIAL))}")
    if op == "sex" and key not in ("female", "male"):
        raise ValueError(f"{where}: sex is female or male")
    bounds = Bounds(**{limit: _number(table, limit, where) for limit in LIMITS})
    if op in ("latest", "estimate", "dose", "social", "risk") and bounds.empty:
        raise ValueError(f"{where}: {op} needs a limit ({', '.join(LIMITS)})")
    return Predicate(op, key, bounds, _days(table, where), values=_values(op, table, where))


def _values(op: str, table: Mapping[str, Any], where: str) -> tuple[str, ...]:
    if op == "gene":
        found = table.get("phenotype")
        names = [found] if isinstance(found, str) else found
        if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
            raise ValueError(f"{where}: gene needs phenotype = name or list of names")
        return tuple(names)
    if op == "risk":
        return (str(_number(table, "years", where) or 10.0),)
    if op == "family":
        return (str(_number(table, "onset_below", where) or ""), str(_number(table, "degree", where) or ""))
    return ()


def _only(keys: set[str], allowed: set[str] | frozenset[str], where: str) -> None:
    if keys - allowed:
        raise ValueError(f"{where}: unknown or misplaced key: {', '.join(sorted(keys - allowed))}")


def _number(table: Mapping[str, Any], key: str, where: str) -> float | None:
    value = table.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{where}: {key} must be a number")
    return float(value)


def _days(table: Mapping[str, Any], where: str) -> int | None:
    days = _number(table, "within_days", where)
    return None if days is None else int(days)
