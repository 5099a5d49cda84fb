"""CN-1 to CN-3: consents with their provisions; what cannot be evaluated is named, never overlooked."""

# ruff: noqa: E501 - tables of cases read better on one line each

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from fhir_read_records import about_patient, chart

from fhir_twin.model.chart import Consent, ConsentRule

SCOPE = {
    "coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]
}


def consent(**more: Any) -> Consent:
    (found,) = chart(about_patient("Consent", **{"status": "active", "scope": SCOPE, **more})).consents
    return found


def test_rules_and_exceptions() -> None:
    found = consent(
        dateTime="2024-01-01",
        provision={
            "type": "permit",
            "period": {"start": "2024-01-01", "end": "2026-12-31"},
            "purpose": [{"code": "TREAT"}, {"code": "HRESCH"}],
            "provision": [
                {"type": "deny", "purpose": [{"code": "HRESCH"}], "class": [{"code": "Observation"}]},
                {"action": [{"coding": [{"code": "disclose"}]}], "securityLabel": [{"code": "PSY"}]},
            ],
        },
    )
    assert (found.status, found.scope, found.unreadable) == ("active", "patient-privacy", "")
    root = found.root
    assert root is not None
    assert root.permit
    assert (root.start, root.end) == (datetime(2024, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    assert root.purposes == ("TREAT", "HRESCH")
    denied, opposite = root.exceptions
    assert denied == ConsentRule(False, purposes=("HRESCH",), classes=("Observation",))
    assert opposite == ConsentRule(False, actions=("disclose",), security_labels=("PSY",))


@pytest.mark.parametrize(("rule", "permit"), [("OPTIN", True), ("OPTOUT", False)])
def test_a_root_without_type_follows_the_policy_rule(rule: str, permit: bool) -> None:
    found = consent(policyRule={"coding": [{"code": rule}]}, provision={"purpose": [{"code": "TREAT"}]})
    assert found.root is not None
    assert (found.root.permit, found.policy_rule, found.unreadable) == (permit, rule, "")


def test_a_root_without_type_and_rule_is_unreadable() -> None:
    found = consent(provision={"purpose": [{"code": "TREAT"}]})
    assert found.root is not None
    assert not found.root.permit
    assert found.unreadable == "provision.type"


@pytest.mark.parametrize(
    ("axis", "name"),
    [({"actor": [{}]}, "provision.actor"), ({"code": [{"text": "x"}]}, "provision.code"), ({"dataPeriod": {}}, "provision.dataPeriod"),
     ({"data": [{"meaning": "instance"}]}, "provision.data"), ({"modifierExtension": [{}]}, "provision.modifierExtension"),
     ({"period": {"end": "soon"}}, "provision.period")],
)  # fmt: skip
def test_axes_that_we_do_not_evaluate_are_named(axis: dict[str, Any], name: str) -> None:
    """A narrower permit must not pass for a wide one."""
    assert consent(provision={"type": "permit", "provision": [{"type": "deny", **axis}]}).unreadable == name


@pytest.mark.parametrize(
    "more",
    [{"modifierExtension": [{"url": "x"}]}, {"implicitRules": "x"}, {"verification": [{"verified": True}, {"verified": False}]},
     {"provision": "no"}, {"scope": 7}, {"provision": {"type": "deny", "period": []}}],
)  # fmt: skip
def test_a_consent_that_is_not_understood_stays_in_the_chart(more: dict[str, Any]) -> None:
    """CN-3: unknown means deny, so it must be seen."""
    found = consent(**more)
    assert found.status == "active"
    assert found.unreadable


def test_provisions_without_end() -> None:
    deep: dict[str, Any] = {"type": "permit"}
    for _ in range(5000):
        deep = {"type": "permit", "provision": [deep]}
    assert consent(provision=deep).unreadable
    forty: dict[str, Any] = {"type": "permit"}
    for _ in range(40):
        forty = {"type": "permit", "provision": [forty]}
    assert "too deep" in consent(provision=forty).unreadable


def test_other_peoples_and_wrong_consents_do_not_bind() -> None:
    wrong = about_patient("Consent", status="entered-in-error")
    others = {**about_patient("Consent", status="active"), "id": "c2", "patient": {"reference": "Patient/p9"}}
    read = chart(wrong, others)
    assert read.consents == ()


def test_inactive_ones_are_kept_with_their_status() -> None:
    assert consent(status="inactive").status == "inactive"
