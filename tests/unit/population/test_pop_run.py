"""Runs: the same digest whatever the pieces; resume; nothing overwritten; bad lines quarantined, the rest goes on."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from population_cohort import END, PEOPLE, Ran

from fhir_twin.errors import Conflict, InvalidInput
from fhir_twin.knowledge import Knowledge
from fhir_twin.pipeline import run
from fhir_twin.population.executors import InProcess, LocalPool
from fhir_twin.population.person import Task
from fhir_twin.population.results import Results
from fhir_twin.population.run import Progress, run_population

TASK = Task(END.isoformat(), index="2024-10-01")


def test_the_digest_does_not_depend_on_pieces_order_or_processes(ran: Ran, tmp_path: Path) -> None:
    one = run_population(ran.source, tmp_path / "one", TASK, InProcess(), buckets=1, range_bytes=30_000)
    two = run_population(ran.source, tmp_path / "two", TASK, LocalPool(2), buckets=5, range_bytes=200_000)
    assert one.digest == two.digest == ran.summary.digest
    assert one.patients == PEOPLE and sum(one.states.values()) == PEOPLE


def test_line_order_and_file_names_do_not_matter_and_another_day_does(ran: Ran, tmp_path: Path) -> None:
    other = tmp_path / "export"
    other.mkdir()
    for path in ran.source.glob("*.ndjson"):
        turned = path.read_bytes().splitlines()[::-1]
        (other / f"x-{path.stem[::-1]}.ndjson").write_bytes(b"\n".join(turned))
    same = run_population(other, tmp_path / "a", TASK, InProcess(), buckets=2)
    assert same.digest == ran.summary.digest
    later = run_population(other, tmp_path / "b", Task("2026-09-01", index="2024-10-01"), InProcess())
    assert later.digest != ran.summary.digest


def test_each_row_is_what_the_pipeline_says_of_that_patient(ran: Ran, knowledge: Knowledge) -> None:
    """The oracle is a run of one patient alone."""
    results = ran.results
    patient = results.rows("select patient from risks order by patient limit 1")[0][0]
    entries = []
    for path in ran.source.glob("*.ndjson"):
        entries += [
            {"resource": r}
            for r in map(json.loads, path.read_text().splitlines())
            if patient in json.dumps(r)
        ]
    done = run(
        {"resourceType": "Bundle", "type": "collection", "entry": entries},
        knowledge,
        TASK.moment,
        patient=patient,
    )
    risks = results.rows(
        "select outcome, years, probability from risks where patient = ? order by all", [patient]
    )
    assert risks == sorted((r.outcome, r.horizon_years, r.probability) for r in done.plan.risks)
    titles = results.rows("select title from proposals where patient = ? order by rank, title", [patient])
    assert sorted(t for (t,) in titles) == sorted(r.title for r in done.plan.recommendations)


def test_a_stopped_run_goes_on_and_a_foreign_folder_is_refused(ran: Ran, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(ran.out, out)
    (out / "done" / "bucket-00001.json").unlink()
    (out / "risks" / "bucket-00001.parquet").unlink()
    told: list[Progress] = []
    again = run_population(ran.source, out, TASK, InProcess(), buckets=3, progress=told.append)
    assert again.digest == ran.summary.digest
    assert [p.done for p in told if p.phase == "twin"] == [3]
    with pytest.raises(Conflict, match="another folder"):
        run_population(ran.source, out, Task("2026-01-01"), InProcess(), buckets=3)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("do not touch")
    with pytest.raises(Conflict, match="nothing was written"):
        run_population(ran.source, mine, TASK, InProcess())
    assert [p.name for p in mine.iterdir()] == ["thesis.txt"]


def test_bad_lines_and_patients_are_told_and_the_rest_goes_on(ran: Ran, tmp_path: Path) -> None:
    source = tmp_path / "export"
    shutil.copytree(ran.source, source)
    with (source / "Condition.ndjson").open("ab") as stream:
        stream.write(b'{"resourceType":"Condition","id":"zz","subject":{"reference":"Patient/nobody"}}\n')
        stream.write(b'{"resourceType":"Condition",CANARY-7781\n\n')
    (source / "Device.ndjson").write_text('{"resourceType":"Device","id":"d"}\n')
    found = run_population(source, tmp_path / "out", TASK, InProcess(), buckets=2)
    assert found.patients == PEOPLE + 1 and found.states["failed"] == 1
    assert found.faults == 1 and found.passed == 1
    with (tmp_path / "out" / "quarantine.csv").open() as stream:
        [row] = list(csv.DictReader(stream))
    assert row["name"] == "Condition" and "CANARY" not in str(row) and int(row["offset"]) > 0


def test_without_input_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="ndjson"):
        run_population(tmp_path, tmp_path / "out", TASK, InProcess())


def test_an_input_that_changes_while_it_is_read_ends_the_run(ran: Ran, tmp_path: Path) -> None:
    """security.md 5.3 row 54."""
    source = tmp_path / "export"
    shutil.copytree(ran.source, source)

    def grow(told: Progress) -> None:
        if told.phase == "read":
            with (source / "Condition.ndjson").open("ab") as stream:
                stream.write(b"\n")

    with pytest.raises(Conflict, match="changed while it was read"):
        run_population(source, tmp_path / "out", TASK, InProcess(), buckets=2, progress=grow)
    assert not (tmp_path / "out" / "summary.json").exists()


def test_a_device_of_its_own_file_tells_the_assay_as_it_does_for_one_patient(
    ran: Ran, knowledge: Knowledge, tmp_path: Path
) -> None:
    """Pressures by a wrist cuff that stands in Device.ndjson: the population's estimate is the pipeline's, and not that
    of the same values without the device."""
    patient = ran.results.rows("select patient from risks order by patient limit 1")[0][0]
    cuff = {"resourceType": "Device", "id": "cuff", "patient": {"reference": f"Patient/{patient}"}}
    cuff["deviceName"] = [{"name": "Wrist cuff", "type": "user-friendly-name"}]
    source, entries = tmp_path / "export", [{"resource": cuff}]
    source.mkdir()
    (source / "Device.ndjson").write_text(json.dumps(cuff))
    for path in ran.source.glob("*.ndjson"):
        mine = [r for r in map(json.loads, path.read_text().splitlines()) if patient in json.dumps(r)]
        for resource in mine:
            if "85354-9" in json.dumps(resource):
                resource["device"] = {"reference": "Device/cuff"}
        entries += [{"resource": r} for r in mine]
        (source / path.name).write_text("\n".join(map(json.dumps, mine)))
    task = Task(END.isoformat())
    run_population(source, tmp_path / "out", task, InProcess())
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    twin = run(bundle, knowledge, task.moment, patient=patient).twin
    entries[1:] = [
        {"resource": {k: v for k, v in e["resource"].items() if k != "device"}} for e in entries[1:]
    ]
    plain = run(bundle, knowledge, task.moment, patient=patient).twin
    asked = "select mean, low, high from estimates where biomarker = 'sbp'"
    ((mean, low, high),) = Results(tmp_path / "out").rows(asked)
    found, without = twin.estimate("sbp"), plain.estimate("sbp")
    assert {p.assay for p in twin.used("sbp")} == {"wrist"} and {p.assay for p in plain.used("sbp")} == {""}
    assert (mean, low, high) == (found.mean, found.low, found.high)
    assert found.high - found.low > without.high - without.low
