"""reconcile: what we would like a server to hold, what it holds, and so what to send. Pure.

Rules (standards.md 1.7): what did not change is not written (ID-7); what changed is updated under its id with
If-Match (ID-4); what a clinician touched is never written, a new draft gets the next generation of its key (ID-3);
what is no longer proposed is withdrawn, not deleted (ID-6). A clinician who took the plan over is not bothered with a
new one while we propose the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from fhir_twin.errors import InvalidInput, Issue
from fhir_twin.fhir.digest import Digest, digest, lasting_name, name_of, stated, with_digest
from fhir_twin.fhir.identity import WRITE_ORDER, Identity, identity_of
from fhir_twin.fhir.references import swap_references
from fhir_twin.fhir.shelf import Held, Key, Shelf, key_of, shelf
from fhir_twin.fhir.withdraw import can_withdraw, is_withdrawn, withdrawn
from fhir_twin.fhir.write_provenance import OPERATION, revised
from fhir_twin.model.written import Action, WrittenItem

Json = dict[str, Any]
SAME_AGAIN = "a clinician has this plan now; we would propose the same again"


@dataclass(frozen=True, slots=True, repr=False)
class Step:
    """One resource's fate. resource: what to send (with its id when it is there already), None when nothing is."""

    identity: Identity
    action: Action
    resource: Json | None = None
    held: Held | None = None
    note: str = ""

    @property
    def sends(self) -> bool:
        return self.resource is not None

    @property
    def item(self) -> WrittenItem:
        reference = self.held.versioned if self.held else ""
        return WrittenItem(self.identity.type, self.identity.value, self.action, reference, self.note)


@dataclass(frozen=True, slots=True, repr=False)
class Reconciliation:
    """steps in writing order. provenance: for what changes, None when nothing does (PV-4)."""

    base: str
    steps: tuple[Step, ...]
    provenance: Json | None
    issues: tuple[Issue, ...] = ()

    @property
    def sending(self) -> tuple[Step, ...]:
        return tuple(s for s in self.steps if s.sends)

    def bundle(self) -> Json:
        """The transaction to send: creates conditional on our identifier, updates on the version we saw."""
        entries = [_entry(step, self.base) for step in self.sending]
        if self.provenance is not None:
            entries.append({"resource": self.provenance, "request": {"method": "POST", "url": "Provenance"}})
        return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def reconcile(
    desired: Json, held: Iterable[Json], *, base: str, fixed: Collection[str] = ()
) -> Reconciliation:
    """desired: what `write_plan` gave. held: every resource of ours that the server has for this patient (and our
    Devices). base: the same as for `write_plan`. fixed: types that the server lets us create but not update; a
    changed one is replaced by a new one."""
    there = shelf(held, base)
    wanted, provenance = _wanted(desired)
    cores = _cores(wanted, base)
    if _clinician_has_the_same(wanted, there, cores):
        return Reconciliation(base, _all_left(wanted, there), None, there.issues)
    final: dict[str, Step] = {}
    for identity, resource in wanted:
        # What is referred to stands earlier, so its generation and id are known by now.
        step = _step(identity, resource, there, final, cores, base)
        if step.action == "update" and identity.type in fixed:
            step = _replacement(step, resource, there, final, cores, base)
        final[name_of(identity)] = step
    taken = _withdrawals(there, {key_of(i) for i, _ in wanted}, base)
    steps = (*final.values(), *(s for s in taken if s.identity.type not in fixed))
    earlier = _earlier_plans(steps, there)
    issues = (*there.issues, *(_new_draft(h) for h in earlier))
    return Reconciliation(base, steps, _provenance(provenance, steps, final, earlier), issues)


def _wanted(desired: Json) -> tuple[list[tuple[Identity, Json]], Json | None]:
    resources = [e["resource"] for e in desired.get("entry", [])]
    pairs = [(identity_of(r), r) for r in resources]
    provenance = next((r for r in resources if r["resourceType"] == "Provenance"), None)
    return [(i, r) for i, r in pairs if i is not None], provenance


def _cores(wanted: list[tuple[Identity, Json]], base: str) -> dict[str, str]:
    """Core hash by lasting name."""
    cores: dict[str, str] = {}
    for identity, resource in wanted:
        cores[name_of(identity)] = digest(resource, base, cores).core
    return cores


def _clinician_has_the_same(wanted: list[tuple[Identity, Json]], there: Shelf, cores: dict[str, str]) -> bool:
    """The latest CarePlan is a clinician's, and what we propose is what it was when he or she took it."""
    for identity, _ in wanted:
        latest = there.latest(identity)
        if identity.type == "CarePlan" and latest is not None and latest.touched:
            return latest.stated is not None and latest.stated.core == cores[name_of(identity)]
    return False


def _all_left(wanted: list[tuple[Identity, Json]], there: Shelf) -> tuple[Step, ...]:
    steps = []
    for held in filter(None, (there.latest(identity) for identity, _ in wanted)):
        if held.identity.type == "Device":
            steps.append(Step(held.identity, "unchanged", None, held))
        else:
            steps.append(Step(held.identity, "left-to-clinician", None, held, SAME_AGAIN))
    return tuple(steps)


def _step(
    identity: Identity,
    resource: Json,
    there: Shelf,
    final: dict[str, Step],
    cores: dict[str, str],
    base: str,
) -> Step:
    held = there.latest(identity)
    if held is None:
        return Step(identity, "create", _dressed(identity, resource, there, final, cores, base))
    same = held.identity
    if identity.type == "Device" and held.touched:
        return Step(same, "unchanged", None, held, "somebody else changed it; it is used as it is")
    dressed = _dressed(same, resource, there, final, cores, base)
    unchanged = held.stated is not None and held.stated.content == _stated(dressed).content
    if held.touched and held.stated is not None and held.stated.core == _stated(dressed).core:
        return Step(same, "left-to-clinician", None, held, "changed by somebody else; we propose the same")
    if held.touched or (there.is_locked(held) and not unchanged):
        following = same.at(same.generation + 1)
        fresh = _dressed(following, resource, there, final, cores, base)
        return Step(
            following, "create", fresh, None, "the earlier one is a clinician's now and was left alone"
        )
    if unchanged:
        return Step(same, "unchanged", None, held)
    return Step(same, "update", _over(held, dressed), held)


def _replacement(
    step: Step, resource: Json, there: Shelf, final: dict[str, Step], cores: dict[str, str], base: str
) -> Step:
    """The next generation in place of an update; a document says which one it replaces."""
    following = step.identity.at(step.identity.generation + 1)
    if step.held is not None and step.identity.type == "DocumentReference":
        resource = {**resource, "relatesTo": [{"code": "replaces", "target": _to_held(step.held)}]}
    fresh = _dressed(following, resource, there, final, cores, base)
    return Step(
        following, "create", fresh, None, "this server lets us create but not update: it replaces the last"
    )


def _dressed(
    identity: Identity,
    resource: Json,
    there: Shelf,
    final: dict[str, Step],
    cores: dict[str, str],
    base: str,
) -> Json:
    """`resource` under `identity`, its references to ours pointing at what will really be there, with its digest."""
    others = [i for i in resource["identifier"] if i.get("value") != resource["identifier"][0]["value"]]
    named = {**resource, "identifier": [identity.as_json(), *others]}
    pointed = swap_references(named, lambda reference: _pointing(reference, final))
    if identity.type == "CarePlan" and identity.generation > 1:
        before = there.generation(identity.at(identity.generation - 1))
        if before is not None:
            pointed["supportingInfo"] = [*pointed.get("supportingInfo", []), _to_held(before)]
    return with_digest(pointed, digest(pointed, base, cores), base)


def _pointing(reference: Json, final: dict[str, Step]) -> Json:
    step = final.get(lasting_name(reference, ""))
    if step is None:
        return reference
    shown = {"display": reference["display"]} if "display" in reference else {}
    if step.held is not None:
        return {**_to_held(step.held), **shown}
    named = {"system": step.identity.system, "value": step.identity.value}
    return {"reference": step.identity.urn, "identifier": named, **shown}


def _to_held(held: Held) -> Json:
    named = {"system": held.identity.system, "value": held.identity.value}
    return {"reference": held.reference, "identifier": named}


def _stated(resource: Json) -> Digest:
    found = stated(resource)
    if found is None:
        raise AssertionError("a dressed resource states its digest")
    return found


def _over(held: Held, resource: Json) -> Json:
    """`resource` in place of what the server holds, under its id."""
    if "SUBSETTED" in {t.get("code") for t in held.resource.get("meta", {}).get("tag", [])}:
        raise InvalidInput("the server sent a shortened resource; it cannot be updated safely")
    return {**resource, "id": held.id}


def _withdrawals(there: Shelf, wanted: set[Key], base: str) -> list[Step]:
    steps = []
    for key, helds in there.by_key.items():
        held = helds[-1]
        if key in wanted or not can_withdraw(held.identity.type) or is_withdrawn(held.resource):
            continue
        if held.touched or there.is_locked(held):
            note = "no longer proposed, but a clinician's now: left alone"
            steps.append(Step(held.identity, "left-to-clinician", None, held, note))
            continue
        taken = withdrawn(held.resource)
        taken["meta"] = {
            k: v for k, v in taken.get("meta", {}).items() if k in ("profile", "security", "tag")
        }
        taken = with_digest(taken, digest(taken, base), base)
        steps.append(Step(held.identity, "cancel", _over(held, taken), held, "no longer proposed"))
    return sorted(steps, key=lambda s: (WRITE_ORDER.index(s.identity.type), s.identity.value))


def _earlier_plans(steps: Iterable[Step], there: Shelf) -> list[Held]:
    """Plans that a clinician took over and beside which a new draft is now created."""
    created = [s.identity for s in steps if s.identity.type == "CarePlan" and s.action == "create"]
    before = (there.generation(i.at(i.generation - 1)) for i in created if i.generation > 1)
    return [h for h in before if h is not None]


def _new_draft(earlier: Held) -> Issue:
    return Issue(
        "information",
        "informational",
        "Somebody else changed or activated our earlier plan: it was left alone, a new draft stands beside it",
        earlier.reference,
        "write",
    )


def _provenance(
    provenance: Json | None, steps: Iterable[Step], final: dict[str, Step], earlier: list[Held]
) -> Json | None:
    """Only for what changes (PV-4); CREATE when all of it is new."""
    changed = [s for s in steps if s.sends and s.identity.type != "Device"]
    if provenance is None or not changed:
        return None
    targets = [
        {"reference": s.held.reference if s.held else s.identity.urn, "identifier": _identifier(s)}
        for s in changed
    ]
    pointed: Json = swap_references(provenance, lambda reference: _pointing(reference, final))
    activity = "UPDATE" if any(s.held for s in changed) else "CREATE"
    coding = {
        "system": OPERATION,
        "code": activity,
        "display": "revise" if activity == "UPDATE" else "create",
    }
    pointed = {**pointed, "target": targets, "activity": {"coding": [coding]}}
    return revised(pointed, [h.reference for h in earlier])


def _identifier(step: Step) -> Json:
    return {"system": step.identity.system, "value": step.identity.value}


def _entry(step: Step, base: str) -> Json:
    """Types and ids decide the request: PUT by id on the version we saw, or POST if nothing has our identifier."""
    identity = step.identity
    if step.held is None:
        request = {"method": "POST", "url": identity.type, "ifNoneExist": identity.query}
        return {"fullUrl": identity.urn, "resource": step.resource, "request": request}
    request = {"method": "PUT", "url": step.held.reference}
    if step.held.version:
        request["ifMatch"] = f'W/"{step.held.version}"'
    full_url = f"{base.rstrip('/')}/{step.held.reference}" if "://" in base else identity.urn
    return {"fullUrl": full_url, "resource": step.resource, "request": request}
