"""R4 Dosage -> model Dosage: the text is kept, the structured part read where it is plain."""

from __future__ import annotations

import re
from decimal import Decimal

from fhir_twin.fhir import elements
from fhir_twin.fhir import structs as s
from fhir_twin.model.chart import Dosage

_DAYS = {"s": 1 / 86400, "min": 1 / 1440, "h": 1 / 24, "d": 1.0, "wk": 7.0, "mo": 30.4375, "a": 365.25}
# Timing codes of v3-GTSAbbreviation (R4 Timing.code): intakes per day.
_TIMES = {
    "QD": 1.0,
    "QOD": 0.5,
    "BID": 2.0,
    "TID": 3.0,
    "QID": 4.0,
    "AM": 1.0,
    "PM": 1.0,
    "BED": 1.0,
    "WK": 1 / 7,
}
_TIMES |= {"Q1H": 24.0, "Q2H": 12.0, "Q3H": 8.0, "Q4H": 6.0, "Q6H": 4.0, "Q8H": 3.0, "MO": 1 / 30.4375}

# Words of a sig. Only whole, unmistakable phrases; anything else leaves `per_day` unknown.
_PHRASES: tuple[tuple[re.Pattern[str], float], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), per_day)
    for pattern, per_day in (
        (r"\b(?:every other day|alternate days|qod)\b", 0.5),
        (r"\b(?:once (?:a )?week(?:ly)?|weekly|every week)\b", 1 / 7),
        (r"\b(?:four times (?:a day|daily|per day)|qid|q\.i\.d\.?|q6h|every 6 hours)\b", 4.0),
        (r"\b(?:three times (?:a day|daily|per day)|tid|t\.i\.d\.?|tds|q8h|every 8 hours)\b", 3.0),
        (r"\b(?:twice (?:a day|daily|per day)|two times (?:a day|daily)|bid|b\.i\.d\.?|bd|q12h|every 12 hours)\b", 2.0),
        (r"\b(?:once (?:a day|daily|per day)|daily|every day|every 24 hours|qd|q\.d\.?|od|q24h|qhs|qam|qpm"
         r"|at bedtime|every (?:morning|evening|night)|nightly|in the morning)\b", 1.0),
    )
)  # fmt: skip
_AS_NEEDED = re.compile(r"\b(?:prn|p\.r\.n\.?|as needed|as required|when required)\b", re.IGNORECASE)
_SIG = re.compile(
    r"\b(?:take|inject|use|give)?\s*(\d+(?:\.\d+)?|one|two|three|half(?: a)?|½)\s*"
    r"(tab(?:let)?s?|caps?(?:ule)?s?|puffs?|units?|mg|mcg|g|ml)\b",
    re.IGNORECASE,
)
_OTHER_NUMBER = re.compile(r"\d|½|\b(?:one|two|three|four|half)\b", re.IGNORECASE)
_WORDS = {"one": "1", "two": "2", "three": "3", "half": "0.5", "half a": "0.5", "½": "0.5"}


def read_dosages(given: tuple[s.DosageInstruction, ...]) -> tuple[Dosage, ...]:
    """All instructions; one with an unknown modifierExtension keeps its text only (it may mean "not")."""
    return tuple(_dosage(each) for each in given)


def dosages_or_name(given: tuple[s.DosageInstruction, ...], name: str) -> tuple[Dosage, ...]:
    """The instructions; where there are none, what stands in the drug's name ("Metformin 1000 mg BID"). Only a name
    that says one amount and how often, and no other number, gives a dose: in "Metformin 500 MG Oral Tablet" 500 mg is
    the tablet, and in "500 mg, 2 daily" it may be either."""
    if given:
        return read_dosages(given)
    amount, unit = amount_in_text(name)
    per_day = per_day_in_text(name)
    if amount is None or per_day is None or _OTHER_NUMBER.search(_without_dose(name)):
        return ()
    needed = _AS_NEEDED.search(name) is not None
    return (Dosage(text=name, amount=amount, unit=unit, per_day=per_day, as_needed=needed),)


def _without_dose(text: str) -> str:
    text = _SIG.sub(" ", text, count=1)
    for pattern, _ in _PHRASES:
        text = pattern.sub(" ", text)
    return text


def _dosage(given: s.DosageInstruction) -> Dosage:
    text = (given.text or given.patient_instruction or "").strip()
    if not text:
        text = " ".join(elements.concept(c).label for c in given.additional_instruction).strip()
    if given.modifier_extension:
        return Dosage(text=text)
    amount, unit = _amount(given)
    if amount is None:
        amount, unit = amount_in_text(text)
    per_day = _per_day(given.timing) if given.timing is not None else None
    needed = bool(given.as_needed_boolean) or given.as_needed_codeable_concept is not None
    return Dosage(
        text=text,
        amount=amount,
        unit=unit,
        per_day=per_day if per_day is not None else per_day_in_text(text),
        route=elements.concept(given.route) if given.route is not None else None,
        as_needed=needed or _AS_NEEDED.search(text) is not None,
    )


def _amount(given: s.DosageInstruction) -> tuple[Decimal | None, str]:
    """The dose; of a range the upper end (the most the patient may take)."""
    for each in given.dose_and_rate:
        said = elements.amount(each.dose_quantity)
        if said is None and each.dose_range is not None:
            said = elements.amount(each.dose_range.high) or elements.amount(each.dose_range.low)
        if said is not None and said.value is not None:
            return said.value, said.unit_code or said.unit
    return None, ""


def _per_day(given: s.Timing) -> float | None:
    for code in elements.codes((given.code,)) if given.code is not None else ():
        if code.upper() in _TIMES:
            return _TIMES[code.upper()]
    repeat = given.repeat
    if repeat is None:
        return None
    if repeat.period is not None and repeat.period > 0 and repeat.period_unit in _DAYS:
        times = repeat.frequency_max or repeat.frequency or 1
        times *= max(len(repeat.when), 1) if repeat.frequency is None else 1
        days = float(repeat.period) * _DAYS[repeat.period_unit]
        return _on_days(times / days, repeat) if days > 0 else None
    intakes = len(repeat.time_of_day) or len(repeat.when)
    return _on_days(float(intakes), repeat) if intakes else None


def _on_days(per_day: float, repeat: s.Repeat) -> float:
    """Only on some days of the week."""
    if repeat.day_of_week and repeat.period_unit != "wk":
        return per_day * len(set(repeat.day_of_week)) / 7
    return per_day


def per_day_in_text(text: str) -> float | None:
    """Intakes a day of a sig in words; None when it does not say, or says two different things."""
    found = set()
    for pattern, per_day in _PHRASES:  # the longer phrases first: "twice daily" also holds "daily"
        text, times = pattern.subn(";", text)
        if times:
            found.add(per_day)
    return found.pop() if len(found) == 1 else None


def amount_in_text(text: str) -> tuple[Decimal | None, str]:
    """(amount, unit) per intake of "Take 2 tablets ..."; (None, "") when it does not say one thing only."""
    found = _SIG.findall(text)
    if len(found) != 1:
        return None, ""
    number, unit = found[0]
    return Decimal(_WORDS.get(number.lower(), number)), unit.lower()
