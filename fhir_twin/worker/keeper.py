"""Keeps subscriptions alive: renews what ends or failed, notices silence and gaps, and has them caught up.

`tick` is called now and then (each minute); it does what is due and nothing else. Whatever a server does to a
subscription, nothing is lost: after each trouble the changes since the last poll are read.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from fhir_twin import log
from fhir_twin.errors import NotFound, TwinError
from fhir_twin.fhir.write_subscription import classic, topical
from fhir_twin.storage.store import Store
from fhir_twin.storage.subscriptions import Subscribed
from fhir_twin.transport.subscriber import Subscriber
from fhir_twin.worker.notices import Sorter, catch_up_work

WAIT_FOR_HANDSHAKE = 120.0  # seconds in which `requested` must become `active` before it is asked for again
PATIENCE = 30.0  # seconds that a missing event may still be on its way


@dataclass(frozen=True, slots=True)
class Wish:
    """What to subscribe to. form: classic | topic. criteria: a search, or a topic's canonical; filters: of a topic.
    lasts: how long it is asked for at a time. heartbeat: seconds, topics only."""

    form: str
    criteria: str
    filters: tuple[str, ...] = ()
    content: str = "id-only"
    payload: bool = True
    lasts: timedelta = timedelta(days=7)
    heartbeat: int = 60


class Keeper:
    """endpoint: the URL under which the server reaches our /hooks. clock: Unix time. tell: for whoever watches."""

    def __init__(
        self,
        store: Store,
        subscriber: Subscriber,
        sorter: Sorter,
        endpoint: str,
        *,
        clock: Callable[[], float],
        tell: Callable[[str], None] = lambda _: None,
        poll_every: float = 300.0,
    ) -> None:
        self._store = store
        self._subscriber = subscriber
        self._sorter = sorter
        self._endpoint = endpoint.rstrip("/")
        self._clock = clock
        self._tell = tell
        self._poll_every = poll_every
        self._polled = 0.0
        self._wishes: dict[str, Wish] = {}

    def want(self, wish: Wish) -> str:
        """Subscribe, or take up a subscription of the same criteria that we have. Its id (ours).

        The endpoint is known before the server is asked: its handshake may come before its answer."""
        for held in self._store.subscriptions.all():
            if (held.form, held.criteria) == (wish.form, _criteria(wish)):
                self._wishes[held.id] = wish
                return held.id
        id_ = secrets.token_urlsafe(18).replace("_", "-")
        now = self._clock()
        new = Subscribed(
            *(id_, "", wish.form, _criteria(wish), "", "requested", "", now, 0.0, now, 0, now),
        )
        self._store.subscriptions.add(
            replace(new, heartbeat=float(wish.heartbeat if wish.form == "topic" else 0))
        )
        self._wishes[id_] = wish
        try:
            self._ask(id_, wish, "")
        except TwinError:
            self._store.subscriptions.remove(id_)
            raise
        return id_

    def tick(self) -> None:
        """Look after every subscription, and poll when it is time. An error with one does not keep from the others."""
        for held in self._store.subscriptions.all():
            try:
                self._look(held)
            except TwinError as error:
                log.failure("subscription.check", error, job=held.id, code=error.code)
        if self._clock() - self._polled >= self._poll_every:
            self.catch_up()

    def catch_up(self) -> None:
        """Have everything since the last poll looked at."""
        self._polled = self._clock()
        self._store.jobs.accept(catch_up_work())

    def release(self) -> None:
        """Take our subscriptions away from the server (what was asked for in this process)."""
        for held in self._store.subscriptions.all():
            if held.id in self._wishes:
                if held.server_id:
                    self._subscriber.remove(held.server_id)
                self._store.subscriptions.remove(held.id)

    def _look(self, held: Subscribed) -> None:
        wish = self._wishes.get(held.id)
        now = self._clock()
        standing = self._subscriber.standing(held.server_id) if held.server_id else None
        state = standing.state if standing else "gone"
        if state != held.state:
            self._store.subscriptions.change(held.id, state=state)
            self._tell(f"subscription {held.criteria.split('?')[0]}: the server says {state}")
        if wish is None:
            return  # somebody else's process looks after it
        waited = now - max(held.heard, held.created)
        if state in ("error", "off", "gone") or (state == "requested" and waited > WAIT_FOR_HANDSHAKE):
            self._again(held, wish, state)
        elif held.ends - now < wish.lasts.total_seconds() / 4:
            self._ask(held.id, wish, held.server_id)
            self._tell("subscription renewed before its end")
        elif held.heartbeat and now - held.heard > 2 * held.heartbeat:
            self._silent(held)
        self._close_gap(held)

    def _again(self, held: Subscribed, wish: Wish, state: str) -> None:
        self._tell(f"subscription is {state}; it is asked for again, and what was missed is read")
        log.warning("subscription.again", state=state, job=held.id)
        self._ask(held.id, wish, "" if state == "gone" else held.server_id)
        self.catch_up()

    def _ask(self, id_: str, wish: Wish, server_id: str) -> None:
        """Create (server_id "") or renew, each time with a new secret: the server may have masked the old one."""
        secret = secrets.token_urlsafe(32)
        ends = datetime.fromtimestamp(self._clock(), UTC) + wish.lasts
        self._store.subscriptions.asked(id_, secret, ends.timestamp())
        ours = self._resource(wish, f"{self._endpoint}/{id_}", secret, ends)
        if server_id:
            try:
                self._subscriber.renew(server_id, ours)
                return
            except NotFound:
                log.warning("subscription.gone", job=id_)
        made = self._subscriber.create(ours)
        self._store.subscriptions.change(id_, server_id=made)

    @staticmethod
    def _resource(wish: Wish, endpoint: str, secret: str, ends: datetime) -> dict[str, Any]:
        if wish.form == "topic":
            how = {"content": wish.content, "heartbeat": wish.heartbeat}
            return topical(wish.criteria, wish.filters, endpoint, secret, ends, **how)  # type: ignore[arg-type]
        return classic(wish.criteria, endpoint, secret, ends, payload=wish.payload)

    def _silent(self, held: Subscribed) -> None:
        """No heartbeat: ask for the status; a count above ours is a gap (SB-5)."""
        notice = self._subscriber.status(held.server_id)
        with self._store.database.write() as tx:
            self._store.subscriptions.hear(held.id, (), notice.events if notice else None, tx)
        log.warning("subscription.silent", job=held.id)
        self.catch_up()

    def _close_gap(self, held: Subscribed) -> None:
        held = self._store.subscriptions.get(held.id)
        missing = held.missing
        if missing is None or self._clock() - held.heard < PATIENCE:
            return
        notice = self._subscriber.events(held.server_id, *missing)
        if notice is None or not notice.numbers:
            self.catch_up()
            return
        work = self._sorter.sort(notice.changes, "events")
        with self._store.database.write() as tx:
            for new in work:
                self._store.jobs.accept(new, tx)
            self._store.subscriptions.hear(held.id, notice.numbers, None, tx)
        if self._store.subscriptions.get(held.id).missing is not None:
            self.catch_up()


def _criteria(wish: Wish) -> str:
    return "&".join([wish.criteria, *wish.filters])
