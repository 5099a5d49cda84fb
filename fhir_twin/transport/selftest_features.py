"""From the checks to the question that matters: which of our features will work on this server?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fhir_twin.transport.selftest import Check
from fhir_twin.transport.wanted import WANTED

Works = Literal["yes", "partly", "no", "not checked"]


@dataclass(frozen=True, slots=True)
class Feature:
    """works: yes; partly (with the loss that `why` names); no; or not checked (the flag that would)."""

    name: str
    works: Works
    why: str = ""


# feature -> (checks it cannot do without, checks whose failing costs something, flag that makes them)
_FEATURES: tuple[tuple[str, tuple[str, ...], tuple[str, ...], str], ...] = (
    (
        "Read records, twin and plan (run --dry-run)",
        (
            "connection",
            "FHIR version",
            "read Observation",
            "read Condition",
            "read MedicationRequest",
            "read AllergyIntolerance",
        ),
        ("paging", "counts", *(f"read {w.type}" for w in WANTED)),
        "",
    ),
    (
        "Write plans back (run)",
        ("create CarePlan", "update"),
        (
            "transaction",
            "conditional create",
            "lost updates",
            "create Goal",
            "create ServiceRequest",
            "create RiskAssessment",
            "create Provenance",
        ),
        "--write",
    ),
    ("Find patients by identifier", ("find by identifier",), ("POST _search",), ""),
    (
        "Watch for new results (watch)",
        ("read Observation",),
        ("_lastUpdated", "history", "subscriptions"),
        "",
    ),
    ("Notifications instead of polling", ("subscriptions",), ("subscription topics",), ""),
    (
        "SMART launch from the EHR",
        ("SMART configuration", "authorization endpoint", "token endpoint", "launch"),
        ("PKCE", "scopes", "identity of users", "a token is wanted"),
        "--smart",
    ),
    (
        "Service login (nightly runs)",
        ("SMART configuration", "Backend Services"),
        ("token errors",),
        "--smart",
    ),
    (
        "Populations by bulk export",
        ("bulk export", "bulk progress", "bulk manifest"),
        ("bulk clean-up", "bulk file access"),
        "--bulk",
    ),
    (
        "The CDS Hooks service that was asked",
        ("CDS Hooks discovery",),
        ("CDS cards", "CDS CORS", "CDS prefetch", "CDS login"),
        "--hooks",
    ),
)


def features(checks: Sequence[Check]) -> tuple[Feature, ...]:
    """One verdict per feature."""
    states = {c.name: c for c in checks}
    return tuple(_feature(states, *row) for row in _FEATURES)


def _feature(
    states: dict[str, Check], name: str, needs: tuple[str, ...], likes: tuple[str, ...], flag: str
) -> Feature:
    missing = [n for n in needs if n not in states]
    broken = [n for n in needs if n in states and states[n].state in ("fail", "not offered")]
    if broken:
        return Feature(name, "no", "; ".join(f"{n}: {states[n].seen}" for n in broken[:3]))
    if missing and name.startswith("Write plans") and "write CarePlan" in states:
        return _declared(states, name, flag)
    if missing:
        return Feature(
            name, "not checked", f"check again with {flag}" if flag else "the checks stopped before"
        )
    worse = [n for n in dict.fromkeys((*needs, *likes)) if n in states and states[n].state != "pass"]
    if worse:
        words = [f"{n}: {states[n].advice or states[n].seen}" for n in worse[:4]]
        more = f" and {len(worse) - 4} more" if len(worse) > 4 else ""
        return Feature(name, "partly", "; ".join(words) + more)
    return Feature(name, "yes")


def _declared(states: dict[str, Check], name: str, flag: str) -> Feature:
    """By the capability statement only."""
    said = states["write CarePlan"]
    if said.state == "pass":
        return Feature(name, "not checked", f"the server says so; {flag} tries it and cleans up after itself")
    return Feature(name, "no", said.advice or said.seen)
