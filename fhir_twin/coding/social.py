"""Smoking, alcohol, pregnancy, breast-feeding: the newest thing the record says (SM-1, SM-2, SM-3, PG-1)."""

from __future__ import annotations

from datetime import datetime, timedelta

from fhir_twin.coding.findings import Desk
from fhir_twin.coding.systems import as_meant
from fhir_twin.coding.words import key, without_tag
from fhir_twin.model.chart import Chart, Measurement
from fhir_twin.model.coded import CodedMeasurement, CodedProblem, SocialFacts

STATUS_DAYS = 300  # a pregnancy or breast-feeding status older than this says nothing about today

UNKNOWN_ANSWER = "An answer about smoking, pregnancy or breast-feeding could not be understood"
DIFFERENT = "Two answers of the same time about smoking differ; the one that says more tobacco was taken"
ONCE_SMOKED = "The newest answer about smoking is never, an older one says smoker; former was taken"
UNUSABLE = ("entered-in-error", "cancelled")
PLAUSIBLE = {
    "pack-years": 300.0,
    "cigarettes-per-day": 200.0,
    "drinks-per-day": 100.0,
    "drinks-per-week": 700.0,
}
_MORE_TOBACCO = ("current", "former", "never", "unknown")


def social_facts(
    chart: Chart, problems: tuple[CodedProblem, ...], measurements: tuple[CodedMeasurement, ...], desk: Desk
) -> SocialFacts:
    """The facts as of `chart.as_of`. Observations first; smoking and pregnancy also from the problem list."""
    asked: dict[str, list[Measurement]] = {}
    for coded in measurements:
        fact = _fact(coded, desk)
        if fact and coded.measurement.status not in UNUSABLE:
            asked.setdefault(fact, []).append(coded.measurement)
    smoking, smoking_source, smoking_time = _smoking(asked.get("smoking", []), problems, desk)
    pregnant, pregnant_source = _status("pregnancy", asked.get("pregnancy", []), chart.as_of, problems, desk)
    lactating, _ = _status("lactation", asked.get("lactation", []), chart.as_of, problems, desk)
    per_day = _number("drinks-per-day", asked)
    return SocialFacts(
        smoking=smoking,
        smoking_source=smoking_source,
        smoking_time=smoking_time,
        pack_years=_number("pack-years", asked),
        cigarettes_per_day=_number("cigarettes-per-day", asked),
        alcohol_per_week=per_day * 7 if per_day is not None else _number("drinks-per-week", asked),
        pregnant=pregnant,
        pregnant_source=pregnant_source,
        lactating=lactating,
    )


def _fact(coded: CodedMeasurement, desk: Desk) -> str:
    questions = desk.maps.social.questions
    for coding in as_meant(coded.measurement.concept).codings:
        if (coding.system, coding.code) in questions:
            return questions[coding.system, coding.code]
    loinc = (questions.get(("http://loinc.org", code), "") for code in coded.loinc)
    return next((fact for fact in loinc if fact), "")


def _answer(fact: str, measurement: Measurement, desk: Desk) -> str:
    """What the value means, "" when it is not understood; a missing value ("asked but unknown") is "unknown"."""
    social = desk.maps.social
    if measurement.absent_reason:
        return "unknown"
    if measurement.boolean is not None:
        return {"smoking": ("never", "current")}.get(fact, ("no", "yes"))[measurement.boolean]
    codings = as_meant(measurement.coded).codings if measurement.coded else ()
    for coding in codings:
        meaning = social.answers.get(fact, {}).get((coding.system, coding.code))
        if meaning:
            return meaning
    spoken = social.spoken.get(fact, {})
    words = [c.display for c in codings] + [
        measurement.coded.text if measurement.coded else "",
        measurement.text,
    ]
    return next((spoken[k] for w in words if (k := key(without_tag(w))) in spoken), "")


def _smoking(
    asked: list[Measurement], problems: tuple[CodedProblem, ...], desk: Desk
) -> tuple[str, str, datetime | None]:
    answers: list[tuple[datetime | None, str, str]] = []
    for measurement in asked:
        meaning = _answer("smoking", measurement, desk)
        if not meaning:
            desk.note("information", "code-invalid", UNKNOWN_ANSWER, measurement.source)
        elif meaning != "unknown":
            answers.append((measurement.time, meaning, measurement.source))
    if answers:
        newest = max(_moment(time) for time, _, _ in answers)
        last = [a for a in answers if _moment(a[0]) == newest]
        if len({meaning for _, meaning, _ in last}) > 1:
            desk.note("warning", "conflict", DIFFERENT, last[0][2])
        time, meaning, source = min(last, key=lambda a: (_MORE_TOBACCO.index(a[1]), a[2]))
        if meaning == "never" and any(a[1] in ("current", "former") for a in answers):
            desk.note("warning", "conflict", ONCE_SMOKED, source)
            meaning = "former"
        return meaning, source, time
    for problem in problems:
        if problem.holds and "tobacco-use" in problem.groups:
            return "current", problem.problem.source, problem.problem.recorded or problem.problem.onset
    for problem in problems:
        if problem.ever and (problem.icd10cm == ("Z87.891",) or "tobacco-use" in problem.groups):
            return "former", problem.problem.source, problem.problem.recorded
    return "unknown", "", None


def _status(
    fact: str, asked: list[Measurement], as_of: datetime, problems: tuple[CodedProblem, ...], desk: Desk
) -> tuple[bool | None, str]:
    """Yes or no with its source; None when nobody said anything recent enough."""
    recent: list[tuple[float, bool | None, str]] = []
    for measurement in asked:
        time = measurement.time
        if time is None or as_of - time > timedelta(days=STATUS_DAYS):
            continue
        meaning = _answer(fact, measurement, desk)
        if not meaning:
            desk.note("information", "code-invalid", UNKNOWN_ANSWER, measurement.source)
            continue
        recent.append((_moment(time), {"yes": True, "no": False}.get(meaning), measurement.source))
    if recent:
        _, status, source = max(recent, key=lambda r: (r[0], r[1] is True, r[2]))
        if status is not None:
            return status, source
    holding = next((p for p in problems if p.holds and fact in p.groups), None)
    return (True, holding.problem.source) if holding else (None, "")


def _number(fact: str, asked: dict[str, list[Measurement]]) -> float | None:
    """The newest plausible number."""
    values = [
        (_moment(m.time), m.source, float(m.value))
        for m in asked.get(fact, [])
        if m.value is not None and m.comparator is None and 0 <= m.value <= PLAUSIBLE[fact]
    ]
    return max(values)[2] if values else None


def _moment(time: datetime | None) -> float:
    return time.timestamp() if time else float("-inf")
