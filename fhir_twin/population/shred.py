"""rows(byte range) -> one Arrow file with a batch per bucket of patients: the first of the two functions of scale.

A row is (patient, type, id, line). Which patient a line is about is read with a typed partial decoder; Medications,
which are about nobody, go into a bucket of their own, which every patient bucket may look into.
A bad line is quarantined with file, offset and reason; the rest goes on.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pyarrow as pa

from fhir_twin.population.ranges import Line, Range, lines

SCHEMA = pa.schema(
    [("patient", pa.string()), ("type", pa.string()), ("id", pa.string()), ("line", pa.binary())]
)
FAULTS = pa.schema(
    [("file", pa.int32()), ("offset", pa.int64()), ("length", pa.int64()), ("reason", pa.string())]
)
SHARED = "Medication"  # the only type without a patient that reading one needs
# Types the twin and the plan read; others are counted and left where they are.
READ = frozenset(
    [
        "Patient", "Observation", "Condition", "MedicationRequest", "MedicationStatement", "MedicationAdministration",
        "MedicationDispense", "AllergyIntolerance", "FamilyMemberHistory", "Goal", "Consent", "Procedure",
        "Immunization", "Encounter", "DiagnosticReport", "ServiceRequest", "CarePlan", "DetectedIssue",
        "RiskAssessment", "QuestionnaireResponse", "DeviceRequest", "NutritionOrder", "CommunicationRequest", "Task",
        SHARED,
    ]
)  # fmt: skip


class _Reference(msgspec.Struct):
    reference: str = ""


class _Head(msgspec.Struct):
    """Just enough of a resource to know whose it is."""

    kind: str = msgspec.field(name="resourceType", default="")
    id: str = ""
    subject: _Reference | None = None
    patient: _Reference | None = None
    for_: _Reference | None = msgspec.field(name="for", default=None)


_DECODE = msgspec.json.Decoder(_Head)


@dataclass(frozen=True, slots=True)
class Shredded:
    """What became of a range's lines: kept rows, rows of types that are not read, faults."""

    kept: int
    passed: int
    faults: int


def bucket_of(patient: str, buckets: int) -> int:
    """The same on every machine and in every run."""
    return int.from_bytes(hashlib.blake2b(patient.encode(), digest_size=8).digest(), "big") % buckets


def rows(part: Range, buckets: int, out: Path) -> Shredded:
    """Write `out` (Arrow IPC file: batch b = bucket b, the last batch = shared rows) and `out`.faults. Files appear
    whole or not at all: doing it again is harmless."""
    columns: list[tuple[list[str], list[str], list[str], list[bytes]]] = [
        ([], [], [], []) for _ in range(buckets + 1)
    ]
    faults: list[tuple[int, int, int, str]] = []
    places: dict[str, int] = {}
    passed = 0
    decode = _DECODE.decode
    for line in lines(part):
        if line.fault:
            faults.append((part.file, line.offset, 0, line.fault))
            continue
        try:
            head = decode(line.data)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            faults.append((part.file, line.offset, len(line.data), _reason(error, line)))
            continue
        kind = head.kind
        if kind not in READ:
            if kind:
                passed += 1
            else:
                faults.append(
                    (part.file, line.offset, len(line.data), "not a FHIR resource: no resourceType")
                )
            continue
        patient = _owner(head)
        if not patient and kind != SHARED:
            faults.append((part.file, line.offset, len(line.data), f"{kind}: about no patient"))
            continue
        place = buckets if not patient else places.get(patient, -1)
        if place < 0:
            place = places[patient] = bucket_of(patient, buckets)
        p, t, i, d = columns[place]
        p.append(patient)
        t.append(kind)
        i.append(head.id)
        d.append(line.data)
    _write(columns, out)
    _write_faults(faults, out.with_suffix(".faults"))
    return Shredded(sum(len(c[0]) for c in columns), passed, len(faults))


def _owner(head: _Head) -> str:
    """The patient's id; references may be relative, absolute or versioned."""
    if head.kind == "Patient":
        return head.id
    target = head.subject or head.patient or head.for_
    if target is None:
        return ""
    text = target.reference.partition("/_history/")[0]
    parts = text.rsplit("/", 2)
    if len(parts) >= 2 and parts[-2] == "Patient":
        return parts[-1]
    return text.removeprefix("urn:uuid:") if text.startswith("urn:uuid:") else ""


def _reason(error: Exception, line: Line) -> str:
    """What is wrong, never what the line says."""
    if isinstance(error, msgspec.ValidationError):
        return "an element has the wrong type"
    if isinstance(error, RecursionError):
        return "nested too deep"
    tail = line.data[-1:]
    return "not JSON: cut short" if tail not in (b"}", b"]") else "not one JSON object"


def _write(columns: list[tuple[list[str], list[str], list[str], list[bytes]]], out: Path) -> None:
    with Whole(out) as path, pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
        for patient, kind, key, data in columns:
            arrays = [
                pa.array(patient, pa.string()),
                pa.array(kind, pa.string()),
                pa.array(key, pa.string()),
                pa.array(data, pa.binary()),
            ]
            writer.write_batch(pa.record_batch(arrays, schema=SCHEMA))


def _write_faults(faults: list[tuple[int, int, int, str]], out: Path) -> None:
    columns = list(zip(*faults, strict=True)) or [(), (), (), ()]
    arrays = [pa.array(list(c), f.type) for c, f in zip(columns, FAULTS, strict=True)]
    with Whole(out) as path, pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, FAULTS) as writer:
        writer.write_batch(pa.record_batch(arrays, schema=FAULTS))


class Whole:
    """A file that appears under its name only once it is whole and on the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.draft = path.with_name(f".{path.name}.{os.getpid()}")

    def __enter__(self) -> Path:
        return self.draft

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self.draft.unlink(missing_ok=True)
            return
        with self.draft.open("rb") as stream:
            os.fsync(stream.fileno())
        self.draft.replace(self.path)


def read_bucket(path: Path, bucket: int) -> pa.RecordBatch:
    """Batch `bucket` of a file that `rows` wrote, without reading the others (memory-mapped)."""
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).get_batch(bucket)
