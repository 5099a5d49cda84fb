"""Clinical situations as data (tests/stage/situations/*.toml): built into a CodedChart and run through the twin,
the simulation and the recommendation with the real knowledge.

A situation tells the patient in the words of our keys:

    [[situation]]
    name = "..."                    what it is about
    source = "..."                  where the expectation is from
    age = 58                        years at AS_OF
    sex = "female"
    problems = ["hypertension"]     condition groups; "?gout" possible only, "-gout" history
    drugs = ["lisinopril 10"]       ingredients of one product joined with "+", daily mg
    allergies = ["lisinopril"]      ingredient, or "class:statin"
    labs = { potassium = 4.5, sbp = [150, 148] }   newest last; each 30 days before the next
    days = { potassium = 500 }      age of the newest value (default 20)
    smoking = "never"  pregnant = false
    family = ["breast-cancer"]
    race = "White"
    wishes = ["no injections"]      answers to LOINC 75773-2
    goals = [{ text = "...", loinc = "4548-4", below = 8, unit = "%" }]
    planned = ["ibuprofen 1200"]    a clinician's plan, not taken yet
    dispensed = ["lisinopril 200"]  ingredient and days since its last supply (30 days each) was handed out
    expect = { propose = [], absent = [], stop = [], reject = [], ask = [], find = [], no_find = [], goal = {} }
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from fhir_twin.assimilation import build_twin, load_biomarkers
from fhir_twin.model.biomarker import BiomarkerSet
from fhir_twin.model.chart import (
    Allergy,
    Chart,
    FamilyMember,
    GeneResult,
    GoalTarget,
    Measurement,
    Medication,
    PatientGoal,
    PatientRecord,
    Problem,
)
from fhir_twin.model.coded import (
    CodedAllergy,
    CodedChart,
    CodedFamilyCondition,
    CodedMeasurement,
    CodedMedication,
    CodedProblem,
    SocialFacts,
)
from fhir_twin.model.codes import LOINC, UCUM, Coding, Concept
from fhir_twin.model.guidelines import Guidelines
from fhir_twin.model.intervention import Interventions, Outcomes
from fhir_twin.model.plan import Plan
from fhir_twin.model.rules import SafetyRules
from fhir_twin.recommendation import load_guidelines, recommend
from fhir_twin.rules import load_safety
from fhir_twin.simulation import load_interventions, load_outcomes, propose_scenarios, simulate
from mappings import Source

AS_OF = datetime(2026, 3, 1, 12, tzinfo=UTC)
DRAWS = 200  # enough for which option comes, and fast
FOLDER = Path(__file__).parent / "situations"


@dataclass(frozen=True)
class Known:
    biomarkers: BiomarkerSet
    interventions: Interventions
    outcomes: Outcomes
    safety: SafetyRules
    guidelines: Guidelines
    classes: dict[str, frozenset[str]]


@cache
def known() -> Known:
    source = Source()
    safety = load_safety(source)
    classes: dict[str, set[str]] = {}
    for name, members in safety.members.items():
        for member in members:
            classes.setdefault(member, set()).add(name)
    return Known(
        load_biomarkers(source),
        load_interventions(source),
        load_outcomes(source),
        safety,
        load_guidelines(source),
        {k: frozenset(v) for k, v in classes.items()},
    )


def situations() -> list[dict[str, Any]]:
    """All situations of all files, in order; each laid over the base (of bases.toml) that it names."""
    bases = tomllib.loads((FOLDER / "bases.toml").read_text("utf-8"))
    found = []
    for path in sorted(FOLDER.glob("*.toml")):
        rows = tomllib.loads(path.read_text("utf-8")).get("situation", ())
        found += [{**_laid(bases, row), "file": path.stem} for row in rows]
    return found


def _laid(bases: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    """Lists of problems, drugs and allergies add to those of the base; tables merge; the rest replaces.
    A laboratory value of "none" takes the base's away."""
    base = bases[row["base"]] if "base" in row else {}
    if "base" in base:
        base = _laid(bases, base)
    merged = {**base, **row}
    for key in ("problems", "drugs", "allergies", "family"):
        merged[key] = [*base.get(key, ()), *row.get(key, ())]
    for key in ("labs", "days"):
        merged[key] = {**base.get(key, {}), **row.get(key, {})}
    merged["labs"] = {key: value for key, value in merged["labs"].items() if value != "none"}
    return merged


def coded_chart(row: dict[str, Any]) -> CodedChart:
    patient = PatientRecord(
        "Patient/1", "1", name="Test Person", sex=row["sex"], birth_date=_born(row["age"]), birth_precision="day",
        deceased=row.get("deceased", False),
        race=row.get("race", ""),
    )  # fmt: skip
    genes = tuple(GeneResult(f"Observation/gene-{i}", **gene) for i, gene in enumerate(row.get("genes", ())))
    goals = tuple(_goal(i, goal) for i, goal in enumerate(row.get("goals", ())))
    chart = Chart(patient, AS_OF, genes=genes, goals=goals)
    return CodedChart(
        chart,
        problems=tuple(_problem(i, text) for i, text in enumerate(row.get("problems", ()))),
        medications=(
            *(_drug(i, text) for i, text in enumerate(row.get("drugs", ()))),
            *(_dispense(i, text) for i, text in enumerate(row.get("dispensed", ()))),
            *(_planned(i, text) for i, text in enumerate(row.get("planned", ()))),
        ),
        allergies=tuple(_allergy(i, text) for i, text in enumerate(row.get("allergies", ()))),
        measurements=(
            *(m for key, values in row.get("labs", {}).items() for m in _lab(key, values, row)),
            *(_wish(i, text) for i, text in enumerate(row.get("wishes", ()))),
        ),
        family=tuple(_relative(i, group) for i, group in enumerate(row.get("family", ()))),
        social=SocialFacts(
            smoking=row.get("smoking", "never"),
            pregnant=row.get("pregnant"),
            pack_years=row.get("pack_years"),
            alcohol_per_week=row.get("alcohol_per_week"),
        ),
    )


def plan_of(row: dict[str, Any]) -> Plan:
    return plan_for(coded_chart(row))


def plan_for(coded: CodedChart) -> Plan:
    k = known()
    twin = build_twin(coded, k.biomarkers)
    proposals = propose_scenarios(coded, twin, k.interventions, k.safety)
    trajectories = simulate(twin, proposals.scenarios, k.biomarkers, k.interventions, k.outcomes, draws=DRAWS)
    return recommend(
        coded, twin, proposals, trajectories, k.interventions, k.guidelines, k.safety, version="test"
    )


def _born(age: float) -> date:
    return (AS_OF - timedelta(days=(age + 0.2) * 365.25)).date()


def _problem(index: int, text: str) -> CodedProblem:
    group = text.lstrip("?-")
    certainty = "possible" if text.startswith("?") else "confirmed"
    past = text.startswith("-")
    problem = Problem(
        f"Condition/{group}-{index}", Concept(text=group), "resolved" if past else "active", certainty,  # type: ignore[arg-type]
        onset=AS_OF - timedelta(days=200),
    )  # fmt: skip
    groups = frozenset({group, *IMPLIED.get(group, ())})
    return CodedProblem(problem, (), (), groups, "historical" if past else "present", 1.0, False)


IMPLIED = {
    "diabetes-type-2": ("diabetes",),
    "diabetes-type-1": ("diabetes",),
    "ckd-stage-4-5": ("ckd",),
    "heart-failure-reduced-ef": ("heart-failure",),
    "myocardial-infarction": ("ascvd", "coronary-disease"),
    "coronary-disease": ("ascvd",),
    "stroke": ("ascvd",),
    "peripheral-artery-disease": ("ascvd",),
    "familial-hypercholesterolemia": ("hyperlipidemia",),
}


def _drug(index: int, text: str) -> CodedMedication:
    name, _, dose = text.partition(" ")
    ingredients = tuple(name.replace("_", " ").split("+"))
    classes = frozenset().union(*(known().classes.get(i, frozenset()) for i in ingredients))
    entry = Medication(
        f"MedicationRequest/{index}",
        Concept(text=text),
        "active",
        current=True,
        start=AS_OF - timedelta(days=400),
    )
    return CodedMedication(entry, ingredients, (), classes, float(dose) if dose else None, 1.0, False)


def _dispense(index: int, text: str) -> CodedMedication:
    name, _, days = text.rpartition(" ")
    start = AS_OF - timedelta(days=float(days))
    end = start + timedelta(days=30)
    drug = _drug(index, name)
    entry = replace(
        drug.medication, source=f"MedicationDispense/{index}", status="completed", current=end > AS_OF, start=start,
        end=end, flags=("dispensed",),
    )  # fmt: skip
    return replace(drug, medication=entry)


def _planned(index: int, text: str) -> CodedMedication:
    drug = _drug(index, text)
    entry = replace(
        drug.medication, source=f"MedicationRequest/planned-{index}", intent="plan", current=False
    )
    return replace(drug, medication=entry)


def _wish(index: int, text: str) -> CodedMeasurement:
    code = Concept((Coding(LOINC, "75773-2"),))
    given = Measurement(f"Observation/wish-{index}", code, AS_OF - timedelta(days=30 - index), text=text)
    return CodedMeasurement(given, ("75773-2",), 1.0, False)


def _goal(index: int, row: dict[str, Any]) -> PatientGoal:
    targets = ()
    if "loinc" in row:
        measure = Concept((Coding(LOINC, row["loinc"]),))
        targets = (GoalTarget(measure, high=Decimal(str(row["below"])), unit=row.get("unit", "")),)
    return PatientGoal(f"Goal/{index}", Concept(text=row.get("text", "")), "active", targets=targets)


def _allergy(index: int, text: str) -> CodedAllergy:
    name = text.removeprefix("class:").replace("_", " ")
    entry = Allergy(f"AllergyIntolerance/{index}", Concept(text=name))
    if text.startswith("class:"):
        return CodedAllergy(entry, (), frozenset({name}), False, True)
    return CodedAllergy(entry, (name,), frozenset(), False, True)


def _relative(index: int, group: str) -> CodedFamilyCondition:
    member = FamilyMember(f"FamilyMemberHistory/{index}", "MTH", 1)
    return CodedFamilyCondition(member, frozenset({group}), None)


def _lab(key: str, values: Any, row: dict[str, Any]) -> list[CodedMeasurement]:
    series = values if isinstance(values, list) else [values]
    newest = row.get("days", {}).get(key, 20)
    found = []
    for position, value in enumerate(series):
        when = AS_OF - timedelta(days=newest + 30 * (len(series) - 1 - position), minutes=_minute(key))
        code, unit = _code(key)
        measurement = Measurement(
            f"Observation/{key}-{position}", Concept((Coding(LOINC, code),)), when, value=Decimal(str(value)),
            unit=unit, unit_code=unit, unit_system=UCUM, setting="office",
        )  # fmt: skip
        found.append(CodedMeasurement(measurement, (code,), 1.0, False))
    return found


def _minute(key: str) -> int:
    return sum(map(ord, key)) % 50


@cache
def _code(key: str) -> tuple[str, str]:
    """LOINC and canonical unit of an analyte."""
    analyte = known().biomarkers.analytes[key]
    return next(code.loinc for code in analyte.codes if code.use not in ("exclude",)), analyte.unit
