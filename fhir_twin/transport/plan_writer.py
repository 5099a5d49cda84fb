"""PlanWriter: bring a server's copy of a patient's plan to what we would like it to be. The Sink of the service.

    read what is there -> reconcile -> check -> one transaction -> judge every entry -> read back

Ways down when a server cannot do that (TX-4): one write after the other; a DocumentReference with the narrative; a
clear refusal. A lost answer is an unknown outcome: it is read back before anything is sent again (performance.md 4.5).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from fhir_twin.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    Issue,
    NotFound,
    NotSupported,
    TooCostly,
    TwinError,
    UpstreamError,
)
from fhir_twin.fhir.fit import with_label, without_types
from fhir_twin.fhir.identity import WRITE_ORDER, identity_of
from fhir_twin.fhir.reconcile import Reconciliation, reconcile
from fhir_twin.fhir.title import title_of
from fhir_twin.fhir.validate import validate_bundle
from fhir_twin.fhir.write_document import as_document, in_one_form
from fhir_twin.model.decision import Change
from fhir_twin.model.written import Action, Mode, Written, WrittenItem
from fhir_twin.transport.change_writer import write_changes
from fhir_twin.transport.patient_locks import PatientLocks
from fhir_twin.transport.plan_answer import Placed, judge
from fhir_twin.transport.plan_held import HeldReader
from fhir_twin.transport.plan_mend import LABEL_ISSUE, Mender, label_fault
from fhir_twin.transport.plan_offer import offers, updates
from fhir_twin.transport.plan_seal import seal_what_changed
from fhir_twin.transport.plan_single import SingleWrites
from fhir_twin.transport.protocols import FhirServer, Resource


class PlanWriter:
    """attempts: how often a conflict or a lost answer is looked into. sleep: waiting between them (seconds)."""

    def __init__(
        self, server: FhirServer, *, attempts: int = 4, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._server = server
        self._attempts = attempts
        self._sleep = sleep
        self._locks = PatientLocks()
        self._old_labels: bool | None = None

    def write(self, patient: str, bundle: Resource, *, dry_run: bool = False) -> Written:
        """bundle: what `write_plan` gave for `patient` (an id) on this server.

        Raises InvalidInput (the plan fails our own checks, or is about somebody else), NotFound (the server has no
        such patient), NotSupported (no way to write it there), Conflict (it kept changing under our hands),
        UpstreamTimeout (the outcome stays unknown), and what the server refuses with."""
        if self._old_labels is None:
            self._old_labels = label_fault(self._server)
        with self._locks.holding(patient):
            writing = _Writing(self._server, patient, bundle, self._attempts, self._sleep)
            return writing.run(dry_run, old_labels=self._old_labels)

    def preview(self, patient: str, bundle: Resource) -> tuple[Change, ...]:
        """What `write` would do now, resource by resource, with the content before and after. Nothing is written."""
        if self._old_labels is None:
            self._old_labels = label_fault(self._server)
        writing = _Writing(self._server, patient, bundle, self._attempts, self._sleep)
        return writing.preview(old_labels=self._old_labels)

    def held(self, patient: str) -> list[Resource]:
        """All that the server holds of ours for this patient, newest version."""
        reader = HeldReader(self._server, self._server.capability())
        types = [t for t in WRITE_ORDER if t != "Device" and offers(self._server.capability(), t)]
        return reader.read(patient, types)

    def change(self, patient: str, changes: Sequence[Change], provenance: Resource | None) -> Written:
        """A person's changes (see change_writer)."""
        if self._old_labels is None:
            self._old_labels = label_fault(self._server)
        fitted = [_labelled(c) for c in changes] if self._old_labels else changes
        with self._locks.holding(patient):
            return write_changes(self._server, fitted, provenance)


class _Writing:
    """One plan on its way."""

    def __init__(
        self,
        server: FhirServer,
        patient: str,
        bundle: Resource,
        attempts: int,
        sleep: Callable[[float], None],
    ) -> None:
        self._server = server
        self._patient = patient
        self._attempts = attempts
        self._sleep = sleep
        self._capability = server.capability()
        self._reader = HeldReader(server, self._capability)
        self._mender = Mender(server)
        self._single = SingleWrites(server)
        self._left_out: set[str] = set()
        self._issues: list[Issue] = []
        self._dropped: list[WrittenItem] = []
        # Actions of an attempt whose answer was lost: if they turn out to be done, they are ours.
        self._open: dict[tuple[str, str], Action] = {}
        _check_addressee(bundle, patient, server.base)
        self._mode, self._desired = self._fit(bundle)

    def run(self, dry_run: bool, *, old_labels: bool) -> Written:
        if old_labels and with_label(self._desired, "DEVAST") != self._desired:
            self._desired = with_label(self._desired, "DEVAST")
            self._issues.append(LABEL_ISSUE)
        if not dry_run and self._server.read("Patient", self._patient) is None:
            raise NotFound("the server does not hold this patient; nothing was written")
        left = self._attempts
        while True:
            plan = self._reconcile()
            if dry_run or not plan.sending:
                return self._result(plan, [], dry_run)
            _check(plan)
            try:
                return self._result(plan, self._send(plan), False)
            except TwinError as error:
                left -= self._adapt(error, plan)
                if not left:
                    last = self._reconcile()
                    if last.sending:
                        raise
                    return self._result(last, [], False)

    def preview(self, *, old_labels: bool) -> tuple[Change, ...]:
        if old_labels:
            self._desired = with_label(self._desired, "DEVAST")
        found = []
        for step in self._reconcile().steps:
            before = step.held.resource if step.held else None
            title = title_of(step.resource or before or {})
            found.append(
                Change(step.identity.type, title, step.action, before, step.resource, step.note, "twin")
            )
        dropped = (Change(i.type, i.type, "dropped", None, None, i.note, "twin") for i in self._dropped)
        return (*found, *dropped)

    def _adapt(self, error: TwinError, plan: Reconciliation) -> int:
        """Make the next try different, or raise. 1 when it costs an attempt (a conflict, a lost answer); what is
        learnt about the server (each thing once) costs none."""
        if isinstance(error, Conflict | UpstreamError):
            self._open |= {(s.identity.type, s.identity.value): s.action for s in plan.sending}
            self._sleep(0.5)
            return 1
        if isinstance(error, NotSupported | TooCostly | Forbidden) and self._mode == "transaction":
            self._mode = "single"
            text = "the server did not take the transaction; the plan is written piece by piece"
            self._issues.append(Issue("warning", error.code, text, "", "write"))
            return 0
        refused = self._single.refused
        if isinstance(error, Forbidden | NotSupported) and refused not in (
            "",
            "CarePlan",
            "DocumentReference",
        ):
            self._leave_out({refused}, "the server does not let us write this type")
            return 0
        if isinstance(error, InvalidInput) and self._mode == "document":
            simpler = in_one_form(self._desired)
            if simpler is not None:
                self._desired = simpler
                return 0
        if isinstance(error, InvalidInput):
            self._desired, mended = self._mender.mend(self._desired)
            self._issues += mended
            if mended:
                return 0
        self._single.undo(self._server.base)
        raise type(error)(error.message, issues=(*error.issues, *self._single.issues)) from error

    def _fit(self, bundle: Resource) -> tuple[Mode, Resource]:
        mode: Mode = "transaction" if self._capability.supports_system("transaction") else "single"
        has_plan = any(e["resource"]["resourceType"] == "CarePlan" for e in bundle.get("entry", []))
        if has_plan and not offers(self._capability, "CarePlan"):
            if not offers(self._capability, "DocumentReference"):
                raise NotSupported(
                    "this server lets us write neither CarePlan nor DocumentReference: show the plan as a card "
                    "(CDS Hooks, fhir-twin serve) or export it (fhir-twin run --out DIR)"
                )
            text = "the server takes no CarePlan; the plan is written as a document"
            self._issues.append(Issue("warning", "not-supported", text, "CarePlan", "write"))
            return "document", as_document(bundle, self._server.base)
        fitted, dropped, no_provenance = without_types(bundle, lambda t: offers(self._capability, t))
        note = "the server does not take this type; its content is in the plan's narrative"
        self._dropped = [WrittenItem(i.type, i.value, "dropped", "", note) for i in dropped]
        lacking = {i.type for i in dropped} | ({"Provenance"} if no_provenance else set())
        for type_ in sorted(lacking):
            self._issues.append(Issue("warning", "not-supported", note, type_, "write"))
        return mode, fitted

    def _reconcile(self) -> Reconciliation:
        types = [t for t in WRITE_ORDER if t not in self._left_out and offers(self._capability, t)]
        if self._mode == "document":
            types = ["DocumentReference"]
        held = self._reader.read(self._patient, types, self._device)
        closed = self._reader.closed - self._left_out
        if "CarePlan" in closed:
            raise NotSupported("this server does not let us search CarePlans, so none can be written safely")
        if closed:
            self._leave_out(
                closed, "the server does not let us search this type, so nothing of it is written"
            )
        fixed = {t for t in ("DocumentReference",) if not updates(self._capability, t)}
        return reconcile(self._desired, held, base=self._server.base, fixed=fixed)

    @property
    def _device(self) -> str:
        own = (identity_of(e["resource"]) for e in self._desired["entry"])
        return next((i.value for i in own if i is not None and i.type == "Device"), "")

    def _leave_out(self, types: set[str], note: str) -> None:
        self._desired, dropped, _ = without_types(self._desired, lambda t: t not in types)
        self._left_out |= types
        self._dropped += [WrittenItem(i.type, i.value, "dropped", "", note) for i in dropped]
        self._issues += [Issue("warning", "forbidden", note, t, "write") for t in sorted(types)]

    def _send(self, plan: Reconciliation) -> list[Placed]:
        if self._mode == "transaction":
            answer = self._server.transaction(plan.bundle())
            placed = judge(answer, plan.sending, plan.provenance is not None)
        else:
            placed = self._single.run(plan)
            self._issues += self._single.issues
        types = sorted({p.type for p in placed}, key=WRITE_ORDER.index)
        try:
            held = self._reader.read(self._patient, types, self._device)
            self._issues += seal_what_changed(self._server, held, placed)
        except TwinError:
            text = "the plan is written, but could not be read back to check it"
            self._issues.append(Issue("warning", "incomplete", text, "", "write"))
        return placed

    def _result(self, plan: Reconciliation, placed: list[Placed], dry_run: bool) -> Written:
        where = dict(zip((s.identity for s in plan.sending), (p.reference for p in placed), strict=False))
        items = []
        for step in plan.steps:
            item = step.item
            if step.identity in where:
                item = replace(item, reference=where[step.identity])
            done = self._open.get((item.type, item.key))
            if done and item.action == "unchanged":
                item = replace(item, action=done)
            items.append(item)
        said = (
            self._issues if placed or self._open or dry_run else [i for i in self._issues if i != LABEL_ISSUE]
        )
        issues = dict.fromkeys((*said, *plan.issues))
        mode: Mode = "none" if dry_run or not (placed or self._open) else self._mode
        return Written((*items, *self._dropped), tuple(issues), mode, dry_run)


def _labelled(change: Change) -> Change:
    """With the label that this server knows (decision 0023)."""
    fitted = with_label({"entry": [{"resource": change.after}]}, "DEVAST")["entry"][0]["resource"]
    return replace(change, after=fitted)


def _check_addressee(bundle: Resource, patient: str, base: str) -> None:
    """The Bundle must be about this patient and made for this server."""
    prefix = base.rstrip("/") + "/ids/"
    for entry in bundle.get("entry", []):
        resource = entry["resource"]
        identity = identity_of(resource)
        if identity is not None and not identity.system.startswith(prefix):
            raise InvalidInput("this plan was written for another server")
        subject = resource.get("subject") or resource.get("patient")
        if isinstance(subject, dict) and subject.get("reference") != f"Patient/{patient}":
            raise InvalidInput("this plan is about another patient")


def _check(plan: Reconciliation) -> None:
    issues = validate_bundle(plan.bundle())
    if any(i.severity in ("error", "fatal") for i in issues):
        raise InvalidInput("the plan does not pass our own checks; nothing was written", issues=issues)
