"""Discrepancies in the record: values that could not be used, entries that could not be understood."""

from __future__ import annotations

from fhir_twin.model.plan import Finding, Reason
from fhir_twin.model.twin import Point
from fhir_twin.recommendation.case import Case
from fhir_twin.recommendation.hangs import near_limits
from fhir_twin.recommendation.refuse import OLDEST
from fhir_twin.recommendation.sentence import capital

SHOWN = 3  # values shown as they are written
# Reasons of the twin for leaving a value out that a clinician should look at (others are no fault of the record).
WORDS = {
    "unknown-unit": ("the unit is not known", "Correct the unit at the source."),
    "missing-unit": ("the unit is missing", "Add the unit at the source."),
    "unit-not-of-analyte": (
        "the unit does not belong to this test",
        "Check the unit and the code at the source.",
    ),
    "unit-inferred": ("it has no unit", "Add the unit at the source; check that the value fits."),
    "unit-conflict": ("unit and value do not fit each other", "Check the unit and the value at the source."),
    "mislabelled-unit": (
        "unit and value do not fit each other",
        "Check the unit and the value at the source.",
    ),
    "crossed-pair": (
        "the diastolic is not below the systolic pressure",
        "Check which of the two was entered in the wrong place.",
    ),
    "implausible": ("the value is not plausible", "Check for a typing error or a wrong unit."),
}


def discrepancies(case: Case) -> tuple[Finding, ...]:
    """One finding per analyte and reason, per allergy and per drug that nobody could read."""
    return (*_age(case), *_conflicts(case), *_values(case), *_allergies(case), *_drugs(case), *_stopped(case))


SAID = {
    "text-says-stopped": (
        "its status is active, but its own words say that it is stopped",
        "Close the order",
    ),
    "said-not-taken": (
        "an order is open, but a later statement says that it is not taken",
        "Close the order",
    ),
}


def _stopped(case: Case) -> tuple[Finding, ...]:
    """Open orders of drugs that the record also calls stopped; they are not counted as taken."""
    found = []
    for flag, (words, check) in SAID.items():
        entries = [m for m in case.coded.medications if flag in m.medication.flags]
        for entry in sorted(entries, key=lambda m: m.medication.source):
            name = " with ".join(entry.ingredients) or entry.medication.concept.label
            denials = [
                m.medication.source
                for m in case.coded.medications
                if set(m.ingredients) == set(entry.ingredients)
                and m.medication.status in ("not-taken", "stopped")
            ]
            other = "words: stopped" if flag == "text-says-stopped" else "statement: not taken"
            sources = (entry.medication.source, *(sorted(denials) if flag == "said-not-taken" else ()))
            found.append(
                Finding(
                    key=f"{flag}-{name.replace(' ', '-')}",
                    code="VALIDAT",
                    severity="moderate",
                    text=f"{capital(name)}: {words}. Not counted as taken here: interactions with it are not checked.",
                    sources=sources,
                    check=f"Ask whether the patient takes it. {check}, or correct the words.",
                    sides=(
                        Reason(f"order: {entry.medication.status}", (entry.medication.source,)),
                        Reason(other, sources[1:]),
                    ),
                )
            )
    return tuple({f.key: f for f in found}.values())


def _conflicts(case: Case) -> tuple[Finding, ...]:
    """Statements that do not fit each other, with the record's own words for both sides."""
    found = []
    for rule in case.guidelines.conflicts:
        if not case.holds(rule.when) or case.holds(rule.unless):
            continue
        facts = case.facts(rule.when)
        record = "; ".join(dict.fromkeys(fact.text for fact in facts))
        sources = tuple(sorted({s for fact in facts for s in fact.sources}))
        text = f"{rule.text} Record: {record}." if record else rule.text
        citation = rule.evidence[0].citation(rule.key)
        found.append(
            Finding(
                f"conflict-{rule.key}",
                "VALIDAT",
                rule.severity,
                text,
                sources,
                rule.check,
                citation,
                sides=tuple(facts) if len(facts) > 1 else (),
                sensitivity=near_limits(rule.when, case),
            )
        )
    return tuple(found)


def _age(case: Case) -> tuple[Finding, ...]:
    """Nobody is that old: the birth date is wrong or the death was not recorded."""
    if case.patient.age is None or case.patient.age < OLDEST:
        return ()
    source = case.coded.chart.patient.source
    return (
        Finding(
            key="age-implausible",
            code="VALIDAT",
            severity="moderate",
            text=f"Age {int(case.patient.age)}: the birth date is wrong, or the patient has died.",
            sources=(source,),
            check="Check the birth date and whether the patient is alive before using this plan.",
        ),
    )


def _values(case: Case) -> tuple[Finding, ...]:
    groups: dict[tuple[str, str], list[Point]] = {}
    for point in case.twin.points:
        if not point.used and point.reason in WORDS:
            groups.setdefault((point.biomarker, point.reason), []).append(point)
        elif point.used and "unit-inferred" in point.flags:
            groups.setdefault((point.biomarker, "unit-inferred"), []).append(point)
    return tuple(_value(key, reason, points, case) for (key, reason), points in sorted(groups.items()))


def _value(analyte: str, reason: str, points: list[Point], case: Case) -> Finding:
    words, check = WORDS[reason]
    name = case.words.analyte(analyte)
    dates = sorted({p.time.date().isoformat() for p in points if p.time})
    when = f", {', '.join(dates[:3])}{' and others' if len(dates) > 3 else ''}" if dates else ""
    count = f"{len(points)} values of {name} were" if len(points) > 1 else f"One value of {name} was"
    inferred = reason == "unit-inferred"
    used = "used as if in the usual unit" if inferred else "not used"
    written = tuple(
        Reason(f"record: {p.reported or 'no readable value'}", (p.source,)) for p in points[:SHOWN]
    )
    usual = case.safety.words.analytes.get(analyte, ("", "", 1))[1]
    return Finding(
        key=f"value-{analyte}-{reason}",
        code="VALIDAT",
        severity="low",
        text=f"{count} {used}: {words}{when}.",
        sources=tuple(sorted({p.source for p in points})),
        check=check,
        sides=(*written, Reason(f"usual unit of the test: {usual}" if usual else "usual range of the test")),
        sensitivity=_rests(analyte, name, inferred, case),
    )


def _rests(analyte: str, name: str, inferred: bool, case: Case) -> tuple[str, ...]:
    """What the plan assumes of the analyte with or without these values."""
    now = case.estimate(analyte)
    how = "with" if inferred else "without"
    if now is None:
        return (f"Nothing else is known of {name}: conclusions that need it wait.",) if not inferred else ()
    amount = case.words.amount
    return (
        f"{capital(name)} is taken as {amount(analyte, now.mean)} (80 % interval {amount(analyte, now.low)} to "
        f"{amount(analyte, now.high)}), {how} it.",
    )


def _allergies(case: Case) -> tuple[Finding, ...]:
    unread = [
        a for a in case.coded.allergies if a.allergy.active and not a.understood and not a.allergy.none_known
    ]
    if not unread:
        return ()
    names = ", ".join(sorted({a.allergy.concept.label for a in unread if a.allergy.concept.label}))
    return (
        Finding(
            key="allergy-not-understood",
            code="VALIDAT",
            severity="moderate",
            text=f"Allergy entries not matched to a drug or class: {names}. They are not checked automatically.",
            sources=tuple(sorted({a.allergy.source for a in unread})),
            check="Compare them with every proposed drug by hand; code the allergen.",
            sensitivity=(
                "If one of them names a drug or class that is proposed here, that proposal does not hold.",
            ),
        ),
    )


def _drugs(case: Case) -> tuple[Finding, ...]:
    unread = [m for m in case.coded.medications if m.medication.current and not m.ingredients]
    if not unread:
        return ()
    names = ", ".join(sorted({m.medication.concept.label for m in unread if m.medication.concept.label}))
    return (
        Finding(
            key="drug-not-understood",
            code="VALIDAT",
            severity="moderate",
            text=f"Current drugs whose ingredients are not known: {names}. Interactions with them are not checked.",
            sources=tuple(sorted({m.medication.source for m in unread})),
            check="Code the drug (RxNorm) or check its interactions by hand.",
            sensitivity=(
                "An interaction, a duplicate or a gap that is named here may look different with them.",
            ),
        ),
    )
