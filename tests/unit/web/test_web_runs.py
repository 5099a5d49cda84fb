"""Kept runs of cards: a changed record is another run, nobody gets another's, few are kept; turns are in order."""

from __future__ import annotations

import copy
import threading
import time
from typing import Any

import pytest

from fhir_twin.knowledge import Knowledge, load_knowledge
from fhir_twin.web.cds_data import Gathered
from fhir_twin.web.cds_runs import MOST, SECONDS, InTurn, Runs


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return load_knowledge()


def _record(patient: str, sbp: int) -> Gathered:
    person = {"resourceType": "Patient", "id": patient, "birthDate": "1960-01-01", "gender": "female"}
    value: dict[str, Any] = {
        "resourceType": "Observation",
        "id": "o",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "8480-6"}]},
        "subject": {"reference": f"Patient/{patient}"},
        "effectiveDateTime": "2026-01-01T10:00:00Z",
        "valueQuantity": {
            "value": sbp,
            "unit": "mmHg",
            "system": "http://unitsofmeasure.org",
            "code": "mm[Hg]",
        },
    }
    entries = [{"resource": r} for r in (person, value)]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    return Gathered(bundle, (), (), "https://fhir.example/fhir", person, False)


def test_the_same_record_is_one_run_and_a_changed_one_another(knowledge: Knowledge) -> None:
    runs = Runs()
    first = runs.get(_record("a", 150), "a", knowledge, "AIAST")
    assert runs.get(copy.deepcopy(_record("a", 150)), "a", knowledge, "AIAST") is first
    other = runs.get(_record("a", 130), "a", knowledge, "AIAST")
    assert other is not first
    assert other.run.twin.estimate("sbp").mean < first.run.twin.estimate("sbp").mean


def test_nobody_gets_the_run_of_another(knowledge: Knowledge) -> None:
    runs = Runs()
    for name in ("a", "b"):
        assert runs.get(_record(name, 150), name, knowledge, "AIAST").run.plan.subject == f"Patient/{name}"


def test_kept_for_a_while_and_not_too_many(knowledge: Knowledge) -> None:
    now = [0.0]
    runs = Runs(clock=lambda: now[0])
    first = runs.get(_record("a", 150), "a", knowledge, "AIAST")
    now[0] = SECONDS + 1.0
    assert runs.get(_record("a", 150), "a", knowledge, "AIAST") is not first
    for sbp in range(100, 100 + MOST + 5):
        runs.get(_record("a", sbp), "a", knowledge, "AIAST")
    assert len(runs._kept) == MOST


def test_turns_come_in_the_order_of_asking() -> None:
    turns, order = InTurn(), list[int]()

    def wait(number: int) -> None:
        with turns:
            order.append(number)

    with turns:
        threads = []
        for number in range(8):
            thread = threading.Thread(target=wait, args=(number,))
            thread.start()
            threads.append(thread)
            until = time.monotonic() + 10
            while len(turns._waiting) <= number and time.monotonic() < until:
                time.sleep(0.001)
    for thread in threads:
        thread.join(10)
    assert order == list(range(8))
    with turns:  # free again
        order.append(8)


def test_a_failure_hands_the_turn_on() -> None:
    turns = InTurn()
    with pytest.raises(ValueError, match="no"), turns:
        raise ValueError("no")
    with turns:
        pass
