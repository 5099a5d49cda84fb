"""Who of a cohort may take part, and what the twin forecasts for each of them under each arm: one pass over
the buckets.

For every eligible person and outcome: probability within the follow-up under control (mean), and the
difference under each
other arm in a number of common parameter draws. The draws are shared by all people: draw d is one possible world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fhir_twin.assimilation import build_twin
from fhir_twin.coding import code_chart
from fhir_twin.errors import TwinError
from fhir_twin.fhir.read import read_chart
from fhir_twin.knowledge import Knowledge
from fhir_twin.model.scenario import CONTINUE, Scenario, Trajectory
from fhir_twin.model.twin import Z80, Twin
from fhir_twin.population.bucket import OURS, Site, grouped, knowledge_of
from fhir_twin.population.lines import own_resources, resources_of
from fhir_twin.population.person import Task, refused_now
from fhir_twin.population.shred import Whole
from fhir_twin.population.trial_protocol import Eligibility, Protocol
from fhir_twin.rules.consent import consent_refusal
from fhir_twin.simulation import simulate

WORLDS = 100  # parameter draws that are kept
_S, _F = pa.string(), pa.float64()
SCHEMA = pa.schema(
    [
        ("patient", _S), ("age", _F), ("sex", _S), ("diabetes", pa.bool_()), ("smoker", pa.bool_()),
        ("outcome", _S), ("arm", pa.int32()), ("control", _F), ("worlds", pa.list_(pa.float32())),
        ("mean", _F), ("sd", _F),
    ]
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ArmWork:
    """One bucket of a trial's pass."""

    number: int
    shards: tuple[str, ...]
    out: str
    task: Task
    protocol: Protocol
    site: Site = OURS

    @property
    def path(self) -> Path:
        return Path(self.out) / f"arms-{self.number:05d}.parquet"


@dataclass(frozen=True, slots=True)
class ArmsDone:
    number: int
    screened: int
    eligible: int
    usable: int
    failed: int


def arms(work: ArmWork) -> ArmsDone:
    """Forecasts of all eligible people of a bucket. usable: those for whom the primary endpoint can be told;
    failed: those whom an error of ours kept out."""
    knowledge = knowledge_of(work.site)
    rows: list[tuple[Any, ...]] = []
    screened = eligible = usable = failed = 0
    for patient, lines in grouped(work.shards, work.number):
        screened += 1
        try:
            twin = _twin(patient, lines, knowledge, work.task)
            if twin is None or not _fits(twin, work.protocol.eligibility):
                continue
            found = forecasts(twin, work.protocol, knowledge)
        except Exception:  # noqa: BLE001 - one of many: counted and said, the rest goes on
            failed += 1
            continue
        if found is None:
            continue
        eligible += 1
        usable += any(row[0] == work.protocol.primary for row in found)
        facts = (
            patient,
            twin.profile.age,
            twin.profile.sex or "unknown",
            twin.profile.diabetes,
            twin.profile.smoker,
        )
        rows += [(*facts, *row) for row in found]
    columns = list(zip(*rows, strict=True)) or [()] * len(SCHEMA)
    arrays = [pa.array(list(c), f.type) for c, f in zip(columns, SCHEMA, strict=True)]
    work.path.parent.mkdir(parents=True, exist_ok=True)
    with Whole(work.path) as draft:
        pq.write_table(pa.Table.from_arrays(arrays, schema=SCHEMA), draft, compression="zstd")
    return ArmsDone(work.number, screened, eligible, usable, failed)


def _twin(patient: str, lines: Sequence[bytes], knowledge: Knowledge, task: Task) -> Twin | None:
    """None when there is none: refused, unreadable, or the patient's consent forbids it."""
    try:
        own, _ = own_resources(resources_of(lines)[0], task.base)
        bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": r} for r in own]}
        chart = read_chart(bundle, task.moment, patient=patient)
        if refused_now(bundle, task, patient):
            return None
    except TwinError:
        return None
    if consent_refusal(chart.consents, task.moment):
        return None
    twin = build_twin(code_chart(chart, knowledge.coder, knowledge.concept_maps), knowledge.biomarkers)
    return None if twin.refused else twin


def _fits(twin: Twin, rule: Eligibility) -> bool:
    """All but the risk criterion. What is not known does not fit: an unknown age is in no range."""
    p = twin.profile
    if rule.age != (None, None) and not _inside(p.age, *rule.age):
        return False
    if (rule.sex and p.sex != rule.sex) or (rule.smoker is not None and p.smoker is not rule.smoker):
        return False
    groups = p.groups | ({"diabetes"} if p.diabetes else set())
    if not set(rule.has) <= groups or set(rule.without) & (groups | p.ever):
        return False
    if not set(rule.takes) <= p.classes or set(rule.not_taking) & p.classes:
        return False
    return all(
        key in twin.biomarkers and bool(twin.used(key)) and _inside(twin.estimate(key).mean, low, high)
        for key, low, high in rule.biomarkers
    )


def _inside(value: float | None, low: float | None, high: float | None) -> bool:
    return value is not None and (low is None or value >= low) and (high is None or value <= high)


def forecasts(twin: Twin, protocol: Protocol, knowledge: Knowledge) -> list[tuple[Any, ...]] | None:
    """Rows (outcome, arm, control probability, differences by world, mean, sd) for events and continuous endpoints;
    None when the risk criterion is not met."""
    years = protocol.follow_up
    scenarios = (
        Scenario(CONTINUE.key, CONTINUE.name, (), years),
        *(Scenario(f"arm-{n}", a.name, a.choices, years) for n, a in enumerate(protocol.arms) if n),
    )
    runs = simulate(twin, scenarios, knowledge.biomarkers, knowledge.interventions, knowledge.outcomes)
    if not runs or not _risky(twin, protocol, knowledge):
        return None
    base = {
        r.outcome: (r.probability, r.horizon_years) for r in runs[0].risks if r.horizon_years <= years + 1e-9
    }
    rows: list[tuple[Any, ...]] = []
    for outcome in dict.fromkeys((protocol.primary, *protocol.secondary, "death")):
        if outcome.startswith("biomarker:"):
            rows += _continuous(outcome, runs, years)
        elif outcome in base:
            control, horizon = base[outcome]
            stretch = years / horizon  # a shorter model (diabetes: 3 years) goes on at its own rate
            now = _over(control, stretch)
            rows.append((outcome, 0, now, None, None, None))
            for n, run in enumerate(runs[1:], 1):
                worlds = [_over(control + d, stretch) - now for d in _worlds(run, outcome)]
                rows.append((outcome, n, now, worlds, None, None))
    return rows


def _over(probability: float, stretch: float) -> float:
    """1 - S^stretch."""
    return float(-np.expm1(stretch * np.log1p(-min(max(probability, 0.0), 1.0 - 1e-12))))


def _risky(twin: Twin, protocol: Protocol, knowledge: Knowledge) -> bool:
    if not protocol.eligibility.risk:
        return True
    (ten,) = simulate(
        twin, (CONTINUE,), knowledge.biomarkers, knowledge.interventions, knowledge.outcomes, draws=200
    )
    risks = {r.outcome: r.probability for r in ten.risks if r.horizon_years <= 10.0}
    return all(_inside(risks.get(outcome), low, high) for outcome, low, high in protocol.eligibility.risk)


def _worlds(run: Trajectory, outcome: str) -> list[float]:
    """Differences in the kept draws; zeros when the arm does nothing to this outcome."""
    for name, _, draws in run.draws:
        if name == outcome:
            return [float(v) for v in draws[np.linspace(0, len(draws) - 1, WORLDS).astype(int)]]
    return [0.0] * WORLDS


def _continuous(outcome: str, runs: Sequence[Trajectory], years: float) -> list[tuple[Any, ...]]:
    """Forecast of the usual value at the end of follow-up, mean and SD (canonical unit), per arm."""
    key = outcome.partition(":")[2]
    found: list[tuple[Any, ...]] = []
    for n, run in enumerate(runs):
        if key not in run.biomarkers:
            return []
        i, at = run.biomarkers.index(key), int(np.searchsorted(run.times, years - 1e-9))
        at = min(at, len(run.times) - 1)
        sd = (run.high[at, i] - run.low[at, i]) / (2 * Z80)
        found.append((outcome, n, None, None, float(run.median[at, i]), float(sd)))
    return found
