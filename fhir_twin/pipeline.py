"""run(bundle, knowledge, as_of): the six stages in their order. Only this module knows the order.

    Bundle -> Chart -> CodedChart -> Twin -> Proposals -> Trajectories -> Plan -> Bundle

`Run` keeps every value on the way, so that a page, a card or `--show coded` can look through any seam.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from fhir_twin.assimilation import build_twin
from fhir_twin.coding import code_chart
from fhir_twin.dynamics import fast
from fhir_twin.errors import InvalidInput, Issue
from fhir_twin.fhir.definitions import PLAN_ID, canonical
from fhir_twin.fhir.drafts import DRUG_ORDER, as_if_signed, read_order
from fhir_twin.fhir.read import read_chart
from fhir_twin.fhir.write import write_plan
from fhir_twin.fhir.write_context import WriteOptions
from fhir_twin.knowledge import Knowledge
from fhir_twin.model.chart import Chart, Completeness
from fhir_twin.model.coded import CodedChart
from fhir_twin.model.orders import OrderRemark
from fhir_twin.model.plan import Plan
from fhir_twin.model.scenario import CONTINUE, EventRisk, Proposals, Trajectory
from fhir_twin.model.twin import Twin
from fhir_twin.recommendation import recommend
from fhir_twin.recommendation.case import make_case
from fhir_twin.recommendation.nondrug_orders import judge_nondrug
from fhir_twin.recommendation.orders import judge_orders, not_read
from fhir_twin.rules.consent import consent_refusal, without_record
from fhir_twin.rules.view import view
from fhir_twin.simulation import propose_scenarios, simulate

T = TypeVar("T")
Bundle = dict[str, Any]
LABEL = "AIAST"


def _silent(_stage: str) -> None:
    """Nobody wants to know how far a run is."""


@dataclass(frozen=True, slots=True, repr=False)
class Run:
    """Every value on the way, and how long each stage took (seconds of CPU). `output` is the desired CarePlan
    bundle, before it is compared with what the server holds."""

    chart: Chart
    coded: CodedChart
    twin: Twin
    proposals: Proposals
    trajectories: tuple[Trajectory, ...]
    plan: Plan
    output: Bundle
    seconds: tuple[tuple[str, float], ...]

    @property
    def issues(self) -> tuple[Issue, ...]:
        """All stages' issues, each once, in the order in which they arose."""
        stages = (self.chart.issues, self.coded.issues, self.twin.issues)
        simulated = tuple(t.issues for t in self.trajectories)
        found = [i for group in (*stages, *simulated, self.plan.issues) for i in group]
        return tuple(dict.fromkeys(found))


def run(
    bundle: Bundle,
    knowledge: Knowledge,
    as_of: datetime,
    *,
    patient: str = "",
    completeness: tuple[Completeness, ...] = (),
    base: str = "urn:fhir-twin",
    label: str = LABEL,
    write: bool = True,
    tell: Callable[[str], None] = _silent,
) -> Run:
    """One patient's Bundle to a Plan and its output Bundle.

    as_of: timezone-aware; what is later is not looked at. patient: the id the Bundle must be about ("" = the
    only Patient in it). base: the FHIR server's base, part of the output's identifiers. label: security
    label of what is written (AI-1). write: False leaves `output` empty (a card needs only the plan). tell: called
    with the name of each stage as it begins. Raises InvalidInput when the Bundle holds no usable Patient or another
    one's."""
    if as_of.tzinfo is None:
        raise InvalidInput("as_of needs a time zone")
    clock = _Clock(tell)
    chart = clock.time("read", lambda: read_chart(bundle, as_of, patient=patient, completeness=completeness))
    return _from_chart(chart, knowledge, clock, base, label, write=write)


def rerun(chart: Chart, knowledge: Knowledge, *, base: str = "urn:fhir-twin", label: str = LABEL) -> Run:
    """The same from a chart on: after it was read, or with one thing in it changed (an answer to a proposal)."""
    return _from_chart(chart, knowledge, _Clock(), base, label)


def risks_at(
    bundle: Bundle, knowledge: Knowledge, moments: Iterable[datetime], *, patient: str = ""
) -> tuple[tuple[datetime, tuple[EventRisk, ...]], ...]:
    """The risks of "continue as now" at earlier moments, each from the record as it stood then: how a risk moved.

    A moment at which nothing could be said (too young, nothing recorded) is left out."""
    k = knowledge
    found = []
    for moment in moments:
        chart = read_chart(bundle, moment, patient=patient)
        if consent_refusal(chart.consents, moment):
            continue
        coded = code_chart(chart, k.coder, k.concept_maps)
        twin = build_twin(coded, k.biomarkers)
        drawn = simulate(twin, (CONTINUE,), k.biomarkers, k.interventions, k.outcomes)
        if drawn and drawn[0].risks and any(p.used for p in twin.points):
            found.append((moment, drawn[0].risks))
    return tuple(found)


def _from_chart(
    chart: Chart, k: Knowledge, clock: _Clock, base: str, label: str, *, write: bool = True
) -> Run:
    as_of = chart.as_of
    if consent_refusal(chart.consents, as_of):  # CN-4: asked before anything is made of the record
        chart = without_record(chart)
    coded = clock.time("code", lambda: code_chart(chart, k.coder, k.concept_maps))
    twin = clock.time("assimilate", lambda: build_twin(coded, k.biomarkers))
    proposals = clock.time("propose", lambda: propose_scenarios(coded, twin, k.interventions, k.safety))
    trajectories = clock.time(
        "simulate",
        lambda: simulate(twin, proposals.scenarios, k.biomarkers, k.interventions, k.outcomes),
    )
    plan = clock.time(
        "recommend",
        lambda: recommend(
            *(coded, twin, proposals, trajectories, k.interventions, k.guidelines, k.safety),
            version=k.version,
            tumour=k.outcomes.tumour,
        ),
    )
    options = WriteOptions(label=label, instantiates=canonical("PlanDefinition", PLAN_ID, k.version))
    output = clock.time("write", lambda: write_plan(plan, base=base, options=options)) if write else {}
    return Run(chart, coded, twin, proposals, trajectories, plan, output, tuple(clock.spent))


def warm_up(knowledge: Knowledge) -> None:
    """Take machine code where there is some, and run once on a made-up adult, so that what is built at the first use is
    there before the first patient."""
    fast.load()
    person = {"resourceType": "Patient", "id": "warm-up", "birthDate": "1960-01-01", "gender": "female"}
    problem = {
        "resourceType": "Condition",
        "id": "c",
        "subject": {"reference": "Patient/warm-up"},
        "code": {"text": "HTN"},
    }
    drug = {
        "resourceType": "MedicationRequest",
        "id": "m",
        "status": "active",
        "intent": "order",
        "subject": {"reference": "Patient/warm-up"},
        "medicationCodeableConcept": {"text": "lisinopril 10 mg"},
    }
    entries = [{"resource": r} for r in (person, problem, drug)]
    run(
        {"resourceType": "Bundle", "type": "collection", "entry": entries},
        knowledge,
        datetime(2026, 1, 1, tzinfo=UTC),
    )


def judge_drafts(
    done: Run, patient: dict[str, Any], drafts: Sequence[dict[str, Any]], knowledge: Knowledge
) -> tuple[OrderRemark, ...]:
    """What is to be said of draft orders (R4 resources) before they are signed, against the run on the record.

    patient: the Patient resource. drafts: orders of any type with an id, and the Medications that they name. Drug
    orders are read as if they were in force; others are judged where there is knowledge, else said to be not judged.
    A plan that was refused judges nothing: see `done.plan.refused`."""
    if done.plan.refused:
        return ()
    k = knowledge
    renewed = {f"MedicationRequest/{d['id']}" for d in drafts if d.get("priorPrescription")}
    kinds = (DRUG_ORDER, "Medication")
    drugs = [d for d in drafts if d.get("resourceType") in kinds]
    others = tuple(read_order(d) for d in drafts if d.get("resourceType") not in kinds)
    entries = [{"resource": r} for r in (patient, *(as_if_signed(d) for d in drugs))]
    bundle: Bundle = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    chart = read_chart(bundle, done.chart.as_of)
    coded = code_chart(chart, k.coder, k.concept_maps)
    found = tuple(
        replace(m, medication=replace(m.medication, flags=(*m.medication.flags, "renewal")))
        if m.medication.source in renewed
        else m
        for m in coded.medications
    )
    case = make_case(
        *(done.coded, done.twin, done.proposals, done.trajectories, k.interventions, k.guidelines, k.safety)
    )
    seen = {m.medication.source for m in found}
    unread = [f"{DRUG_ORDER}/{d['id']}" for d in drugs if d["resourceType"] == DRUG_ORDER]
    lost = tuple(not_read(order) for order in unread if order not in seen)
    together = replace(done.coded, medications=(*done.coded.medications, *found))
    rest = judge_nondrug(case, others, k.orders, view(together, done.twin, case.risks))
    return (*judge_orders(case, found, done.plan), *lost, *rest)


class _Clock:
    """CPU seconds by stage (process time: waiting is not counted)."""

    def __init__(self, tell: Callable[[str], None] = _silent) -> None:
        self.spent: list[tuple[str, float]] = []
        self._tell = tell

    def time(self, name: str, stage: Callable[[], T]) -> T:
        self._tell(name)
        start = time.process_time()
        value = stage()
        self.spent.append((name, time.process_time() - start))
        return value
