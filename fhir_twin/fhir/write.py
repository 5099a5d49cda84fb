"""write_plan: a Plan as the transaction Bundle that we would like a server to hold.

Pure and deterministic: identifiers and urn:uuid names come from (base, patient, item), times from plan.as_of. What
the server holds already is `reconcile`'s business.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any, TypeVar

from fhir_twin.errors import InvalidInput
from fhir_twin.fhir.digest import digest, name_of, with_digest
from fhir_twin.fhir.identity import Identity, identity_of
from fhir_twin.fhir.write_careplan import write_care_plan
from fhir_twin.fhir.write_context import Context, WriteOptions, context_of, refer
from fhir_twin.fhir.write_device import write_device
from fhir_twin.fhir.write_elements import line, reference
from fhir_twin.fhir.write_goal import goal_item, write_goal
from fhir_twin.fhir.write_group import group_item, is_choice, ranked, write_group
from fhir_twin.fhir.write_guidance import write_guidance
from fhir_twin.fhir.write_issue import write_finding
from fhir_twin.fhir.write_provenance import write_provenance
from fhir_twin.fhir.write_requests import request_identity, write_request
from fhir_twin.fhir.write_risk import risk_item, write_risk
from fhir_twin.fhir.write_text import with_text
from fhir_twin.model.plan import Finding, Plan, ProposedGoal, Recommendation

Json = dict[str, Any]
DEFAULT_OPTIONS = WriteOptions()
Keyed = TypeVar("Keyed", Recommendation, ProposedGoal, Finding)


def write_plan(plan: Plan, *, base: str, options: WriteOptions = DEFAULT_OPTIONS) -> Json:
    """The desired transaction Bundle.

    base: the FHIR server's base ("https://ehr.example/fhir"); part of every identifier. A refused plan has no
    CarePlan and no proposals, only findings, risks and questions. Items of one key are told apart by number, in the
    plan's order. Raises InvalidInput when as_of has no time zone."""
    if plan.as_of.tzinfo is None:
        raise InvalidInput("as_of needs a time zone")
    plan = _told_apart(plan)
    context = context_of(plan.subject, plan.as_of, plan.model_version, base, options)
    resources = _resources(plan, context)
    if not resources:
        return {"resourceType": "Bundle", "type": "transaction", "entry": []}
    resources.insert(0, write_device(context))
    resources = [r if "text" in r else with_text(r) for r in resources]
    targets = [refer(_known(r)) for r in resources[1:]]
    entries = [_entry(r) for r in _digested(resources, context.base)]
    provenance = with_text(write_provenance(plan, context, targets))
    urn = context.identity("CarePlan", "provenance").urn
    entries.append(
        {"fullUrl": urn, "resource": provenance, "request": {"method": "POST", "url": "Provenance"}}
    )
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def _resources(plan: Plan, context: Context) -> list[Json]:
    """Everything but Device and Provenance, in an order in which what is referred to comes first."""
    proposals = () if plan.refused else plan.recommendations
    goal_list = () if plan.refused else plan.goals
    goals = {g.key: _goal_reference(g, context) for g in goal_list}
    groups = ranked(proposals)
    choices = [g for g in groups if is_choice(g)]
    resources = [write_goal(g, context) for g in goal_list if not g.existing]
    resources += [write_request(r, context, goals) for group in groups for r in group]
    resources += [write_group(g, context) for g in choices]
    support = [write_risk(r, proposals, context) for r in plan.risks]
    support += [write_finding(f, proposals, context) for f in plan.findings]
    support += [write_guidance(plan, context)] if plan.questions else []
    resources += support
    if plan.refused:
        return resources
    activities = [
        refer(context.identity("RequestGroup", group_item(group)), "Choice of equal options")
        if is_choice(group)
        else refer(request_identity(rec, context), line(rec.title))
        for group in groups
        for rec in (group[:1] if is_choice(group) else group)
    ]
    plan_goals = list(goals.values())
    resources.append(
        write_care_plan(plan, context, plan_goals, activities, [refer(_known(r)) for r in support])
    )
    return resources


def _goal_reference(goal: ProposedGoal, context: Context) -> Json:
    words = line(goal.description) or line(goal.key)
    if goal.existing:
        return reference(goal.existing, words, versioned=False)
    return refer(context.identity("Goal", goal_item(goal.key)), words)


def _known(resource: Json) -> Identity:
    found = identity_of(resource)
    if found is None:
        raise AssertionError(f"a written {resource['resourceType']} carries no identity")
    return found


def _entry(resource: Json) -> Json:
    own = _known(resource)
    request = {"method": "PUT", "url": f"{own.type}?{own.query}"}
    return {"fullUrl": own.urn, "resource": resource, "request": request}


def _digested(resources: list[Json], base: str) -> list[Json]:
    """Each with its digest, so that this Bundle is whole when it is posted as it is."""
    cores: dict[str, str] = {}
    done = []
    for resource in resources:
        value = digest(resource, base, cores)
        cores[name_of(_known(resource))] = value.core
        done.append(with_digest(resource, value, base))
    return done


def _told_apart(plan: Plan) -> Plan:
    """TX-1: two entries of one identity would make the whole transaction fail."""
    risks = {risk_item(r): r for r in reversed(plan.risks)}
    return replace(
        plan,
        recommendations=_numbered(plan.recommendations),
        goals=_numbered(plan.goals),
        findings=_numbered(plan.findings),
        risks=tuple(reversed(risks.values())),
    )


def _numbered(items: tuple[Keyed, ...]) -> tuple[Keyed, ...]:
    """Items with distinct keys: the second "a" becomes "a~2". Equal items count once."""
    seen: Counter[str] = Counter()
    result: list[Keyed] = []
    for i, item in enumerate(items):
        if item in items[:i]:
            continue
        seen[item.key] += 1
        number = seen[item.key]
        result.append(item if number == 1 else replace(item, key=f"{item.key}~{number}"))
    return tuple(result)
