"""Readers of the elements that all resources share: concepts, quantities, statuses, numbers in text.

All are total: they take what msgspec let through and never raise on odd content.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Literal

from fhir_twin.fhir import structs as s
from fhir_twin.fhir.systems import DATA_ABSENT_REASON
from fhir_twin.model.chart import Comparator
from fhir_twin.model.codes import URI_OF_OID, Coding, Concept

EMPTY = Concept()
COMPARATORS: dict[str, Comparator] = {
    "<": "<",
    "<=": "<=",
    ">=": ">=",
    ">": ">",
    "≤": "<=",
    "≥": ">=",
    "=<": "<=",
    "=>": ">=",
}
# Powers of ten beyond which a number is a slip or an attack, not a measurement; a float must be able to hold it.
LARGEST, SMALLEST = 18, -18

_BLANK = re.compile(r"\s+")


def tidy(text: str | None) -> str:
    """A code, status or id without stray blanks (I4: `"entered-in-error "`, `"http: //..."`)."""
    if not text:
        return ""
    return text if text.isprintable() and " " not in text else _BLANK.sub("", text)


@lru_cache(maxsize=512)
def system_uri(system: str | None) -> str:
    """The URI of a code system; OIDs with and without `urn:oid:` become URIs (OB-12)."""
    uri = tidy(system)
    if not uri:
        return ""
    if uri[0].isdigit():
        uri = f"urn:oid:{uri}"
    return URI_OF_OID.get(uri, uri)


def coding(given: s.Coding) -> Coding:
    code = given.code.strip() if given.code else ""
    return Coding(system_uri(given.system), code, (given.display or "").strip(), bool(given.user_selected))


def concept(given: s.CodeableConcept | None) -> Concept:
    """A CodeableConcept; codings without code and without display are left out (I1)."""
    if given is None:
        return EMPTY
    kept = tuple(coding(c) for c in given.coding if c.code or c.display)
    coded = tuple(c for c in kept if c.code)
    text = (given.text or "").strip()
    if not text and not coded and kept:
        text = kept[0].display  # a coding with a display alone is free text
    return Concept(coded, text)


def is_empty(given: Concept) -> bool:
    return not given.codings and not given.text


def first_concept(given: Iterable[s.CodeableConcept]) -> Concept:
    """The first one that says anything."""
    return next((c for c in map(concept, given) if not is_empty(c)), EMPTY)


def codes(given: Iterable[s.CodeableConcept]) -> tuple[str, ...]:
    """The codes of all codings of all concepts, each once, in order (categories, interpretations)."""
    found = [tidy(c.code) for each in given for c in each.coding]
    return tuple(dict.fromkeys(code for code in found if code))


def status_code(given: s.CodeableConcept | str | None) -> str:
    """The code of a status, in lower case: from a coding, else from its text, else from a plain string."""
    if given is None:
        return ""
    if isinstance(given, str):
        return tidy(given).lower()
    code = next((tidy(c.code) for c in given.coding if c.code), "")
    return (code or tidy(given.text)).lower()


def absent_reason(extensions: tuple[s.Extension, ...]) -> str:
    """The code of a data-absent-reason extension on an element, "" when there is none (I2)."""
    for extension in extensions:
        if extension.url == DATA_ABSENT_REASON:
            return tidy(extension.value_code) or "unknown"
    return ""


@dataclass(frozen=True, slots=True, repr=False)
class Amount:
    """A Quantity as read. unit_system is the URI; `usable` False when its number cannot be taken as one."""

    value: Decimal | None
    comparator: Comparator | None
    unit: str
    unit_code: str
    unit_system: str
    problem: str = ""


def amount(given: s.Quantity | None) -> Amount | None:
    """A Quantity; None when absent. `problem` names what forbids to use the number."""
    if given is None:
        return None
    problem = ""
    value = given.value
    if value is not None and not is_sane(value):
        value, problem = None, "number-out-of-range"
    written = tidy(given.comparator)
    comparator = COMPARATORS.get(written)
    if written and comparator is None:
        value, problem = None, "unknown-comparator"
    unit = (given.unit or "").strip()
    return Amount(value, comparator, unit, tidy(given.code), system_uri(given.system), problem)


def is_sane(value: Decimal) -> bool:
    """Finite and of a size that a measured value can have."""
    return value.is_finite() and SMALLEST <= value.adjusted() <= LARGEST


def whole(number: int) -> Decimal | None:
    """An integer as Decimal; None when it is of no size a measured value can have."""
    value = Decimal(number)
    return value if is_sane(value) else None


# --- numbers written as text -----------------------------------------------------------------------
Style = Literal["plain", "thousands-comma", "decimal-comma", "ambiguous-comma"]

# A unit as people write it: "mg/dL", "mg / dL", "mm Hg", "10*3/uL", "mL/min/1.73 m2", "beats per minute", "%".
_HEAD = r"(?:10[*^]\d+|(?=/[a-z\[])|[a-z%°µμ\[])[^\s()/]*"
_TAIL = r"(?:\s(?:\[?Hg\]?|m2|m\^2|m²|per\s[a-z]+))?"
_UNIT = rf"{_HEAD}(?:\s*/\s*[^\s()/]+)*{_TAIL}"
_FLAG = r"""\s*(?:\(?(?:high|low|normal|abnormal)\)?|\([HLNA]{1,2}\)|(?-i:HH?|LL?)|\*)"""
_NUMBER_TEXT = re.compile(
    rf"""\s*(?P<sign><=|>=|=<|=>|<|>|≤|≥)?\s*
        (?P<number>[+-]?(?:\d{{1,3}}(?:,\d{{3}})+(?:\.\d+)?|\d+,\d+|\d*\.?\d+|\d+\.))
        (?!e[+-]?\d)(?:\s*(?!(?:high|low|normal|abnormal|(?-i:HH?|LL?)\s*$)\b)(?P<unit>{_UNIT}))?(?:{_FLAG})?\s*""",
    re.VERBOSE | re.ASCII | re.IGNORECASE,
)
_WORDS_OF_SIGN = (
    (re.compile(r"^\s*(?:less than|below|under)\s+", re.IGNORECASE), "<"),
    (re.compile(r"^\s*(?:greater than|more than|above|over)\s+", re.IGNORECASE), ">"),
)


@dataclass(frozen=True, slots=True, repr=False)
class TextNumber:
    """A number found in text: its value, bound sign, unit text, and how its comma was understood."""

    value: Decimal
    comparator: Comparator | None
    unit: str
    style: Style


def number_in_text(text: str) -> TextNumber | None:
    """ "<5", ">90", "1,234", "12,5", "5.4 mmol/L" (OB-3): the whole text must be one number with its unit.

    "1,234" could be 1234 or 1.234: read as thousands and marked "ambiguous-comma" unless a second group or a
    decimal point settles it."""
    if len(text) > 80:
        return None
    for pattern, sign in _WORDS_OF_SIGN:
        text = pattern.sub(sign, text)
    found = _NUMBER_TEXT.fullmatch(text)
    if found is None:
        return None
    digits, style = _plain_digits(found["number"])
    try:
        value = Decimal(digits)
    except InvalidOperation:
        return None
    if not is_sane(value):
        return None
    return TextNumber(value, COMPARATORS.get(found["sign"] or ""), (found["unit"] or "").strip(), style)


def _plain_digits(number: str) -> tuple[str, Style]:
    if "," not in number:
        return number, "plain"
    if re.fullmatch(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?", number):
        settled = number.count(",") > 1 or "." in number
        return number.replace(",", ""), "thousands-comma" if settled else "ambiguous-comma"
    return number.replace(",", "."), "decimal-comma"


_PER_YEAR = {"a": 1.0, "mo": 12.0, "wk": 52.1775, "d": 365.25}
_AGE_WORDS = {"year": "a", "years": "a", "yr": "a", "yrs": "a", "y": "a", "month": "mo", "months": "mo"}


def age_years(given: s.Quantity | None) -> float | None:
    """A FHIR Age in years; None when absent, without number or in a unit that is no time."""
    said = amount(given)
    if said is None or said.value is None:
        return None
    unit = said.unit_code or said.unit.lower() or "a"
    per_year = _PER_YEAR.get(_AGE_WORDS.get(unit, unit))
    years = None if per_year is None else float(said.value) / per_year
    return years if years is not None and 0 <= years <= 130 else None


_AGE_TEXT = re.compile(r"(?:\bage[d]?\b|\bat\b|^)\s*(?:of\s+)?(\d{1,3})\b(?!\s*(?:mo|week|wk|day|s\b))", re.I)
_DECADE = re.compile(r"\b(\d)0'?s\b")


def age_in_text(text: str | None) -> float | None:
    """ "45", "at age 45", "in his 40s" (the middle of the decade: 45); None when nothing is sure."""
    if not text:
        return None
    decade = _DECADE.search(text)
    if decade:
        return int(decade[1]) * 10 + 5.0
    found = _AGE_TEXT.search(text)
    return float(found[1]) if found and int(found[1]) <= 120 else None


def age_in_range(given: s.Range | None) -> float | None:
    """The middle of an age range; one end alone counts as that age."""
    if given is None:
        return None
    ends = [age for age in (age_years(given.low), age_years(given.high)) if age is not None]
    return sum(ends) / len(ends) if ends else None
