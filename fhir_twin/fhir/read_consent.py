"""Consent -> Consent with ConsentRule (CN-1 to CN-3). What we cannot evaluate is named in `unreadable`, so that
whoever decides may deny rather than overlook it."""

from __future__ import annotations

from datetime import datetime

from fhir_twin.fhir import elements
from fhir_twin.fhir import structs as s
from fhir_twin.fhir import structs_care as c
from fhir_twin.fhir.bundle import Resource
from fhir_twin.fhir.context import Context
from fhir_twin.model.chart import Consent, ConsentRule

DEEPEST = 20
# Root provision without a type: the policy rule decides (CN-3). Only an opt-in rule permits.
_PERMITTING_RULES = frozenset(["OPTIN", "OPTINR"])


def read_consent(given: c.Consent, source: str, context: Context) -> Consent | None:
    """The consent; None when in error. One dated after as_of does not bind yet and is left out."""
    status = elements.status_code(given.status)
    if status == "entered-in-error":
        context.skip_status("Consent", status)
        return None
    time = context.when(given.date_time, source, "Consent.dateTime")
    if context.later(time):
        context.skip_later("Consent")
        return None
    rules = elements.codes((given.policy_rule,)) if given.policy_rule is not None else ()
    policy_rule = rules[0] if rules else elements.concept(given.policy_rule).text
    scope = elements.codes((given.scope,)) if given.scope is not None else ()
    unreadable: list[str] = []
    root = None
    if given.provision is not None:
        permit = rules[0].upper() in _PERMITTING_RULES if rules else None
        root = _rule(given.provision, permit, unreadable, source, context, 0)
    if given.modifier_extension or given.implicit_rules:
        unreadable.append("modifierExtension or implicitRules")
    if any(v.verified is False for v in given.verification):
        unreadable.append("verification.verified is false")
    return Consent(
        source=source,
        status=status,
        scope=scope[0] if scope else "",
        time=time.point_by(context.as_of) if time is not None else None,
        root=root,
        policy_rule=policy_rule,
        unreadable=", ".join(dict.fromkeys(unreadable)),
    )


def unreadable_consent(raw: Resource, source: str) -> Consent:
    """For a Consent whose JSON is wrong: it is there, so nobody may act as if there were none."""
    status = raw.get("status")
    known = (
        status
        if isinstance(status, str) and status.strip() in ("active", "inactive", "rejected")
        else "active"
    )
    return Consent(source, known, "", None, None, unreadable="an element of a wrong type")


def _rule(
    given: c.Provision,
    inherited: bool | None,
    unreadable: list[str],
    source: str,
    context: Context,
    depth: int,
) -> ConsentRule | None:
    """A provision; its nested ones are exceptions to it: without a type they say the opposite of their parent."""
    if depth > DEEPEST:
        unreadable.append("provision nested too deep")
        return None
    kind = elements.tidy(given.type).lower()
    if kind not in ("permit", "deny") and inherited is None:
        unreadable.append("provision.type")
    permit = kind == "permit" if kind in ("permit", "deny") else bool(inherited)
    axes = {
        "provision.actor": given.actor,
        "provision.code": given.code,
        "provision.data": given.data,
        "provision.dataPeriod": given.data_period,
        "provision.modifierExtension": given.modifier_extension,
    }
    unreadable += [name for name, held in axes.items() if held]
    start, end = _period(given.period, source, unreadable, context)
    nested = [_rule(each, not permit, unreadable, source, context, depth + 1) for each in given.provision]
    return ConsentRule(
        permit=permit,
        start=start,
        end=end,
        actions=elements.codes(given.action),
        purposes=_codes(given.purpose),
        security_labels=_codes(given.security_label),
        classes=_codes(given.class_),
        exceptions=tuple(each for each in nested if each is not None),
    )


def _codes(given: tuple[s.Coding, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(code for code in (elements.tidy(c.code) for c in given) if code))


def _period(
    given: s.Period | None, source: str, unreadable: list[str], context: Context
) -> tuple[datetime | None, datetime | None]:
    """[start, end): the end of a date or month is its last moment."""
    if given is None:
        return None, None
    start = context.when(given.start, source, "Consent.provision.period.start")
    end = context.when(given.end, source, "Consent.provision.period.end")
    if (given.start and start is None) or (given.end and end is None):
        unreadable.append("provision.period")
    return start.start if start is not None else None, end.end if end is not None else None
