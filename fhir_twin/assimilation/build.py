"""build_twin: CodedChart + BiomarkerSet -> Twin. A pure function; the same chart gives the same bits."""

from __future__ import annotations

import numpy as np

from fhir_twin.assimilation.assimilate import Assimilated, advance, contributions, start_memory
from fhir_twin.assimilation.clock import EPOCH, YEAR, years
from fhir_twin.assimilation.derive import derive
from fhir_twin.assimilation.observe import by_time, observe
from fhir_twin.assimilation.profile import build_profile, refusal
from fhir_twin.assimilation.treatment import treatment_terms
from fhir_twin.assimilation.visits import Group, group_points, mark_unmodelled
from fhir_twin.errors import Issue
from fhir_twin.model.biomarker import BiomarkerSet
from fhir_twin.model.coded import CodedChart
from fhir_twin.model.twin import Point, Profile, Twin, readonly

WITHOUT_STATE = ("deceased", "minor")


def build_twin(coded: CodedChart, biomarkers: BiomarkerSet) -> Twin:
    """The patient's state as of the chart's moment, with what every source did to it.

    Never raises for a poor record: without usable values the state is the population's (`Estimate.basis` says so).
    A refused twin (`Twin.refused`) of a minor or a deceased person has no state at all, only its points."""
    profile = build_profile(coded)
    refused = refusal(profile)
    points, issues = prepare(coded, biomarkers, profile)
    if refused:
        issues = (*issues, Issue("warning", "business-rule", f"no forecast: {refused}", stage="assimilate"))
    if refused in WITHOUT_STATE:
        return _empty(coded, profile, points, issues, biomarkers, refused)
    groups = group_points(points, biomarkers, coded.chart.age_at)
    as_of = years(coded.chart.as_of)
    reference = groups[0].time if groups else as_of
    terms = treatment_terms(coded, biomarkers, reference)
    age = coded.chart.age_at(EPOCH + reference * YEAR)
    memory = start_memory(biomarkers, profile, age, reference, terms)
    result = advance(memory, groups, biomarkers, profile, as_of)
    points = contributions(points, groups, result)
    return assemble(coded, biomarkers, profile, points, issues, result, refused)


def prepare(
    coded: CodedChart, biomarkers: BiomarkerSet, profile: Profile
) -> tuple[tuple[Point, ...], tuple[Issue, ...]]:
    """Observed and derived points, with those that the adult model cannot take turned off."""
    observed, issues = observe(coded, biomarkers)
    female = None if profile.sex is None else profile.sex == "female"
    points = derive(observed, biomarkers, coded.chart.age_at, female)
    return tuple(sorted(mark_unmodelled(points, biomarkers, coded.chart.age_at), key=by_time)), issues


def assemble(
    coded: CodedChart,
    biomarkers: BiomarkerSet,
    profile: Profile,
    points: tuple[Point, ...],
    issues: tuple[Issue, ...],
    result: Assimilated,
    refused: str,
) -> Twin:
    responses = tuple(
        (
            term.biomarker,
            term.drug_class,
            float(result.state[c]),
            float(np.sqrt(result.state_covariance[c, c])),
        )
        for _, c, term in result.layout.terms
    )
    return Twin(
        subject=coded.chart.patient.source,
        as_of=coded.chart.as_of,
        profile=profile,
        biomarkers=biomarkers.keys,
        units=tuple(m.unit for m in biomarkers.models),
        scales=tuple(m.scale for m in biomarkers.models),
        mean=readonly(result.mean),
        covariance=readonly(result.covariance),
        state=readonly(result.state),
        state_covariance=readonly(result.state_covariance),
        state_names=result.layout.names,
        points=points,
        issues=issues,
        model_version=biomarkers.version,
        refused=refused,
        responses=responses,
        memory=result.memory,
        terms=result.memory.terms,
    )


def _empty(
    coded: CodedChart,
    profile: Profile,
    points: tuple[Point, ...],
    issues: tuple[Issue, ...],
    biomarkers: BiomarkerSet,
    refused: str,
) -> Twin:
    none = readonly(np.zeros(0))
    square = readonly(np.zeros((0, 0)))
    return Twin(
        subject=coded.chart.patient.source,
        as_of=coded.chart.as_of,
        profile=profile,
        biomarkers=(),
        units=(),
        scales=(),
        mean=none,
        covariance=square,
        state=none,
        state_covariance=square,
        state_names=(),
        points=points,
        issues=issues,
        model_version=biomarkers.version,
        refused=refused,
    )


__all__ = ["Group", "assemble", "build_twin", "prepare"]
