"""What the FHIR server and the line to it may do (performance.md 4.6): one plan, one effect, nothing vanishes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from fhir_twin.storage.desk import Desk
from fhir_twin.worker.verdict import Patience


@pytest.mark.parametrize(
    "fault",
    ["hang", "cut", "stored-reset", "reset", "long-length", "short-length", "drip", "500", "503", "429:1"],
)
def test_a_lost_or_broken_answer_is_an_unknown_outcome_and_leaves_one_copy(
    line: Any, fault: str, until: Callable[..., None]
) -> None:
    """Rows "timeout after the server stored it", "response cut ...", "connection reset" (promises 2 and 5)."""
    id_ = line.plan()
    # What goes first to the server when a plan is written is a batch or searches; only the transaction is hit.
    line.proxy.next = []
    original = line.proxy._answer

    def only_transactions(
        connection: Any, given: str, method: str, path: str, headers: Any, body: bytes
    ) -> bool:
        if b'"transaction"' in body[:200] and fault_left:
            given = fault_left.pop()
        return bool(original(connection, given, method, path, headers, body))

    fault_left = [fault]
    line.proxy._answer = only_transactions
    runner = threading.Thread(target=line.worker.run, daemon=True)
    runner.start()
    until(lambda: line.row(id_).state == "done", 40)
    line.worker.stop()
    runner.join()
    assert fault_left == []
    assert line.held()["CarePlan"] == 1
    assert sum(line.held().values()) > 3


@pytest.mark.parametrize("fault", ["503", "500", "429:0", "429:2", "429:99999", "429:Fri, 31 Dec 2100 23:59:59 GMT",
                                   "429:soon", "429:-5", "429:nan"])  # fmt: skip
def test_a_storm_is_met_with_growing_pauses(line: Any, fault: str) -> None:
    """Row "500/502/503 storms, 429 ...": backoff grows, is capped, no busy loop: few requests in a second."""
    id_ = line.plan()
    line.worker._patience = Patience(attempts=50, first=0.2, longest=30, outage=1e9)
    line.proxy.always = fault
    before = len(line.proxy.seen)
    runner = threading.Thread(target=line.worker.run, daemon=True)
    runner.start()
    time.sleep(1.2)
    line.worker.stop()
    runner.join(10)
    asked = len(line.proxy.seen) - before
    row = line.row(id_)
    assert row.state == "queued"
    assert 1 <= asked <= 12, "a busy loop"
    assert row.due.timestamp() - time.time() <= 3601, "no Retry-After is believed beyond an hour"


def test_nobody_there_opens_the_circuit_and_costs_no_attempts(line: Any, until: Callable[..., None]) -> None:
    """Row "connection reset, refused, DNS gone": retry, the circuit opens, health shows it; then it goes on."""
    id_ = line.plan()
    line.worker._patience = Patience(attempts=2, first=0.02, longest=0.05, outage=1e9)
    line.proxy.always = "reset"
    runner = threading.Thread(target=line.worker.run, daemon=True)
    runner.start()
    until(lambda: line.circuit.open)
    until(lambda: line.row(id_).attempts > 3)
    assert line.row(id_).state in ("queued", "running"), "a server that is away must not make a dead letter"
    line.proxy.always = ""
    until(lambda: line.row(id_).state == "done")
    assert not line.circuit.open
    line.worker.stop()
    runner.join()
    assert line.held()["CarePlan"] == 1


def test_an_outage_beyond_all_patience_ends_as_a_dead_letter_that_can_be_replayed(
    line: Any, until: Callable[..., None]
) -> None:
    """Promise 4: bounded, with the reason kept; replay sends the same bytes."""
    id_ = line.plan()
    body = line.row(id_).body
    line.worker._patience = Patience(attempts=2, first=0.02, longest=0.05, outage=0.2)
    line.proxy.always = "503"
    runner = threading.Thread(target=line.worker.run, daemon=True)
    runner.start()
    until(lambda: line.row(id_).state == "dead")
    row = line.row(id_)
    assert "503" in row.reason
    assert row.request == body
    line.proxy.always = ""
    Desk(line.store.outbox).replay(id_, "Ada Admin")
    until(lambda: line.row(id_).state == "done")
    line.worker.stop()
    runner.join()
    again = line.row(id_)
    assert again.body == body
    assert "Ada Admin" in again.signed
    assert line.held()["CarePlan"] == 1


@pytest.mark.parametrize("status", ["400", "404", "409", "412", "422"])
def test_a_refusal_is_final_at_once(line: Any, status: str) -> None:
    """Promise 4: 400, 404, 409, 412, 422 are not tried again (409 and 412 after looking what is there)."""
    id_ = line.plan()
    original = line.proxy._answer
    sent: list[int] = []

    def refuse(connection: Any, given: str, method: str, path: str, headers: Any, body: bytes) -> bool:
        if b'"transaction"' in body[:200]:
            sent.append(1)
            given = status
        return bool(original(connection, given, method, path, headers, body))

    line.proxy._answer = refuse
    while line.worker.step():
        pass
    row = line.row(id_)
    assert row.state == "dead"
    assert row.attempts == 1
    assert len(sent) <= (4 if status in ("409", "412") else 2)
    assert line.held()["CarePlan"] == 0


def _first_failed(answer: dict[str, Any]) -> dict[str, Any]:
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "processing"}]}
    answer["entry"][-1] = {"response": {"status": "422 Unprocessable", "outcome": outcome}}
    return answer


def _one_missing(answer: dict[str, Any]) -> dict[str, Any]:
    answer["entry"].pop()
    return answer


def _reordered(answer: dict[str, Any]) -> dict[str, Any]:
    answer["entry"].reverse()
    return answer


@pytest.mark.parametrize("mangle", [_first_failed, _one_missing, _reordered])
def test_a_transaction_answer_is_judged_entry_by_entry(line: Any, mangle: Any) -> None:
    """Row "partial transaction-response, entries reordered or missing" (promise 6)."""
    id_ = line.plan()
    original = line.proxy._answer
    left = [1]

    def mangled(connection: Any, given: str, method: str, path: str, headers: Any, body: bytes) -> bool:
        if b'"transaction"' in body[:200] and left:
            left.pop()
            line.proxy.mangle = mangle
            given = "mangle"
        return bool(original(connection, given, method, path, headers, body))

    line.proxy._answer = mangled
    while line.worker.step():
        pass
    row = line.row(id_)
    assert row.state == "done"  # it was stored after all, which reading back shows
    assert line.held()["CarePlan"] == 1
    items = orjson.loads(row.reply)["items"]
    assert all(
        i["reference"].split("/")[0] == i["type"] for i in items if i["action"] in ("create", "update")
    )
