"""May this record be used for treatment? Consent resources decide (standards.md CN-1 to CN-4).

Checked before processing and again before writing back. No Consent found is not a denial.
"""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime

from fhir_twin.model.chart import Chart, Consent, ConsentRule

BINDING = ("patient-privacy", "treatment", "")
OUR_PURPOSES = ("TREAT",)
_KEPT = frozenset({"patient", "as_of", "consents", "issues", "completeness"})
OUR_ACTIONS = ("access", "use", "collect")


def consent_refusal(consents: tuple[Consent, ...], as_of: datetime) -> str:
    """Why the record must not be used for treatment; "" when nothing forbids it.

    Of several active consents the most restrictive counts. A consent that could not be read, or that withholds
    only a part of the record (we cannot filter by it), forbids as well: doubt is not permission."""
    for consent in sorted(consents, key=lambda c: c.source):
        if consent.status != "active" or consent.scope not in BINDING:
            continue
        reason = _refusal(consent, as_of)
        if reason:
            return f"{reason} ({consent.source})"
    return ""


def without_record(chart: Chart) -> Chart:
    """The chart of a person who does not consent: who it is and what was consented to, nothing clinical."""
    return Chart(**{f.name: getattr(chart, f.name) for f in fields(chart) if f.name in _KEPT})


def _refusal(consent: Consent, as_of: datetime) -> str:
    if consent.unreadable:
        return "a consent could not be understood, so the record is not used"
    if consent.root is None:
        denied = consent.policy_rule.upper() in ("OPTOUT", "OPTOUTE", "NOAUTH")
        return "consent denies the use of this record" if denied else ""
    if not _in_force(consent.root, as_of):
        return ""
    return _judge(consent.root, as_of)


def _judge(rule: ConsentRule, as_of: datetime) -> str:
    """The base rule, then its exceptions; an exception that fits us turns the parent's answer around."""
    answer = "" if rule.permit else _denial(rule)
    for exception in rule.exceptions:
        if not _in_force(exception, as_of) or not _concerns_us(exception):
            continue
        if not exception.permit:
            return _judge(exception, as_of)
        if _whole(exception):
            answer = _judge(exception, as_of)
    return answer


def _denial(rule: ConsentRule) -> str:
    if _whole(rule):
        return "consent denies the use of this record for treatment"
    return "consent withholds a part of the record that this service cannot filter out"


def _concerns_us(rule: ConsentRule) -> bool:
    purpose = not rule.purposes or bool(set(rule.purposes) & set(OUR_PURPOSES))
    action = not rule.actions or bool(set(rule.actions) & set(OUR_ACTIONS))
    return purpose and action


def _whole(rule: ConsentRule) -> bool:
    return not rule.classes and not rule.security_labels


def _in_force(rule: ConsentRule, as_of: datetime) -> bool:
    return (rule.start is None or rule.start <= as_of) and (rule.end is None or as_of <= rule.end)
