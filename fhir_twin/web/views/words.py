"""Numbers, days and codes as clinicians read them; the page's one way to say each."""

from __future__ import annotations

import re
from datetime import date, datetime
from decimal import Decimal

from fhir_twin.model.codes import ICD10CM, LOINC, RXNORM, SNOMED

SYSTEMS = {SNOMED: "SNOMED CT", ICD10CM: "ICD-10-CM", LOINC: "LOINC", RXNORM: "RxNorm"}
MINUS = "\u2212"
_HYPHEN = re.compile(r"(?<![\w.)])-(?=\d)")
KINDS = {
    "medication": "Medicine",
    "lifestyle": "Lifestyle",
    "test": "Test",
    "screening": "Screening",
    "referral": "Referral",
    "education": "Education",
    "stop": "Stop or avoid",
}


def day(when: datetime | date | None) -> str:
    """ "3 Nov 2026"; "date unknown"."""
    return f"{when.day} {when:%b %Y}" if when is not None else "date unknown"


def ago(when: datetime | None, now: datetime) -> str:
    """How long before `now`, in the unit one would say."""
    if when is None:
        return ""
    days = (now - when).days
    if days < 0:
        return "in the future"
    for size, name in ((365.25, "year"), (30.44, "month"), (7, "week")):
        count = int(days / size)
        if count >= (2 if name == "week" else 1):
            return f"{count} {name}{'' if count == 1 else 's'} ago"
    return "today" if days == 0 else f"{days} day{'' if days == 1 else 's'} ago"


def share(probability: float | None) -> str:
    """0.1234 -> "12 %", 0.0456 -> "4.6 %", 0.0004 -> "0.04 %"."""
    if probability is None:
        return "not known"
    value = 100 * probability
    if value >= 99.95:
        return "100 %"
    digits = 0 if value >= 9.95 else 1 if value >= 0.095 or value == 0 else 2
    return f"{value:.{digits}f} %"


def between(low: float, high: float) -> str:
    """The ends of an interval; a figure that has none says so instead of "13 % to 13 %"."""
    return "none" if low == high else f"{share(low)} to {share(high)}"


def true_minus(text: str) -> str:
    """A minus sign before a number, where other parts of the house write a hyphen."""
    return _HYPHEN.sub(MINUS, text)


def signed(value: float, digits: int = 1) -> str:
    """With a true minus sign; "0.0" has none."""
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return text
    return f"{MINUS if value < 0 else '+'}{text}"


def points(difference: float) -> str:
    """A difference of probabilities in percentage points."""
    return signed(100 * difference)


def number(value: float | Decimal) -> str:
    """Three significant digits, no exponent."""
    value = float(value)
    if value == 0 or value != value or value in (float("inf"), float("-inf")):
        return f"{value:g}"
    digits = max(0, 2 - int(f"{value:e}".split("e")[1]))
    return f"{value:.{digits}f}"


def horizon(years: float) -> str:
    if years < 1:
        return f"{round(years * 12)} months"
    return f"{years:g} year{'' if years == 1 else 's'}"


def system_name(uri: str) -> str:
    return SYSTEMS.get(uri, uri)


def kind_name(kind: str) -> str:
    return KINDS.get(kind, kind.capitalize())


def place(source: str) -> str:
    """A source without its version: "Observation/12"."""
    return source.partition("/_history/")[0]


def first_upper(text: str) -> str:
    """A capital first, unless the word has its own way of writing ("eGFR", "pH")."""
    return text if text[1:2].isupper() else text[:1].upper() + text[1:]
