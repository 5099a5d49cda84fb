"""What one could do for this patient: continue as now, single options, sensible combinations. Safety first.

An option is kept out, with its reason, when it is taken already, not indicated, or blocked by a safety rule; it
waits when a fact that decides one of these is not known (a Question). Only the rest is simulated.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from fhir_twin.model.coded import CodedChart
from fhir_twin.model.intervention import Combination, Intervention, Interventions
from fhir_twin.model.rules import Hit, SafetyRules
from fhir_twin.model.scenario import CONTINUE, Choice, Proposals, Question, Rejection, Scenario
from fhir_twin.model.twin import Twin
from fhir_twin.rules import PatientView, evaluate, judge, view
from fhir_twin.simulation.baseline import KIDNEY_SCOPE
from fhir_twin.simulation.combine import allowed_together
from fhir_twin.simulation.ladder import next_step, step, taken

KFRE_BELOW = 60.0
Caution = tuple[str, str, str, tuple[str, ...]]


@dataclass(slots=True)
class _Sorted:
    """The answer while it grows. allowed: intervention key -> its first scenario."""

    scenarios: list[Scenario] = field(default_factory=lambda: [CONTINUE])
    rejected: list[Rejection] = field(default_factory=list)
    questions: dict[str, Question] = field(default_factory=dict)
    cautions: list[Caution] = field(default_factory=list)
    allowed: dict[str, Scenario] = field(default_factory=dict)

    def ask(self, question: Question) -> None:
        """One question per fact; `blocks` of the same question are joined."""
        before = self.questions.get(question.key)
        if before is not None:
            question = replace(before, blocks=tuple(dict.fromkeys((*before.blocks, *question.blocks))))
        self.questions[question.key] = question


def propose_scenarios(
    coded: CodedChart, twin: Twin, interventions: Interventions, safety: SafetyRules
) -> Proposals:
    """All options for this patient, sorted into simulated, rejected and waiting. Pure; the order is that of the
    knowledge files. A refused twin (minor, deceased) gets no scenario at all."""
    if twin.refused or twin.profile.deceased:
        return Proposals(scenarios=())
    patient = view(coded, twin)
    found = _Sorted()
    for item in interventions.items:
        if item.by_guideline:
            continue  # nothing to simulate: recommendation/advice.py proposes it
        _consider(item, coded, twin, patient, interventions, safety, found)
    for combination in interventions.combinations:
        _combine(combination, coded, twin, patient, interventions, safety, found)
    _missing_inputs(twin, interventions, found)
    return Proposals(
        scenarios=tuple(found.scenarios),
        rejected=tuple(found.rejected),
        questions=tuple(found.questions[key] for key in sorted(found.questions)),
        cautions=tuple(found.cautions),
    )


def _consider(
    item: Intervention,
    coded: CodedChart,
    twin: Twin,
    patient: PatientView,
    interventions: Interventions,
    safety: SafetyRules,
    found: _Sorted,
) -> None:
    options = _options(item, coded)
    if isinstance(options, Rejection):
        found.rejected.append(options)
        return
    first = options[0]
    if item.indication is not None:
        outcome = evaluate(item.indication, patient, safety.words)
        if outcome.value is False:
            words = f"Not indicated: {item.indication_text or item.title}"
            found.rejected.append(Rejection(first, f"indication-{item.key}", "not-indicated", words))
            return
        if outcome.value is None:
            for op, key in outcome.missing:
                found.ask(_indication_question(op, key, item, interventions, safety))
            return
    replaces = tuple(item.classes) + tuple(item.ingredients) if first.choices[0].from_dose else ()
    verdict = judge(
        coded, twin, item.key, item.ingredients, item.classes, safety, patient=patient, replaces=replaces
    )
    found.rejected.extend(_rejection(first, hit) for hit in verdict.blocked)
    if verdict.blocked:
        return
    for question in verdict.questions:
        found.ask(question)
    if verdict.questions:
        return
    for scenario in options:
        found.scenarios.append(scenario)
        found.cautions.extend((scenario.key, h.rule, h.reason, h.sources) for h in verdict.cautions)
    found.allowed[item.key] = first


def _options(item: Intervention, coded: CodedChart) -> list[Scenario] | Rejection:
    """Scenarios of starting it, or of the next step for those on it; a Rejection when there is nothing to do."""
    drugs = taken(coded, item)
    if not drugs:
        return [_start(item, dose) for dose in item.offer or (item.starter,)]
    sources = tuple(d.medication.source for d in drugs)
    names = ", ".join(sorted({i for d in drugs for i in d.ingredients})) or item.key
    start = _start(item, item.starter)
    current = step(item, drugs)
    if current is None:
        why = f"Taken already ({names}); the step of the dose cannot be told from the record."
        return Rejection(start, "already-taken", "already-taken", why, sources)
    higher = next_step(item, current)
    if higher is None:
        why = f"Taken already ({names}) at the highest step that we know effects of."
        return Rejection(start, "already-taken", "already-taken", why, sources)
    choice = Choice(item.key, higher.key, from_dose=current.key)
    return [Scenario(f"intensify-{item.key}-{higher.key}", f"Raise to {higher.label}", (choice,))]


def _start(item: Intervention, dose: str) -> Scenario:
    several = len(item.offer) > 1
    key = f"start-{item.key}-{dose}" if several else f"start-{item.key}"
    name = f"{item.title} ({item.dose(dose).label})" if item.kind == "medication" else item.title
    return Scenario(key, name, (Choice(item.key, dose),))


def _rejection(scenario: Scenario, hit: Hit) -> Rejection:
    return Rejection(scenario, hit.rule, hit.kind, hit.reason, hit.sources, hit.citation)


def _indication_question(
    op: str, key: str, item: Intervention, interventions: Interventions, safety: SafetyRules
) -> Question:
    """What must be known before anybody can tell whether the option is indicated."""
    name = {"smoking": "smoking", "smoker": "smoking", "age": "age", "sex": "sex"}.get(op, key)
    reason = f'It decides whether this is indicated: "{item.title}".'
    known = {i.key: i for i in interventions.inputs}
    if op == "has":
        return Question(
            f"confirm-{key}", f"Confirm or rule out: {safety.words.group(key)}", reason, "", (item.key,)
        )
    if name in safety.facts:
        fact = safety.facts[name]
        return Question(fact.key, fact.question, reason, fact.loinc, (item.key,))
    if name in known:
        return Question(name, known[name].question, reason, known[name].loinc, (item.key,))
    return Question(name, f"Find out: {safety.words.analyte(name)}", reason, "", (item.key,))


def _combine(
    combination: Combination,
    coded: CodedChart,
    twin: Twin,
    patient: PatientView,
    interventions: Interventions,
    safety: SafetyRules,
    found: _Sorted,
) -> None:
    if any(m not in found.allowed for m in combination.members):
        return
    if any(u in found.allowed for u in combination.unless):
        return
    if combination.when is not None and evaluate(combination.when, patient, safety.words).value is not True:
        return
    choices = tuple(c for m in combination.members for c in found.allowed[m].choices)
    scenario = Scenario("combine-" + "-".join(combination.members), combination.name, choices)
    hits = allowed_together(coded, twin, tuple(interventions.get(m) for m in combination.members), safety)
    if hits:
        found.rejected.extend(_rejection(scenario, hit) for hit in hits)
        return
    found.scenarios.append(scenario)
    members = {found.allowed[m].key for m in combination.members}
    found.cautions.extend((scenario.key, *c[1:]) for c in tuple(found.cautions) if c[0] in members)


def _missing_inputs(twin: Twin, interventions: Interventions, found: _Sorted) -> None:
    """Ask for what the risk equations lack. These questions block nothing: options are still shown."""
    lacking: dict[str, str] = {}
    if not twin.profile.cvd:
        needed = ("sbp", "total-cholesterol", "hdl", "egfr", "bmi")
        lacking = {k: "cardiovascular" for k in needed if not _measured(twin, k)}
        if twin.profile.smoker is None:
            lacking["smoking"] = "cardiovascular"
    kidney = _measured(twin, "egfr") and round(twin.estimate("egfr").mean, 9) < KFRE_BELOW
    if kidney and not _measured(twin, "uacr") and not set(KIDNEY_SCOPE) & twin.profile.groups:
        lacking["uacr"] = "kidney"
    for item in interventions.inputs:
        if item.key in lacking and item.key not in found.questions:
            reason = f"The {lacking[item.key]} risk equation needs it."
            found.ask(Question(item.key, item.question, reason, item.loinc))


def _measured(twin: Twin, key: str) -> bool:
    return key in twin.biomarkers and bool(twin.used(key))
