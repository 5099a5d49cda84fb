"""Records from feeds (HL7 v2, C-CDA): who is who, and the newest word on each thing that is known of them.

Rows hold patient data. Keys of persons are kept as SHA-256. Every method takes the transaction of the work that calls
it. What a message means is not decided here: see `worker.intake`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from fhir_twin.storage.database import Database
from fhir_twin.storage.schema import PERSON_KEY, RECORD

MOST_LINKED = 8  # persons of the shelf that one Patient of the server may be


@dataclass(frozen=True, slots=True, repr=False)
class Kept:
    """One resource of a person. moment: Unix time of the message that said so. body: gzip JSON."""

    type: str
    id: str
    moment: float
    body: bytes


class RecordShelf:
    """The fed records of one tenant."""

    def __init__(self, database: Database, tenant: str) -> None:
        self.database = database
        self._tenant = tenant
        self._insert = (sqlite if database.is_sqlite else postgresql).insert

    # --- who is who ----------------------------------------------------------------------------------

    def persons(self, keys: Sequence[str], tx: Connection) -> dict[str, str]:
        """key -> person, for the keys that are known."""
        hashed = {_hash(key): key for key in keys}
        wanted = sa.select(PERSON_KEY.c.key, PERSON_KEY.c.person).where(
            PERSON_KEY.c.tenant == self._tenant, PERSON_KEY.c.key.in_(hashed)
        )
        return {hashed[str(r.key)]: str(r.person) for r in tx.execute(wanted)}

    def name(self, keys: Iterable[str], person: str, tx: Connection) -> None:
        """These keys mean `person`, whoever they meant before."""
        for key in keys:
            row = self._insert(PERSON_KEY).values(tenant=self._tenant, key=_hash(key), person=person)
            tx.execute(row.on_conflict_do_update(index_elements=["tenant", "key"], set_={"person": person}))

    def rename(self, old: str, new: str, tx: Connection) -> None:
        """All keys of `old` mean `new` from now on."""
        mine = sa.and_(PERSON_KEY.c.tenant == self._tenant, PERSON_KEY.c.person == old)
        tx.execute(sa.update(PERSON_KEY).where(mine).values(person=new))

    def all_persons(self) -> list[str]:
        """Ids of everybody on the shelf who was not merged into somebody else, sorted."""
        with self.database.read() as tx:
            rows = tx.execute(
                sa.select(PERSON_KEY.c.person).where(PERSON_KEY.c.tenant == self._tenant).distinct()
            )
            return sorted(str(r[0]) for r in rows)

    # --- what is known -------------------------------------------------------------------------------

    def get(self, person: str, type_: str, id_: str, tx: Connection) -> Kept | None:
        row = tx.execute(sa.select(RECORD).where(*self._one(person, type_, id_))).first()
        return None if row is None else _kept(row)

    def put(self, person: str, kept: Kept, tx: Connection) -> None:
        """In the place of what was there."""
        values = {"moment": kept.moment, "body": kept.body}
        row = self._insert(RECORD).values(
            tenant=self._tenant, person=person, type=kept.type, id=kept.id, **values
        )
        keys = ["tenant", "person", "type", "id"]
        tx.execute(row.on_conflict_do_update(index_elements=keys, set_=values))

    def drop(self, person: str, kept: Kept, tx: Connection) -> None:
        tx.execute(sa.delete(RECORD).where(*self._one(person, kept.type, kept.id)))

    def record(self, person: str, tx: Connection | None = None) -> list[Kept]:
        """Everything of a person, Patient first, then by type and id."""
        wanted = sa.select(RECORD).where(RECORD.c.tenant == self._tenant, RECORD.c.person == person)
        if tx is None:
            with self.database.read() as own:
                found = [_kept(r) for r in own.execute(wanted)]
        else:
            found = [_kept(r) for r in tx.execute(wanted)]
        return sorted(found, key=lambda k: (k.type != "Patient", k.type, k.id))

    def known(self, keys: Sequence[str]) -> dict[str, str]:
        """`persons` in a transaction of its own."""
        with self.database.read() as tx:
            return self.persons(keys, tx)

    def link(self, patient: str, persons: Sequence[str]) -> None:
        """These persons are the server's Patient/`patient`: whoever erases the one erases the others."""
        known = self.known([_on_server(patient, n) for n in range(len(persons))])
        if set(known.values()) != set(persons):
            with self.database.write() as tx:
                for n, person in enumerate(persons):
                    self.name([_on_server(patient, n)], person, tx)

    def of(self, patient: str, tx: Connection) -> list[str]:
        """The persons that an id of the shelf or of the server means."""
        linked = self.persons([_on_server(patient, n) for n in range(MOST_LINKED)], tx)
        return sorted({patient, *linked.values()})

    def lanes(self, person: str, tx: Connection) -> list[str]:
        """The lanes of the jobs that brought a person's messages (see `intake.reception.lane_of`)."""
        wanted = sa.select(PERSON_KEY.c.key).where(
            PERSON_KEY.c.tenant == self._tenant, PERSON_KEY.c.person == person
        )
        return [f"feed/{str(row.key)[:40]}" for row in tx.execute(wanted)]

    def erase(self, patient: str, tx: Connection) -> int:
        """Everything of a patient (id of the shelf or of the server), and who they are. How many resources."""
        count = 0
        for person in self.of(patient, tx):
            mine = [PERSON_KEY.c.tenant == self._tenant, PERSON_KEY.c.person == person]
            tx.execute(sa.delete(PERSON_KEY).where(*mine))
            gone = sa.delete(RECORD).where(RECORD.c.tenant == self._tenant, RECORD.c.person == person)
            count += int(tx.execute(gone).rowcount)
        return count

    def _one(self, person: str, type_: str, id_: str) -> tuple[sa.ColumnElement[bool], ...]:
        t = RECORD.c
        return t.tenant == self._tenant, t.person == person, t.type == type_, t.id == id_


def _on_server(patient: str, number: int) -> str:
    """The key of a link; no identifier system looks like it."""
    return f"fhir-server {number}|{patient}"


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _kept(row: sa.Row[tuple[object, ...]]) -> Kept:
    return Kept(str(row.type), str(row.id), float(row.moment), bytes(row.body))
