"""Twin.profile: what equations and rules need besides biomarkers, each fact with its source. Unknown stays None."""

from __future__ import annotations

from fhir_twin.model.coded import CodedChart
from fhir_twin.model.twin import Profile

CVD = ("ascvd", "coronary-disease", "myocardial-infarction", "stroke", "tia", "peripheral-artery-disease",
       "heart-failure")  # fmt: skip
DIABETES = ("diabetes", "diabetes-type-1", "diabetes-type-2")


def build_profile(coded: CodedChart) -> Profile:
    """Facts as of the chart's moment."""
    chart, social = coded.chart, coded.social
    holds = frozenset(g for p in coded.problems if p.holds for g in p.groups)
    ever = frozenset(g for p in coded.problems if p.ever for g in p.groups)
    current = [m for m in coded.medications if m.medication.current]
    classes = frozenset(c for m in current for c in (*m.classes, *m.ingredients))
    sex = chart.patient.sex
    return Profile(
        age=chart.age_at(chart.as_of),
        sex=sex if sex in ("female", "male") else None,
        smoker={"current": True, "former": False, "never": False}.get(social.smoking),
        smoking=social.smoking,
        diabetes=any(g in holds for g in DIABETES),
        treated_bp="bp-lowering" in classes,
        statin="statin" in classes,
        cvd=any(g in ever for g in CVD),
        pregnant=True if "pregnancy" in holds else social.pregnant,
        groups=holds,
        ever=ever,
        classes=classes,
        deceased=chart.patient.deceased,
        sources=_sources(coded),
    )


def _sources(coded: CodedChart) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = [
        ("age", coded.chart.patient.source),
        ("sex", coded.chart.patient.source),
        ("smoking", coded.social.smoking_source),
        ("pregnant", coded.social.pregnant_source),
    ]
    for problem in coded.problems:
        if problem.ever:
            found += [(group, problem.problem.source) for group in sorted(problem.groups)]
            found += [("cvd", problem.problem.source)] if problem.groups & set(CVD) else []
    for drug in coded.medications:
        if drug.medication.current:
            found += [(name, drug.medication.source) for name in sorted({*drug.classes, *drug.ingredients})]
    return tuple(dict.fromkeys((fact, source) for fact, source in found if source))


def refusal(profile: Profile) -> str:
    """Why no forecast may be made, "" when it may: who the model was not made for."""
    if profile.deceased:
        return "deceased"
    if profile.age is None:
        return "age unknown"
    if profile.age < 18.0:
        return "minor"
    if profile.pregnant:
        return "pregnant"
    if "hospice" in profile.groups:
        return "end of life"
    return ""
