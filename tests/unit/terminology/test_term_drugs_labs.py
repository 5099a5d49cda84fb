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


@pytest.mark.parametrize(
    ("text", "names", "strength"),
    [
        ("Lipitor 20", ["atorvastatin"], "20 mg"),  # milligrams assumed, and said so
        ("Norco 10-325", ["acetaminophen", "hydrocodone"], "10/325 mg"),
        ("semaglutide 1mg/0.75ml pen", ["semaglutide"], "1 mg/0.75 mL"),
        ("Lantus 100 u/ml", ["insulin glargine"], "100 units/mL"),
        ("levothyroxine 88", ["levothyroxine"], "88"),  # micrograms are meant: no unit is made up
        ("azithro 250", ["azithromycin"], "250 mg"),
        ("KCl 20 mEq", ["potassium chloride"], "20 mEq"),
    ],
)
def test_strengths(coder: TextCoder, text: str, names: list[str], strength: str) -> None:
    details = coder.code(text, "drug").details
    assert {v for k, v in details if k == "ingredient"} == set(names)
    assert dict(details)["strength"] == strength


def test_a_bare_number_is_said_to_be_assumed(coder: TextCoder) -> None:
    assert dict(coder.code("Lipitor 20", "drug").details)["strength-unit"].startswith("mg assumed")
    assert "strength" not in dict(coder.code("Lipitor, 2 tabs", "drug").details)
