"""Stored twins: what is kept of a patient between two results. Bytes in, bytes out; who reads them knows what they are.

Rows hold patient data. They are written in the same transaction as the work that made them, and erased with it.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from fhir_twin.storage.database import Database
from fhir_twin.storage.schema import SEEN, TWIN

_CHUNK = 200


@dataclass(frozen=True, slots=True, repr=False)
class KeptTwin:
    """twin: `assimilation.keep.dump_twin`. context: the rest of the record that a new result is read with, as JSON.
    as_of: of the twin. planned: as_of of the last plan. seen: versions by reference, to be written with it."""

    patient: str
    twin: bytes
    context: bytes
    as_of: datetime
    planned: datetime
    seen: Mapping[str, str] = field(default_factory=dict)


class TwinShelf:
    """The twins of one tenant."""

    def __init__(self, database: Database, tenant: str) -> None:
        self._database = database
        self._tenant = tenant
        self._insert = (sqlite if database.is_sqlite else postgresql).insert

    def get(self, patient: str) -> KeptTwin | None:
        """Without `seen` (see `version`)."""
        with self._database.read() as tx:
            row = tx.execute(sa.select(TWIN).where(*self._mine(TWIN, patient))).first()
        if row is None:
            return None
        as_of, planned = (datetime.fromtimestamp(t, UTC) for t in (row.as_of, row.planned))
        return KeptTwin(patient, bytes(row.twin), gzip.decompress(row.context), as_of, planned)

    def version(self, patient: str, reference: str) -> str | None:
        """The version of "Observation/7" that the twin has taken in; None when it has not."""
        wanted = sa.select(SEEN.c.version).where(*self._mine(SEEN, patient), SEEN.c.reference == reference)
        with self._database.read() as tx:
            found = tx.execute(wanted).scalar()
        return None if found is None else str(found)

    def who_has(self, reference: str) -> list[str]:
        """Patients whose record held this resource (a deletion does not say whose it was)."""
        wanted = sa.select(SEEN.c.patient).where(SEEN.c.tenant == self._tenant, SEEN.c.reference == reference)
        with self._database.read() as tx:
            return sorted(str(r[0]) for r in tx.execute(wanted))

    def keep(self, kept: KeptTwin, tx: Connection, *, anew: bool) -> None:
        """anew: the twin was made from the whole record, so `seen` is all there is; else it is added."""
        values = {
            "twin": kept.twin,
            "context": gzip.compress(kept.context, 1),
            "as_of": kept.as_of.timestamp(),
            "planned": kept.planned.timestamp(),
            "updated": self._database.clock(),
        }
        insert = self._insert(TWIN).values(tenant=self._tenant, patient=kept.patient, **values)
        tx.execute(insert.on_conflict_do_update(index_elements=["tenant", "patient"], set_=values))
        if anew:
            tx.execute(sa.delete(SEEN).where(*self._mine(SEEN, kept.patient)))
        self._note(kept.patient, kept.seen, tx)

    def note(self, patient: str, seen: Mapping[str, str], tx: Connection) -> None:
        """These versions were taken in (or looked at and not needed)."""
        self._note(patient, seen, tx)

    def erase(self, patient: str, tx: Connection) -> bool:
        """Everything kept of a patient. Whether there was anything."""
        tx.execute(sa.delete(SEEN).where(*self._mine(SEEN, patient)))
        return bool(tx.execute(sa.delete(TWIN).where(*self._mine(TWIN, patient))).rowcount)

    def patients(self) -> list[str]:
        """Ids of all patients with a twin, sorted."""
        with self._database.read() as tx:
            rows = tx.execute(sa.select(TWIN.c.patient).where(TWIN.c.tenant == self._tenant))
            return sorted(str(r[0]) for r in rows)

    def older_than(self, moment: float) -> list[str]:
        """Patients whose twin nobody has touched since (Unix time): what retention erases."""
        wanted = sa.select(TWIN.c.patient).where(TWIN.c.tenant == self._tenant, TWIN.c.updated < moment)
        with self._database.read() as tx:
            return sorted(str(r[0]) for r in tx.execute(wanted))

    def _note(self, patient: str, seen: Mapping[str, str], tx: Connection) -> None:
        rows = [
            {"tenant": self._tenant, "patient": patient, "reference": r, "version": v}
            for r, v in sorted(seen.items())
        ]
        for chunk in _chunks(rows):
            insert = self._insert(SEEN).values(chunk)
            keys = ["tenant", "patient", "reference"]
            tx.execute(
                insert.on_conflict_do_update(index_elements=keys, set_={"version": insert.excluded.version})
            )

    def _mine(self, table: sa.Table, patient: str) -> tuple[sa.ColumnElement[bool], ...]:
        return table.c.tenant == self._tenant, table.c.patient == patient


def _chunks(rows: list[dict[str, str]]) -> Iterable[list[dict[str, str]]]:
    return (rows[i : i + _CHUNK] for i in range(0, len(rows), _CHUNK))
