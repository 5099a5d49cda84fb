"""Conditions as data and what safety says of a drug: shared by simulation and recommendation.

holds(predicate, coded, twin) -> bool | None        three-valued: None = cannot be told
judge(coded, twin, key, ingredients, classes, safety) -> Verdict(blocked, cautions, questions)
"""

from fhir_twin.model.rules import Hit, Predicate, SafetyRules, Verdict
from fhir_twin.rules.check import check_safety
from fhir_twin.rules.consent import consent_refusal
from fhir_twin.rules.load import load_safety
from fhir_twin.rules.load_orders import check_order_rules, load_order_rules
from fhir_twin.rules.parse import parse
from fhir_twin.rules.predicates import evaluate, holds
from fhir_twin.rules.safety import judge
from fhir_twin.rules.view import PatientView, view

__all__ = [
    "Hit",
    "PatientView",
    "Predicate",
    "SafetyRules",
    "Verdict",
    "check_order_rules",
    "check_safety",
    "consent_refusal",
    "evaluate",
    "holds",
    "judge",
    "load_order_rules",
    "load_safety",
    "parse",
    "view",
]
