"""Maps between code systems: one match, and the rules of SNOMED CT's extended map to ICD-10.

The rules (https://confluence.ihtsdotools.org/display/DOCICD10, "Map rules") are "TRUE", "OTHERWISE TRUE", and "IFA": a
condition on another concept of the record, on sex (248152002 female, 248153007 male) or on age at onset (445518008). A
condition is decided only from what is given; what is not given is reported, never guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from terminology.text.patterns import pattern

FEMALE, MALE, AGE = "248152002", "248153007", "445518008"
# Equivalences of a map that is read backwards.
REVERSED = {"wider": "narrower", "narrower": "wider", "subsumes": "specializes", "specializes": "subsumes"}
_ALWAYS = ("", "TRUE")
_OTHERWISE = "OTHERWISE TRUE"
_DAYS = {"day": 1.0, "week": 7.0, "month": 30.4375, "year": 365.25}
_AGE = pattern(
    "map-rule-age",
    r"IFA 445518008 \|[^|]{1,80}\| (<=|>=|<|>|=) (\d{1,4}(?:\.\d{1,3})?) (day|week|month|year)s?",
)
_CONCEPT = pattern("map-rule-concept", r"IFA (\d{6,18}) \|[^|]{1,255}\|")


@dataclass(frozen=True, slots=True)
class Match:
    """One match of a map; equivalence as in R4 ("wider": the target is wider than the source).

    `unsafe` marks a reversed map. `products` are (system, code, display) that belong to the match. `release`: name and
    version of the release that the map came with."""

    map_url: str
    system: str
    code: str
    display: str
    equivalence: str
    group: int = 1
    priority: int = 1
    rule: str = ""
    advice: str = ""
    unsafe: bool = False
    products: tuple[tuple[str, str, str], ...] = ()
    release: str = ""


@dataclass(frozen=True, slots=True)
class Person:
    """What map rules may ask about. age_days: at the onset of the problem. sex: "female", "male" or "" (unknown).

    concepts: other SNOMED CT codes of the record, with their ancestors."""

    age_days: float | None = None
    sex: str = ""
    concepts: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Choice:
    """The targets of one concept: `codes` decided on (one of a group), `conditions` what could not be decided.

    `otherwise`: what a group says when none of its undecided conditions holds; for a person to confirm."""

    codes: tuple[str, ...]
    conditions: tuple[str, ...] = ()
    otherwise: tuple[str, ...] = ()


def conditions(found: Sequence[Match]) -> list[str]:
    return sorted({m.advice or m.rule for m in found if m.rule not in (*_ALWAYS, _OTHERWISE)})


def choose(found: Sequence[Match], person: Person | None = None) -> Choice:
    """In each group the first row by priority whose rule holds. A rule that cannot be decided blocks the rows behind
    it: then the group gives no code, and says on what it depends."""
    codes: dict[str, None] = {}
    undecided: dict[str, None] = {}
    otherwise: dict[str, None] = {}
    for group in sorted({m.group for m in found}):
        sure = True
        for match in sorted((m for m in found if m.group == group), key=lambda m: m.priority):
            said = holds(match.rule, person)
            if said is None:
                sure = False
                undecided[match.advice or match.rule] = None
            elif said:
                if match.code and match.equivalence not in ("unmatched", "disjoint"):
                    (codes if sure else otherwise)[match.code] = None
                break
    return Choice(tuple(codes), tuple(undecided), tuple(otherwise))


def holds(rule: str, person: Person | None = None) -> bool | None:
    """True, False, or None when it cannot be known. All parts of a rule that is joined by AND must hold."""
    rule = rule.strip()
    if rule in (*_ALWAYS, _OTHERWISE):
        return True
    answers = [_part(part.strip(), person) for part in rule.split(" AND ")]
    if False in answers:
        return False
    return None if None in answers else True


def _part(part: str, person: Person | None) -> bool | None:
    if age := _AGE.fullmatch(part):
        return _age(age[1], float(age[2]) * _DAYS[age[3]], person)
    concept = _CONCEPT.fullmatch(part)
    if concept is None or person is None:
        return None
    if concept[1] in (FEMALE, MALE):
        return (
            None
            if person.sex not in ("female", "male")
            else (person.sex == "female") == (concept[1] == FEMALE)
        )
    return True if concept[1] in person.concepts else None  # not written down is not the same as not there


def _age(operator: str, days: float, person: Person | None) -> bool | None:
    if person is None or person.age_days is None:
        return None
    age = person.age_days
    return {"<": age < days, "<=": age <= days, ">": age > days, ">=": age >= days, "=": age == days}[
        operator
    ]
