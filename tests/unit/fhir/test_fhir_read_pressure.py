"""Blood pressure written as one text, however it is named (OB-11, I3)."""

from __future__ import annotations

import pytest
from fhir_read_records import chart, observation

SCT = "http://snomed.info/sct"


@pytest.mark.parametrize("text", ["150/95", "150 / 95 mmHg", "BP 150/95", "bp: 150/95 mm[Hg]"])
@pytest.mark.parametrize(
    "code",
    [
        {"text": "Blood pressure"},
        {"text": "BP"},
        {"coding": [{"system": SCT, "code": "75367002"}]},
        {"coding": [{"system": SCT, "code": "364090009", "display": "Systemic arterial pressure"}]},
        {"coding": [{"code": "85354-9"}]},
        {"coding": [{"system": "http://loinc.org", "code": "55284-4"}], "text": "BP sitting"},
    ],
)
def test_one_text_gives_the_pair(code: dict[str, object], text: str) -> None:
    read = chart({**observation(), "code": code, "valueString": text})
    assert [int(m.value or 0) for m in read.measurements] == [150, 95]


@pytest.mark.parametrize("code", [{"text": "Visual acuity"}, {"text": "Target blood pressure"}])
def test_what_is_named_otherwise_stays_text(code: dict[str, object]) -> None:
    (only,) = chart({**observation(), "code": code, "valueString": "20/40"}).measurements
    assert only.value is None and only.text == "20/40"


def test_another_loinc_code_with_such_words_is_no_pair() -> None:
    code = {"coding": [{"system": "http://loinc.org", "code": "8478-0"}], "text": "Blood pressure"}
    (only,) = chart({**observation(), "code": code, "valueString": "150/95"}).measurements
    assert only.value is None
