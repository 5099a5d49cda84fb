"""The handler of "catch-up": what has changed on the server since we last looked, as work per patient.

It is how a server without subscriptions is watched, and what closes every gap of one that has them.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson

from fhir_twin import log
from fhir_twin.errors import NotSupported
from fhir_twin.storage.desk import Desk
from fhir_twin.storage.store import Store
from fhir_twin.storage.work import NewWork, Work
from fhir_twin.transport.changes import changes_since, server_now
from fhir_twin.transport.fhir_server import FhirServer
from fhir_twin.worker.loop import Finish
from fhir_twin.worker.notices import CATCH_UP, Sorter
from fhir_twin.worker.refresh import refresh_work

CURSOR = "changes"


class Poller:
    """everybody: ids of all patients, for a server that cannot tell what has changed: each is then read again. only:
    patients to look at, all when empty."""

    def __init__(
        self,
        store: Store,
        server: FhirServer,
        everybody: Callable[[], Any],
        *,
        only: frozenset[str] = frozenset(),
    ) -> None:
        self._store = store
        self._server = server
        self._everybody = everybody
        self._only = only
        self._sorter = Sorter(store, server.client.base, server.read, only)

    def begin(self, *, from_now: bool) -> None:
        """Set the mark when there is none: at the server's present time, or (not from_now) long ago."""
        if not self._store.cursors.get(CURSOR):
            moment = server_now(self._server) if from_now else datetime(1900, 1, 1, tzinfo=UTC)
            self._store.cursors.put(CURSOR, moment.isoformat())

    def __call__(self, work: Work) -> Finish:
        """Raises what reading the server gives cause for; the mark then stays where it was."""
        later = Desk(self._store.jobs).rows(("queued",), kind=CATCH_UP, after=work.id, limit=1)
        if later:
            return Finish(reply=orjson.dumps({"left to": later[0].id}))
        self.begin(from_now=True)
        since = datetime.fromisoformat(self._store.cursors.get(CURSOR))
        marks = {s.id: s.told for s in self._store.subscriptions.all()}
        try:
            found = changes_since(self._server, since)
        except NotSupported:
            return self._all(work)
        new = self._sorter.gather(found.changes, "poll", work.id)
        for id_, told in marks.items():
            self._store.subscriptions.caught_up(id_, told)
        log.event("poll.done", changes=len(found.changes), work=len(new), unseen=len(found.unseen))
        until = found.until.isoformat()
        return Finish(
            reply=orjson.dumps({"changes": len(found.changes), "work": len(new), "until": until}),
            follow=tuple((self._store.jobs, each) for each in new),
            save=lambda tx: self._store.cursors.put(CURSOR, until, tx),
        )

    def _all(self, work: Work) -> Finish:
        """Nothing tells what is new: every patient's record is read again."""
        patients = sorted(self._only) or list(self._everybody())
        new: list[NewWork] = [
            refresh_work(p, "poll", (), key=f"{p}/all@{work.id}", parent=work.id) for p in patients
        ]
        log.warning("poll.blind", patients=len(patients))
        return Finish(
            reply=orjson.dumps({"blind": True, "work": len(new)}),
            follow=tuple((self._store.jobs, each) for each in new),
        )
