"""Kleene's strong three-valued logic, and numbers known only to lie in an interval."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from fhir_twin.model.plan import Reason
from fhir_twin.model.rules import Bounds
from fhir_twin.model.twin import Point


@dataclass(frozen=True, slots=True, repr=False)
class Outcome:
    """value: True, False, None (cannot be told). facts: what made it true. missing: (leaf op, key) that were
    unknown and could still decide it."""

    value: bool | None
    facts: tuple[Reason, ...] = ()
    missing: tuple[tuple[str, str], ...] = ()


NO = Outcome(False)


def all_of(parts: list[Outcome]) -> Outcome:
    if any(p.value is False for p in parts):
        return NO
    missing = tuple(dict.fromkeys(m for p in parts if p.value is None for m in p.missing))
    facts = tuple(dict.fromkeys(f for p in parts if p.value for f in p.facts))
    return Outcome(None if any(p.value is None for p in parts) else True, facts, missing)


def any_of(parts: list[Outcome]) -> Outcome:
    true = [p for p in parts if p.value]
    if true:
        return Outcome(True, tuple(dict.fromkeys(f for p in true for f in p.facts)))
    unknown = [p for p in parts if p.value is None]
    return Outcome(None, (), tuple(dict.fromkeys(m for p in unknown for m in p.missing))) if unknown else NO


def within(
    bounds: Bounds, low: float, high: float, *, open_low: bool = False, open_high: bool = False
) -> bool | None:
    """Is a number known to lie in [low, high] inside `bounds`? None when part of the interval is and part is not."""
    verdicts = []
    if bounds.below is not None:
        verdicts.append(_below(bounds.below, low, high, strict=True, open_high=open_high))
    if bounds.at_most is not None:
        verdicts.append(_below(bounds.at_most, low, high, strict=False, open_high=open_high))
    if bounds.above is not None:
        verdicts.append(_above(bounds.above, low, high, strict=True, open_low=open_low))
    if bounds.at_least is not None:
        verdicts.append(_above(bounds.at_least, low, high, strict=False, open_low=open_low))
    if False in verdicts:
        return False
    return None if None in verdicts else True


def _below(limit: float, low: float, high: float, *, strict: bool, open_high: bool) -> bool | None:
    if high < limit or (high == limit and (not strict or open_high)):
        return True
    return False if low > limit or (low == limit and strict) else None


def _above(limit: float, low: float, high: float, *, strict: bool, open_low: bool) -> bool | None:
    if low > limit or (low == limit and (not strict or open_low)):
        return True
    return False if high < limit or (high == limit and strict) else None


def point_within(bounds: Bounds, point: Point) -> bool | None:
    """A censored value ("<5") is an interval, not a number."""
    v = point.value
    if point.bound in ("<", "<="):
        return within(bounds, -inf, v, open_high=point.bound == "<")
    if point.bound in (">", ">="):
        return within(bounds, v, inf, open_low=point.bound == ">")
    return within(bounds, v, v)
