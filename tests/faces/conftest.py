"""A sandbox with the sample patients on a real socket, one for all face tests that only read or write their own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from fhir_twin.knowledge import Knowledge, load_knowledge
from fhir_twin.sandbox import serve_sandbox
from fhir_twin.sandbox.stories import load_bundles
from fhir_twin.settings import load_settings
from fhir_twin.wiring import open_server


@pytest.fixture(scope="session")
def all_knowledge() -> Knowledge:
    return load_knowledge()


@pytest.fixture(scope="module")
def stocked_sandbox() -> Iterator[str]:
    """Base URL of a sandbox that holds the sample patients."""
    with contextlib.closing(serve_sandbox(port=0)) as sandbox:
        server = open_server(load_settings({"server": sandbox.base}, {}))
        for bundle in load_bundles():
            server.transaction(bundle)
        yield sandbox.base
