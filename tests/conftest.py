"""Both kinds of store: each test of a promise runs on SQLite and on a real PostgreSQL (skipped where there is none)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from postgres_server import PostgresServer, binaries

from fhir_twin.storage.database import Database

# `make fuzz`: the property tests run for longer than in the suite.
if rounds := os.environ.get("FHIR_TWIN_FUZZ"):
    settings.register_profile("fuzz", max_examples=int(rounds), deadline=None)
    settings.load_profile("fuzz")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    if binaries() is None:
        pytest.skip("needs the PostgreSQL server's programs (Debian: apt install postgresql)")
    server = PostgresServer()
    yield server
    server.remove()


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "store.db")
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture
def opened(store_url: str) -> Iterator[Callable[..., Database]]:
    """Opens the store; several times means several processes' worth of connections."""
    made: list[Database] = []

    def open_it(**options: object) -> Database:
        made.append(Database(store_url, **options).open())  # type: ignore[arg-type]
        return made[-1]

    yield open_it
    for each in made:
        each.close()


@pytest.fixture
def database(opened: Callable[..., Database]) -> Database:
    return opened()
