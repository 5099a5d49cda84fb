"""Turns to fetch: a FHIR server that hangs may hold half of the threads, and no more."""

from __future__ import annotations

import threading
import time

import pytest

from fhir_twin.errors import UpstreamTimeout
from fhir_twin.web import cds_slots
from fhir_twin.web.cds_slots import OVERDUE, Slots

ONE, OTHER = "https://one.example.org/fhir", "https://other.example.org/fhir"


def test_a_full_base_is_refused_after_a_while_and_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cds_slots, "PATIENCE", 0.05)
    slots = Slots(2)
    with slots.turn(ONE), slots.turn(ONE), slots.turn(OTHER):
        began = time.monotonic()
        with pytest.raises(UpstreamTimeout), slots.turn(ONE):
            pass
        assert 0.05 <= time.monotonic() - began < 1
    with slots.turn(ONE):
        pass
    assert slots._since == {}, "nothing is kept of a base that nobody asks"


def test_behind_slow_ones_only_nobody_waits() -> None:
    now = [100.0]
    slots = Slots(1, clock=lambda: now[0])
    with slots.turn(ONE):
        now[0] += OVERDUE + 0.1
        began = time.monotonic()
        with pytest.raises(UpstreamTimeout), slots.turn(ONE):
            pass
        assert time.monotonic() - began < 0.5


def test_a_turn_given_back_goes_to_who_waits_also_after_a_failure() -> None:
    slots, held, told = Slots(1), threading.Event(), []

    def first() -> None:
        try:
            with slots.turn(ONE):
                held.set()
                time.sleep(0.1)
                raise ValueError
        except ValueError:
            told.append("failed")

    thread = threading.Thread(target=first)
    thread.start()
    held.wait(5)
    with slots.turn(ONE):
        told.append("had its turn")
    thread.join()
    assert sorted(told) == ["failed", "had its turn"]
