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
import numpy as np
import pyarrow as pa

from fhir_twin.population.ranges import BOM, Block, Range, blocks

SCHEMA = pa.schema(
    [("patient", pa.string()), ("type", pa.string()), ("id", pa.string()), ("line", pa.large_binary())]
)
FAULTS = pa.schema(
    [("file", pa.int32()), ("offset", pa.int64()), ("length", pa.int64()), ("reason", pa.string())]
)
SHARED = "Medication"  # the only type without a patient that reading one needs
PATIENTS_OWN = "Device"  # read when it is a patient's (a home meter or cuff); those of a clinic are left
# Types the twin and the plan read; others are counted and left where they are.
READ = frozenset(
    [
        "Patient", "Observation", "Condition", "MedicationRequest", "MedicationStatement", "MedicationAdministration",
        "MedicationDispense", "AllergyIntolerance", "FamilyMemberHistory", "Goal", "Consent", "Procedure",
        "Immunization", "Encounter", "DiagnosticReport", "ServiceRequest", "CarePlan", "DetectedIssue",
        "RiskAssessment", "QuestionnaireResponse", "DeviceRequest", "NutritionOrder", "CommunicationRequest", "Task",
        PATIENTS_OWN, SHARED,
    ]
)  # fmt: skip


Columns = tuple[list[str], list[str], list[str], list[bytes]]  # patient, type, id, line


class _Reference(msgspec.Struct, gc=False):
    reference: str = ""


class _Head(msgspec.Struct, gc=False):
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
    sorter = _Sorter(part, buckets)
    for block in blocks(part):
        sorter.add(block)
    _write(sorter.columns, out)
    _write_faults(sorter.faults, out.with_suffix(".faults"))
    return Shredded(sum(len(c[0]) for c in sorter.columns), sorter.passed, len(sorter.faults))


class _Sorter:
    """Lines into the columns of their bucket."""

    def __init__(self, part: Range, buckets: int) -> None:
        self.file = part.file
        self.columns: list[Columns] = [([], [], [], []) for _ in range(buckets + 1)]
        self.faults: list[tuple[int, int, int, str]] = []
        self.passed = 0
        self._places: dict[str, Columns] = {}

    def add(self, block: Block) -> None:
        decode, places = _DECODE.decode, self._places
        for number, data in enumerate(block.pieces):
            try:
                head = decode(data)
            except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
                if block.start == 0 and number == 0 and data.startswith(BOM):
                    self.add(Block(len(BOM), [data[len(BOM) :]]))
                elif data.strip():
                    self._fault(block, number, _reason(data))
                continue
            patient = _owner(head)
            place = places.get(patient) if head.kind in READ else None
            if place is None:
                place = self._new_place(head, patient, block, number)
                if place is None:
                    continue
            place[0].append(patient)
            place[1].append(head.kind)
            place[2].append(head.id)
            place[3].append(data if data[-1] == 125 else data.strip())  # 125 is a closing brace
        if block.fault:
            self.faults.append((self.file, _offset(block, len(block.pieces)), 0, block.fault))

    def _new_place(self, head: _Head, patient: str, block: Block, number: int) -> Columns | None:
        """The columns of a patient met for the first time; None (counted or quarantined) for what has none."""
        if head.kind not in READ:
            if head.kind:
                self.passed += 1
            else:
                self._fault(block, number, "not a FHIR resource: no resourceType")
            return None
        if patient:
            place = self.columns[bucket_of(patient, len(self.columns) - 1)]
            self._places[patient] = place
            return place
        if head.kind == SHARED:
            return self.columns[-1]
        if head.kind == PATIENTS_OWN:
            self.passed += 1
            return None
        self._fault(block, number, f"{head.kind}: about no patient")
        return None

    def _fault(self, block: Block, number: int, reason: str) -> None:
        self.faults.append((self.file, _offset(block, number), len(block.pieces[number]), reason))


def _offset(block: Block, number: int) -> int:
    """Where piece `number` begins in the file."""
    return block.start + sum(len(p) + 1 for p in block.pieces[:number])


def _owner(head: _Head) -> str:
    """The patient's id; references may be relative, absolute or versioned."""
    if head.kind == "Patient":
        return head.id
    target = head.subject or head.patient or head.for_
    if target is None:
        return ""
    text = target.reference
    if text.startswith("Patient/") and text.count("/") == 1:
        return text[8:]
    text = text.partition("/_history/")[0]
    parts = text.rsplit("/", 2)
    if len(parts) >= 2 and parts[-2] == "Patient":
        return parts[-1]
    return text.removeprefix("urn:uuid:") if text.startswith("urn:uuid:") else ""


def _reason(data: bytes) -> str:
    """What is wrong, never what the line says."""
    try:
        _DECODE.decode(data)
    except msgspec.ValidationError:
        return "an element has the wrong type"
    except RecursionError:
        return "nested too deep"
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "not one JSON object" if data.rstrip()[-1:] in (b"}", b"]") else "not JSON: cut short"
    return "not a resource"


def _write(columns: list[Columns], out: Path) -> None:
    with Whole(out) as path, pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
        for patient, kind, key, data in columns:
            arrays = [
                pa.array(patient, pa.string()),
                pa.array(kind, pa.string()),
                pa.array(key, pa.string()),
                _binary(data),
            ]
            writer.write_batch(pa.record_batch(arrays, schema=SCHEMA))


def _binary(data: list[bytes]) -> pa.Array:
    """One copy of all lines, and their offsets (64 bit: a packed file is one range, however large)."""
    ends = np.cumsum(np.fromiter(map(len, data), dtype=np.int64, count=len(data)))
    offsets = pa.py_buffer(np.concatenate([np.zeros(1, dtype=np.int64), ends]))
    return pa.Array.from_buffers(pa.large_binary(), len(data), [None, offsets, pa.py_buffer(b"".join(data))])


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
