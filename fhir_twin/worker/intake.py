"""The handlers of "hl7v2" and "ccda": a message becomes part of its patient's record; then the twin is looked at again.

    bytes --intake--> updates --merge--> record shelf --follow--> "refresh" of that patient

The record, who is who, the refresh and the end of the work are one commit. A merge (A40) moves the old record to the
one that stays; whoever asks for the old one afterwards is sent there.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Any

import orjson
from sqlalchemy.engine import Connection

from fhir_twin import log
from fhir_twin.actor import Actor, acting
from fhir_twin.errors import Conflict, Issue
from fhir_twin.fhir.encode import dump_json
from fhir_twin.fhir.outcome import to_outcome
from fhir_twin.fhir.parse import parse_json
from fhir_twin.intake.ccda import read_ccda
from fhir_twin.intake.hl7v2 import parse_message
from fhir_twin.intake.hl7v2_map import Mapped, PatientUpdate, map_message
from fhir_twin.intake.merge import merge_patient, merge_resource, point_to
from fhir_twin.intake.site import Site
from fhir_twin.model.audit import AuditNote
from fhir_twin.storage.records import Kept
from fhir_twin.storage.store import Store
from fhir_twin.storage.work import Work
from fhir_twin.worker.loop import Finish
from fhir_twin.worker.refresh import refresh_work

Json = dict[str, Any]


class Intake:
    """One handler for all kinds of feeds. refresh: whether the twin is to be looked at again after each message.
    audit: told of each patient of each message."""

    def __init__(
        self,
        store: Store,
        site: Site,
        *,
        refresh: bool = True,
        audit: Callable[[AuditNote], None] = lambda _: None,
    ) -> None:
        self._audit = audit
        self._store = store
        self._site = site
        self._refresh = refresh

    def handlers(self) -> dict[str, Callable[[Work], Finish]]:
        return {
            "hl7v2": lambda work: self._handle(work, map_message(parse_message(work.body), self._site)),
            "ccda": lambda work: self._handle(work, read_ccda(work.body, self._site)),
        }

    def _handle(self, work: Work, said: Mapped) -> Finish:
        """Raises V2Refusal, InvalidInput (dead letters: the same message will never be read better)."""

        def save(tx: Connection) -> None:
            for number, update in enumerate(said.updates):
                person = self._apply(update, said, tx)
                if self._refresh:
                    key = f"intake/{work.id}/{number}"
                    self._store.jobs.accept(refresh_work(person, "intake", key=key, parent=work.id), tx)

        with acting(Actor("feed")):
            for update in said.updates:
                self._audit(AuditNote("create", update.person.id, detail=said.type))
        log.event(
            "intake.read",
            type=work.kind,
            job=str(work.id),
            patients=len(said.updates),
            issues=len(said.issues),
        )
        reply = {
            "state": "read",
            "patients": len(said.updates),
            "outcome": to_outcome(said.issues or (_FINE,)),
        }
        return Finish(reply=orjson.dumps(reply), save=save)

    # --- one patient of a message --------------------------------------------------------------------

    def _apply(self, update: PatientUpdate, said: Mapped, tx: Connection) -> str:
        person = self._who(update, tx)
        for old in self._others(update, person, tx):
            self._move(old, person, tx)
        self._store.records.name(update.merged, person, tx)
        moment = said.when.timestamp() if said.when is not None else self._store.database.clock()
        self._put_patient(person, update, moment, tx)
        for resource in update.resources:
            self._put(person, point_to(resource, update.person.id, person), moment, tx)
        return person

    def _who(self, update: PatientUpdate, tx: Connection) -> str:
        """The record that the identifiers name, a new one when none is known. Two different records under one
        message's identifiers are never joined here: only a merge message may do that."""
        shelf = self._store.records
        known = shelf.persons(update.person.aliases, tx)
        person = known.get(update.person.key) or (next(iter(known.values())) if known else "")
        if not known.get(update.person.key) and len(set(known.values())) > 1:
            raise Conflict(
                "the identifiers of this message belong to different patients: a merge has to come first"
            )
        person = person or update.person.id
        shelf.name([key for key in update.person.aliases if key not in known], person, tx)
        return person

    def _others(self, update: PatientUpdate, person: str, tx: Connection) -> list[str]:
        known = self._store.records.persons(update.merged, tx)
        return sorted({old for old in known.values() if old != person})

    def _move(self, old: str, person: str, tx: Connection) -> None:
        """Everything of `old` becomes `person`'s; of two words on one thing the newer one stays."""
        shelf = self._store.records
        for kept in shelf.record(old, tx):
            body = opened(kept)
            if kept.type == "Patient" and kept.id == old:
                gone = {
                    **body,
                    "active": False,
                    "link": [{"other": _reference(person), "type": "replaced-by"}],
                }
                shelf.put(old, closed(gone, kept.moment), tx)
                continue
            self._put(person, point_to(body, old, person), kept.moment, tx)
            shelf.drop(old, kept, tx)
        shelf.rename(old, person, tx)
        self._store.forget_twin(old, tx)

    def _put_patient(self, person: str, update: PatientUpdate, moment: float, tx: Connection) -> None:
        held = self._store.records.get(person, "Patient", person, tx)
        newer = held is None or moment >= held.moment
        patient = {**update.person.patient, "id": person}
        merged = merge_patient(opened(held) if held else None, patient, update.person.cleared, newer=newer)
        self._store.records.put(person, closed(merged, moment if newer or held is None else held.moment), tx)

    def _put(self, person: str, resource: Json, moment: float, tx: Connection) -> None:
        held = self._store.records.get(person, resource["resourceType"], resource["id"], tx)
        newer = held is None or moment >= held.moment
        merged = merge_resource(opened(held) if held else None, resource, newer=newer)
        if merged is not None:
            self._store.records.put(person, closed(merged, moment), tx)


_FINE = Issue("information", "informational", "everything in the message was read")


def _reference(person: str) -> Json:
    return {"reference": f"Patient/{person}"}


def opened(kept: Kept) -> Json:
    """The resource of a row."""
    return dict(parse_json(gzip.decompress(kept.body), what="kept record"))


def closed(resource: Json, moment: float) -> Kept:
    """A row of a resource."""
    return Kept(resource["resourceType"], resource["id"], moment, gzip.compress(dump_json(resource), 1))
