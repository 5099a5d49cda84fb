"""One patient's resources -> that patient's rows. The pipeline is the same as for a single patient."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import sqrt
from typing import Any

from fhir_twin.assimilation.calibration import residual_rows
from fhir_twin.errors import TwinError
from fhir_twin.fhir.read import read_chart
from fhir_twin.knowledge import Knowledge
from fhir_twin.model.chart import Completeness
from fhir_twin.model.guidelines import Ranking
from fhir_twin.model.plan import Plan, Recommendation
from fhir_twin.pipeline import Run, run
from fhir_twin.population.lines import Resource, own_resources
from fhir_twin.population.observed import Observed, observed
from fhir_twin.population.synth_fhir import DEPRIVATION
from fhir_twin.population.tables import Rows, empty
from fhir_twin.recommendation.rank import counted
from fhir_twin.rules.consent import consent_refusal

SAFETY_TYPES = (
    "Observation", "Condition", "MedicationRequest", "MedicationStatement", "AllergyIntolerance", "Consent"
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Task:
    """What is the same for every patient of a run. index: predictions are made from what was known then, and what
    happened until `as_of` is observed ("" = no such look back). deprivation: extension url. incomplete: the export
    lacks files or lines, and no one can say whose. base: the server of the export ("" = not known); what points to
    a patient of another server is not about ours."""

    as_of: str
    index: str = ""
    deprivation: str = DEPRIVATION
    residuals: bool = True
    incomplete: bool = False
    base: str = ""

    @property
    def moment(self) -> datetime:
        return _moment(self.index or self.as_of)

    @property
    def until(self) -> datetime:
        return _moment(self.as_of)


def _moment(text: str) -> datetime:
    when = datetime.fromisoformat(text)
    if len(text) <= 10:
        when = when.replace(hour=23, minute=59, second=59)
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def person(patient: str, resources: Sequence[Resource], knowledge: Knowledge, task: Task) -> Rows:
    """Rows of one patient. A patient that cannot be read is a row with state "failed" and a safe reason."""
    foreign = 0
    try:
        resources, foreign = own_resources(resources, task.base)
        rows = _told(patient, resources, knowledge, task)
    except TwinError as error:
        rows = _nothing(patient, "failed", error.message, resources)
    except Exception as error:  # noqa: BLE001 - one of many: it is told by its kind, the rest goes on
        rows = _nothing(patient, "failed", f"an error of ours ({type(error).__name__})", resources)
    return counted_issues(rows, foreign)


def _told(patient: str, resources: Sequence[Resource], knowledge: Knowledge, task: Task) -> Rows:
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": r} for r in resources]}
    refusal = refused_now(bundle, task, patient)
    if refusal:
        return _nothing(patient, "refused", refusal, resources)
    short = _short(resources) if task.incomplete else ()
    done = run(bundle, knowledge, task.moment, patient=patient, write=False, completeness=short)
    seen = observed(bundle, knowledge, task.moment, task.until, patient) if task.index else ()
    return _rows(patient, done, seen, resources, knowledge, task)


def counted_issues(rows: Rows, issues: int) -> Rows:
    """The patient's row with so many more issues (its last column)."""
    row = rows["patients"][0]
    rows["patients"][0] = (*row[:-1], row[-1] + issues)
    return rows


def _short(resources: Sequence[Resource]) -> tuple[Completeness, ...]:
    """Of an incomplete export every type may lack something of this patient; the plan says so."""
    read = Counter(str(r.get("resourceType", "")) for r in resources)
    note = "the export was not complete"
    return tuple(Completeness(t, read[t], None, "short", note) for t in SAFETY_TYPES)


def refused_now(bundle: Resource, task: Task, patient: str) -> str:
    """A run that looks back to the index date uses the record today: a consent withdrawn since then counts. "" when
    nothing forbids it, and in a run that does not look back (the pipeline asks itself). Raises TwinError."""
    if not task.index:
        return ""
    return consent_refusal(read_chart(bundle, task.until, patient=patient).consents, task.until)


def _nothing(patient: str, state: str, reason: str, resources: Sequence[Resource]) -> Rows:
    rows = empty()
    told = (patient, state, reason, None, "", "", "", "", "", "", "", len(resources), 0, 0)
    rows["patients"].append(told)
    return rows


def _rows(
    patient: str,
    done: Run,
    seen: Sequence[Observed],
    resources: Sequence[Resource],
    knowledge: Knowledge,
    task: Task,
) -> Rows:
    rows = empty()
    rows["patients"].append(_patient(patient, done, resources, task))
    if done.plan.refused:
        return rows
    _fill(rows, patient, done, knowledge)
    if task.residuals:
        scores = residual_rows(done.coded, knowledge.biomarkers)
        rows["residuals"] += [(patient, *row) for row in scores]
    rows["observed"] += [(patient, o.outcome, o.event, o.years) for o in seen]
    return rows


def _patient(patient: str, done: Run, resources: Sequence[Resource], task: Task) -> tuple[Any, ...]:
    chart, profile, plan = done.chart, done.twin.profile, done.plan
    return (
        patient,
        "refused" if plan.refused else "ok",
        plan.refused,
        profile.age,
        chart.patient.sex,
        chart.patient.race,
        chart.patient.ethnicity,
        chart.patient.language,
        _deprivation(resources, task.deprivation),
        profile.smoking,
        " ".join(sorted(profile.groups)),
        len(resources),
        len(chart.measurements),
        len(done.issues),
    )


def _deprivation(resources: Sequence[Resource], url: str) -> str:
    """The value of the extension on the Patient, as text; "" = not recorded."""
    for resource in resources:
        if resource.get("resourceType") == "Patient":
            extensions = resource.get("extension")
            for extension in extensions if isinstance(extensions, list) else ():
                if isinstance(extension, dict) and extension.get("url") == url:
                    return str(next((v for k, v in extension.items() if k.startswith("value")), ""))
    return ""


def _fill(rows: Rows, patient: str, done: Run, knowledge: Knowledge) -> None:
    plan = done.plan
    for e in plan.estimates:
        last = e.last.date().isoformat() if e.last else None
        rows["estimates"].append(
            (patient, e.biomarker, e.unit, e.mean, e.low, e.high, e.basis, e.observations, last)
        )
    rows["risks"] += [
        (patient, r.outcome, r.horizon_years, r.probability, r.low, r.high, r.equation) for r in plan.risks
    ]
    rows["proposals"] += [_proposal(patient, r, knowledge.guidelines.ranking) for r in plan.recommendations]
    rows["gaps"] += _gaps(patient, plan)


def _proposal(patient: str, r: Recommendation, ranking: Ranking) -> tuple[Any, ...]:
    """Its worth on the plan's own scale (weighted events), and the outcome that matters most to it."""
    changes, weights = counted(r.changes, ranking), ranking.weights
    told: tuple[Any, ...] = (None, None, None, "", None, None, None, None)
    if changes:
        worth = -sum(weights[c.outcome] * c.difference for c in changes)
        half = sqrt(sum((weights[c.outcome] * (c.high - c.low) / 2.0) ** 2 for c in changes))
        lead = max(changes, key=lambda c: (abs(weights[c.outcome] * c.difference), c.outcome))
        told = (
            worth, worth - half, worth + half, lead.outcome, lead.horizon_years, -lead.difference, -lead.high,
            -lead.low,
        )  # fmt: skip
    why = " ".join(reason.text for reason in r.why[:2])
    return (patient, r.rank, r.key, r.kind, r.title, *told, r.certainty, r.strength, why)


def _gaps(patient: str, plan: Plan) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = [(patient, "question", q.key, "", q.text) for q in plan.questions]
    found += [
        (patient, "due", r.key, "", r.title)
        for r in plan.recommendations
        if r.kind in ("screening", "test") and not r.changes
    ]
    found += [(patient, "finding", f.key, f.severity, f.text) for f in plan.findings]
    found += [(patient, "limit", "", "", text) for text in plan.limits]
    return found
