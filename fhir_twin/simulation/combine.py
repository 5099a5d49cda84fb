"""Are several new drugs safe together? Each is judged as if the others were taken already."""

from __future__ import annotations

from dataclasses import replace

from fhir_twin.model.chart import Medication
from fhir_twin.model.coded import CodedChart, CodedMedication
from fhir_twin.model.codes import Concept
from fhir_twin.model.intervention import Intervention
from fhir_twin.model.rules import Hit, SafetyRules
from fhir_twin.model.twin import Twin
from fhir_twin.rules import judge


def allowed_together(
    coded: CodedChart, twin: Twin, items: tuple[Intervention, ...], safety: SafetyRules
) -> tuple[Hit, ...]:
    """Stops that arise only from taking `items` together (each alone is known to be allowed)."""
    drugs = [item for item in items if item.kind == "medication"]
    hits: dict[str, Hit] = {}
    for item in drugs:
        others = tuple(_hypothetical(other) for other in drugs if other is not item)
        with_others = replace(coded, medications=(*coded.medications, *others))
        profile = replace(
            twin.profile,
            classes=twin.profile.classes.union(*(m.classes | set(m.ingredients) for m in others)),
        )
        verdict = judge(
            with_others, replace(twin, profile=profile), item.key, item.ingredients, item.classes, safety
        )
        hits.update((hit.rule, hit) for hit in verdict.blocked)
    return tuple(hits[key] for key in sorted(hits))


def _hypothetical(item: Intervention) -> CodedMedication:
    """The option as a current drug. Its source says that it is an assumption, not a record."""
    medication = Medication(f"option/{item.key}", Concept(text=item.title), "active", current=True)
    return CodedMedication(
        medication, item.ingredients, (), frozenset(item.classes), None, 1.0, from_text=False
    )
