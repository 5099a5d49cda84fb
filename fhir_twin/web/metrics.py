"""/metrics for Prometheus: requests of this service, what stands in the store. Counts and durations, no patients.

Queues, subscriptions and twins are counted in the store when somebody asks, so every process tells the same. Requests
are counted per process and added up (prometheus_client's multi-process mode, which `fhir-twin serve` sets up).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Flask, Response, current_app, g, request
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest, multiprocess
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from fhir_twin.errors import TwinError
from fhir_twin.storage.desk import Desk
from fhir_twin.storage.store import Store
from fhir_twin.storage.work import STATES

blueprint = Blueprint("metrics", __name__)
_REGISTRY = CollectorRegistry()
_REQUESTS = Counter(
    "fhir_twin_requests", "Requests answered", ["route", "method", "status"], registry=_REGISTRY
)
_SECONDS = Histogram(
    "fhir_twin_request_seconds", "Time to answer", ["route"], registry=_REGISTRY,
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)  # fmt: skip


def install(app: Flask) -> None:
    """Count every request of the app."""
    app.before_request(_start)
    app.after_request(_count)
    app.register_blueprint(blueprint)


@blueprint.get("/metrics")
def metrics() -> Response:
    """Prometheus text."""
    registry = CollectorRegistry()
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        text = generate_latest(registry)
    else:
        text = generate_latest(_REGISTRY)
    store: Store | None = current_app.extensions["fhir-twin"].get("store")
    if store is not None:
        held = CollectorRegistry()
        held.register(StoreCollector(store))
        text += generate_latest(held)
    return Response(text, content_type="text/plain; version=0.0.4; charset=utf-8")


class StoreCollector(Collector):
    """What stands in the store of one tenant."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def collect(self) -> Iterator[Any]:
        """Gauges; `fhir_twin_store_up` 0 alone when the store cannot be read."""
        up = GaugeMetricFamily("fhir_twin_store_up", "Whether the store can be read", labels=["tenant"])
        try:
            rows = list(self._gauges())
        except TwinError:
            up.add_metric([self._store.tenant], 0)
            yield up
            return
        up.add_metric([self._store.tenant], 1)
        yield up
        yield from rows

    def _gauges(self) -> Iterator[Any]:
        tenant = self._store.tenant
        work = GaugeMetricFamily(
            "fhir_twin_work", "Pieces of work by state", labels=["tenant", "box", "state"]
        )
        blocked = GaugeMetricFamily(
            "fhir_twin_work_blocked", "Work behind a dead letter", labels=["tenant", "box"]
        )
        oldest = GaugeMetricFamily(
            "fhir_twin_work_oldest_seconds", "Age of the oldest queued work", labels=["tenant", "box"]
        )
        for box, queue in (("jobs", self._store.jobs), ("outbox", self._store.outbox)):
            counts = Desk(queue).counts()
            for state in STATES:
                work.add_metric([tenant, box, state], counts.states.get(state, 0))
            blocked.add_metric([tenant, box], counts.blocked)
            oldest.add_metric([tenant, box], counts.oldest)
        yield from (work, blocked, oldest)
        asked = GaugeMetricFamily(
            "fhir_twin_subscriptions", "Subscriptions by state", labels=["tenant", "state"]
        )
        held = [s.state for s in self._store.subscriptions.all()]
        for name in sorted(set(held)):
            asked.add_metric([tenant, name], held.count(name))
        yield asked
        twins = GaugeMetricFamily("fhir_twin_twins", "Stored twins", labels=["tenant"])
        twins.add_metric([tenant], len(self._store.twins.patients()))
        yield twins
        free = self._store.database.free_bytes()
        if free is not None:
            room = GaugeMetricFamily(
                "fhir_twin_store_free_bytes", "Room on the store's disk", labels=["tenant"]
            )
            room.add_metric([tenant], free)
            yield room


def _start() -> None:
    g.began = time.monotonic()


def _count(response: Response) -> Response:
    route = request.endpoint or "none"
    _REQUESTS.labels(route, request.method, str(response.status_code)).inc()
    _SECONDS.labels(route).observe(time.monotonic() - g.get("began", time.monotonic()))
    return response
