"""Patient -> PatientRecord."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from fhir_twin.fhir import elements
from fhir_twin.fhir import structs as s
from fhir_twin.fhir import structs_clinical as k
from fhir_twin.fhir.context import Context
from fhir_twin.fhir.moments import birth_date
from fhir_twin.fhir.systems import US_CORE_BIRTHSEX, US_CORE_ETHNICITY, US_CORE_RACE
from fhir_twin.model.chart import PatientRecord, Sex

_SEX: dict[str, Sex] = {"female": "female", "male": "male", "other": "other", "unknown": "unknown"}
_SHORT_SEX: dict[str, Sex] = {"f": "female", "m": "male", "o": "other", "u": "unknown"}
_BIRTHSEX: dict[str, Sex] = {"F": "female", "M": "male"}
OLDEST = 130


def read_patient(given: k.Patient, source: str, ident: str, context: Context) -> PatientRecord:
    """The record of the patient; nothing in it is guessed: odd values count as not known, with an Issue."""
    born = _birth(given, source, context)
    deceased, deceased_on = _deceased(given, source, context)
    return PatientRecord(
        source=source,
        id=ident,
        identifiers=tuple(((i.system or "").strip(), i.value.strip()) for i in given.identifier if i.value),
        name=_name(given),
        sex=_sex(given, source, context),
        birth_date=born[0] if born else None,
        birth_precision=born[1] if born else "",
        deceased=deceased,
        deceased_on=deceased_on,
        language=_language(given),
        race=_category(given, US_CORE_RACE),
        ethnicity=_category(given, US_CORE_ETHNICITY),
        replaced_by=_replaced_by(given, context),
    )


def _birth(
    given: k.Patient, source: str, context: Context
) -> tuple[date, Literal["year", "month", "day"]] | None:
    born = birth_date(given.birth_date)
    if born is None:
        beside = given.birth_date_.extension if given.birth_date_ is not None else ()
        if elements.absent_reason(beside) == "masked":
            context.issues.add("information", "suppressed", "birthDate was withheld: age unknown", source)
        if given.birth_date:
            context.issues.add("warning", "value", "birthDate is not a date: age unknown", source)
        return None
    today = context.as_of.date()
    if born[0] > today or today.year - born[0].year > OLDEST:
        text = f"birthDate lies after as_of or more than {OLDEST} years back: age unknown"
        context.issues.add("error", "value", text, source)
        return None
    return born


def _sex(given: k.Patient, source: str, context: Context) -> Sex:
    """Administrative gender; the birth sex where that is not female or male; a conflict is unknown, not a choice.

    Equations and reference ranges need the clinical sex; when the two disagree only a clinician can say it."""
    written = elements.tidy(given.gender).lower()
    gender = _SEX.get(written) or _SHORT_SEX.get(written)
    if gender is None:
        if written:
            context.issues.add("warning", "code-invalid", "gender is not an R4 code: read as unknown", source)
        gender = "unknown"
    at_birth = _BIRTHSEX.get(_birthsex_code(given))
    if at_birth is None or gender == at_birth:
        return gender
    if gender in ("other", "unknown"):
        return at_birth
    text = "gender and birth sex differ: the sex to calculate with must be said by a clinician"
    context.issues.add("warning", "business-rule", text, source)
    return "unknown"


def _birthsex_code(given: k.Patient) -> str:
    found = next((e for e in given.extension if e.url == US_CORE_BIRTHSEX), None)
    return elements.tidy(found.value_code) if found is not None else ""


def _name(given: k.Patient) -> str:
    """The official or usual name, else the first."""
    order = {"official": 0, "usual": 1, None: 2, "": 2}
    names = sorted(given.name, key=lambda n: order.get(n.use, 3))
    for name in names:
        parts = [*(p for p in name.given if p), name.family or ""]
        written = (name.text or " ".join(parts)).strip()
        if written:
            return written
    return ""


def _deceased(given: k.Patient, source: str, context: Context) -> tuple[bool, datetime | None]:
    when = context.when(given.deceased_date_time, source, "Patient.deceasedDateTime")
    if when is not None:
        return (False, None) if context.later(when) else (True, when.point_by(context.as_of))
    # A deceasedDateTime that cannot be read still says that the patient died.
    return bool(given.deceased_boolean or given.deceased_date_time), None


def _language(given: k.Patient) -> str:
    spoken = sorted(given.communication, key=lambda c: not c.preferred)
    for each in spoken:
        concept = elements.concept(each.language)
        if concept.codings:
            return concept.codings[0].code
    return (given.language or "").strip()


def _category(given: k.Patient, url: str) -> str:
    """US Core race and ethnicity: the text, else the displays of the categories."""
    found = next((e for e in given.extension if e.url == url), None)
    if found is None:
        return ""
    text = next((e.value_string for e in found.extension if e.url == "text" and e.value_string), None)
    if text:
        return text.strip()
    codings = [e.value_coding for e in found.extension if e.value_coding is not None]
    return ", ".join(_display(c) for c in codings)


def _display(given: s.Coding) -> str:
    return (given.display or given.code or "").strip()


def _replaced_by(given: k.Patient, context: Context) -> str:
    for link in given.link:
        if elements.tidy(link.type) == "replaced-by":
            return context.index.target(link.other, "Patient") or (
                (link.other.reference or "").strip() if link.other is not None else ""
            )
    return ""
