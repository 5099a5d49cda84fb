"""Auditor: every access becomes an AuditEvent in our append-only table, and goes to the server where that is wished.

The event is stored outside the work it is about (AU-5): a failed run leaves its trace. It is sent through the outbox,
so that a server that is down costs nothing but time.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

import orjson

from fhir_twin import log
from fhir_twin.actor import current
from fhir_twin.errors import TwinError
from fhir_twin.fhir.encode import dump_json
from fhir_twin.fhir.parse import parse_json
from fhir_twin.fhir.write_audit import audit_event
from fhir_twin.model.audit import AuditNote
from fhir_twin.storage.store import Store
from fhir_twin.storage.work import NewWork, Work
from fhir_twin.transport.fhir_server import FhirServer
from fhir_twin.worker.loop import Finish

KIND = "audit"


class Auditor:
    """server: base URL of the FHIR server. send: whether events also go there."""

    def __init__(self, store: Store, server: str, *, send: bool = False) -> None:
        self._store = store
        self._server = server
        self._send = send

    def __call__(self, note: AuditNote) -> None:
        """Stored when it returns. A store that cannot take it is told in the log and ends the work (no access without
        a trace): raises Busy and StoreError."""
        actor = current()
        when = datetime.fromtimestamp(self._store.database.clock(), UTC)
        body = dump_json(audit_event(note, actor, self._server, when))
        with self._store.database.write() as tx:
            id_ = self._store.audit.add(
                body.decode(),
                patient=note.patient,
                what=note.what,
                outcome=note.outcome,
                who=actor.name,
                tx=tx,
            )
            if self._send:
                self._store.outbox.accept(NewWork(KIND, "", body, f"audit/{id_}", blocks=False), tx)


class AuditSender:
    """The handler of "audit" in the outbox. The event gets an id of ours, so that sending it twice leaves one; a server
    that gives ids itself may hold two after a crash in the wrong moment."""

    def __init__(self, server: FhirServer) -> None:
        self._server = server

    def __call__(self, work: Work) -> Finish:
        """Raises what the server refuses with."""
        event: dict[str, Any] = parse_json(work.body, what="audit event")
        if not self._server.capability().supports("AuditEvent", "create"):
            return Finish(reply=orjson.dumps({"state": "the server takes no AuditEvents"}))
        if self._server.capability().supports("AuditEvent", "update"):
            id_ = f"ft-{hashlib.sha256(work.body + work.key.encode()).hexdigest()[:40]}"
            try:
                held = self._server.update({**event, "id": id_})
                return Finish(reply=orjson.dumps({"id": held["id"]}))
            except TwinError as error:
                if error.status >= 500:
                    raise
                log.failure("audit.put", error, code=error.code)
        held = self._server.create(event)
        return Finish(reply=orjson.dumps({"id": held["id"]}))
