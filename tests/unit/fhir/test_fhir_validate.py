"""validate: what the model classes let through must be found here (MDL-3 to MDL-5, standards.md 8.1)."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))
from write_samples import BASE, plan

from fhir_twin.fhir.validate import validate_bundle, validate_resource
from fhir_twin.fhir.write import write_plan

Json = dict[str, Any]
DIV = '<div xmlns="http://www.w3.org/1999/xhtml">{}</div>'


def resources() -> dict[str, Json]:
    """The first of each type."""
    found: dict[str, Json] = {}
    for entry in write_plan(plan(), base=BASE)["entry"]:
        found.setdefault(entry["resource"]["resourceType"], entry["resource"])
    return found


@pytest.fixture
def sample() -> dict[str, Json]:
    return copy.deepcopy(resources())


def set_at(resource: Json, path: str, value: Any) -> None:
    *way, last = path.split(".")
    place: Any = resource
    for step in way:
        place = place[int(step)] if step.isdigit() else place[step]
    if last.isdigit():
        place[int(last)] = value
    else:
        place[last] = value


def test_what_we_write_has_no_fault() -> None:
    assert validate_bundle(write_plan(plan(), base=BASE)) == ()


@pytest.mark.parametrize(
    ("type_", "path"),
    [
        ("CarePlan", "status"),
        ("CarePlan", "intent"),
        ("CarePlan", "text.status"),
        ("Goal", "lifecycleStatus"),
        ("Goal", "target.0.detailQuantity.comparator"),
        ("MedicationRequest", "status"),
        ("MedicationRequest", "intent"),
        ("ServiceRequest", "status"),
        ("ServiceRequest", "intent"),
        ("NutritionOrder", "status"),
        ("NutritionOrder", "intent"),
        ("CommunicationRequest", "status"),
        ("RequestGroup", "status"),
        ("RequestGroup", "intent"),
        ("RequestGroup", "action.0.selectionBehavior"),
        ("RequestGroup", "action.0.groupingBehavior"),
        ("RiskAssessment", "status"),
        ("DetectedIssue", "status"),
        ("DetectedIssue", "severity"),
        ("GuidanceResponse", "status"),
        ("Device", "status"),
        ("Device", "deviceName.0.type"),
        ("Device", "identifier.0.use"),
        ("Provenance", "entity.0.role"),
    ],
)
def test_codes_of_required_bindings(sample: dict[str, Json], type_: str, path: str) -> None:
    """MDL-5: "banana" passes the classes."""
    resource = sample[type_]
    set_at(resource, path, "banana")
    found = validate_resource(resource, _urns())
    assert any(i.code in ("code-invalid", "structure") for i in found)
    assert "banana" not in str(found)


def _urns() -> dict[str, str]:
    return {e["fullUrl"]: e["resource"]["resourceType"] for e in write_plan(plan(), base=BASE)["entry"]}


@pytest.mark.parametrize(
    ("type_", "path", "target"),
    [
        ("CarePlan", "subject.reference", "Observation/1"),
        ("CarePlan", "goal.0.reference", "Condition/1"),
        ("CarePlan", "activity.0.reference.reference", "Goal/1"),
        ("CarePlan", "activity.0.reference.reference", "RiskAssessment/1"),
        ("CarePlan", "addresses.0.reference", "Observation/1"),
        ("MedicationRequest", "subject.reference", "Device/1"),
        ("MedicationRequest", "reasonReference.0.reference", "MedicationRequest/1"),
        ("Goal", "subject.reference", "Observation/1"),
        ("RiskAssessment", "performer.reference", "Patient/1"),
        ("DetectedIssue", "author.reference", "Patient/1"),
    ],
)
def test_reference_target_types(sample: dict[str, Json], type_: str, path: str, target: str) -> None:
    resource = sample[type_]
    set_at(resource, path, target)
    assert any(
        "type that this element does not allow" in i.diagnostics for i in validate_resource(resource, _urns())
    )


@pytest.mark.parametrize(
    "target", ["urn:uuid:00000000-0000-4000-8000-000000000000", "not a reference", "Patient"]
)
def test_references_lead_somewhere(sample: dict[str, Json], target: str) -> None:
    set_at(sample["CarePlan"], "activity.0.reference.reference", target)
    found = validate_resource(sample["CarePlan"], _urns())
    assert {i.code for i in found} & {"not-found", "value", "structure"}


def test_cpl_3(sample: dict[str, Json]) -> None:
    for activity in ({}, {"reference": {"display": "x"}, "detail": {"status": "scheduled"}}):
        sample["CarePlan"]["activity"] = [activity]
        assert any("cpl-3" in i.diagnostics for i in validate_resource(sample["CarePlan"], _urns()))


def test_gol_1(sample: dict[str, Json]) -> None:
    del sample["Goal"]["target"][0]["measure"]
    assert any("gol-1" in i.diagnostics for i in validate_resource(sample["Goal"], _urns()))


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"probabilityDecimal": 100.1}, "ras-2"),
        ({"probabilityDecimal": -1}, "ras-2"),
        (
            {
                "probabilityDecimal": None,
                "probabilityRange": {"low": {"value": 1, "code": "1", "system": "http://unitsofmeasure.org"}},
            },
            "ras-1",
        ),
        ({"whenPeriod": None, "whenRange": {"high": {"value": 70, "unit": "a"}}}, "RA-2"),
    ],
)
def test_ras(sample: dict[str, Json], change: Json, rule: str) -> None:
    prediction = sample["RiskAssessment"]["prediction"][0]
    prediction.update(change)
    sample["RiskAssessment"]["prediction"][0] = {k: v for k, v in prediction.items() if v is not None}
    assert any(rule in i.diagnostics for i in validate_resource(sample["RiskAssessment"], _urns()))


@pytest.mark.parametrize("id_", ["a" * 65, "a_b", "", "a b", "é"])
def test_ids(sample: dict[str, Json], id_: str) -> None:
    assert validate_resource({**sample["CarePlan"], "id": id_}, _urns())


def test_longest_id_passes(sample: dict[str, Json]) -> None:
    assert validate_resource({**sample["CarePlan"], "id": "A-9." * 16}, _urns()) == ()


@pytest.mark.parametrize(
    "inner",
    [
        "<script>alert(1)</script>",
        '<p onclick="x()">x</p>',
        '<a href="javascript:alert(1)">x</a>',
        '<a href=" java&#10;script:alert(1)">x</a>',
        '<a href="data:text/html,x">x</a>',
        '<img src="http://evil.example/x.png" alt="x"/>',
        '<p style="background:url(http://evil.example)">x</p>',
        "<form><p>x</p></form>",
        "<object>x</object>",
        "<iframe>x</iframe>",
        '<svg xmlns="http://www.w3.org/2000/svg"><text>x</text></svg>',
        "<p>unclosed",
        "",
        "   ",
    ],
)
def test_narratives_that_are_not_safe(sample: dict[str, Json], inner: str) -> None:
    """CP-11, security.md 5.3 row 45."""
    sample["CarePlan"]["text"]["div"] = DIV.format(inner)
    found = validate_resource(sample["CarePlan"], _urns())
    assert any(i.expression == "CarePlan.text.div" for i in found)
    assert "alert" not in str(found)


@pytest.mark.parametrize(
    "div",
    [
        "<p>x</p>",
        '<!DOCTYPE x [<!ENTITY e "x">]>' + DIV.format("&e;"),
        '<?xml-stylesheet href="x"?>' + DIV.format("x"),
        '<span xmlns="http://www.w3.org/1999/xhtml">x</span>',
    ],
)
def test_narratives_that_are_no_div(sample: dict[str, Json], div: str) -> None:
    sample["CarePlan"]["text"]["div"] = div
    assert validate_resource(sample["CarePlan"], _urns())


def test_narratives_that_are_fine(sample: dict[str, Json]) -> None:
    inner = '<p id="a" class="b" xml:lang="en">x <b>y</b><br/><a href="#a">z</a> <a href="https://x.example/">w</a></p>'
    sample["CarePlan"]["text"]["div"] = DIV.format(
        inner + "<table><tr><td colspan='2'>1</td></tr></table><!-- c -->"
    )
    assert validate_resource(sample["CarePlan"], _urns()) == ()


def test_contained_in_contained(sample: dict[str, Json]) -> None:
    inner = {"resourceType": "Patient", "id": "p"}
    sample["CarePlan"]["contained"] = [{"resourceType": "Patient", "id": "q", "contained": [inner]}]
    assert any("dom-2" in i.diagnostics for i in validate_resource(sample["CarePlan"], _urns()))


def test_security_label_in_contained(sample: dict[str, Json]) -> None:
    """AI-5."""
    sample["CarePlan"]["contained"] = [
        {"resourceType": "Patient", "id": "q", "meta": {"security": [{"code": "R"}]}}
    ]
    assert any("dom-5" in i.diagnostics for i in validate_resource(sample["CarePlan"], _urns()))


@pytest.mark.parametrize("status", ["active", "completed", "on-hold"])
@pytest.mark.parametrize("type_", ["CarePlan", "MedicationRequest", "ServiceRequest", "RequestGroup"])
def test_never_activated(sample: dict[str, Json], type_: str, status: str) -> None:
    """CP-1."""
    sample[type_]["status"] = status
    assert any("CP-1" in i.diagnostics for i in validate_resource(sample[type_], _urns()))


def test_never_an_order(sample: dict[str, Json]) -> None:
    sample["MedicationRequest"]["intent"] = "order"
    assert any("CP-1" in i.diagnostics for i in validate_resource(sample["MedicationRequest"], _urns()))


@pytest.mark.parametrize(
    "type_", ["SubscriptionTopic", "Citation", "Ingredient", "NoSuchThing", "Quantity", "", "../etc"]
)
def test_types_that_r4_lacks(type_: str) -> None:
    """MDL-3."""
    assert validate_resource({"resourceType": type_})


@pytest.mark.parametrize(
    "element", [{"valueCodeableReference": {"concept": {"text": "x"}}}, {"valueRatioRange": {}}]
)
def test_elements_that_r4_lacks(sample: dict[str, Json], element: Json) -> None:
    sample["Goal"]["extension"] = [{"url": "http://x.example", **element}]
    assert any(i.code in ("not-supported", "structure") for i in validate_resource(sample["Goal"], _urns()))


@pytest.mark.parametrize("resource", [{}, {"resourceType": 7}, {"resourceType": ["CarePlan"]}])
def test_no_resource_at_all(resource: Json) -> None:
    assert validate_resource(resource)


def test_control_characters(sample: dict[str, Json]) -> None:
    sample["Goal"]["description"]["text"] = "a\x00b"
    assert any("character" in i.diagnostics for i in validate_resource(sample["Goal"], _urns()))


def test_deep_nesting_is_an_issue_not_a_crash(sample: dict[str, Json]) -> None:
    """security.md 5.3 row 34."""
    extension: Json = {"url": "http://x.example/e", "valueString": "x"}
    for _ in range(200):
        extension = {"url": "http://x.example/e", "extension": [extension]}
    assert validate_resource({**sample["Goal"], "extension": [extension]}, _urns())


def test_bundle_rules() -> None:
    bundle = write_plan(plan(), base=BASE)
    bundle["entry"].append(bundle["entry"][0])
    assert any("bdl-7" in i.diagnostics for i in validate_bundle(bundle))
    bundle = write_plan(plan(), base=BASE)
    del bundle["entry"][0]["request"]
    assert any("bdl-3" in i.diagnostics for i in validate_bundle(bundle))


def test_validation_changes_nothing() -> None:
    """MDL-6: the classes are lossy; the dict that was checked is the dict that is sent."""
    bundle = write_plan(plan(), base=BASE)
    before = copy.deepcopy(bundle)
    validate_bundle(bundle)
    assert bundle == before


def test_withdrawn_and_own_lists_allow_cancelled(sample: dict[str, Json]) -> None:
    """The classes' own lists are cut short ("amended", "+"): the whole R4 list counts."""
    for status in ("cancelled", "corrected", "entered-in-error", "unknown", "registered"):
        assert validate_resource({**sample["RiskAssessment"], "status": status}, _urns()) == ()


_SUBJECT = {"reference": "Patient/1"}
_ERROR = {"coding": [{"code": "entered-in-error"}]}
_ACTIVE = {"coding": [{"code": "active"}]}
_SBP = {"coding": [{"system": "http://loinc.org", "code": "8480-6"}]}


@pytest.mark.parametrize(
    ("resource", "rule"),
    [
        (
            {
                "resourceType": "Observation",
                "status": "final",
                "code": _SBP,
                "valueString": "x",
                "dataAbsentReason": {"text": "y"},
            },
            "obs-6",
        ),
        (
            {
                "resourceType": "Observation",
                "status": "final",
                "code": _SBP,
                "valueString": "x",
                "component": [{"code": _SBP}],
            },
            "obs-7",
        ),
        (
            {
                "resourceType": "Condition",
                "subject": _SUBJECT,
                "clinicalStatus": _ACTIVE,
                "abatementString": "x",
            },
            "con-4",
        ),
        (
            {
                "resourceType": "Condition",
                "subject": _SUBJECT,
                "clinicalStatus": _ACTIVE,
                "verificationStatus": _ERROR,
            },
            "con-5",
        ),
        ({"resourceType": "AllergyIntolerance", "patient": _SUBJECT}, "ait-1"),
        (
            {
                "resourceType": "AllergyIntolerance",
                "patient": _SUBJECT,
                "clinicalStatus": _ACTIVE,
                "verificationStatus": _ERROR,
            },
            "ait-2",
        ),
    ],
)
def test_invariants_of_clinical_resources(resource: Json, rule: str) -> None:
    found = validate_resource(resource)
    assert [i.diagnostics for i in found if rule in i.diagnostics]
    assert all(i.code == "invariant" for i in found)


@pytest.mark.parametrize(
    "resource",
    [
        {"resourceType": "Observation", "status": "final", "code": _SBP, "valueString": "x"},
        {
            "resourceType": "Observation",
            "status": "final",
            "code": {"text": "bp"},
            "component": [{"code": _SBP}],
        },
        {"resourceType": "Condition", "subject": _SUBJECT, "verificationStatus": _ERROR},
        {"resourceType": "AllergyIntolerance", "patient": _SUBJECT, "verificationStatus": _ERROR},
        {"resourceType": "AllergyIntolerance", "patient": _SUBJECT, "clinicalStatus": _ACTIVE},
    ],
)
def test_clinical_resources_that_are_fine(resource: Json) -> None:
    assert validate_resource(resource) == ()
