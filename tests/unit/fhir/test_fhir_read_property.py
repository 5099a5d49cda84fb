"""Whatever stands in a resource: read_chart answers, says what it left out, and never quotes it."""

# ruff: noqa: E501 - tables of cases read better on one line each

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

from fhir_read_records import AS_OF, about_patient, bundle, coded, observation, patient, quantity, resource
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_twin.fhir.elements import number_in_text
from fhir_twin.fhir.read import UNFORESEEN, read_chart
from fhir_twin.model.chart import Chart

CANARY = "CANARY-0815"


def drug() -> dict[str, Any]:
    return {"medicationCodeableConcept": coded("29046", "urn:rx", text="lisinopril")}


_WHOLE: list[dict[str, Any]] = [
    patient(name=[{"family": "x", "given": ["y"]}], identifier=[{"system": "s", "value": "1"}], communication=[{"language": {"text": "en"}}]),
    observation(
        valueQuantity=quantity(5, comparator="<"), interpretation=[coded("H")], referenceRange=[{"low": quantity(1)}],
        effectivePeriod={"start": "2024-01-01", "end": "2024-01-02"}, category=[coded("laboratory")], method={"text": "m"},
        component=[{"code": coded("8480-6"), "valueQuantity": quantity(1)}], hasMember=[{"reference": "Observation/o9"}],
        specimen={"reference": "#s"}, contained=[{"resourceType": "Specimen", "id": "s", "type": {"text": "urine"}}],
        meta={"tag": [{"code": "t"}], "security": [{"code": "R"}]}, performer=[{"reference": "Patient/p1"}], device={"display": "d"},
    ),
    {**observation("84413-4", id="g", component=[{"code": coded("48018-6"), "valueCodeableConcept": {"text": "CYP2C19"}}]), "valueString": "*1/*2"},
    resource("Condition", code={"text": "HTN"}, clinicalStatus=coded("active"), onsetAge={"value": 4, "code": "a"}, stage=[{"summary": {"text": "3"}}],
             note=[{"text": "n"}], abatementRange={"low": {"value": 3}}),
    about_patient("AllergyIntolerance", code={"text": "p"}, category=["medication"], reaction=[{"manifestation": [{"text": "r"}], "severity": "mild"}]),
    resource("MedicationRequest", status="active", intent="order", **drug(), dispenseRequest={"validityPeriod": {"end": "2027"}},
             dosageInstruction=[{"text": "daily", "timing": {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d", "when": ["MORN"]}},
                                 "doseAndRate": [{"doseQuantity": quantity(1, "mg")}], "asNeededBoolean": False}],
             reasonReference=[{"reference": "Condition/condition-1"}]),
    resource("MedicationDispense", status="completed", **drug(), daysSupply=quantity(30, "d"), whenHandedOver="2026-05-01"),
    resource("MedicationAdministration", status="completed", **drug(), dosage={"dose": quantity(1, "mg")}, effectiveDateTime="2026-01-01"),
    about_patient("FamilyMemberHistory", status="completed", relationship=coded("FTH"), condition=[{"code": {"text": "MI"}, "onsetString": "40s"}]),
    resource("Goal", lifecycleStatus="active", description={"text": "g"}, target=[{"measure": coded("1"), "detailQuantity": quantity(1), "dueDate": "2027"}]),
    about_patient("Consent", status="active", scope=coded("research"), provision={"type": "permit", "period": {"end": "2027"}, "provision": [{"type": "deny"}]}),
    resource("DiagnosticReport", status="final", code={"text": "r"}, conclusion="CYP2D6 *1/*1", effectivePeriod={"start": "2024"}),
    resource("Encounter", status="finished", period={"start": "2024"}, **{"class": {"code": "AMB"}}),
    resource("CarePlan", status="active", intent="plan", category=[{"text": "c"}], period={"start": "2024"}),
]  # fmt: skip

# Each on its own: no part may be shared between two resources, or one change would hit both.
WHOLE = [copy.deepcopy(each) for each in _WHOLE]

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.decimals(), st.text(max_size=12), st.just(CANARY),
    st.sampled_from([[], {}, [None], [[]], {"coding": None}, {"reference": CANARY}, "2024-13-45", "Patient/../x", Decimal("NaN"), "-1"]),
)  # fmt: skip
odd = st.recursive(scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(
    ["coding", "code", "value", "reference", "start", "extension", "repeat", "text"]), inner, max_size=2), max_leaves=4)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of everything inside `value`."""
    members = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    return [found for key, inner in members for found in ((*path, key), *places(inner, (*path, key)))]


ALL = [
    (index, path)
    for index, each in enumerate(WHOLE)
    for path in places(each)
    if path not in ((("resourceType"),), ("id",))
]


def with_change(index: int, path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    resources = copy.deepcopy(WHOLE)
    target: Any = resources[index]
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    return bundle(*resources)


def parts(chart: Chart) -> list[Any]:
    lists = (
        chart.measurements,
        chart.problems,
        chart.medications,
        chart.allergies,
        chart.family,
        chart.genes,
    )
    return [part for each in (*lists, chart.goals, chart.consents, chart.events) for part in each]


def total(chart: Chart) -> int:
    return len(parts(chart))


def sources(chart: Chart) -> set[str]:
    return {part.source for part in parts(chart)}


WHOLE_CHART = read_chart(bundle(*WHOLE), AS_OF)
EVERYTHING = total(WHOLE_CHART)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from([place for place in ALL if place[0] > 0]), odd)
def test_one_odd_element_never_costs_more_than_its_resource(
    place: tuple[int, tuple[Any, ...]], value: Any
) -> None:
    read = read_chart(with_change(*place, value), AS_OF)
    assert total(read) >= EVERYTHING - 2
    told = "\n".join(f"{i.diagnostics} {i.expression}" for i in read.issues)
    assert CANARY not in told
    assert UNFORESEEN not in told
    if len(sources(read)) < len(sources(WHOLE_CHART)):
        assert read.issues  # a resource of which nothing is left is never left out silently


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([place for place in ALL if place[0] == 0]), odd)
def test_an_odd_patient_is_read_or_refused_with_our_own_words(
    place: tuple[int, tuple[Any, ...]], value: Any
) -> None:
    from fhir_twin.errors import InvalidInput

    try:
        read = read_chart(with_change(*place, value), AS_OF, patient="p1")
    except InvalidInput as refused:
        assert CANARY not in str(refused)
    else:
        assert CANARY not in "".join(f"{i.diagnostics} {i.expression}" for i in read.issues)


@settings(max_examples=50)
@given(st.permutations(range(1, len(WHOLE))))
def test_the_order_of_the_bundle_changes_nothing_but_the_order(order: list[int]) -> None:
    plain, mixed = (
        read_chart(bundle(*WHOLE), AS_OF),
        read_chart(bundle(WHOLE[0], *(WHOLE[i] for i in order)), AS_OF),
    )
    assert {m.source for m in plain.measurements} == {m.source for m in mixed.measurements}
    assert set(plain.medications) == set(mixed.medications)
    assert set(plain.problems) == set(mixed.problems)
    assert plain.counts == mixed.counts


def test_the_same_input_gives_the_same_chart() -> None:
    assert read_chart(bundle(*WHOLE), AS_OF) == read_chart(copy.deepcopy(bundle(*WHOLE)), AS_OF)


def test_the_input_is_not_changed() -> None:
    given_bundle = bundle(*WHOLE)
    before = copy.deepcopy(given_bundle)
    read_chart(given_bundle, AS_OF)
    assert given_bundle == before


@given(
    st.decimals(
        allow_nan=False, allow_infinity=False, min_value=Decimal("-1e6"), max_value=Decimal("1e6"), places=3
    )
)
def test_any_plain_number_in_text_is_that_number(value: Decimal) -> None:
    found = number_in_text(f" {value} ")
    assert found is not None
    assert found.value == value


@given(st.integers(1000, 10**9))
def test_thousands_come_back(value: int) -> None:
    found = number_in_text(f"{value:,}")
    assert found is not None
    assert found.value == value


@given(st.text(max_size=100))
def test_any_text_is_a_number_or_not(text: str) -> None:
    found = number_in_text(text)
    assert found is None or found.value.is_finite()
