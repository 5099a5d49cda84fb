"""What was made for patients (CarePlans, risks ...) as the FHIR face shows it, and answers that are waited for.

Rows hold patient data. A resource keeps its version while its content stays the same.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from fhir_twin.storage.database import Database
from fhir_twin.storage.schema import ANSWER, MADE


@dataclass(frozen=True, slots=True, repr=False)
class Made:
    """digest: of the content, without times. made: Unix time of the plan it belongs to; updated: of the last change."""

    type: str
    id: str
    patient: str
    digest: str
    body: bytes
    made: float
    version: int = 1
    updated: float = 0.0


@dataclass(frozen=True, slots=True, repr=False)
class AnswerRow:
    """An answer that is waited for. state: running | done | failed. owner: who asked (hashed). expires: Unix time."""

    id: str
    owner: str
    state: str
    body: bytes
    expires: float


class MadeShelf:
    """What was made, of one tenant."""

    def __init__(self, database: Database, tenant: str) -> None:
        self._database = database
        self._tenant = tenant
        self._insert = (sqlite if database.is_sqlite else postgresql).insert

    def keep(self, patient: str, rows: Sequence[Made]) -> None:
        """These, and no others, are what is made for the patient now."""
        with self._database.write() as tx:
            mine = sa.or_(MADE.c.patient == patient, MADE.c.patient == "")
            held = {(r.type, r.id): r for r in self._select(tx, mine)}
            tx.execute(sa.delete(MADE).where(MADE.c.tenant == self._tenant, MADE.c.patient == patient))
            for row in rows:
                new = versioned(row, held.get((row.type, row.id)))
                values = {
                    n: getattr(new, n)
                    for n in ("type", "id", "patient", "digest", "body", "made", "version", "updated")
                }
                insert = self._insert(MADE).values(tenant=self._tenant, **values)
                tx.execute(insert.on_conflict_do_update(index_elements=["tenant", "type", "id"], set_=values))

    def get(self, type_: str, id_: str) -> Made | None:
        with self._database.read() as tx:
            found = self._select(tx, MADE.c.type == type_, MADE.c.id == id_)
        return found[0] if found else None

    def of(self, type_: str, patient: str = "", limit: int = 10_000) -> list[Made]:
        """Of one type, of one patient or of all; by id."""
        wanted = [MADE.c.type == type_] + ([MADE.c.patient == patient] if patient else [])
        with self._database.read() as tx:
            return self._select(tx, *wanted, limit=limit)

    def when(self, patient: str) -> float:
        """When the patient's plan was made, 0 when there is none."""
        with self._database.read() as tx:
            wanted = sa.select(sa.func.max(MADE.c.made)).where(
                MADE.c.tenant == self._tenant, MADE.c.patient == patient
            )
            return float(tx.execute(wanted).scalar() or 0.0)

    def erase(self, patient: str) -> int:
        """Everything made for a patient. How many resources."""
        with self._database.write() as tx:
            gone = sa.delete(MADE).where(MADE.c.tenant == self._tenant, MADE.c.patient == patient)
            return int(tx.execute(gone).rowcount)

    def _select(self, tx: sa.Connection, *where: sa.ColumnElement[bool], limit: int = 10_000) -> list[Made]:
        wanted = sa.select(MADE).where(MADE.c.tenant == self._tenant, *where).order_by(MADE.c.id).limit(limit)
        return [
            Made(r.type, r.id, r.patient, r.digest, bytes(r.body), r.made, int(r.version), r.updated)
            for r in tx.execute(wanted)
        ]

    # --- answers that are waited for -----------------------------------------------------------------

    def begin(self, owner: str, expires: float) -> str:
        """A new running answer; its id cannot be guessed."""
        id_ = secrets.token_urlsafe(24)
        with self._database.write() as tx:
            old = sa.delete(ANSWER).where(
                ANSWER.c.tenant == self._tenant, ANSWER.c.expires < self._database.clock()
            )
            tx.execute(old)
            row = sa.insert(ANSWER).values(
                tenant=self._tenant, id=id_, owner=owner, state="running", body=b"", expires=expires
            )
            tx.execute(row)
        return id_

    def finish(self, id_: str, state: str, body: bytes) -> None:
        with self._database.write() as tx:
            tx.execute(sa.update(ANSWER).where(*self._one(id_)).values(state=state, body=body))

    def answer(self, id_: str) -> AnswerRow | None:
        with self._database.read() as tx:
            row = tx.execute(sa.select(ANSWER).where(*self._one(id_))).first()
        if row is None or row.expires < self._database.clock():
            return None
        return AnswerRow(row.id, row.owner, row.state, bytes(row.body), row.expires)

    def drop(self, id_: str) -> None:
        with self._database.write() as tx:
            tx.execute(sa.delete(ANSWER).where(*self._one(id_)))

    def _one(self, id_: str) -> tuple[sa.ColumnElement[bool], ...]:
        return ANSWER.c.tenant == self._tenant, ANSWER.c.id == id_


def versioned(new: Made, held: Made | None) -> Made:
    """The row to keep: the old one while the content is the same, else the next version."""
    if held is None:
        return replace(new, version=1, updated=new.made)
    if held.digest == new.digest and held.patient == new.patient:
        return replace(held, made=new.made)
    return replace(new, version=held.version + 1, updated=new.made)
