"""SMART scopes, v1 and v2 (SC-1 to SC-4, A8, A9)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_twin.model.scopes import WRITTEN_TYPES, known_to, read_scopes, wanted_scopes
from fhir_twin.web.session_access import judge_scopes


@pytest.mark.parametrize(
    ("scope", "type_", "letters"),
    [
        ("patient/*.read", "Observation", "rs"),
        ("patient/Observation.read", "Observation", "rs"),
        ("user/CarePlan.write", "CarePlan", "cud"),
        ("patient/CarePlan.*", "CarePlan", "cruds"),
        ("patient/CarePlan.crus", "CarePlan", "crus"),
        ("patient/CarePlan.surc", "CarePlan", "crus"),  # out of order, as some servers write
        ("system/*.rs", "Goal", "rs"),
        ("patient/Observation.rs?category=laboratory", "Observation", "rs"),
        ("patient/Condition.rs", "Observation", ""),
        ("launch/patient openid patient/Observation", "Observation", ""),
        ("patient/observation.rs", "Observation", ""),
        ("patient/Observation.x", "Observation", ""),
        ("", "Observation", ""),
    ],
)
def test_what_a_scope_allows(scope: str, type_: str, letters: str) -> None:
    granted = read_scopes(scope)
    assert "".join(x for x in "cruds" if granted.may(type_, x)) == letters


def test_a_filter_is_a_part_only() -> None:
    granted = read_scopes(
        "patient/Observation.rs?category=a|b patient/Observation.rs?category=c patient/*.cud"
    )
    assert granted.may("Observation", "s")
    assert not granted.wholly("Observation", "s")
    assert granted.filters("Observation", "s") == ("category=a|b", "category=c")
    whole = read_scopes("patient/Observation.rs?category=a patient/*.rs")
    assert whole.wholly("Observation", "s")
    assert whole.filters("Observation", "s") == ()


@given(st.text(max_size=200))
def test_nonsense_allows_nothing_and_never_raises(text: str) -> None:
    granted = read_scopes(text)
    if "/" not in text:
        assert granted.scopes == ()


@pytest.mark.parametrize("v2", [True, False])
def test_what_we_ask_for_is_enough_for_what_we_do(v2: bool) -> None:
    granted = read_scopes(" ".join(wanted_scopes("patient", v2=v2, write=True)))
    features, denied = judge_scopes(granted)
    assert features == {"read", "plan", "write"}
    assert denied == {}
    assert all(granted.may(t, x) for t in WRITTEN_TYPES for x in "cu")
    only = read_scopes(" ".join(wanted_scopes("patient", v2=v2, write=False)))
    assert not any(only.may(t, "c") for t in WRITTEN_TYPES)
    assert judge_scopes(only)[0] == {"read", "plan"}


def test_what_is_missing_is_said_in_words() -> None:
    """A8: and without allergies no plan is made (safety beats benefit)."""
    features, denied = judge_scopes(
        read_scopes("patient/Patient.r patient/Observation.rs patient/Condition.rs")
    )
    assert features == {"read"}
    assert "MedicationRequest and AllergyIntolerance" in denied["plan"]
    assert judge_scopes(read_scopes("openid"))[0] == frozenset()
    reads = read_scopes("patient/*.rs")
    assert "CarePlan" in judge_scopes(reads)[1]["write"]
    assert "switched off" in judge_scopes(read_scopes("patient/*.cruds"), writes=False)[1]["write"]


def test_scopes_that_a_server_does_not_list_are_not_asked_for() -> None:
    """Some servers refuse the whole login for one scope that they do not know (invalid_scope)."""
    wanted = wanted_scopes("patient", v2=True, write=True)
    assert known_to(wanted, ()) == wanted
    assert known_to(wanted, ("openid", "patient/Observation.rs")) == wanted, "that list is not whole"
    assert known_to(wanted, ("patient/*.*",)) == wanted
    reads = [w for w in wanted if w.endswith((".r", ".rs")) and "Practitioner" not in w]
    reads.append("patient/MedicationRequest.rs")
    kept = known_to(wanted, reads)
    assert "patient/Practitioner.r" not in kept
    assert "patient/CarePlan.crus" not in kept
    assert "patient/Observation.rs" in kept
