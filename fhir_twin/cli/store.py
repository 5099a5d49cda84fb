"""`fhir-twin store`: look at the store, back it up while it is in use, bring its tables up to date."""

from __future__ import annotations

import argparse
import os
import sqlite3
from pathlib import Path

from fhir_twin.cli import add_settings
from fhir_twin.errors import InvalidInput, StoreError
from fhir_twin.settings import load_settings
from fhir_twin.storage.migrations import NEWEST, version_of
from fhir_twin.wiring_work import open_settings_store

SETTINGS = ("store", "tenant")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Opening the store brings its tables up to date; a version only ever adds, so old and new can run."
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, text in (
        ("check", "version, size, integrity, and whether work can be accepted"),
        ("backup", "a consistent copy while everything runs (SQLite)"),
    ):
        action = actions.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        if name == "backup":
            action.add_argument("file", type=Path, help="where to; must not exist")
        add_settings(action, *SETTINGS)


def run(arguments: argparse.Namespace) -> int:
    settings = load_settings({n: getattr(arguments, n) for n in SETTINGS}, file=arguments.settings)
    store = open_settings_store(settings)
    try:
        path = store.database.path
        if arguments.action == "backup":
            if path is None:
                raise InvalidInput("a PostgreSQL store is backed up with pg_dump (docs/operations.md)")
            return _backup(path, arguments.file)
        with store.database.read() as tx:
            print(f"tables: version {version_of(tx)} (this program knows {NEWEST})")
        if path is not None:
            print(f"file: {path}, {path.stat().st_size / 1e6:.1f} MB, integrity {_integrity(path)}")
        print(f"twins: {len(store.twins.patients())}")
        print(f"state: {store.ready()}")
        broken = store.audit.broken()
        print("audit: whole" if broken is None else f"audit: changed at or before event {broken}")
        return 0 if broken is None else 1
    finally:
        store.close()


def _backup(path: Path, target: Path) -> int:
    if target.exists():
        raise InvalidInput(f"{target} exists; a backup never overwrites")
    try:
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with sqlite3.connect(path) as source, sqlite3.connect(target) as copy:
            source.backup(copy)
        source.close()
        copy.close()
    except (OSError, sqlite3.Error) as error:
        target.unlink(missing_ok=True)
        raise StoreError(f"the backup failed ({type(error).__name__})") from None
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB, integrity {_integrity(target)}")
    return 0


def _integrity(path: Path) -> str:
    connection = sqlite3.connect(path)
    try:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])
    finally:
        connection.close()
