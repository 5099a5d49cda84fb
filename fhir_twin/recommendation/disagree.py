"""Where two sides disagree and neither is simply wrong: goals, two risk models, list against dispenses, code against
words, guideline against practice. Each finding tells both sides, what to check and what the conclusion hangs on."""

from __future__ import annotations

from datetime import timedelta

from fhir_twin.model.chart import Medication
from fhir_twin.model.coded import CodedMedication
from fhir_twin.model.plan import Finding, Reason, Recommendation
from fhir_twin.recommendation.case import Case
from fhir_twin.recommendation.goals import Contrast, contrasts
from fhir_twin.recommendation.orders import dangers
from fhir_twin.recommendation.sentence import bare, capital
from fhir_twin.recommendation.two_models import two_models

PLANS = ("plan", "proposal")
LATE = timedelta(days=45)  # after the supply's end: a late refill is no news
LONG = timedelta(days=365)  # a disease older than this has had time for its treatment
WORDS_AGAINST_CODE = (
    "name another substance than its code",
    "name another condition than its code",
    "deny it although it is coded",
)


def disagreements(proposals: tuple[Recommendation, ...], case: Case) -> tuple[Finding, ...]:
    return (
        *_goals(case),
        *_planned(case),
        *two_models(case),
        *_supply(case),
        *_words(case),
        *_practice(proposals, case),
    )


def _goals(case: Case) -> tuple[Finding, ...]:
    """A recorded Goal against the guideline's target for this patient. The plan follows the record."""
    return tuple(_goal(c, case) for c in contrasts(case))


def _goal(c: Contrast, case: Case) -> Finding:
    name = case.words.analyte(c.analyte)
    mine, theirs = (f"below {case.words.amount(c.analyte, float(v))}" for v in (c.recorded, c.guideline))
    now = case.estimate(c.analyte)
    hangs: tuple[str, ...] = ()
    if now is not None:
        value = case.words.amount(c.analyte, now.mean)
        low, high = sorted((float(c.recorded), float(c.guideline)))
        between = low <= now.mean < high
        hangs = (
            f"Now {value}: between the two targets, so whether more treatment is called for hangs on which one holds."
            if between
            else f"Now {value}: both targets lead to the same conclusion.",
        )
    return Finding(
        key=f"goal-differs-{c.rule}",
        code="VALIDAT",
        severity="low",
        text=f"The recorded goal for {name} ({mine}) is not that of the guideline for this patient ({theirs}). "
        "The plan follows the recorded goal.",
        sources=(c.source,),
        check="Was the goal set on purpose for this patient? Otherwise adjust it.",
        citation=c.citation,
        sides=(Reason(f"record: {mine}", (c.source,)), Reason(f"guideline: {theirs}. {c.why}".strip())),
        sensitivity=hangs,
    )


def _planned(case: Case) -> tuple[Finding, ...]:
    """A clinician's plan or draft order of a drug that a safety rule speaks strictly against."""
    found: dict[str, Finding] = {}
    for order in sorted(case.coded.medications, key=lambda m: m.medication.source):
        given = order.medication
        open_plan = given.intent in PLANS and given.status in ("active", "draft", "on-hold")
        unmeant = given.current or "do-not-perform" in given.flags
        if unmeant or not (open_plan or given.status == "draft"):
            continue
        name = " with ".join(order.ingredients)
        for hit in dangers(order, case):
            finding = Finding(
                key=f"planned-{name.replace(' ', '-')}-{hit.rule.split(':')[0]}",
                code=hit.code,
                severity=hit.severity,
                text=f"Planned, not taken yet: {name}. {hit.reason}",
                sources=(given.source, *hit.sources),
                check=hit.action or "Reconsider the order.",
                citation=hit.evidence[0].citation(hit.rule) if hit.evidence else None,
                sides=(
                    Reason(f"order: {given.intent or given.status}", (given.source,)),
                    Reason(hit.reason, hit.sources),
                ),
                sensitivity=hit.hangs,
            )
            found.setdefault(finding.key, finding)
    return tuple(found.values())


def _supply(case: Case) -> tuple[Finding, ...]:
    """An open order whose dispensed supply ran out, and supplies of drugs that no list names."""
    drugs = [m for m in case.coded.medications if m.ingredients]
    dispensed = [m for m in drugs if "dispensed" in m.medication.flags]
    listed = [m for m in drugs if m.medication.current and "dispensed" not in m.medication.flags]
    found: dict[str, Finding] = {}
    for entry in sorted(listed, key=lambda m: m.medication.source):
        same = [d for d in dispensed if set(d.ingredients) == set(entry.ingredients)]
        last = max((d.medication.end for d in same if d.medication.end is not None), default=None)
        if last is not None and last + LATE < case.as_of:
            finding = _ran_out(entry, [d.medication for d in same], last.date().isoformat())
            found.setdefault(finding.key, finding)
    names = {frozenset(m.ingredients) for m in listed}
    for entry in sorted(dispensed, key=lambda m: m.medication.source):
        if entry.medication.current and frozenset(entry.ingredients) not in names:
            finding = _unlisted(entry)
            found.setdefault(finding.key, finding)
    return tuple(found.values())


def _ran_out(entry: CodedMedication, dispenses: list[Medication], last: str) -> Finding:
    name = " with ".join(entry.ingredients)
    handed = tuple(sorted(d.source for d in dispenses))
    return Finding(
        key=f"supply-ended-{name.replace(' ', '-')}",
        code="VALIDAT",
        severity="moderate",
        text=f"{capital(name)}: the order is open, but the last supply ended {last}. It is counted as taken here.",
        sources=(entry.medication.source, *handed),
        check="Ask whether and how it is taken; a value above the goal may be a drug not taken.",
        sides=(
            Reason(f"order: {entry.medication.status}", (entry.medication.source,)),
            Reason(f"dispenses: supply until {last}", handed),
        ),
        sensitivity=(
            f"If {name} is not taken, the present values are those without it: take it again before adding a drug.",
        ),
    )


def _unlisted(entry: CodedMedication) -> Finding:
    name = " with ".join(entry.ingredients)
    return Finding(
        key=f"dispensed-only-{name.replace(' ', '-')}",
        code="VALIDAT",
        severity="low",
        text=f"{capital(name)}: dispensed, but on no order or list here. It is counted as taken.",
        sources=(entry.medication.source,),
        check="Who ordered it? Add it to the list, or correct the dispense.",
        sides=(
            Reason("dispense: completed", (entry.medication.source,)),
            Reason("medication list: not there"),
        ),
        sensitivity=(f"If {name} is not taken, its interactions and duplicates named here do not hold.",),
    )


def _words(case: Case) -> tuple[Finding, ...]:
    """Entries whose words and code mean different things (told by the coder)."""
    concepts = {
        **{m.medication.source: m.medication.concept for m in case.coded.medications},
        **{p.problem.source: p.problem.concept for p in case.coded.problems},
    }
    found = []
    for issue in case.coded.issues:
        concept = concepts.get(issue.expression)
        if concept is None or not any(words in issue.diagnostics for words in WORDS_AGAINST_CODE):
            continue
        coded = next((c.display or c.code for c in concept.codings), "")
        found.append(
            Finding(
                key=f"code-against-words-{issue.expression.replace('/', '-')}",
                code="VALIDAT",
                severity="moderate",
                text=f'Words and code differ: "{concept.text}" is coded as "{coded}". {issue.diagnostics}.',
                sources=(issue.expression,),
                check="Which of the two is meant? Correct the other at the source.",
                sides=(
                    Reason(f"words: {concept.text}", (issue.expression,)),
                    Reason(f"code: {coded}", (issue.expression,)),
                ),
                sensitivity=(f'If the words are right, nothing here was checked for "{concept.text}".',),
            )
        )
    return tuple(found)


def _saves(rec: Recommendation) -> bool:
    """Fewer events are computed for it, or proven where nothing can be computed; weight alone is no omission."""
    proven = any(reason.text.startswith("Hazard ratios in trials") for reason in rec.why)
    return rec.number_needed_to_treat is not None or proven


def _practice(proposals: tuple[Recommendation, ...], case: Case) -> tuple[Finding, ...]:
    """Drugs strongly recommended for a disease that has been on the list for more than a year, and never ordered. One
    finding for all of them: each is a proposal already."""
    since = {p.problem.source: p.problem.onset or p.problem.recorded for p in case.coded.problems}
    words = []
    sources: list[str] = []
    for rec in proposals:
        dates = [when for s in rec.addresses if (when := since.get(s)) is not None]
        item = case.interventions.find(rec.key)
        if rec.kind != "medication" or not rec.strength.startswith("strong") or item is None or not dates:
            continue
        if "tobacco-use" in item.addresses or not _saves(rec):  # a habit is no disease left untreated
            continue
        names = {*item.classes, *item.ingredients}
        ordered = any(names & {*m.ingredients, *m.classes} for m in case.coded.medications)
        if ordered or case.as_of - min(dates) < LONG:
            continue
        words.append(f"{bare(item.title)} (disease on the list since {min(dates).date()})")
        sources += rec.addresses
    if not words:
        return ()
    listed = "; ".join(words)
    return (
        Finding(
            key="guideline-against-practice",
            code="VALIDAT",
            severity="low",
            text=f"Strongly recommended, for more than a year, and never ordered in this record: {listed}.",
            sources=tuple(dict.fromkeys(sources)),
            check="Refused, not tolerated, or overlooked? Write down the reason, or see the proposals.",
            sides=(
                Reason("guideline: see the proposals' citations"),
                Reason(
                    "record: no order, statement or dispense of any of them", tuple(dict.fromkeys(sources))
                ),
            ),
            sensitivity=(
                "An order kept elsewhere, a refusal or an intolerance not written down would explain it.",
            ),
        ),
    )
