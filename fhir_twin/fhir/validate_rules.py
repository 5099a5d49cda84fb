"""Invariants, narrative, ids and texts of what we write, on the plain JSON (standards.md 8.1). Each rule is one
function over one element; the table at the end says where it applies."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

from fhir_twin.errors import Issue
from fhir_twin.fhir.narrative import narrative_faults
from fhir_twin.model.codes import UCUM

Json = dict[str, Any]
Rule = Callable[[Json], bool]

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}", re.ASCII)
# FHIR strings: no control characters but tab, CR, LF; and nothing that XML or JSON cannot carry.
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_MAX_STRING = 1024 * 1024
_DEEPEST = 60
_ACTIVATING = frozenset({"active", "accepted", "on-hold", "completed", "in-progress"})


def rule_issues(resource: Json) -> list[Issue]:
    """Faults of one resource against our own list of rules."""
    type_ = str(resource.get("resourceType"))
    issues = list(_common(resource, type_))
    for owner, path, rule, words in _RULES:
        if owner == type_:
            for where, element in _at(resource, path.split(".") if path else [], type_):
                if not rule(element):
                    issues.append(_issue("invariant", words, where))
    return issues


def _common(resource: Json, type_: str) -> Iterator[Issue]:
    id_ = resource.get("id")
    if id_ is not None and not (isinstance(id_, str) and _ID.fullmatch(id_)):
        yield _issue("value", "an id has 1 to 64 letters, digits, - or .", f"{type_}.id")
    text = resource.get("text")
    if isinstance(text, dict):
        for fault in narrative_faults(str(text.get("div", ""))):
            yield _issue("invariant", fault, f"{type_}.text.div")
    for i, inner in enumerate(c for c in resource.get("contained", []) if isinstance(c, dict)):
        yield from _contained(inner, f"{type_}.contained[{i}]")
    yield from _texts(resource, type_, 0)


def _contained(inner: Json, place: str) -> Iterator[Issue]:
    if "contained" in inner:
        yield _issue("invariant", "a contained resource contains no other (dom-2)", place)
    meta = inner.get("meta", {})
    if isinstance(meta, dict) and meta.keys() & {"versionId", "lastUpdated"}:
        yield _issue("invariant", "a contained resource has no version of its own (dom-4)", place)
    if isinstance(meta, dict) and "security" in meta:
        yield _issue("invariant", "a contained resource has no security label (dom-5)", place)
    if isinstance(inner.get("text"), dict):
        for fault in narrative_faults(str(inner["text"].get("div", ""))):
            yield _issue("invariant", fault, f"{place}.text.div")


def _texts(value: Any, place: str, depth: int) -> Iterator[Issue]:
    if depth > _DEEPEST:
        yield _issue("structure", "nested too deeply", place.split(".")[0])
    elif isinstance(value, dict):
        if not value:
            yield _issue("invariant", "an element must have a value or children (ele-1)", place)
        if "url" in value and place.endswith("]") and ".extension[" in place[-20:]:
            yield from _extension(value, place)
        for name, member in value.items():
            yield from _texts(member, f"{place}.{name}", depth + 1)
    elif isinstance(value, list):
        if not value:
            yield _issue("invariant", "an empty list is no element (ele-1)", place)
        for i, member in enumerate(value):
            yield from _texts(member, f"{place}[{i}]", depth + 1)
    elif isinstance(value, str):
        if _UNFIT.search(value):
            yield _issue("value", "a text holds a character that FHIR does not allow", place)
        if len(value) > _MAX_STRING:
            yield _issue("too-long", "a text is longer than 1 MB", place)


def _extension(value: Json, place: str) -> Iterator[Issue]:
    values = [k for k in value if k.startswith("value")]
    if len(values) + ("extension" in value) != 1:
        yield _issue("invariant", "an extension has either one value or extensions (ext-1)", place)


def _at(value: Any, path: list[str], place: str) -> Iterator[tuple[str, Json]]:
    """(place, element) for every element at `path`."""
    if isinstance(value, list):
        for i, member in enumerate(value):
            yield from _at(member, path, f"{place}[{i}]")
    elif isinstance(value, dict):
        if not path:
            yield place, value
        elif path[0] in value:
            yield from _at(value[path[0]], path[1:], f"{place}.{path[0]}")


def _issue(code: str, words: str, place: str) -> Issue:
    return Issue("error", code, words, place, "write")


def _has_value(element: Json, prefix: str) -> bool:
    return any(k.startswith(prefix) for k in element)


def _percent_ends(prediction: Json) -> bool:
    ends = [prediction.get("probabilityRange", {}).get(end) for end in ("low", "high")]
    return all(e is None or (e.get("code") == "%" and e.get("system") == UCUM) for e in ends)


def _at_most_hundred(prediction: Json) -> bool:
    value = prediction.get("probabilityDecimal", 0)
    return isinstance(value, int | float | Decimal) and 0 <= value <= 100


def _range_in_order(prediction: Json) -> bool:
    low, high = (prediction.get("probabilityRange", {}).get(end, {}).get("value") for end in ("low", "high"))
    return low is None or high is None or low <= high


def _onset_horizon(prediction: Json) -> bool:
    return "whenRange" not in prediction


def _not_activated(element: Json) -> bool:
    """CP-1: we write drafts and withdrawals, nothing that counts as somebody's decision."""
    return element.get("status") not in _ACTIVATING and element.get("intent") in ("proposal", None)


def _goal_not_activated(goal: Json) -> bool:
    return goal.get("lifecycleStatus") in ("proposed", "cancelled", "entered-in-error")


def _coded(element: Json) -> bool:
    return "code" not in element or "system" in element


def _named_who(agent: Json) -> bool:
    who = agent.get("who", {})
    return bool(who.get("reference") or who.get("identifier") or who.get("display"))


def _on_behalf(agent: Json) -> bool:
    return bool(agent.get("onBehalfOf"))


def _one_action_form(action: Json) -> bool:
    return ("resource" in action) != ("action" in action)


def _codes(element: Any) -> set[tuple[str, str]]:
    codings = element.get("coding", []) if isinstance(element, dict) else []
    return {(str(c.get("system")), str(c.get("code"))) for c in codings if isinstance(c, dict)}


def _has_code(element: Any, *codes: str) -> bool:
    return any(code in codes for _, code in _codes(element))


def _no_value_beside_own_component(observation: Json) -> bool:
    components = {c for part in observation.get("component", []) for c in _codes(part.get("code"))}
    return not (_has_value(observation, "value") and components & _codes(observation.get("code")))


def _abated_is_over(condition: Json) -> bool:
    status = condition.get("clinicalStatus")
    return not _has_value(condition, "abatement") or _has_code(status, "resolved", "remission", "inactive")


def _no_status_in_error(element: Json) -> bool:
    return not (
        _has_code(element.get("verificationStatus"), "entered-in-error") and "clinicalStatus" in element
    )


def _status_unless_in_error(element: Json) -> bool:
    return _has_code(element.get("verificationStatus"), "entered-in-error") or "clinicalStatus" in element


_REQUESTS = ("MedicationRequest", "ServiceRequest", "NutritionOrder", "RequestGroup", "CommunicationRequest")
_DRAFT = "an algorithm's idea is a draft or proposal, never active (CP-1)"

_RULES: tuple[tuple[str, str, Rule, str], ...] = (
    (
        "CarePlan",
        "activity",
        lambda a: ("detail" in a) != ("reference" in a),
        "detail or reference, not both (cpl-3)",
    ),
    ("CarePlan", "", _not_activated, _DRAFT),
    ("CarePlan", "", lambda p: "div" in p.get("text", {}), "a care plan needs a narrative (CP-11)"),
    ("CarePlan", "", lambda p: bool(p.get("category")), "a care plan needs its categories (CP-10)"),
    (
        "Goal",
        "target",
        lambda t: not _has_value(t, "detail") or "measure" in t,
        "a detail needs a measure (gol-1)",
    ),
    ("Goal", "", _goal_not_activated, _DRAFT),
    ("RiskAssessment", "prediction", _percent_ends, "probability ends are UCUM per cent (ras-1)"),
    ("RiskAssessment", "prediction", _at_most_hundred, "a probability is 0 to 100 per cent (ras-2)"),
    ("RiskAssessment", "prediction", _range_in_order, "the lower end is above the upper (rng-2)"),
    ("RiskAssessment", "prediction", _onset_horizon, "whenRange is an age, not a horizon (RA-2)"),
    ("NutritionOrder", "", lambda n: bool(n.keys() & {"oralDiet", "supplement", "enteralFormula"}), "nor-1"),
    ("Goal", "target.detailQuantity", _coded, "a coded unit needs its system (qty-3)"),
    ("MedicationRequest", "dosageInstruction.doseAndRate.doseQuantity", _coded, "qty-3"),
    ("RequestGroup", "action", _one_action_form, "resource or actions, not both (rqg-1)"),
    ("Provenance", "agent", _named_who, "an agent names who (PV-2)"),
    ("Provenance", "agent", _on_behalf, "software acts on behalf of an organisation (US Core provenance-1)"),
    (
        "Observation",
        "",
        lambda o: not (_has_value(o, "value") and "dataAbsentReason" in o),
        "a value or a reason why there is none (obs-6)",
    ),
    (
        "Observation",
        "",
        _no_value_beside_own_component,
        "no value beside a component of the same code (obs-7)",
    ),
    ("Condition", "", _abated_is_over, "an abated condition is not active (con-4)"),
    ("Condition", "", _no_status_in_error, "no clinical status when entered in error (con-5)"),
    ("AllergyIntolerance", "", _status_unless_in_error, "a clinical status unless entered in error (ait-1)"),
    ("AllergyIntolerance", "", _no_status_in_error, "no clinical status when entered in error (ait-2)"),
    *((type_, "", _not_activated, _DRAFT) for type_ in _REQUESTS),
)
