"""Everything that the page shows of a run, made once: only what is decided and asked changes between requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from fhir_twin.knowledge import Knowledge
from fhir_twin.model.decision import Decision
from fhir_twin.pipeline import Run
from fhir_twin.web.views.coding import CodingRow, MappedRow, coding_rows, mapped_rows
from fhir_twin.web.views.goals import GoalsView, goals_view
from fhir_twin.web.views.plan import PlanView, plan_view
from fhir_twin.web.views.record import RecordView, record_view
from fhir_twin.web.views.risks import Past, RiskView, risk_view
from fhir_twin.web.views.twin import BiomarkerCard, PointRow, biomarker_cards, other_points


@dataclass(frozen=True, slots=True, repr=False)
class Shown:
    """The views of one run. others: values of analytes that the twin does not model, by name."""

    cards: tuple[BiomarkerCard, ...]
    others: tuple[tuple[str, tuple[PointRow, ...]], ...]
    risks: RiskView
    plan: PlanView
    record: RecordView
    coding: tuple[CodingRow, ...]
    mapped: tuple[MappedRow, ...]
    goals: GoalsView

    def decided(self, decisions: Mapping[str, Decision]) -> PlanView:
        """The plan with what was decided."""
        if not decisions:
            return self.plan
        groups = tuple(
            (heading, tuple(replace(p, decision=decisions.get(p.rec.key)) for p in found))
            for heading, found in self.plan.groups
        )
        made = [p.decision.action for _, found in groups for p in found if p.decision is not None]
        every = sum(len(found) for _, found in groups)
        counts = {"accept": made.count("accept"), "reject": made.count("reject"), "open": every - len(made)}
        return replace(self.plan, groups=groups, counts=counts)


def shown(run: Run, k: Knowledge, past: Past) -> Shown:
    """All views of `run`, some tens of milliseconds."""
    return Shown(
        cards=biomarker_cards(run, k),
        others=other_points(run, k),
        risks=risk_view(run, past),
        plan=plan_view(run, k),
        record=record_view(run, k),
        coding=coding_rows(run),
        mapped=mapped_rows(run),
        goals=goals_view(run, k),
    )
