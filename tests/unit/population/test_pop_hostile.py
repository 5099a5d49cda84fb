"""Held-out nonsense: one odd resource, group or protocol must not stop, mislead or give away anything."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from population_cohort import END, Ran

from fhir_twin.__main__ import main
from fhir_twin.errors import Conflict, InvalidInput
from fhir_twin.knowledge import Knowledge
from fhir_twin.population import statistics as st
from fhir_twin.population.executors import InProcess
from fhir_twin.population.fairness import UNKNOWN, GroupRow, _band, _hidden, _merged, _third
from fhir_twin.population.lines import own_resources
from fhir_twin.population.person import Task
from fhir_twin.population.results import Results
from fhir_twin.population.run import run_population
from fhir_twin.population.synth import write_cohort
from fhir_twin.population.trial_protocol import protocol_of
from fhir_twin.population.trial_run import check_names, run_trial
from fhir_twin.transport.bulk_state import BulkState, write_state

BORN = {"gender": "male", "birthDate": "1960-01-01"}


def _run(folder: Path, resources: list[dict[str, Any]], task: Task, extra: str = "") -> Results:
    (folder / "in").mkdir()
    text = "".join(json.dumps(r) + "\n" for r in resources)
    (folder / "in" / "all.ndjson").write_text(text + extra)
    run_population(folder / "in", folder / "out", task, InProcess(), buckets=1)
    return Results(folder / "out")


def _order(key: str, medication: Any) -> dict[str, Any]:
    return {
        "resourceType": "MedicationRequest", "id": key, "status": "active", "intent": "order",
        "subject": {"reference": "Patient/a"}, "medicationReference": medication,
    }  # fmt: skip


def test_elements_of_a_wrong_type_stop_nobody(tmp_path: Path) -> None:
    odd = [{"resourceType": "Patient", "id": k, **BORN, "extension": e} for k, e in (("a", 7), ("b", "x"))]
    orders = [_order("1", "Medication/x"), _order("2", [1]), _order("3", {"reference": 5})]
    twice = '{"resourceType":"Observation","id":"p","id":"q","subject":{"reference":"Patient/b"}}\n'
    found = _run(tmp_path, [*odd, *orders], Task("2026-01-01"), twice)
    assert found.rows("select patient, state from patients order by patient") == [("a", "ok"), ("b", "ok")]
    assert found.summary["faults"] == 1
    one, two = (i for (i,) in found.rows("select issues from patients order by patient"))
    assert one > 0 and two > 0, "a line that was not read is an issue of its patient"


def test_a_consent_withdrawn_after_the_index_date_counts(tmp_path: Path) -> None:
    denied = {
        "resourceType": "Consent", "id": "c", "status": "active", "dateTime": "2025-05-01",
        "scope": {"coding": [{"code": "patient-privacy"}]}, "patient": {"reference": "Patient/a"},
        "provision": {"type": "deny", "period": {"start": "2025-05-01"}},
    }  # fmt: skip
    people = [{"resourceType": "Patient", "id": k, **BORN} for k in "ab"]
    found = _run(tmp_path, [*people, denied], Task("2026-01-01", index="2024-01-01"))
    assert found.rows("select patient, state, age is null from patients order by patient") == [
        ("a", "refused", True),
        ("b", "ok", False),
    ]


def _about(reference: str, key: str = "1") -> dict[str, Any]:
    return {
        "resourceType": "Observation", "id": key, "status": "final", "subject": {"reference": reference},
        "code": {"coding": [{"system": "http://loinc.org", "code": "8480-6"}]},
        "effectiveDateTime": "2025-01-01",
        "valueQuantity": {"value": 131, "unit": "mm[Hg]", "system": "http://unitsofmeasure.org", "code": "mm[Hg]"},
    }  # fmt: skip


HERE, THERE = "https://here.example/fhir/Patient/a", "https://there.example/fhir/Patient/a"


@pytest.mark.parametrize(
    ("references", "base", "kept"),
    [
        (["Patient/a", "Patient/a"], "", 2),
        ([HERE, f"{HERE}/_history/3"], "", 2),
        (["Patient/a", HERE], "", 2),
        (["Patient/a", HERE], "https://here.example/fhir/", 2),
        ([HERE, HERE], "https://proxy.example/fhir", 2),  # a server that knows itself by another name
        (["Patient/a", HERE, THERE], "https://here.example/fhir", 2),
        ([HERE, THERE], "", None),
        ([HERE, THERE], "https://third.example", None),
        (["Patient/a", THERE], "https://here.example/fhir", None),
    ],
)
def test_a_patient_of_the_same_id_on_another_server_is_another(
    references: list[str], base: str, kept: int | None
) -> None:
    patient = {"resourceType": "Patient", "id": "a", **BORN}
    lines = [patient, *(_about(r, str(n)) for n, r in enumerate(references))]
    if kept is None:
        with pytest.raises(Conflict, match="several servers"):
            own_resources(lines, base)
    else:
        own, others = own_resources(lines, base)
        assert (len(own) - 1, others) == (kept, len(references) - kept) and own[0] is patient


def test_two_servers_in_one_folder_fail_the_patient_and_nobody_else(tmp_path: Path) -> None:
    people = [{"resourceType": "Patient", "id": k, **BORN} for k in "ab"]
    lines = [*people, _about(HERE, "1"), _about(THERE, "2"), _about("Patient/b", "3")]
    found = _run(tmp_path, lines, Task("2026-01-01"))
    assert found.rows("select patient, state, reason from patients order by patient") == [
        ("a", "failed", "lines of several servers use this patient's id"),
        ("b", "ok", ""),
    ]
    task = Task("2026-01-01", base="https://here.example/fhir")
    out = tmp_path / "known"
    run_population(tmp_path / "in", out, task, InProcess(), buckets=1)
    mine = Results(out).rows("select patient, state, measurements, issues from patients order by patient")
    assert [row[:3] for row in mine] == [("a", "ok", 1), ("b", "ok", 1)]
    assert mine[0][3] == mine[1][3] + 1, "the stranger's line is an issue"


def test_an_incomplete_export_is_run_only_when_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "Patient.ndjson").write_text(json.dumps({"resourceType": "Patient", "id": "a", **BORN}) + "\n")
    write_state(folder, BulkState("ready", "https://here.example/fhir", "https://here.example/job/1"))
    words = ["population", "run", "--input", str(folder), "--out", str(tmp_path / "out"), "--workers", "1"]
    assert main(words) == 2
    assert "--incomplete" in capsys.readouterr().err and not (tmp_path / "out").exists()
    assert main([*words, "--incomplete"]) == 0
    assert "may be missing of anybody" in capsys.readouterr().out
    assert Results(tmp_path / "out").summary["incomplete"] is True


def test_a_finished_run_gives_its_sorted_input_when_asked_again(ran: Ran, tmp_path: Path) -> None:
    task = Task(END.isoformat())
    first = run_population(ran.source, tmp_path / "out", task, InProcess(), buckets=2)
    assert not list((tmp_path / "out" / "shards").glob("*.arrow"))
    again = run_population(ran.source, tmp_path / "out", task, InProcess(), buckets=2, keep_shards=True)
    assert again.digest == first.digest and list((tmp_path / "out" / "shards").glob("*.arrow"))


def test_a_folder_that_cannot_be_made_is_said(ran: Ran, tmp_path: Path, knowledge: Knowledge) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InvalidInput, match="cannot be made"):
        run_population(ran.source, tmp_path / "file", Task(END.isoformat()), InProcess())
    with pytest.raises(InvalidInput, match="cannot be made"):
        write_cohort(tmp_path / "file", knowledge, patients=1, seed=1, end=END)
    with pytest.raises(InvalidInput, match="seed"):
        write_cohort(tmp_path / "new", knowledge, patients=1, seed=-1, end=END)


def test_no_spread_is_not_certainty() -> None:
    every = st.clustered_share([1, 2, 0], [1, 2, 0])
    assert every.value == 1.0 and every.low == pytest.approx(st.share(2, 2).low)
    right = st.concordance([0.5, 0.4, 0.1, 0.1], [1, 2, 3, 3], [1, 1, 0, 0])
    assert right.value == 1.0 and right.low < 0.5


def test_ages_and_deciles_that_are_none() -> None:
    assert _band(math.nan) == _band(-3.0) == _band(None) == UNKNOWN and _band(101.0) == "75 and over"
    assert _third("inf") == _third("N1 9GU") == _third("32844") == _third("nan") == "recorded, not a decile"
    assert _third("") == UNKNOWN and _third("10") == "most deprived (8-10)"


def test_events_of_one_group_cannot_be_worked_out_from_the_others() -> None:
    some = st.observed_expected(9, 9.0)
    rows = [
        GroupRow("sex", name, 90, events=n, calibration=some, flags=("calibration: higher than in all",))
        for name, n in (("female", 9), ("male", -1), ("other", 30))
    ]
    found = _hidden(rows, GroupRow("all", "all", 270, events=42))
    assert [r.events for r in found] == [-1, -1, 30]
    assert math.isnan(found[0].calibration.value) and not found[0].flags


def test_groups_of_risk_with_few_events_are_put_together() -> None:
    import numpy as np

    event = np.array([0, 1, 0, 0, 9, 9, 6, 1], dtype=float)
    parts = _merged([np.array([i, i + 1]) for i in range(0, 8, 2)], event)
    assert [event[p].sum() for p in parts] == [19.0, 7.0]
    assert _merged([np.array([0, 1])], event)


TRIAL: dict[str, Any] = {
    "trial": {"title": "t", "follow_up": 5.0, "primary": "cvd"},
    "arm": [
        {"name": "as now", "share": 0.5},
        {"name": "statin", "share": 0.5, "choices": [{"intervention": "statin", "dose": "high"}]},
    ],
}


@pytest.mark.parametrize(
    ("where", "value", "words"),
    [
        ("eligibility", {"has": "diabetes"}, "list of words"),
        ("eligibility", {"sex": "Male"}, "sex"),
        ("eligibility", {"biomarkers": 5}, "protocol"),
        ("trial", {**TRIAL["trial"], "participants": math.inf}, "protocol"),
        ("arm", [{"name": "a", "share": 1.0}, {**TRIAL["arm"][1], "share": 0.0}], "share"),
        ("arm", [{"name": "a", "share": -0.5}, {**TRIAL["arm"][1], "share": 1.5}], "share"),
        ("arm", [{"name": "a", "share": 0.0005}, {**TRIAL["arm"][1], "share": 0.9995}], "fewer than 2"),
        ("arm", [{"name": "statin", "share": 0.5}, TRIAL["arm"][1]], "same name"),
    ],
)
def test_protocols_that_cannot_be_meant_are_refused(
    where: str, value: Any, words: str, knowledge: Knowledge
) -> None:
    with pytest.raises(InvalidInput, match=words):
        protocol_of("t", {**TRIAL, where: value}, knowledge.interventions)


@pytest.mark.parametrize(
    "criterion",
    [{"without": ["hart-failure"]}, {"not_taking": ["statins"]}, {"biomarkers": {"lld": [1, 2]}}],
)
def test_a_misspelt_criterion_is_named(criterion: dict[str, Any], knowledge: Knowledge) -> None:
    protocol = protocol_of("t", {**TRIAL, "eligibility": criterion}, knowledge.interventions)
    with pytest.raises(InvalidInput, match="unknown"):
        check_names(protocol, knowledge)


def test_an_unfinished_run_is_no_cohort(tmp_path: Path, knowledge: Knowledge) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    protocol = protocol_of("t", TRIAL, knowledge.interventions)
    with pytest.raises(InvalidInput, match="not finished"):
        run_trial(tmp_path, protocol, InProcess())
