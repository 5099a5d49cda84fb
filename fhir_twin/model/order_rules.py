"""Orders that are no drugs: what a draft order says, what kinds of order there are, and what speaks against them.

The legend of every key is mappings/orders/README.md. A kind fits, does not fit, or perhaps fits (None): an order for a
CT that does not say "with contrast" may be one with contrast.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fhir_twin.model.codes import Coding
from fhir_twin.model.rules import Evidence, Predicate, Severity


@dataclass(frozen=True, slots=True, repr=False)
class DraftOrder:
    """source: "ServiceRequest/d1". type: its R4 resource type. label: its best words, "" when it has none. texts: all
    its own words (text, displays, order details), as written. codings: of its code."""

    source: str
    type: str
    label: str
    texts: tuple[str, ...] = ()
    codings: tuple[Coding, ...] = ()


@dataclass(frozen=True, slots=True)
class OrderKind:
    """Phrases are lists of words, lower case. codes, not_codes: (system, code)."""

    key: str
    label: str
    words: tuple[tuple[str, ...], ...] = ()
    also: tuple[tuple[str, ...], ...] = ()
    excluded: tuple[tuple[str, ...], ...] = ()
    unless: tuple[tuple[str, ...], ...] = ()
    unsaid: bool = False
    codes: frozenset[tuple[str, str]] = frozenset()
    not_codes: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class OrderRule:
    """What speaks against an order of any of `kinds`. when: None = only by allergy. allergy, not_allergy: phrases in
    the words of an active allergy; problems: ICD-10-CM codes that say the same. needs: facts to ask for."""

    key: str
    kinds: tuple[str, ...]
    severity: Severity
    reason: str
    action: str
    label: str = "contraindicated"
    when: Predicate | None = None
    allergy: tuple[tuple[str, ...], ...] = ()
    not_allergy: tuple[tuple[str, ...], ...] = ()
    problems: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class RepeatRule:
    """A test that says nothing new within `days` of the last one. done: analyte keys, LOINC codes or words."""

    key: str
    title: str
    kind: OrderKind
    done: tuple[str, ...]
    days: int
    reason: str
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class OrderRules:
    """Rows whose sources were read; left_out: keys of the others."""

    kinds: Mapping[str, OrderKind] = field(default_factory=dict)
    rules: tuple[OrderRule, ...] = ()
    repeats: tuple[RepeatRule, ...] = ()
    left_out: tuple[str, ...] = ()
