"""Writing without transactions: one resource after the other, and back again when it fails (TX-4, E9)."""

from __future__ import annotations

from fhir_twin.errors import Issue, TwinError
from fhir_twin.fhir.digest import digest, lasting_name, name_of, with_digest
from fhir_twin.fhir.reconcile import Reconciliation, Step
from fhir_twin.fhir.references import references_in, swap_references
from fhir_twin.fhir.withdraw import can_withdraw, withdrawn
from fhir_twin.transport.plan_answer import Placed
from fhir_twin.transport.protocols import FhirServer, Resource


class SingleWrites:
    """One plan's writes, over as many runs as it takes. `issues` says what a reader of the report must know;
    `refused` is the type that the server refused last."""

    def __init__(self, server: FhirServer) -> None:
        self._server = server
        self._ids: dict[str, str] = {}
        self._done: list[tuple[Step, Resource]] = []
        self.issues: list[Issue] = []
        self.refused = ""

    def run(self, plan: Reconciliation) -> list[Placed]:
        """Write everything that is to be sent, in order. What was written stays when an error goes on: the caller
        reads again and goes on from there, or calls `undo`."""
        placed = []
        for step in plan.sending:
            try:
                written = self._write(step)
            except TwinError:
                self.refused = step.identity.type
                raise
            self._done.append((step, written))
            placed.append(_placed(step, written))
        if plan.provenance is not None:
            self._provenance(plan.provenance)
        return placed

    def undo(self, base: str) -> None:
        """The last first: what was created is withdrawn, what was updated gets its earlier content back."""
        left = 0
        for step, written in reversed(self._done):
            try:
                self._take_back(step, written, base)
            except TwinError:
                left += 1
        count = len(self._done) - left
        if count:
            text = f"writing failed half way; {count} resource(s) already written were taken back"
            self.issues.append(Issue("error", "incomplete", text, "", "write"))
        if left:
            text = f"writing failed half way; {left} resource(s) could not be taken back and are still drafts"
            self.issues.append(Issue("error", "incomplete", text, "", "write"))

    def _write(self, step: Step) -> Resource:
        resource = self._pointed(step.resource or {})
        if step.held is not None:
            return self._server.update(resource, if_match=step.held.version)
        answer = self._server.create(resource, if_none_exist=step.identity.query)
        self._ids[name_of(step.identity)] = f"{step.identity.type}/{answer.get('id', '')}"
        return answer

    def _pointed(self, resource: Resource) -> Resource:
        """References by urn to what has been written by now. The order of writing leaves none open."""

        def swap(reference: Resource) -> Resource:
            known = self._ids.get(lasting_name(reference, ""))
            return {**reference, "reference": known} if known else reference

        pointed: Resource = swap_references(resource, swap)
        if any(r["reference"].startswith("urn:uuid:") for r in references_in(pointed)):
            raise AssertionError("a reference to something that is written later")
        return pointed

    def _provenance(self, provenance: Resource) -> None:
        try:
            self._server.create(self._pointed(provenance))
        except TwinError as error:
            text = "the plan is written, but its Provenance was not taken by the server"
            self.issues += [Issue("warning", error.code, text, "Provenance", "write"), *error.issues]

    def _take_back(self, step: Step, written: Resource, base: str) -> None:
        version = str(written.get("meta", {}).get("versionId", ""))
        if step.held is not None:
            self._server.update(
                {**step.held.resource, "meta": _own_meta(step.held.resource)}, if_match=version
            )
        elif can_withdraw(step.identity.type):
            taken = withdrawn({**written, "meta": _own_meta(written)})
            self._server.update(with_digest(taken, digest(taken, base), base), if_match=version)


def _own_meta(resource: Resource) -> Resource:
    meta = resource.get("meta", {})
    return {k: v for k, v in meta.items() if k in ("profile", "security", "tag")}


def _placed(step: Step, resource: Resource) -> Placed:
    version = str(resource.get("meta", {}).get("versionId", ""))
    return Placed(step.identity.type, str(resource.get("id", "")), version)
