"""Numbers as senders write them: "5.2", "<5", ">= 10", "1,200.5"; anything doubtful stays text (OB-3)."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from fhir_twin.model.codes import UCUM

_NUMBER = re.compile(
    r"([<>]=?|=<|=>|≤|≥)?\s?"
    r"([+-]?\d{1,18}(?:\.\d{1,18})?|[+-]?\.\d{1,18}"
    r"|\d{1,3}(?:,\d{3}){2,5}(?:\.\d{1,9})?|\d{1,3},\d{3}\.\d{1,9}"  # thousands, where they can be nothing else
    r"|[+-]?\d{1,9},(?:\d{1,2}|\d{4,9}))"  # decimal comma, where it can be nothing else; "1,200" could be either
    r"(?:[eE]([+-]?\d{1,2}))?\Z",
    re.ASCII,
)
_DECIMAL_COMMA = re.compile(r"[+-]?\d{1,9},(?:\d{1,2}|\d{4,9})\Z", re.ASCII)
_WITH_UNIT = re.compile(r"([^A-Za-z%]{1,24}?)\s?([A-Za-zµ%][A-Za-z0-9µ%/.*^_\[\]{}]{0,30})\Z")
_COMPARATORS = {"<": "<", ">": ">", "<=": "<=", ">=": ">=", "=<": "<=", "=>": ">=", "≤": "<=", "≥": ">="}


def read_number(text: str) -> tuple[str, Decimal] | None:
    """(comparator or "", value) when the whole text is one number; None when it is not."""
    found = _NUMBER.match(text.strip())
    if found is None:
        return None
    digits = found[2].replace(",", "." if _DECIMAL_COMMA.match(found[2]) else "")
    if digits.startswith(("+", ".")):
        digits = f"0{digits}" if digits[0] == "." else digits[1:]
    if digits.startswith("-."):
        digits = f"-0{digits[1:]}"
    value = Decimal(digits) * (Decimal(10) ** int(found[3]) if found[3] else 1)
    return _COMPARATORS.get(found[1] or "", ""), value


def number_with_unit(text: str) -> tuple[str, Decimal, str] | None:
    """("", 41, "mg/dL") of "41 mg/dL": only units that cannot be a word."""
    found = _WITH_UNIT.match(text.strip())
    if found is None or not ("/" in found[2] or found[2] in ("%", "mmHg", "mm[Hg]")):
        return None
    number = read_number(found[1])
    return (*number, found[2]) if number is not None else None


def quantity(comparator: str, value: Decimal, unit: str, code: str = "", system: str = "") -> dict[str, Any]:
    """A FHIR Quantity; system and code only where the sender said that the unit is UCUM."""
    made: dict[str, Any] = {"value": value}
    if comparator:
        made["comparator"] = comparator
    if unit:
        made["unit"] = unit
    if system == UCUM and code:
        made |= {"system": UCUM, "code": code}
    return made


def reference_range(text: str, unit: dict[str, Any]) -> dict[str, Any]:
    """R4 referenceRange of "3.5-5.1", "<200", ">=60" or words; the text is always kept."""
    made: dict[str, Any] = {"text": text}
    between = re.fullmatch(
        r"\(?\s?([+-]?\d{1,9}(?:\.\d{1,9})?)\s?(?:-|–|to)\s?([+-]?\d{1,9}(?:\.\d{1,9})?)\s?\)?", text
    )
    if between:
        low, high = Decimal(between[1]), Decimal(between[2])
        if low <= high:
            made |= {"low": {"value": low, **unit}, "high": {"value": high, **unit}}
        return made
    if (one := read_number(text)) and one[0]:
        made["high" if one[0].startswith("<") else "low"] = {"value": one[1], **unit}
    return made
