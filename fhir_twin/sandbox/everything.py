"""Patient/{id}/$everything: the Patient, what refers to him or her, and what that refers to."""

from __future__ import annotations

from fhir_twin.sandbox.problems import Problem
from fhir_twin.sandbox.references import local_references, split_reference
from fhir_twin.sandbox.search import Pairs
from fhir_twin.sandbox.store import Store, Version
from fhir_twin.sandbox.values import parse_date


def everything(store: Store, id_: str, pairs: Pairs) -> list[Version]:
    """`_type` and `_since` narrow it; the order is stable."""
    patient = store.read("Patient", id_)
    if patient is None or patient.resource is None:
        raise Problem(404, "not-found", "no such Patient")
    own = list(store.pointing_to(f"Patient/{id_}"))
    rows = {(v.type, v.id): v for v in [patient, *own]}
    for version in own:
        for reference in sorted(local_references(version.resource or {})):
            target = split_reference(reference)
            other = store.read(*target) if target and target[0] != "Patient" else None
            if other is not None and other.resource is not None and not _anothers(other, id_):
                rows.setdefault((other.type, other.id), other)
    types = {t for n, v in pairs if n == "_type" for t in v.split(",")}
    since = next((v for n, v in pairs if n == "_since"), "")
    span = parse_date(since) if since else None
    if since and span is None:
        raise Problem(400, "value", "_since is not a FHIR instant")
    after = span[0].isoformat(timespec="milliseconds").replace("+00:00", "Z") if span else ""
    return [v for v in rows.values() if (not types or v.type in types) and v.updated >= after]


def _anothers(version: Version, id_: str) -> bool:
    """True when it is about another patient: that must not leak."""
    patients = {r for r in local_references(version.resource or {}) if r.startswith("Patient/")}
    return bool(patients) and f"Patient/{id_}" not in patients
