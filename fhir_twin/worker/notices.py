"""Notifications in, work per patient out.

    web: `Inbox.take` (authentic? known? on disk, then 2xx) -> "notice" work -> NoticeHandler -> "refresh" work

One resource version is one piece of work however often and by whatever way it is told (its key is type, id and
version): duplicates, other subscriptions and polls all meet there (SB-5, G4).
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import orjson

from fhir_twin import log
from fhir_twin.errors import InvalidInput, LoginRequired
from fhir_twin.fhir.changes import is_ours, subject_of, version_of
from fhir_twin.fhir.parse import parse_json
from fhir_twin.fhir.read_notice import read_notice
from fhir_twin.model.change import Change, Notice
from fhir_twin.storage.queue import Queue
from fhir_twin.storage.store import Store
from fhir_twin.storage.subscriptions import Subscribed
from fhir_twin.storage.work import NewWork, Work
from fhir_twin.transport.urls import Base, local_reference
from fhir_twin.worker.loop import Finish
from fhir_twin.worker.refresh import refresh_work

KIND = "notice"
CATCH_UP = "catch-up"
Reader = Callable[[str, str], dict[str, Any] | None]


class Inbox:
    """Takes notifications from the web face. wake: told when there is new work."""

    def __init__(self, store: Store, wake: Callable[[], None] = lambda: None) -> None:
        self._store = store
        self._wake = wake

    def take(self, id_: str, secret: str, body: bytes, gone: tuple[str, str] | None = None) -> Notice:
        """A notification for subscription `id_`; on disk when it returns. gone: (type, id) of a DELETE rest-hook.

        Raises NotFound (no such subscription), LoginRequired (wrong secret), InvalidInput and Busy."""
        subscription = self._store.subscriptions.get(id_)
        if not subscription.knows(secret):
            raise LoginRequired("a notification needs the secret of its subscription")
        notice = read_notice(parse_json(body, what="notification") if body.strip() else None)
        if gone is not None:
            notice = Notice("resource", changes=(Change(*gone, deleted=True),))
        if notice.subscription and notice.subscription != subscription.server_id and subscription.server_id:
            raise InvalidInput("this notification is of another subscription")
        work = self._work(subscription, notice, body, gone)
        state = notice.status if notice.status in ("active", "error", "off") else ""
        if not state and notice.kind in ("resource", "empty"):
            state = "active"  # a classic subscription shows that it lives by sending
        if work is not None:
            self._store.jobs.make_room(1)
        with self._store.database.write() as tx:
            if work is not None:
                self._store.jobs.accept(work, tx)
            self._store.subscriptions.hear(id_, notice.numbers, notice.events, tx, state=state)
        log.event(
            "notice", type=notice.kind, job=id_, changes=len(notice.changes), numbers=len(notice.numbers)
        )
        self._wake()
        return notice

    def _work(
        self, subscription: Subscribed, notice: Notice, body: bytes, gone: tuple[str, str] | None
    ) -> NewWork | None:
        if notice.kind in ("handshake", "heartbeat", "query-status"):
            return None
        stored = body if gone is None else orjson.dumps({"deleted": list(gone)})
        # The secret changes each time that the subscription is asked for; event numbers may then begin anew.
        period = f"{subscription.id}/{subscription.secret[:16]}"
        if notice.numbers:
            numbers = "-".join(str(n) for n in notice.numbers)
            key = (
                f"{period}/{numbers if len(numbers) < 100 else hashlib.sha256(numbers.encode()).hexdigest()}"
            )
        elif notice.kind == "resource" and gone is None:
            key = f"{period}/{hashlib.sha256(body).hexdigest()}"
        else:
            key = f"{period}/{secrets.token_hex(8)}"  # nothing tells two of these apart: each counts
        lane = f"subscription/{subscription.id}"
        return NewWork(KIND, lane, stored, key, blocks=False, meta={"kind": notice.kind}, trust_key=True)


class NoticeHandler:
    """The handler of "notice". base: of the server; read: one resource by type and id. only: patients to look at, all
    when empty."""

    def __init__(self, store: Store, base: Base, read: Reader, *, only: frozenset[str] = frozenset()) -> None:
        self._store = store
        self._sorter = Sorter(store, base, read, only)

    def __call__(self, work: Work) -> Finish:
        """Raises InvalidInput and what reading the server gives cause for."""
        body = parse_json(work.body, what="notification") if work.body.strip() else None
        if isinstance(body, dict) and "deleted" in body and "resourceType" not in body:
            type_, id_ = body["deleted"]
            notice = Notice("resource", changes=(Change(type_, id_, deleted=True),))
        else:
            notice = read_notice(body)
        follow: list[tuple[Queue, NewWork]] = [
            (self._store.jobs, new) for new in self._sorter.sort(notice.changes, "notice", work.id)
        ]
        if notice.says_something_changed_but_not_what:
            follow.append((self._store.jobs, catch_up_work(parent=work.id)))
        return Finish(
            reply=orjson.dumps({"work": len(follow), "changes": len(notice.changes)}), follow=tuple(follow)
        )


class Sorter:
    """Changes -> one piece of work each, in its patient's lane."""

    def __init__(self, store: Store, base: Base, read: Reader, only: frozenset[str] = frozenset()) -> None:
        self._store = store
        self._base = base
        self._read = read
        self._only = only

    def sort(self, changes: Iterable[Change], why: str, parent: int | None = None) -> list[NewWork]:
        """Nothing for our own output, for resources of no patient, and of patients nobody asked for."""
        return [
            replace(refresh_work(p, why, (c,), key=_key(c, p, parent), parent=parent), trust_key=True)
            for c, p in self._pairs(changes)
        ]

    def gather(self, changes: Iterable[Change], why: str, parent: int) -> list[NewWork]:
        """The same, but one piece of work for each patient with several changes: a poll may bring a whole record."""
        mine: dict[str, list[Change]] = {}
        for change, patient in self._pairs(changes):
            mine.setdefault(patient, []).append(change)
        found = []
        for patient, own in mine.items():
            key = _key(own[0], patient, parent) if len(own) == 1 else f"{patient}/several@{parent}"
            found.append(
                replace(refresh_work(patient, why, tuple(own), key=key, parent=parent), trust_key=True)
            )
        return found

    def _pairs(self, changes: Iterable[Change]) -> Iterator[tuple[Change, str]]:
        for change in changes:
            for known, patient in self._whose(change):
                if not self._only or patient in self._only:
                    yield known, patient

    def _whose(self, change: Change) -> list[tuple[Change, str]]:
        if change.deleted:
            return [(change, p) for p in self._patients_of(change)]
        resource: Mapping[str, Any] | None = change.resource
        if resource is None:
            resource = self._read(change.type, change.id)
            if resource is None:  # gone meanwhile (SB-6)
                return [(replace(change, deleted=True), p) for p in self._patients_of(change)]
            change = replace(change, resource=resource, version=version_of(resource))
        if is_ours(resource):
            return []
        local = local_reference(self._base, subject_of(resource))
        known = [(change, local[1])] if local is not None and local[0] == "Patient" else []
        # A resource that moved to another patient is news for the one who had it, too.
        before = [p for p in self._store.twins.who_has(change.reference) if (change, p) not in known]
        return known + [(replace(change, deleted=True, resource=None), p) for p in before]

    def _patients_of(self, change: Change) -> list[str]:
        return [change.id] if change.type == "Patient" else self._store.twins.who_has(change.reference)


def catch_up_work(parent: int | None = None) -> NewWork:
    """Work for the Poller: look at everything since the last time."""
    return NewWork(CATCH_UP, CATCH_UP, b"{}", secrets.token_hex(12), blocks=False, parent=parent)


def _key(change: Change, patient: str, parent: int | None) -> str:
    mark = f"gone-{parent or secrets.token_hex(6)}" if change.deleted else change.version
    return f"{patient}/{change.type}/{change.id}@{mark}"[-255:]
