"""Synthetic cohorts: repeatable, marked, valid, and like the model they are drawn from."""

from __future__ import annotations

import json
from collections import Counter
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from population_cohort import END, PEOPLE, Ran

from fhir_twin.errors import InvalidInput
from fhir_twin.fhir.validate import validate_resource
from fhir_twin.knowledge import Knowledge
from fhir_twin.population.synth import cohort, write_cohort
from fhir_twin.population.synth_design import load_design
from fhir_twin.population.synth_draw import NEVER, draw_lives


def _lines(folder: Path) -> dict[str, list[str]]:
    return {p.stem: p.read_text().splitlines() for p in folder.glob("*.ndjson")}


def test_same_seed_same_bytes_and_a_larger_cohort_begins_with_the_smaller(
    knowledge: Knowledge, cohort: Path, tmp_path: Path
) -> None:
    write_cohort(tmp_path / "a", knowledge, patients=PEOPLE, seed=7, end=END, years=4.0)
    assert _lines(tmp_path / "a") == _lines(cohort)
    write_cohort(tmp_path / "b", knowledge, patients=PEOPLE + 10, seed=7, end=END, years=4.0)
    for kind, lines in _lines(cohort).items():
        assert _lines(tmp_path / "b")[kind][: len(lines)] == lines
    write_cohort(tmp_path / "c", knowledge, patients=PEOPLE, seed=8, end=END, years=4.0)
    assert _lines(tmp_path / "c") != _lines(cohort)


def test_every_resource_is_marked_and_valid(cohort: Path) -> None:
    seen: Counter[str] = Counter()
    for lines in _lines(cohort).values():
        for line in lines:
            resource = json.loads(line)
            assert {"HTEST", "synthetic"} <= {t["code"] for t in resource["meta"]["tag"]}
            seen[resource["resourceType"]] += 1
            if seen[resource["resourceType"]] < 40:
                faults = [i for i in validate_resource(resource) if i.severity in ("error", "fatal")]
                # CP-1 binds what we write; an invented clinic's orders are a clinician's
                assert not [i for i in faults if "CP-1" not in i.diagnostics]
    assert {"Patient", "Observation", "Condition", "MedicationRequest"} <= set(seen)


def test_nothing_is_dated_after_the_end_or_after_death(cohort: Path) -> None:
    dead = {}
    for line in _lines(cohort)["Patient"]:
        patient = json.loads(line)
        dead[patient["id"]] = patient.get("deceasedDateTime", END.isoformat())
    for line in _lines(cohort)["Observation"]:
        resource = json.loads(line)
        owner = resource["subject"]["reference"].split("/")[1]
        assert resource["effectiveDateTime"][:10] <= max(dead[owner], END.isoformat())


def test_levels_are_those_of_the_prior(knowledge: Knowledge) -> None:
    """NHANES means by sex and age (evidence 6), within sampling error: SBP at 20-39 years, F 110, M 118."""
    lives = draw_lives(load_design(), knowledge, np.random.default_rng(1), 6000, 12)
    sbp = np.exp(lives.usual[:, 0, knowledge.biomarkers.keys.index("sbp")])
    young = lives.age < 39
    for female, mean in ((True, 110.0), (False, 118.0)):
        here = young & (lives.sex == female)
        untreated = here & (lives.started[0] == NEVER) & (lives.started[1] == NEVER)
        assert np.median(sbp[untreated]) == pytest.approx(mean, abs=2.5)


def test_drugs_lower_what_they_lower_and_the_dead_have_no_events(knowledge: Knowledge) -> None:
    design = load_design()
    lives = draw_lives(design, knowledge, np.random.default_rng(2), 3000, 96)
    statin = next(i for i, d in enumerate(design.drugs) if d.drug_class == "statin")
    ldl = np.exp(lives.usual[:, :, knowledge.biomarkers.keys.index("ldl")])
    on = np.flatnonzero((lives.started[statin] > 12) & (lives.started[statin] < 60))
    assert len(on) > 30
    before = np.array([ldl[i, lives.started[statin][i] - 1] for i in on])
    after = np.array([ldl[i, lives.started[statin][i] + 24] for i in on])
    assert np.mean(after / before) == pytest.approx(
        0.6, abs=0.08
    )  # trial mean exp(-0.511), less regression to the mean
    for months in lives.events.values():
        happened = months != NEVER
        assert np.all(months[happened] <= lives.death[happened])


def test_the_twin_is_calibrated_on_its_own_people(ran: Ran) -> None:
    inside, tested = ran.results.rows("select sum(inside::int), count(*) from residuals")[0]
    assert tested > 300 and inside / tested == pytest.approx(0.8, abs=0.05)


def test_memory_does_not_grow_with_patients(knowledge: Knowledge) -> None:
    stream = cohort(knowledge, patients=10**9, seed=1, end=date(2026, 1, 1), years=1.0)
    assert next(stream)[1]["resourceType"] == "Patient"


def test_what_does_not_fit_is_refused(knowledge: Knowledge, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(InvalidInput, match="not empty"):
        write_cohort(tmp_path / "full", knowledge, patients=1, seed=1, end=END)
    with pytest.raises(InvalidInput):
        write_cohort(tmp_path / "a", knowledge, patients=0, seed=1, end=END)
