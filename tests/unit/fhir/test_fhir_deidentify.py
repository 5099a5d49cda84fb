"""De-identified export (PL-1): an allow-list, so a planted word anywhere is gone; the same person stays one person."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from fhir_twin.cli import main
from fhir_twin.fhir.deidentify import Mask, deidentify
from fhir_twin.fhir.write_card import ATTRIBUTES, NONE, attributes, card_document
from fhir_twin.sandbox.stories import load_bundles
from mappings import Source

CANARY = "Zanzibar-Canary"
MASK = Mask(b"k" * 32, date(2026, 11, 28))


def planted(value: Any) -> Any:
    """Every free string of a resource becomes the canary; codes, dates and references stay."""
    keep = {
        "resourceType",
        "id",
        "system",
        "code",
        "reference",
        "status",
        "gender",
        "birthDate",
        "div",
        "unit",
    }
    if isinstance(value, dict):
        return {k: v if k in keep and isinstance(v, str) else planted(v) for k, v in value.items()}
    if isinstance(value, list):
        return [planted(v) for v in value]
    is_date = isinstance(value, str) and value[:4].isdigit()
    return CANARY if isinstance(value, str) and not is_date else value


def records() -> list[dict[str, Any]]:
    return [e["resource"] for b in load_bundles(date(2026, 11, 1)) for e in b["entry"]]


@pytest.mark.parametrize("dates", ["year", "shift"])
def test_no_planted_word_and_no_identifier_gets_through(dates: Any) -> None:
    mask = Mask(MASK.key, MASK.today, dates)
    kept = [deidentify(planted(r), mask) for r in records()]
    text = json.dumps([k for k in kept if k], default=str)
    assert CANARY not in text
    assert len([k for k in kept if k]) > 100
    for resource in records():
        assert f'"{resource["id"]}"' not in text
        for name in resource.get("name", []):
            assert name["family"] not in text
    if dates == "year":
        assert not [
            w for w in text.replace('"', " ").split() if len(w) >= 10 and w[:4].isdigit() and w[4] == "-"
        ]


def test_a_person_stays_one_person_and_values_stay_values() -> None:
    patient = {"resourceType": "Patient", "id": "p1", "birthDate": "1930-05-02", "gender": "female",
               "address": [{"state": "OH", "postalCode": "44101", "city": "Cleveland"}]}  # fmt: skip
    observation = {
        "resourceType": "Observation", "id": "o1", "status": "final", "subject": {"reference": "Patient/p1/_history/3"},
        "code": {"coding": [{"system": "http://loinc.org", "code": "2823-3", "display": "x"},
                            {"system": "urn:local", "code": "JOHN"}], "text": "x"},
        "effectiveDateTime": "2026-10-05T08:00:00Z",
        "valueQuantity": {"value": 4.4, "unit": "mmol/L", "system": "http://unitsofmeasure.org", "code": "mmol/L"},
    }  # fmt: skip
    who, what = deidentify(patient, MASK), deidentify(observation, MASK)
    assert who is not None
    assert what is not None
    assert who["birthDate"] == "1936"  # 90 and older are one group
    assert who["address"] == [{"state": "OH"}]
    assert what["subject"]["reference"] == f"Patient/{who['id']}"
    assert what["code"] == {"coding": [{"system": "http://loinc.org", "code": "2823-3"}]}
    assert what["valueQuantity"] == observation["valueQuantity"]
    assert what["effectiveDateTime"] == "2026"
    shifted = [deidentify({**observation, "effectiveDateTime": d}, Mask(MASK.key, MASK.today, "shift"))
               for d in ("2026-10-05", "2026-10-09")]  # fmt: skip
    first, second = (date.fromisoformat(s["effectiveDateTime"]) for s in shifted if s)
    assert (second - first).days == 4
    assert first < date(2026, 10, 5)
    other = deidentify(patient, Mask(b"z" * 32, MASK.today))
    assert other is not None
    assert other["id"] != who["id"]


@pytest.mark.parametrize(
    "resource",
    [
        {},
        {"resourceType": "Observation", "id": "x"},
        {"resourceType": "Binary", "id": "1"},
        {"resourceType": "Patient"},
    ],
)
def test_what_has_no_person_is_left_out(resource: dict[str, Any]) -> None:
    assert deidentify(resource, MASK) is None


def test_the_command_writes_one_file_per_type(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = tmp_path / "in.json"
    given.write_text(json.dumps(load_bundles(date(2026, 11, 1))[0], default=str))
    arguments = [
        "deidentify",
        str(given),
        "--out",
        str(tmp_path / "out"),
        "--key-file",
        str(tmp_path / "key"),
    ]
    assert main(arguments) == 0
    assert (tmp_path / "out" / "Patient.ndjson").exists()
    assert (tmp_path / "key").stat().st_mode & 0o077 == 0
    assert main(arguments) == 2
    assert "nothing is overwritten" in capsys.readouterr().err


def test_every_model_card_answers_all_31_attributes(tmp_path: Path) -> None:
    """HT-1: gaps are said, not left out."""
    assert len(ATTRIBUTES) == 31
    from datetime import UTC, datetime

    from fhir_twin.fhir.validate import validate_resource

    cards = [table for _, table in Source().toml("model-cards")]
    for card in cards:
        told = attributes(card)
        assert len(told) == 31
        assert all(told.values())
        assert NONE in told.values()
        document = card_document(card, "v1", datetime(2026, 1, 1, tzinfo=UTC))
        assert [i for i in validate_resource(document) if i.severity in ("error", "fatal")] == []
    assert main(["cards", "--out", str(tmp_path)]) == 0
    assert len(list(tmp_path.glob("*.md"))) == len(cards)
