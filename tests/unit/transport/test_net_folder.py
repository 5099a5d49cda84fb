"""Records from files: Bundles, NDJSON, gzip, several patients (security.md 5.3 rows 40, 41, 49-51)."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from fhir_twin.errors import Conflict, InvalidInput, NotFound
from fhir_twin.transport.files import list_files, read_documents
from fhir_twin.transport.folder import FolderSource
from fhir_twin.transport.pull import Fetched

CANARY = "Canary-Zebediah-1931"


def patient(id_: str, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": id_, **more}


def condition(id_: str, subject: str) -> dict[str, Any]:
    return {"resourceType": "Condition", "id": id_, "subject": {"reference": subject}}


def bundle(*entries: dict[str, Any], type_: str = "collection") -> dict[str, Any]:
    made = [e if "resource" in e else {"resource": e} for e in entries]
    return {"resourceType": "Bundle", "type": type_, "entry": made}


def write(folder: Path, name: str, *values: Any) -> Path:
    path = folder / name
    data = "\n".join(json.dumps(v) for v in values).encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def ids(fetched: Fetched) -> list[str]:
    return [f"{e['resource']['resourceType']}/{e['resource']['id']}" for e in fetched.bundle["entry"]]


@pytest.mark.parametrize("type_", ["collection", "transaction", "searchset"])
@pytest.mark.parametrize("name", ["a.json", "a.json.gz"])
def test_one_bundle(tmp_path: Path, type_: str, name: str) -> None:
    source = FolderSource(
        write(tmp_path, name, bundle(patient("p1"), condition("c1", "Patient/p1"), type_=type_))
    )
    assert list(source.patients()) == ["p1"]
    fetched = source.fetch("p1")
    assert ids(fetched) == ["Patient/p1", "Condition/c1"]
    assert [(c.type, c.read, c.expected, c.state) for c in fetched.completeness] == [
        ("Condition", 1, None, "unknown")
    ]
    assert fetched.issues == ()


def test_bulk_export_one_file_per_type(tmp_path: Path) -> None:
    write(tmp_path, "Condition.ndjson.gz", condition("c1", "Patient/p1"), condition("c2", "Patient/p2"))
    drug = {
        "resourceType": "MedicationRequest",
        "id": "r1",
        "subject": {"reference": "Patient/p2"},
        "medicationReference": {"reference": "Medication/m1"},
    }
    write(tmp_path, "Drugs.jsonl", drug)
    write(
        tmp_path,
        "Medication.ndjson",
        {"resourceType": "Medication", "id": "m1"},
        {"resourceType": "Medication", "id": "m2"},
    )
    write(tmp_path, "Patient.ndjson", patient("p1"), patient("p2"))
    source = FolderSource(tmp_path)
    assert ids(source.fetch("p1")) == ["Patient/p1", "Condition/c1"]
    assert ids(source.fetch("p2")) == ["Patient/p2", "Condition/c2", "MedicationRequest/r1", "Medication/m1"]


def test_urns_as_synthea_writes_them(tmp_path: Path) -> None:
    """Without ids; two Bundles may not mix up their patients."""
    for n in (1, 2):
        urn = f"urn:uuid:00000000-0000-4000-8000-00000000000{n}"
        row = {"resourceType": "Condition", "subject": {"reference": urn}}
        entries = [
            {"fullUrl": urn, "resource": {"resourceType": "Patient"}},
            {"fullUrl": urn[:-1] + "9", "resource": row},
        ]
        write(tmp_path, f"{CANARY}-{n}.json", bundle(*entries, type_="transaction"))
    source = FolderSource(tmp_path)
    found = list(source.patients())
    assert found == [f"00000000-0000-4000-8000-00000000000{n}" for n in (1, 2)]
    assert all(len(source.fetch(p).bundle["entry"]) == 2 for p in found)


@pytest.mark.parametrize(
    ("reference", "kept"),
    [
        ("Patient/p1", True),
        ("Patient/p1/_history/2", True),
        ("https://fhir.example.org/r4/Patient/p1", True),
        ("https://other.example.org/r4/Patient/p1", False),
        ("Patient/p2/../p1", False),
        ("Patient/../Patient/p1", False),
        ("Patient/none", False),
        ("urn:uuid:00000000-0000-4000-8000-000000000001", False),
        ("evil/Patient/p1", False),
        ("#p1", False),
    ],
)
def test_reference_forms(tmp_path: Path, reference: str, kept: bool) -> None:
    """Row 40: same patient or left out, never another's."""
    entries = [
        {"fullUrl": "https://fhir.example.org/r4/Patient/p1", "resource": patient("p1")},
        patient("p2"),
        condition("c", reference),
    ]
    source = FolderSource(write(tmp_path, "a.json", bundle(*entries)))
    assert ("Condition/c" in ids(source.fetch("p1"))) is kept
    assert "Condition/c" not in ids(source.fetch("p2"))
    assert kept or any("left out" in i.diagnostics for i in source.issues)


def test_newest_version_wins_over_files(tmp_path: Path) -> None:
    for n in (2, 1):
        write(
            tmp_path,
            f"{n}.json",
            patient("p1", meta={"versionId": str(n)}, gender="male" if n == 2 else "other"),
        )
    assert FolderSource(tmp_path).fetch("p1").bundle["entry"][0]["resource"]["gender"] == "male"


def test_find(tmp_path: Path) -> None:
    same = [{"system": "urn:m", "value": "1"}]
    write(
        tmp_path,
        "a.ndjson",
        patient("p1", identifier=same),
        patient("p2", identifier=[{"system": "urn:m", "value": "2"}, *same]),
    )
    source = FolderSource(tmp_path)
    assert source.find("urn:m", "2") == "p2"
    with pytest.raises(Conflict):
        source.find("", "1")
    with pytest.raises(NotFound):
        source.find("urn:m", "3")
    with pytest.raises(NotFound):
        source.fetch("p3")


# --- bad files -------------------------------------------------------------------------------------


def test_bad_lines_are_said_and_the_rest_is_read(tmp_path: Path) -> None:
    lines = [
        json.dumps(patient("p1")).encode(), b"", b"   ", b"{", b"[1]",
        b'{"resourceType": "Patient", "id": "x", "y": NaN}', b'{"a": 1, "a": 2}', b"\xff\xfe",
        f'{{"name": "{CANARY}'.encode(), json.dumps(condition("c1", "Patient/p1")).encode() + b"\r",
    ]  # fmt: skip
    (tmp_path / "a.ndjson").write_bytes(b"\n".join(lines))
    source = FolderSource(tmp_path)
    fetched = source.fetch("p1")
    assert ids(fetched) == ["Patient/p1", "Condition/c1"]
    assert [i.expression for i in fetched.issues] == [f"file[1].line[{n}]" for n in (4, 5, 6, 7, 8, 9)]
    assert CANARY not in repr(fetched.issues)


def test_a_line_bomb_is_skipped(tmp_path: Path) -> None:
    """Row 49: at the cap, without keeping it in memory; what follows is read."""
    (tmp_path / "a.ndjson").write_bytes(
        b'{"x": "' + b"a" * 3_000_000 + b'"}\n' + json.dumps(patient("p1")).encode()
    )
    documents = list(read_documents(list_files([tmp_path]), max_line=100_000))
    assert [d.issue.code if d.issue else d.place for d in documents] == ["too-long", "file[1].line[2]"]


def test_a_gzip_bomb_stops_at_the_cap(tmp_path: Path) -> None:
    """Row 51."""
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(b" " * 30_000_000))
    write(tmp_path, "b.json", patient("p1"))
    source = FolderSource(tmp_path, max_bytes=1_000_000)
    assert list(source.patients()) == ["p1"] and source.issues[0].code == "too-costly"
    lines = list(
        read_documents(
            [write(tmp_path, "c.ndjson.gz", *[patient(f"p{n}") for n in range(100)])], max_bytes=1000
        )
    )
    assert 10 < len(lines) < 40 and lines[-1].issue is not None


def test_a_cut_gzip_is_said(tmp_path: Path) -> None:
    whole = gzip.compress("\n".join(json.dumps(patient(f"p{n:05}")) for n in range(3000)).encode())
    (tmp_path / "a.ndjson.gz").write_bytes(whole[: len(whole) // 2])
    source = FolderSource(tmp_path)
    assert len(list(source.patients())) > 0
    assert source.issues[-1].code == "incomplete" and "cut short" in source.issues[-1].diagnostics


def test_a_bad_file_does_not_sink_the_others_nor_name_itself(tmp_path: Path) -> None:
    (tmp_path / f"a-{CANARY}.json").write_text("{")
    (tmp_path / "b.json.gz").write_text("not gzip")
    (tmp_path / ".hidden.json").write_text("{")
    (tmp_path / "notes.txt").write_text("not ours")
    write(tmp_path, "c.json", bundle(patient("p1")))
    write(tmp_path, "d.json", {"resourceType": "Bundle", "type": "nonsense"})
    source = FolderSource(tmp_path)
    assert list(source.patients()) == ["p1"]
    assert [i.expression for i in source.issues] == ["file[1]", "file[2]", "file[4]"]
    assert CANARY not in repr(source.issues)


@pytest.mark.parametrize("content", ["{}", "[]", '{"resourceType": "Observation", "id": "o"}', ""])
def test_no_patient_at_all(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(InvalidInput, match="no Patient"):
        list(FolderSource(tmp_path).patients())


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"no \.json"):
        list(FolderSource(tmp_path).patients())
    with pytest.raises(InvalidInput, match="no such"):
        list(FolderSource(tmp_path / "none").patients())


def test_a_patient_without_id(tmp_path: Path) -> None:
    write(tmp_path, "a.json", bundle({"resourceType": "Patient"}, patient("p1")))
    source = FolderSource(tmp_path)
    assert list(source.patients()) == ["p1"] and source.issues[0].code == "required"


def test_digits_stay(tmp_path: Path) -> None:
    """MDL-6."""
    (tmp_path / "a.json").write_text(
        '{"resourceType": "Patient", "id": "p1", "extension": [{"url": "u", "valueDecimal": 7.10}]}'
    )
    value = FolderSource(tmp_path).fetch("p1").bundle["entry"][0]["resource"]["extension"][0]["valueDecimal"]
    assert str(value) == "7.10"
