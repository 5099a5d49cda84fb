"""open_web_state: the store of the web faces, on SQLite beside the cache or on the database that is named."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import URL, create_engine, event, make_url

from fhir_twin.errors import InvalidInput
from fhir_twin.storage.sealing import Sealer, own_key
from fhir_twin.storage.web_state import WebState


def open_web_state(url: str, folder: Path, keys: tuple[str, ...]) -> WebState:
    """url: postgresql://... or sqlite:///..., "" = a SQLite file in `folder`. keys: () = a key of our own in `folder`,
    made at the first call. Connections are made at the first use; open it after a fork, not before."""
    sealer = Sealer(keys or own_key(folder))
    if not url:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        url = f"sqlite:///{folder / 'web.sqlite'}"
    try:
        engine = create_engine(_driven(url), pool_pre_ping=True)
    except Exception:  # noqa: BLE001 - its texts may quote the password in the URL
        raise InvalidInput("session_store is no usable database URL (postgresql:// or sqlite:///)") from None
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _many_processes)
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    return WebState(engine, sealer)


def _driven(url: str) -> URL:
    """With the PostgreSQL driver that the queue's store uses too."""
    made = make_url(url)
    backend = made.get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        raise InvalidInput("session_store can be SQLite or PostgreSQL")
    return made.set(drivername="postgresql+psycopg") if backend == "postgresql" else made


def _many_processes(connection: object, _record: object) -> None:
    """Readers and a writer at once; a writer waits for another one. Lost seconds after a power cut are no harm."""
    connection.isolation_level = None  # type: ignore[attr-defined]  # savepoints need a real BEGIN before them
    cursor = connection.cursor()  # type: ignore[attr-defined]
    for pragma in ("busy_timeout=5000", "journal_mode=WAL", "synchronous=NORMAL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
