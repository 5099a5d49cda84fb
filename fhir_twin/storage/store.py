"""Store: everything kept for one tenant (one FHIR server), on one database. The way in for all who keep things.

store = open_store("store.db", tenant="main")
store.jobs.accept(NewWork("hl7v2", lane="...", body=message, key="..."))
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import Connection

from fhir_twin.errors import InvalidInput
from fhir_twin.storage.audit import AuditTrail
from fhir_twin.storage.cursors import Cursors
from fhir_twin.storage.database import Database
from fhir_twin.storage.desk import Desk
from fhir_twin.storage.made import MadeShelf
from fhir_twin.storage.queue import Queue
from fhir_twin.storage.records import RecordShelf
from fhir_twin.storage.schema import JOB, OUTBOX
from fhir_twin.storage.subscriptions import SubscriptionBook
from fhir_twin.storage.twins import TwinShelf
from fhir_twin.storage.work import Limits

_TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}\Z")


@dataclass(frozen=True, slots=True)
class Store:
    """jobs: work accepted from outside, and what follows from it. outbox: what is to be written to the server. twins:
    what is kept of patients between two results. subscriptions: ours on the server. cursors: up to where we
    read. records: what feeds (HL7 v2, C-CDA) said. audit: who looked at or changed what."""

    database: Database
    tenant: str
    jobs: Queue
    outbox: Queue
    twins: TwinShelf
    subscriptions: SubscriptionBook
    cursors: Cursors
    records: RecordShelf
    audit: AuditTrail

    def close(self) -> None:
        self.database.close()

    def erase_patient(self, patient: str) -> dict[str, int]:
        """Everything kept of a patient but the audit; rows by kind. The audit holds no clinical value, and the law
        asks for it."""
        lane = f"Patient/{patient}"
        with self.database.write() as tx:
            found = {"twin": int(self.twins.erase(patient, tx))}
            lanes = [feed for one in self.records.of(patient, tx) for feed in self.records.lanes(one, tx)]
            found["messages"] = sum(Desk(self.jobs).erase(feed, tx) for feed in lanes)
            found["record"] = self.records.erase(patient, tx)
            for name, queue in (("jobs", self.jobs), ("outbox", self.outbox)):
                found[name] = Desk(queue).erase(lane, tx) + Desk(queue).erase_mentions(patient, tx)
        found["made"] = MadeShelf(self.database, self.tenant).erase(patient)
        return found

    def ready(self) -> str:
        """For readiness: whether work can be accepted now, and what waits for a person. Raises Busy and StoreError."""
        self.jobs.make_room(0)
        with self.database.write():  # the lock can be had
            dead = sum(Desk(q).counts().states.get("dead", 0) for q in (self.jobs, self.outbox))
        return "ready" if not dead else f"ready; {dead} dead letters wait for a decision"

    def forget_twin(self, patient: str, tx: Connection) -> None:
        """The twin alone (the record is not to be used, or there is nothing to go on from)."""
        self.twins.erase(patient, tx)


def open_store(
    url: str = "",
    tenant: str = "main",
    *,
    limits: Limits | None = None,
    lease: float = 60.0,
    clock: Callable[[], float] = time.time,
    busy_timeout: float = 10.0,
) -> Store:
    """url: a SQLite file or postgresql://...; "" for `default_path()`. Creates and upgrades the tables.

    Raises InvalidInput (url, tenant), Busy (cannot be reached or is locked) and StoreError."""
    if not _TENANT.match(tenant):
        raise InvalidInput(
            "a tenant's name is 1 to 63 of a-z, 0-9, _ and -, and begins with a letter or digit"
        )
    database = Database(url or str(default_path()), clock=clock, busy_timeout=busy_timeout).open()
    jobs, outbox = (Queue(database, table, tenant, lease=lease, limits=limits) for table in (JOB, OUTBOX))
    kept = (
        TwinShelf(database, tenant),
        SubscriptionBook(database, tenant),
        Cursors(database, tenant),
        RecordShelf(database, tenant),
        AuditTrail(database, tenant),
    )
    return Store(database, tenant, jobs, outbox, *kept)


def default_path() -> Path:
    """store.db in the user's data folder."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "fhir-twin" / "store.db"
    named = os.environ.get("XDG_DATA_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(named) if named else Path.home() / ".local" / "share") / "fhir-twin" / "store.db"
