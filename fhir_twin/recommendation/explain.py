"""Explanation of one option: why this patient, what to expect, harms, what it rests on, what would change it."""

from __future__ import annotations

from fhir_twin.model.codes import Concept
from fhir_twin.model.intervention import Dose, EventEffect, Evidence, Intervention
from fhir_twin.model.plan import Citation, Reason, Recommendation
from fhir_twin.model.rules import Predicate
from fhir_twin.model.scenario import EventRisk, RiskChange
from fhir_twin.recommendation.case import Case
from fhir_twin.recommendation.option import Option
from fhir_twin.recommendation.patient_words import OUTCOME, patient_words
from fhir_twin.recommendation.rank import counted, unpriced
from fhir_twin.recommendation.sentence import capital


def recommendation(option: Option, others: tuple[Option, ...], rank: int, case: Case) -> Recommendation:
    """The proposal for an option, complete with its reasons. `others`: weaker options of the same family."""
    intervention, trajectory = option.intervention, option.trajectory
    dose = option.dose
    indication = intervention.indication
    why = _why(option, indication, case)
    changes = counted(trajectory.changes, case.guidelines.ranking)
    lead = _lead(changes, case)
    cautions = _cautions(option, case)
    conditions = _addresses(intervention, case)
    sources = (s for reason in (*why, *cautions) for s in reason.sources)
    return Recommendation(
        key=f"{intervention.key}",
        kind=intervention.kind,
        title=_title(intervention, dose),
        code=_code(intervention, dose),
        rank=rank,
        why=why,
        changes=trajectory.changes,
        biomarker_changes=_biomarkers(option, case),
        harms=tuple(_harm(intervention, i) for i in range(len(intervention.harms))),
        cautions=cautions,
        monitoring=intervention.monitoring,
        strength=intervention.strength,
        certainty=intervention.certainty,
        number_needed_to_treat=_nnt(lead),
        what_would_change=_turning_points(option, indication, case),
        assumptions=_assumptions(option, case),
        citations=citations(intervention),
        goals=option.met,
        addresses=conditions,
        sources=tuple(dict.fromkeys((*conditions, *sources))),
        dose_text=dose.text if dose else "",
        dose_amount=dose.amount if dose else None,
        dose_unit=dose.unit if dose else "",
        dose_per_day=dose.per_day if dose else None,
        replaces=_replaces(option, case),
        patient_text=patient_words(intervention, lead, case),
        alternatives=tuple(_alternative(other, option) for other in others),
        probability_harm=1.0 - option.better if option.events is not None else None,
    )


def _title(intervention: Intervention, dose: Dose | None) -> str:
    """With the dose; a drug that the title names already is not named twice ("Add ezetimibe: 10 mg once daily")."""
    if intervention.kind != "medication" or dose is None or not dose.label:
        return intervention.title
    drug, _, rest = dose.label.partition(" ")
    named = drug.lower() in intervention.title.lower().split() and rest
    return f"{intervention.title}: {rest if named else dose.label}"


def _code(intervention: Intervention, dose: Dose | None) -> Concept:
    codings = (dose.code,) if dose and dose.code else intervention.codes
    return Concept(codings, dose.label if dose and intervention.kind == "medication" else intervention.title)


def _why(option: Option, indication: Predicate | None, case: Case) -> tuple[Reason, ...]:
    intervention = option.intervention
    facts = case.facts(indication) if indication else ()
    reasons = [Reason(_sentence(fact.text), fact.sources) for fact in facts]
    reasons += [_baseline(risk) for risk in case.risks if _moves(risk, _main(option, case))]
    reasons += _trials(unpriced(intervention, option.trajectory, case))
    if intervention.indication_text:
        guideline = f" ({intervention.guideline})" if intervention.guideline else ""
        reasons.append(Reason(f"Who may benefit: {intervention.indication_text.rstrip('.')}{guideline}."))
    return tuple(reasons)


def _trials(effects: tuple[EventEffect, ...]) -> list[Reason]:
    """Trial ratios in words, for outcomes whose absolute risk no equation gives here."""
    if not effects:
        return []
    parts = (
        f"{OUTCOME.get(e.outcome, e.outcome)} {e.ratio:.2f} ({e.low:.2f} to {e.high:.2f})" for e in effects
    )
    listed = "; ".join(dict.fromkeys(parts))
    return [
        Reason(
            f"Hazard ratios in trials (95 % interval), where no absolute risk can be given here: {listed}."
        )
    ]


def _main(option: Option, case: Case) -> tuple[RiskChange, ...]:
    """The counted changes that are worth words: those with an effect."""
    known: dict[str, tuple[RiskChange, ...]] = case.memo.setdefault("main", {})
    if option.key not in known:
        found = counted(option.trajectory.changes, case.guidelines.ranking)
        known[option.key] = tuple(c for c in found if abs(c.difference) >= 0.0005)
    return known[option.key]


def _moves(risk: EventRisk, changes: tuple[RiskChange, ...]) -> bool:
    return any(c.outcome == risk.outcome and c.horizon_years == risk.horizon_years for c in changes)


def _baseline(risk: EventRisk) -> Reason:
    text = (
        f"{risk.horizon_years:.0f}-year risk of {OUTCOME.get(risk.outcome, risk.outcome)} as things are: "
        f"{percent(risk.probability)} (80 % interval {percent(risk.low)} to {percent(risk.high)}; {risk.equation})."
    )
    return Reason(text, risk.basis)


def percent(share: float) -> str:
    """A probability as clinicians read it: one digit below 10 %, none above."""
    value = 100 * share
    return f"{value:.1f} %" if abs(value) < 10 else f"{value:.0f} %"


def _sentence(text: str) -> str:
    return f"{capital(text)}."


def _lead(changes: tuple[RiskChange, ...], case: Case) -> RiskChange | None:
    """The change that matters most under the ranking's weights."""
    weights = case.guidelines.ranking.weights
    return max(changes, key=lambda c: (abs(weights[c.outcome] * c.difference), c.outcome), default=None)


def _nnt(lead: RiskChange | None) -> float | None:
    """1 / absolute risk reduction, only when the whole 80 % interval is on the side of benefit."""
    return round(1.0 / -lead.difference, 0) if lead and lead.high < 0 and lead.difference < 0 else None


def _biomarkers(option: Option, case: Case) -> tuple[tuple[str, float, float, float, str], ...]:
    units = dict(zip(case.twin.biomarkers, case.twin.units, strict=True))
    rows = option.trajectory.biomarker_changes
    return tuple((key, mean, low, high, units.get(key, "")) for key, mean, low, high in rows)


def _harm(intervention: Intervention, index: int) -> str:
    harm = intervention.harms[index]
    parts = []
    if harm.ratio is not None:
        parts.append(f"{harm.ratio:.{1 if harm.ratio >= 1.1 else 2}f} times as often as without")
    if harm.excess_per_1000 is not None:
        parts.append(f"{harm.excess_per_1000:g} more per 1,000 people a year")
    return f"{harm.text} ({'; '.join(parts)})" if parts else harm.text


def _cautions(option: Option, case: Case) -> tuple[Reason, ...]:
    found = case.proposals.cautions
    return tuple(Reason(words, sources) for key, _, words, sources in found if key == option.key)


def _addresses(intervention: Intervention, case: Case) -> tuple[str, ...]:
    groups = intervention.addresses
    return tuple(dict.fromkeys(s for group in groups for s in case.patient.sources(group, "now")))


def _turning_points(option: Option, indication: Predicate | None, case: Case) -> tuple[str, ...]:
    """Values at which this option would not be proposed: limits of its indication, and safety stops. One limit per
    analyte and direction: the one that is reached first."""
    needed: dict[str, float] = {}
    for leaf in indication.leaves() if indication else ():
        limit = leaf.bounds.at_least if leaf.bounds.at_least is not None else leaf.bounds.above
        now = case.estimate(leaf.key) if leaf.op in ("estimate", "latest") and limit is not None else None
        if now is not None and limit is not None and now.mean >= limit:
            needed[leaf.key] = max(limit, needed.get(leaf.key, limit))
    found = [_less_reason(key, limit, case) for key, limit in needed.items()]
    drug = frozenset({*option.intervention.classes, *option.intervention.ingredients})
    return (*found, *_stop_limits(drug, case))


def _less_reason(analyte: str, limit: float, case: Case) -> str:
    now, words = case.estimate(analyte), case.words
    if now is None:
        return ""
    interval = f"80 % interval {words.number(analyte, now.low)} to {words.number(analyte, now.high)}"
    return (
        f"Less reason if the true {words.analyte(analyte)} is below {words.amount(analyte, limit)} "
        f"(now {words.amount(analyte, now.mean)}, {interval})."
    )


def _stop_limits(drug: frozenset[str], case: Case) -> tuple[str, ...]:
    """Where safety would stop it: the strictest limit per analyte and direction."""
    low: dict[str, float] = {}
    high: dict[str, float] = {}
    for rule in case.safety.rules_for(drug) if drug else ():
        for leaf in rule.when.leaves() if rule.level == "stop" else ():
            if leaf.op not in ("estimate", "latest") or leaf.bounds.at_least is not None:
                continue
            if leaf.bounds.below is not None:
                low[leaf.key] = max(leaf.bounds.below, low.get(leaf.key, leaf.bounds.below))
            if leaf.bounds.above is not None:
                high[leaf.key] = min(leaf.bounds.above, high.get(leaf.key, leaf.bounds.above))
    words = case.words
    below = [
        f"Not if {words.analyte(key)} falls below {words.amount(key, limit)}."
        for key, limit in sorted(low.items())
    ]
    above = [
        f"Not if {words.analyte(key)} rises above {words.amount(key, limit)}."
        for key, limit in sorted(high.items())
    ]
    return (*below, *above)


def _assumptions(option: Option, case: Case) -> tuple[str, ...]:
    intervention = option.intervention
    used = {risk.equation for risk in case.risks if _moves(risk, _main(option, case))}
    found = [
        f"Risk by {equation}; effect from trials, not from the risk equation." for equation in sorted(used)
    ]
    if intervention.adherence_text:
        found.append(f"Adherence: {intervention.adherence_text}")
    guessed = [c[0] for c in option.trajectory.biomarker_changes if case.estimate(c[0]) is None]
    if guessed:
        names = ", ".join(case.words.analyte(key) for key in guessed)
        found.append(f"Not measured in this patient, taken from people of the same sex and age: {names}.")
    if intervention.route:
        found.append(intervention.route)
    return tuple(found)


def citations(intervention: Intervention) -> tuple[Citation, ...]:
    """Verified sources only: what nobody has read does not support advice."""
    return tuple(_cite(e) for e in intervention.evidence if e.verified)


def _cite(e: Evidence) -> Citation:
    return Citation(e.key, e.text or e.claim, e.doi, e.pmid, e.url, e.value)


def _replaces(option: Option, case: Case) -> str:
    """The order that a higher dose of the same drug would replace."""
    names = {*option.intervention.ingredients}
    for entry in case.coded.medications:
        if entry.medication.current and names & set(entry.ingredients):
            return entry.medication.source
    return ""


def _alternative(other: Option, best: Option) -> str:
    name = _name(other)
    if other.events is None or best.events is None:
        return f"{name}: brings the goals less close ({other.closed:.0%} of the distance against {best.closed:.0%})."
    mine, best_ones = 1000 * -other.events, 1000 * -best.events
    if abs(mine - best_ones) < 0.5:
        return f"{name}: about the same benefit; more burden or not the first choice."
    if abs(mine) < 0.5:
        return f"{name}: no fewer events are proven for it (against {best_ones:.0f} per 1,000 people in 10 years)."
    return f"{name}: avoids about {mine:.0f} events per 1,000 people in 10 years against {best_ones:.0f}."


def _name(option: Option) -> str:
    dose = option.dose
    return dose.label if dose and dose.label else option.intervention.title
