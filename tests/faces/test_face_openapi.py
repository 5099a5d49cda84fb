"""The OpenAPI document against the routes, and a first round of made-up requests (`make fuzz` does many more)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

schemathesis = pytest.importorskip("schemathesis", reason="needs schemathesis (pip install '.[dev]')")

from flask import Flask  # noqa: E402
from hypothesis import HealthCheck, given, settings  # noqa: E402
from schemathesis.specs.openapi import checks  # noqa: E402

from fhir_twin.knowledge import Knowledge  # noqa: E402
from fhir_twin.settings import load_settings  # noqa: E402
from fhir_twin.storage.store import open_store  # noqa: E402
from fhir_twin.web import create_app  # noqa: E402
from fhir_twin.web.openapi import document  # noqa: E402
from fhir_twin.wiring import open_service  # noqa: E402
from fhir_twin.wiring_feeds import open_reception, with_feeds  # noqa: E402

ROUNDS = int(os.environ.get("FHIR_TWIN_FUZZ", "15"))


@pytest.fixture(scope="module")
def app(
    stocked_sandbox: str, all_knowledge: Knowledge, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Flask]:
    path = str(tmp_path_factory.mktemp("store") / "store.db")
    given = load_settings({"server": stocked_sandbox, "store": path, "feeds": True, "max_body": 200_000}, {})
    store = open_store(path)
    service = with_feeds(open_service(given, all_knowledge), store)
    yield create_app(service, given, store=store, reception=open_reception(given, store))
    store.close()


PLACES = [
    (path, method) for path, row in document()["paths"].items() for method in row if method in ("get", "post")
]


@pytest.mark.parametrize(("path", "method"), PLACES)
def test_every_answer_is_one_that_the_document_names(app: Flask, path: str, method: str) -> None:
    """No 5xx, no undocumented status, type or shape, whatever is sent (FA-5, row 65)."""
    operation = schemathesis.openapi.from_wsgi("/openapi.json", app)[path][method]

    @settings(max_examples=ROUNDS, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(operation.as_strategy())
    def ask(case: Any) -> None:
        # A JSON schema cannot say what a message, a document or a usable record is: those may be refused, with a 400.
        case.call_and_validate(excluded_checks=[checks.positive_data_acceptance])

    ask()


def test_the_document_names_every_route(app: Flask) -> None:
    """FHIR routes describe themselves in the capability statement; pages and SMART are for browsers."""
    ours = {
        str(rule).replace("<patient>", "{patient}")
        for rule in app.url_map.iter_rules()
        if rule.endpoint.split(".")[0] in ("api", "messages", "openapi") and "metadata" not in str(rule)
    }
    assert ours == set(document()["paths"])
