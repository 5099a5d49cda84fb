"""A SNOMED CT concept is never reached by the way back from an ICD-10-CM code alone."""

from __future__ import annotations

import pytest

from mappings import Source
from terminology import TextCoder, open_coder

SNOMED = "http://snomed.info/sct"


@pytest.fixture(scope="module")
def coder() -> TextCoder:
    return open_coder(Source())


def snomed(coder: TextCoder, text: str) -> list[str]:
    return [c.code for d in coder.code_all(text, "problem") for c in d.chosen if c.system == SNOMED]


def test_a_residual_code_brings_no_foreign_concept(coder: TextCoder) -> None:
    """Seen: "hx statin myopathy" -> Z86.69 -> "History of single seizure"."""
    assert "703151001" not in snomed(coder, "hx statin myopathy")
    assert "703151001" not in snomed(coder, "hx of carpal tunnel")


@pytest.mark.parametrize(
    ("text", "code"),
    [("HTN", "38341003"), ("T2DM", "44054006"), ("a fib", "49436004"), ("heart attack", "22298006")],
)
def test_the_concepts_that_were_meant_are_still_found(coder: TextCoder, text: str, code: str) -> None:
    assert code in snomed(coder, text)
