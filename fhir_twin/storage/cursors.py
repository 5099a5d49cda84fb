"""Up to where something was read: by name, in the words of whoever told it (a server's own time)."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from fhir_twin.storage.database import Database
from fhir_twin.storage.schema import CURSOR


class Cursors:
    """The cursors of one tenant."""

    def __init__(self, database: Database, tenant: str) -> None:
        self._database = database
        self._tenant = tenant
        self._insert = (sqlite if database.is_sqlite else postgresql).insert

    def get(self, name: str) -> str:
        """ "" when there is none yet."""
        mine = (CURSOR.c.tenant == self._tenant, CURSOR.c.name == name)
        with self._database.read() as tx:
            return str(tx.execute(sa.select(CURSOR.c.value).where(*mine)).scalar() or "")

    def put(self, name: str, value: str, tx: Connection | None = None) -> None:
        """With `tx`, in one commit with the work that was found up to there."""
        values = {"value": value, "updated": self._database.clock()}
        insert = self._insert(CURSOR).values(tenant=self._tenant, name=name, **values)
        with self._database.write(tx) as connection:
            connection.execute(insert.on_conflict_do_update(index_elements=["tenant", "name"], set_=values))
