"""The value[x] of an Observation or a component -> the value fields of a Measurement (OB-2, OB-3, OB-4)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from fhir_twin.fhir import elements
from fhir_twin.fhir import structs as s
from fhir_twin.fhir import structs_clinical as k
from fhir_twin.model.chart import Comparator
from fhir_twin.model.codes import UCUM, Concept

_BP_TEXT = re.compile(
    r"\s*(?:bp\s*:?\s*)?(\d{2,3})\s*/\s*(\d{2,3})\s*(?:mm\s*\[?hg\]?)?\s*", re.IGNORECASE | re.ASCII
)


@dataclass(slots=True, repr=False)
class Read:
    """The value fields of Measurement, mutable while they are found."""

    value: Decimal | None = None
    comparator: Comparator | None = None
    unit: str = ""
    unit_code: str = ""
    unit_system: str = ""
    coded: Concept | None = None
    text: str = ""
    boolean: bool | None = None
    absent_reason: str = ""
    flags: tuple[str, ...] = ()


def has_value(given: k.Observation | k.Value) -> bool:
    """Some value[x] is there, even an unusable one."""
    simple = (given.value_quantity, given.value_codeable_concept, given.value_string, given.value_boolean)
    other = (given.value_integer, given.value_range, given.value_ratio, given.value_sampled_data)
    times = (given.value_time, given.value_date_time, given.value_period, given.value_string_)
    return any(v is not None for v in (*simple, *other, *times))


def read_value(given: k.Observation | k.Value) -> Read:
    """Never raises; when nothing usable is there `absent_reason` says why ("unknown" if the record does not)."""
    if given.value_quantity is not None:
        read = _quantity(given.value_quantity)
    elif given.value_codeable_concept is not None:
        read = _coded(given.value_codeable_concept)
    elif given.value_string is not None:
        read = read_text(given.value_string)
    elif given.value_boolean is not None:
        read = Read(boolean=given.value_boolean)
    elif given.value_integer is not None:
        number = Decimal(given.value_integer)
        read = Read(value=number) if elements.is_sane(number) else Read(flags=("number-out-of-range",))
    else:
        read = _rare(given)
    if _is_void(read):
        stated = elements.status_code(given.data_absent_reason)
        read.absent_reason = read.absent_reason or stated or "unknown"
        if not stated and not read.flags:
            read.flags = ("no-value",)
    return read


def _is_void(read: Read) -> bool:
    return read.value is None and read.coded is None and not read.text and read.boolean is None


def _quantity(given: s.Quantity) -> Read:
    said = elements.amount(given)
    assert said is not None
    read = Read(said.value, said.comparator, said.unit, said.unit_code, said.unit_system)
    if said.problem:
        read.flags = (said.problem,)
        read.comparator = None
    elif said.value is None:
        read.absent_reason = elements.absent_reason(given.extension)
        read.comparator = None
    return read


def _coded(given: s.CodeableConcept) -> Read:
    concept = elements.concept(given)
    if elements.is_empty(concept):
        return Read(absent_reason=elements.absent_reason(given.extension))
    return Read(coded=concept)


def read_text(text: str) -> Read:
    """A valueString: a number with its sign and unit when it is nothing else, otherwise the text."""
    stripped = text.strip()
    found = elements.number_in_text(stripped)
    if found is None:
        return Read(text=stripped)
    flags = ("parsed-from-text",) if found.style == "plain" else ("parsed-from-text", found.style)
    return Read(found.value, found.comparator, found.unit, flags=flags)


def pressure_in_text(text: str | None) -> tuple[Decimal, Decimal] | None:
    """(systolic, diastolic) of "142/88" or "142 / 88 mmHg"; None for anything else."""
    found = _BP_TEXT.fullmatch(text) if text else None
    return (Decimal(found[1]), Decimal(found[2])) if found else None


def _rare(given: k.Observation | k.Value) -> Read:
    if given.value_range is not None:
        return _range(given.value_range)
    if given.value_ratio is not None:
        return _ratio(given.value_ratio)
    if given.value_sampled_data is not None:
        return Read(absent_reason="unsupported", flags=("sampled-data",))
    for when in (given.value_date_time, given.value_time):
        if when is not None:
            return Read(text=when.strip())
    if given.value_period is not None:
        ends = (given.value_period.start or "", given.value_period.end or "")
        return Read(text="/".join(ends) if any(ends) else "")
    beside = given.value_string_
    return Read(absent_reason=elements.absent_reason(beside.extension) if beside is not None else "")


def _range(given: s.Range) -> Read:
    """Both ends: text (a range is no number); one end alone: a bound."""
    low, high = elements.amount(given.low), elements.amount(given.high)
    if low is not None and low.value is not None and high is not None and high.value is not None:
        unit = low.unit or low.unit_code
        return Read(text=f"{low.value} - {high.value} {unit}".strip(), flags=("range",))
    for end, sign in ((low, ">="), (high, "<=")):
        if end is not None and end.value is not None:
            bound = elements.COMPARATORS[sign]
            return Read(end.value, bound, end.unit, end.unit_code, end.unit_system, flags=("range",))
    return Read(flags=("range",))


def _ratio(given: s.Ratio) -> Read:
    """mg over g becomes one number with the unit mg/g; a titre (1:128) and the like stay text."""
    top, bottom = elements.amount(given.numerator), elements.amount(given.denominator)
    if top is None or bottom is None or top.value is None or bottom.value is None:
        return Read(flags=("ratio",))
    plain = not bottom.comparator and not top.comparator and bottom.value != 0
    over = bottom.unit_code or bottom.unit
    if plain and over and (top.unit_code or top.unit):
        ucum = top.unit_system == bottom.unit_system == UCUM
        code = f"{top.unit_code}/{bottom.unit_code}" if top.unit_code and bottom.unit_code and ucum else ""
        unit = f"{top.unit or top.unit_code}/{bottom.unit or bottom.unit_code}"
        return Read(top.value / bottom.value, None, unit, code, UCUM if code else "", flags=("ratio",))
    return Read(text=f"{top.comparator or ''}{top.value}:{bottom.value}", flags=("ratio",))
