"""Locks by patient: one at a time, others beside it, and nothing kept of those who are done."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from fhir_twin.transport.patient_locks import PatientLocks


def test_one_at_a_time_and_nothing_is_kept() -> None:
    locks, inside, most = PatientLocks(), 0, 0
    counting = threading.Lock()

    def work(_: int) -> None:
        nonlocal inside, most
        with locks.holding("a"):
            with counting:
                inside += 1
                most = max(most, inside)
            time.sleep(0.002)
            with counting:
                inside -= 1

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(work, range(40)))
    assert most == 1
    assert locks._locks == {}


def test_another_patient_does_not_wait_and_a_failure_frees() -> None:
    locks = PatientLocks()
    with pytest.raises(ValueError, match="x"), locks.holding("a"), locks.holding("b"):
        raise ValueError("x")
    with locks.holding("a"), locks.holding("b"):
        assert set(locks._locks) == {"a", "b"}
    assert locks._locks == {}
