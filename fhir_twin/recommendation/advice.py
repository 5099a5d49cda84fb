"""Advice by guideline: vaccination, referral, education, self-monitoring - what needs no number to be proposed.

An intervention without any effect claims none: it is not simulated and never ranked against options of benefit. It is
proposed at the end of the plan when its indication holds for certain, its source was read, and the record does not
show it as done.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from fhir_twin.model import rules
from fhir_twin.model.guidelines import DueRule
from fhir_twin.model.intervention import Intervention, Interventions
from fhir_twin.model.memo import ById
from fhir_twin.model.plan import Recommendation
from fhir_twin.recommendation.case import Case
from fhir_twin.recommendation.due import due


def advice(case: Case, rank: int) -> tuple[Recommendation, ...]:
    """At most `most_advice` proposals, those of the lowest `order` first. rank: of the first."""
    found = due(_rules(ById(case.interventions)), rank, case)
    most = case.guidelines.ranking.most_advice
    return tuple(_complete(r, case.interventions.get(r.key)) for r in found[:most])


@lru_cache(maxsize=8)
def _rules(known: ById[Interventions]) -> tuple[DueRule, ...]:
    return tuple(rule for item in known.value.items if item.by_guideline and (rule := _rule(item)))


def _rule(item: Intervention) -> DueRule | None:
    """None without an indication: advice that is meant for nobody in particular is not given."""
    if item.indication is None:
        return None
    guideline = f" ({item.guideline})" if item.guideline else ""
    return DueRule(
        key=item.key,
        kind=item.kind,
        title=item.title,
        code=next(iter(item.codes), None),
        when=item.indication,
        reason=f"Who should have it: {item.indication_text.rstrip('.')}{guideline}.",
        done=item.done,
        strength=item.strength,
        patient_text=item.patient_text,
        addresses=item.addresses,
        order=item.order,
        evidence=tuple(
            rules.Evidence(e.text, e.claim, e.value, e.doi, e.pmid, e.url, e.verified) for e in item.evidence
        ),
    )


def _complete(r: Recommendation, item: Intervention) -> Recommendation:
    return replace(
        r,
        monitoring=item.monitoring,
        certainty=item.certainty,
        harms=tuple(harm.text for harm in item.harms),
        assumptions=("No effect is computed for it; it follows from the guideline alone.",),
    )
