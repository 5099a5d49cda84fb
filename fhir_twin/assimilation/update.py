"""New results into a stored twin: O(1) when they come in order, a replay when they do not. Same answer either way.

`update_twin` looks only at what arrived and at the stored memory. Whatever could change how older values were taken
(late or amended results, a height, another eGFR equation, a drug start, a new diagnosis, a date that was in the future
and came) is replayed from the whole chart with `build_twin`, which is a function of the chart alone: so the state never
depends on the order of arrival.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from fhir_twin.assimilation.assimilate import advance, contributions
from fhir_twin.assimilation.build import WITHOUT_STATE, assemble, build_twin, prepare
from fhir_twin.assimilation.clock import years
from fhir_twin.assimilation.derive import derive
from fhir_twin.assimilation.observe import by_time
from fhir_twin.assimilation.profile import build_profile, refusal
from fhir_twin.assimilation.treatment import treatment_terms
from fhir_twin.assimilation.visits import group_points, mark_unmodelled
from fhir_twin.model.biomarker import BiomarkerSet
from fhir_twin.model.coded import CodedChart
from fhir_twin.model.twin import Memory, Point, Profile, TreatmentTerm, Twin

# Two printed times less than this apart could still be one day somewhere on earth (OB-8 compares local days).
SEPARATE = timedelta(hours=26)


def update_twin(
    twin: Twin, arrived: CodedChart, biomarkers: BiomarkerSet, whole: Callable[[], CodedChart]
) -> tuple[Twin, bool]:
    """The twin after the measurements of `arrived`, and whether it was appended (True) or replayed (False).

    arrived: the patient as now known (problems, drugs, social facts, as_of) but with only the new measurements.
    whole: gives the complete chart, called only for a replay. The result equals build_twin(whole())."""
    appended = append(twin, arrived, biomarkers)
    if appended is not None:
        return appended, True
    return build_twin(whole(), biomarkers), False


def append(twin: Twin, arrived: CodedChart, biomarkers: BiomarkerSet) -> Twin | None:
    """The twin with the new measurements, None when they have to be replayed with the whole chart."""
    memory = twin.memory
    profile = build_profile(arrived)
    refused = refusal(profile)
    if memory is None or refused in WITHOUT_STATE or twin.model_version != biomarkers.version:
        return None
    if not _same_person(twin, profile) or arrived.chart.as_of < twin.as_of:
        return None
    if memory.day < 0 or not _same_drugs(memory, arrived, biomarkers):
        return None
    if _came_due(twin, arrived.chart.as_of):
        return None
    new = _new_points(twin, arrived, biomarkers, profile)
    if new is None:
        return None
    points, issues = sorted(new[0], key=by_time), new[1]
    groups = group_points(points, biomarkers, arrived.chart.age_at)
    if any(g.day <= memory.day for g in groups):
        return None
    result = advance(memory, groups, biomarkers, profile, years(arrived.chart.as_of))
    done = contributions(points, groups, result)
    kept = tuple(i for i in twin.issues if i.code != "business-rule")
    return assemble(arrived, biomarkers, profile, (*twin.points, *done), (*kept, *issues), result, refused)


def _same_person(twin: Twin, profile: Profile) -> bool:
    """What the prior, the slope regimes and the ageing rest on."""
    old = twin.profile
    return (old.sex, old.groups, old.ever) == (profile.sex, profile.groups, profile.ever) and (
        old.age is None
    ) == (profile.age is None)


def _came_due(twin: Twin, as_of: datetime) -> bool:
    """Whether a stored value that was dated in the future lies in the past by now: it counts from then on."""
    for point in reversed(twin.points):  # in order of time: those of the future stand last
        if point.time is None or point.time <= twin.as_of:
            return False
        if point.time <= as_of:
            return True
    return False


def _same_drugs(memory: Memory, arrived: CodedChart, biomarkers: BiomarkerSet) -> bool:
    terms = treatment_terms(arrived, biomarkers, memory.reference)
    return [_told(t) for t in terms] == [_told(t) for t in memory.terms]


def _told(term: TreatmentTerm) -> tuple[object, ...]:
    """What the record and the knowledge say of a term: all but `mean`, which the filter adapts to the person."""
    return (
        *(term.biomarker, term.drug_class, term.start, term.end, term.onset, term.spread),
        *(term.sources, term.trial),
    )


def _new_points(
    twin: Twin, arrived: CodedChart, biomarkers: BiomarkerSet, profile: Profile
) -> tuple[tuple[Point, ...], tuple] | None:  # type: ignore[type-arg]
    """Points of the new measurements, BMI from the stored heights; None when old points could change."""
    observed, issues = prepare(arrived, biomarkers, profile)
    raw = [p for p in observed if not any(f.startswith("derived:") for f in p.flags)]
    newest = twin.points[-1].time  # points are in order of time
    for point in raw:
        if point.biomarker in ("height", "egfr") and point.used:
            return None
        if point.time is None or newest is None or point.time - newest < SEPARATE:
            return None
    if any(p.biomarker == "creatinine" for p in raw) and _reported_egfr(twin.points):
        return None
    if not any(p.biomarker == "weight" for p in raw):
        return observed, issues
    heights = [p for p in twin.points if p.biomarker == "height" and p.used]
    female = None if profile.sex is None else profile.sex == "female"
    derived = derive([*heights, *raw], biomarkers, arrived.chart.age_at, female)
    return mark_unmodelled(derived[len(heights) :], biomarkers, arrived.chart.age_at), issues


def _reported_egfr(points: Sequence[Point]) -> bool:
    return any(
        p.biomarker == "egfr" and p.used and not any(f == "derived:creatinine" for f in p.flags)
        for p in points
    )
