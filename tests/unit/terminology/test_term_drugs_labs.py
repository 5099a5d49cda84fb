"""Drugs to ingredients with strength, form, route and frequency; laboratory names; allergies; social factors."""

from __future__ import annotations

import pytest

from terminology import TextCoder


@pytest.mark.parametrize(
    ("text", "names", "details"),
    [
        ("Lisinopril 10mg tabs PO daily", ["lisinopril"],
         {"strength": "10 mg", "form": "tablet", "route": "oral", "frequency": "daily"}),
        ("metformn 1000 mg bid", ["metformin"], {"strength": "1000 mg", "frequency": "twice daily"}),
        ("losartan/hctz 50-12.5 mg", ["losartan", "hydrochlorothiazide"], {}),
        ("ATORVASTATIN 40 MG QHS", ["atorvastatin"], {"frequency": "at bedtime"}),
    ],
)  # fmt: skip
def test_drugs(coder: TextCoder, text: str, names: list[str], details: dict[str, str]) -> None:
    decision = coder.code(text, "drug")
    assert [c.display for c in decision.chosen] == names
    assert details.items() <= dict(decision.details).items()


@pytest.mark.parametrize("text", ["", "vitamin of the month", "hypertension", "tabs po daily", "1000 mg"])
def test_what_is_no_known_drug_is_not_guessed(coder: TextCoder, text: str) -> None:
    assert coder.code(text, "drug").abstained


def test_similar_drug_names_are_not_swapped(coder: TextCoder) -> None:
    assert [c.display for c in coder.code("hydralazine 25 mg", "drug").chosen] in ([], ["hydralazine"])
    assert [c.display for c in coder.code("hydroxyzine 25 mg", "drug").chosen] in ([], ["hydroxyzine"])


def test_allergies_name_the_ingredient(coder: TextCoder) -> None:
    decision = coder.code("allergic to lisinopril - angioedema", "allergy")
    assert decision.chosen[0].display == "lisinopril"


def test_social(coder: TextCoder) -> None:
    assert coder.code("homeless", "social").chosen[0].code == "Z59.00"
    assert coder.code("never smoker", "social").assertion == "present"
