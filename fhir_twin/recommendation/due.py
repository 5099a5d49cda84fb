"""Screening and gaps: what is due, since when, and why something is not due."""

from __future__ import annotations

from datetime import datetime, timedelta

from fhir_twin.model.chart import Event
from fhir_twin.model.codes import CVX, Concept
from fhir_twin.model.guidelines import DueRule
from fhir_twin.model.plan import Reason, Recommendation
from fhir_twin.recommendation.case import Case
from fhir_twin.recommendation.sentence import capital

WISHES = ("ServiceRequest", "CarePlan")  # what is asked for is not done
DONE = ("completed", "final", "amended", "corrected", "finished", "")


def due(rules: tuple[DueRule, ...], rank: int, case: Case) -> tuple[Recommendation, ...]:
    """Proposals for the rules that apply and are not done; verified rules only; in the rules' order."""
    found: list[Recommendation] = []
    for rule in _applying(rules, case):
        last = last_done(rule, case)
        if last is not None and last[2] >= case.as_of:
            continue
        found.append(_proposal(rule, last, rank + len(found), case))
    return tuple(found)


def not_due(rules: tuple[DueRule, ...], case: Case) -> tuple[str, ...]:
    """What would apply but is done: said in words ("Colonoscopy: done 2021-03-02, next from 2031-02-28")."""
    words = []
    for rule in _applying(rules, case):
        last = last_done(rule, case)
        if last is not None and last[2] >= case.as_of:
            words.append(f"{rule.title}: done {last[0].date()}, next from {last[2].date()}")
    return tuple(words)


def _applying(rules: tuple[DueRule, ...], case: Case) -> list[DueRule]:
    found = [r for r in rules if case.holds(r.when) and r.verified and not case.holds(r.unless)]
    return sorted(found, key=lambda r: (r.order, r.key))


def last_done(rule: DueRule, case: Case) -> tuple[datetime, str, datetime] | None:
    """(when, source, valid until) of the finding that keeps the rule satisfied longest; None when never done."""
    found = []
    for what, days in rule.done:
        for when, source in occurrences(what, case):
            if when <= case.as_of:
                found.append((when, source, when + timedelta(days=days)))
    return max(found, key=lambda item: (item[2], item[1]), default=None)


def occurrences(what: str, case: Case) -> list[tuple[datetime, str]]:
    """Of an analyte (a usable value), a code or words in an event's name."""
    known: dict[str, list[tuple[datetime, str]]] = case.memo.setdefault("occurrences", {})
    if what not in known:
        known[what] = _find(what, case)
    return known[what]


def _find(what: str, case: Case) -> list[tuple[datetime, str]]:
    points = case.patient.points.get(what, ())
    found = [(p.time, p.source) for p in points if p.time is not None]
    codes, labels = _done(case)
    if what.startswith("cvx:"):
        return found + codes.get(f"cvx:{what[4:].zfill(2)}", [])
    found += codes.get(what, [])
    if what.isascii() and what.replace(" ", "").isalpha():
        word = what.lower()
        found += [row for label, rows in labels.items() if word in label for row in rows]
    return found


Done = dict[str, list[tuple[datetime, str]]]


def _done(case: Case) -> tuple[Done, Done]:
    """(by code, "cvx:NN" or LOINC; by label in lower case): when and by which source it was done. Made once a case."""
    if "done" not in case.memo:
        codes: Done = {}
        labels: Done = {}
        for event in case.coded.chart.events:
            if event.time is not None and event.status in DONE and event.kind not in WISHES:
                row = (event.time, event.source)
                for code in _codes(event):
                    codes.setdefault(code, []).append(row)
                labels.setdefault(event.concept.label.lower(), []).append(row)
        for measurement in case.coded.measurements:
            time = measurement.measurement.time
            for code in measurement.loinc if time is not None else ():
                codes.setdefault(code, []).append((time, measurement.measurement.source))  # type: ignore[arg-type]
        case.memo["done"] = codes, labels
    found: tuple[Done, Done] = case.memo["done"]
    return found


def _codes(event: Event) -> set[str]:
    codings = event.concept.codings
    vaccines = {f"cvx:{c.code.zfill(2)}" for c in codings if c.system in (CVX, "")}
    return vaccines | {c.code for c in codings}


def _proposal(
    rule: DueRule, last: tuple[datetime, str, datetime] | None, rank: int, case: Case
) -> Recommendation:
    facts = tuple(Reason(f"{capital(f.text)}.", f.sources) for f in case.facts(rule.when))
    grade = f" (USPSTF grade {rule.grade})" if rule.grade else ""
    why = [Reason(f"{rule.reason}{grade}"), *facts]
    if last is not None:
        why.append(Reason(f"Last done {last[0].date()}.", (last[1],)))
    elif rule.done:
        what = (
            "vaccination"
            if "vaccination" in rule.key
            else "test"
            if rule.kind in ("test", "screening")
            else "entry"
        )
        why.append(Reason(f"No such {what} is in the record; it may have been done elsewhere."))
    addresses = tuple(dict.fromkeys(s for g in rule.addresses for s in case.patient.sources(g, "now")))
    return Recommendation(
        key=rule.key,
        kind=rule.kind,  # type: ignore[arg-type]
        title=rule.title,
        code=Concept((rule.code,) if rule.code else (), rule.title),
        rank=rank,
        why=tuple(why),
        strength=f"USPSTF grade {rule.grade}" if rule.grade else rule.strength,
        what_would_change=("It was done elsewhere and is not in this record.",) if rule.done else (),
        citations=tuple(e.citation(f"{rule.key}-{i}") for i, e in enumerate(rule.evidence) if e.verified),
        addresses=addresses,
        sources=tuple(dict.fromkeys((*addresses, *(s for reason in why for s in reason.sources)))),
        patient_text=rule.patient_text,
    )
