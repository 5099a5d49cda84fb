"""What must not depend on form, and what may only move one way: through twin, simulation and recommendation."""

from __future__ import annotations

import random
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from situation_runner import coded_chart, known, plan_for, plan_of, situations

from fhir_twin.model.coded import CodedChart
from fhir_twin.model.plan import Plan

ROWS = {f"{row['file']}: {row['name']}": row for row in situations()}
SOME = sorted(ROWS)[::17]
DRUGS = {
    "ace-inhibitor": "lisinopril",
    "arb": "losartan",
    "ccb-dhp": "amlodipine",
    "thiazide": "hydrochlorothiazide",
    "statin": "atorvastatin",
    "sglt2-inhibitor": "empagliflozin",
    "glp1-ra": "semaglutide",
    "metformin": "metformin",
    "ezetimibe": "ezetimibe",
}


def outline(plan: Plan) -> list[tuple[int, str]]:
    return [(r.rank, r.key) for r in plan.recommendations]


@pytest.mark.parametrize("name", SOME)
def test_order_of_the_resources_changes_nothing(name: str) -> None:
    coded = coded_chart(ROWS[name])
    shuffle = random.Random(5)

    def mixed(values: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(shuffle.sample(values, len(values)))

    turned = replace(
        coded,
        problems=mixed(coded.problems),
        medications=mixed(coded.medications),
        allergies=mixed(coded.allergies),
        measurements=mixed(coded.measurements),
    )
    first, again = plan_for(coded), plan_for(turned)
    assert outline(again) == outline(first)
    assert {f.key for f in again.findings} == {f.key for f in first.findings}
    assert {q.key for q in again.questions} == {q.key for q in first.questions}


@pytest.mark.parametrize("name", SOME)
def test_the_same_input_gives_the_same_plan(name: str) -> None:
    assert plan_of(ROWS[name]) == plan_of(ROWS[name])


FACTORS = {
    "ldl": ("mmol/L", Decimal("38.67"), "22748-8"),
    "hdl": ("mmol/L", Decimal("38.67"), "14646-4"),
    "total-cholesterol": ("mmol/L", Decimal("38.67"), "14647-2"),
    "creatinine": ("umol/L", Decimal("0.01130965844"), "14682-9"),
    "weight": ("[lb_av]", Decimal("0.45359237"), "29463-7"),
}


def in_other_units(coded: CodedChart) -> CodedChart:
    """The same values as another laboratory would write them."""
    k = known().biomarkers
    changed = []
    for entry in coded.measurements:
        key = k.by_loinc[entry.loinc[0]][0]
        if key in FACTORS and entry.measurement.value is not None:
            unit, factor, loinc = FACTORS[key]
            value = entry.measurement.value / factor
            measurement = replace(entry.measurement, value=value, unit=unit, unit_code=unit)
            entry = replace(entry, measurement=measurement, loinc=(loinc,))
        changed.append(entry)
    return replace(coded, measurements=tuple(changed))


@pytest.mark.parametrize("base", ["htn", "dm", "ascvd", "ckd"])
def test_units_change_nothing(base: str) -> None:
    row = next(r for r in situations() if r.get("base") == base)
    coded = coded_chart(row)
    first, again = plan_for(coded), plan_for(in_other_units(coded))
    assert outline(again) == outline(first)
    for a, b in zip(first.estimates, again.estimates, strict=True):
        assert b.mean == pytest.approx(a.mean, rel=1e-6)


@pytest.mark.parametrize("name", SOME)
def test_adding_an_allergy_never_proposes_its_drug(name: str) -> None:
    row = ROWS[name]
    for key, drug in DRUGS.items():
        plan = plan_of({**row, "allergies": [*row["allergies"], drug]})
        assert key not in {r.key for r in plan.recommendations}, f"{drug} in spite of the allergy"


def of(row: dict[str, Any], **labs: Any) -> Plan:
    return plan_of({**row, "labs": {**row["labs"], **labs}})


BASE = {
    name: next(r for r in situations() if r.get("base") == name) for name in ("htn", "dm", "ascvd", "ckd")
}


@pytest.mark.parametrize("base", sorted(BASE))
def test_higher_pressure_never_lowers_the_risk_or_the_benefit(base: str) -> None:
    """A worse value never lowers urgency: with rising pressure the risk rises and a pressure drug stays proposed."""
    drugs = {"ace-inhibitor", "arb", "ccb-dhp", "thiazide"}
    risks, proposed = [], []
    for pressure in (125, 135, 145, 155, 165, 175):
        plan = of(BASE[base], sbp=[pressure, pressure, pressure])
        risks.append(next((r.probability for r in plan.risks if r.outcome == "cvd"), 0.0))
        proposed.append(bool({r.key for r in plan.recommendations} & drugs))
    assert risks == sorted(risks)
    assert proposed == sorted(proposed), f"proposed at a lower pressure, not at a higher one: {proposed}"


def test_higher_ldl_never_drops_the_statin() -> None:
    proposed = []
    for ldl in (60, 90, 120, 150, 190, 230):
        plan = of(BASE["htn"], ldl=[ldl, ldl], **{"total-cholesterol": ldl + 80})
        proposed.append("statin" in {r.key for r in plan.recommendations})
    assert proposed == sorted(proposed)


def test_worse_kidneys_never_free_a_drug() -> None:
    """Hard stops by eGFR stay when the kidneys get worse."""
    stopped: set[str] = set()
    for creatinine in (0.9, 1.4, 1.8, 2.4, 3.2, 4.5):
        plan = of(BASE["ckd"], creatinine=[creatinine, creatinine])
        now = {r.rule for r in plan.rejected if "egfr" in r.rule}
        blocked = {rule.split("-egfr")[0] for rule in now}
        assert stopped <= blocked, f"{stopped - blocked} was stopped at better kidneys"
        stopped = blocked


def test_higher_potassium_never_frees_a_drug() -> None:
    stopped: set[str] = set()
    for potassium in (4.0, 4.9, 5.2, 5.6, 6.2):
        plan = of(BASE["htn"], potassium=potassium)
        now = {
            r.scenario.key
            for r in plan.rejected
            if "potassium" in r.rule and r.rule.startswith(("ras", "mra"))
        }
        assert stopped <= now
        stopped = now
    assert stopped


def test_an_irrelevant_problem_changes_no_proposal() -> None:
    row = BASE["dm"]
    assert outline(plan_of({**row, "problems": [*row["problems"], "migraine"]})) == outline(plan_of(row))


def test_a_second_copy_of_a_drug_changes_nothing() -> None:
    row = BASE["dm"]
    twice = plan_of({**row, "drugs": [*row["drugs"], *row["drugs"]]})
    once = plan_of(row)
    assert {f.key for f in twice.findings} == {f.key for f in once.findings}
