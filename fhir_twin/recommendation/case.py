"""Case: everything the parts of the plan look at, gathered once."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fhir_twin.model.coded import CodedChart
from fhir_twin.model.guidelines import Guidelines
from fhir_twin.model.intervention import Interventions
from fhir_twin.model.memo import HIDDEN
from fhir_twin.model.plan import Reason, StatedPreference
from fhir_twin.model.rules import Predicate, SafetyRules, Words
from fhir_twin.model.scenario import EventRisk, Proposals, Trajectory
from fhir_twin.model.twin import Estimate, Twin
from fhir_twin.rules import PatientView, evaluate, view
from fhir_twin.rules.preferences import stated_preferences


@dataclass(frozen=True, slots=True, repr=False)
class Case:
    """One patient with all that was computed, and the knowledge. `patient` knows the simulated risks."""

    coded: CodedChart
    twin: Twin
    proposals: Proposals
    trajectories: tuple[Trajectory, ...]
    interventions: Interventions
    guidelines: Guidelines
    safety: SafetyRules
    patient: PatientView
    preferences: tuple[StatedPreference, ...] = ()
    memo: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False, metadata=HIDDEN)

    @property
    def as_of(self) -> datetime:
        return self.twin.as_of

    @property
    def words(self) -> Words:
        return self.safety.words

    @property
    def risks(self) -> tuple[EventRisk, ...]:
        return self.patient.risks

    def holds(self, predicate: Predicate | None) -> bool | None:
        return None if predicate is None else evaluate(predicate, self.patient, self.words).value

    def facts(self, predicate: Predicate) -> tuple[Reason, ...]:
        return evaluate(predicate, self.patient, self.words).facts

    def estimate(self, analyte: str) -> Estimate | None:
        """The twin's estimate, None when it does not model the analyte or knows only the population."""
        if analyte not in self.twin.biomarkers:
            return None
        found = self.twin.estimate(analyte)
        return found if found.basis == "personal" else None


def make_case(
    coded: CodedChart,
    twin: Twin,
    proposals: Proposals,
    trajectories: tuple[Trajectory, ...],
    interventions: Interventions,
    guidelines: Guidelines,
    safety: SafetyRules,
) -> Case:
    """Risks are those of "continue as now" (the scenario without choices)."""
    now = next((t for t in trajectories if not t.scenario.choices), None)
    risks = now.risks if now else ()
    patient = view(coded, twin, risks)
    stated = stated_preferences(coded, guidelines.preferences)
    return Case(coded, twin, proposals, trajectories, interventions, guidelines, safety, patient, stated)
