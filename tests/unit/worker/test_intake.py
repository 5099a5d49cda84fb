"""Feeds into records: order, corrections, merges, one effect (V2-2, V2-4, V2-5, V2-8, H3, H4, rows 58, 59)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from fhir_twin.errors import NotFound
from fhir_twin.intake.reception import Letter, Reception
from fhir_twin.intake.site import Site
from fhir_twin.storage.desk import Desk
from fhir_twin.storage.store import Store, open_store
from fhir_twin.storage.work import NewWork
from fhir_twin.worker.intake import Intake
from fhir_twin.worker.loop import Bench, Worker
from fhir_twin.worker.record_source import JoinedSource, RecordSource

NOW = datetime(2026, 6, 1, tzinfo=UTC)


class Feed:
    """Sends v2 messages and works them off."""

    def __init__(self, url: str) -> None:
        self.store: Store = open_store(url)
        self.reception = Reception(self._keep, Site(), lambda: NOW)
        self.worker = Worker([Bench(self.store.jobs, Intake(self.store, Site(), refresh=False).handlers())])
        self.source = RecordSource(self.store.records)
        self._count = 0

    def _keep(self, letter: Letter) -> bool:
        new = NewWork(letter.kind, letter.lane, letter.body, letter.key, meta=letter.meta)
        return self.store.jobs.accept(new).duplicate

    def send(self, kind: str, *lines: str, at: str = "20260301120000", number: str = "") -> str:
        self._count += 1
        head = f"MSH|^~\\&|LAB|HOSP|T|H|{at}||{kind}|{number or self._count}|P|2.5.1"
        answer = self.reception.hl7v2("\r".join((head, *lines)).encode())
        while self.worker.step():
            continue
        return answer.replies[0].decode().split("\r")[1].split("|")[1]

    def of(self, number: str, kind: str) -> list[dict[str, Any]]:
        person = self.source.find("https://fhir-twin.org/fhir/authority/HOSP", number)
        bundle = self.source.fetch(person).bundle
        return [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == kind]

    def value(self, number: str) -> float:
        [found] = self.of(number, "Observation")
        return float(found["valueQuantity"]["value"])


@pytest.fixture
def feed(store_url: str) -> Iterator[Feed]:
    """On SQLite and on a real PostgreSQL."""
    made = Feed(store_url)
    yield made
    made.store.close()


def pid(number: str = "1", name: str = "DOE^JANE", more: str = "|19600101|F") -> str:
    return f"PID|1||{number}^^^HOSP^MR||{name}|{more}"


def result(value: str, status: str = "F", filler: str = "F1") -> tuple[str, str]:
    return (
        f"OBR|1||{filler}|2160-0^Creatinine^LN|||20260301",
        f"OBX|1|NM|2160-0^Creatinine^LN||{value}|mg/dL|||||{status}",
    )


def test_a_correction_replaces_and_a_late_preliminary_does_not(feed: Feed) -> None:
    feed.send("ORU^R01", pid(), *result("1.0"), at="20260301120000")
    feed.send("ORU^R01", pid(), *result("1.4", "C"), at="20260301130000")
    feed.send("ORU^R01", pid(), *result("0.9", "P"), at="20260301110000")
    assert feed.value("1") == 1.4
    feed.send("ORU^R01", pid(), *result("1.4", "D"), at="20260301140000")
    assert feed.of("1", "Observation")[0]["status"] == "entered-in-error"


def test_a_late_update_fills_gaps_and_overwrites_nothing(feed: Feed) -> None:
    """Row 59, V2-4."""
    feed.send("ADT^A08", pid(name="NEW^NAME", more="|19600101|F"), at="20260301120000")
    feed.send("ADT^A08", pid(name="OLD^NAME", more="|19500101|M|||1 Main St^^Town"), at="20260201120000")
    [patient] = feed.of("1", "Patient")
    assert (patient["name"][0]["family"], patient["birthDate"], patient["gender"]) == (
        "NEW",
        "1960-01-01",
        "female",
    )
    assert patient["address"][0]["city"] == "Town"


def test_empty_changes_nothing_and_two_quotes_empty(feed: Feed) -> None:
    """V2-2."""
    feed.send("ADT^A08", pid(more="|19600101|F|||1 Main St"), at="20260301120000")
    feed.send("ADT^A08", 'PID|1||1^^^HOSP^MR||DOE^JANE||""|', at="20260301130000")
    [patient] = feed.of("1", "Patient")
    assert ("birthDate" in patient, patient["gender"], "address" in patient) == (False, "female", True)


def test_a_merge_moves_the_record_and_what_comes_later_for_the_old_number(feed: Feed) -> None:
    """H4, V2-5: A40."""
    feed.send("ORU^R01", pid("1"), *result("1.0", filler="A"))
    feed.send("ORU^R01", pid("2"), *result("2.0", filler="B"))
    old = feed.source.find("https://fhir-twin.org/fhir/authority/HOSP", "2")
    assert feed.send("ADT^A40", pid("1"), "MRG|2^^^HOSP^MR") == "AA"
    assert sorted(float(o["valueQuantity"]["value"]) for o in feed.of("1", "Observation")) == [1.0, 2.0]
    person = feed.source.find("https://fhir-twin.org/fhir/authority/HOSP", "1")
    assert {o["subject"]["reference"] for o in feed.of("1", "Observation")} == {f"Patient/{person}"}
    assert feed.source.fetch(old).patient == person
    feed.send("ORU^R01", pid("2"), *result("3.0", filler="C"))
    assert len(feed.of("1", "Observation")) == 3
    assert list(feed.source.patients()) == [person]


def test_a_merge_that_comes_before_the_old_record(feed: Feed) -> None:
    feed.send("ADT^A40", pid("1"), "MRG|2^^^HOSP^MR")
    feed.send("ORU^R01", pid("2"), *result("2.0"))
    assert feed.value("1") == 2.0


def test_a_chain_of_merges(feed: Feed) -> None:
    for n in ("1", "2", "3"):
        feed.send("ORU^R01", pid(n), *result(n, filler=n))
    feed.send("ADT^A40", pid("2"), "MRG|1^^^HOSP^MR")
    feed.send("ADT^A40", pid("3"), "MRG|2^^^HOSP^MR")
    assert len(feed.of("1", "Observation")) == 3
    assert len(list(feed.source.patients())) == 1


def test_identifiers_of_two_people_are_never_joined_silently(feed: Feed) -> None:
    """Row 59: never another patient's twin."""
    feed.send("ADT^A08", pid("1"))
    feed.send("ADT^A08", pid("2"))
    feed.send("ADT^A08", "PID|1||1^^^HOSP^PI~2^^^HOSP^PI~9^^^HOSP^MR||X^Y")
    assert Desk(feed.store.jobs).counts().states.get("dead", 0) == 1
    assert len(list(feed.source.patients())) == 2


def test_the_same_message_twice_is_one_effect_and_another_content_is_refused(feed: Feed) -> None:
    """H3, row 58."""
    assert feed.send("ORU^R01", pid(), *result("1.0"), number="X") == "AA"
    assert feed.send("ORU^R01", pid(), *result("1.0"), number="X") == "AA"
    assert feed.send("ORU^R01", pid(), *result("7.0"), number="X") == "AE"
    assert Desk(feed.store.jobs).counts().states == {"done": 1}


def test_a_visit_told_in_pieces(feed: Feed) -> None:
    """V2-6: A08 says nothing of a visit's status."""
    visit = "PV1|1|I" + "|" * 17 + "V7^^^HOSP" + "|" * 25 + "{}"
    feed.send("ADT^A01", pid(), visit.format("20260101"), at="20260101120000")
    feed.send("ADT^A08", pid(), visit.format(""), at="20260102120000")
    [encounter] = feed.of("1", "Encounter")
    assert (encounter["status"], encounter["period"]["start"]) == ("in-progress", "2026-01-01")
    feed.send("ADT^A03", pid(), visit.format("20260101|20260105"), at="20260105120000")
    [encounter] = feed.of("1", "Encounter")
    assert (encounter["status"], encounter["period"]["end"]) == ("finished", "2026-01-05")
    feed.send("ADT^A13", pid(), visit.format("20260101"), at="20260105130000")
    [encounter] = feed.of("1", "Encounter")
    assert (encounter["status"], "end" in encounter["period"]) == ("in-progress", False)


def test_a_full_store_takes_nothing_and_says_so() -> None:
    small = Reception(lambda _: (_ for _ in ()).throw(_busy()), Site(), lambda: NOW)
    answer = small.hl7v2(("MSH|^~\\&|A|B|C|D|20260301||ADT^A08|1|P|2.5\r" + pid()).encode())
    assert answer.verdict.code == "R"
    assert b"MSA|AR|1" in answer.replies[0]


def _busy() -> Exception:
    from fhir_twin.errors import Busy

    return Busy("too much work is waiting; nothing was accepted", retry_after=10)


class _Server:
    """A FHIR server with one patient, known by the number that the feed uses."""

    base = "https://ehr.example/fhir"

    def patients(self) -> Iterator[str]:
        yield "p1"

    def find(self, system: str, value: str) -> str:
        if (system, value) != ("https://fhir-twin.org/fhir/authority/HOSP", "1"):
            raise NotFound("no such patient")
        return "p1"

    def fetch(self, patient: str) -> Any:
        from fhir_twin.transport.pull import Fetched

        if patient != "p1":
            raise NotFound("no such patient")
        person = {
            "resourceType": "Patient",
            "id": "p1",
            "identifier": [{"system": "https://fhir-twin.org/fhir/authority/HOSP", "value": "1"}],
        }
        return Fetched(
            {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": person}]},
            (),
            (),
            patient="p1",
        )


def test_feeds_are_joined_to_the_servers_patient_with_the_same_identifier(feed: Feed) -> None:
    feed.send("ORU^R01", pid("1"), *result("1.0", filler="A"))
    feed.send("ORU^R01", pid("2"), *result("2.0", filler="B"))
    joined = JoinedSource(_Server(), feed.store.records)
    person = feed.source.find("https://fhir-twin.org/fhir/authority/HOSP", "1")
    fetched = joined.fetch(person)
    rows = [e["resource"] for e in fetched.bundle["entry"] if e["resource"]["resourceType"] == "Observation"]
    assert (fetched.patient, len(rows), rows[0]["subject"]["reference"]) == ("p1", 1, "Patient/p1")
    with pytest.raises(NotFound):
        joined.fetch(feed.source.find("https://fhir-twin.org/fhir/authority/HOSP", "2"))
    gone = feed.store.erase_patient("p1")  # by the server's id: the record, its messages, who it is
    assert (gone["record"] > 0, gone["messages"]) == (True, 1)
    with pytest.raises(NotFound):
        feed.source.fetch(person)
    assert len(list(feed.source.patients())) == 1
