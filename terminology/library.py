"""Imported releases on disk: import, list, remove. One SQLite file each, written aside and renamed into place."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path

from terminology.importers import (
    fhir_json,
    gem,
    icd10cm,
    icd10cm_index,
    loinc,
    obo,
    rxnorm,
    snomed_rf2,
    sssom,
)
from terminology.importers.rows import BadRelease, Import, Release, Report, Row
from terminology.tables import SCHEMA, Writer, finish

Progress = Callable[[int], None]
READERS: dict[str, Callable[[Path], Import]] = {
    "icd10cm": icd10cm.read,
    "icd10cm-index": icd10cm_index.read,
    "snomed": snomed_rf2.read,
    "loinc": loinc.read,
    "rxnorm": rxnorm.read,
    "obo": obo.read,
    "sssom": sssom.read,
    "fhir": fhir_json.read,
    "gem": gem.read,
}
FORMAT = "4"  # of the release files; one of another format is imported anew
_BATCH = 50_000


def import_release(
    kind: str, path: Path, folder: Path, progress: Progress | None = None
) -> tuple[Release, Report, Path]:
    """Read a release and write it into `folder`. The same release is not redone; an interrupted import goes on where
    it stopped when it is started again with the same files.

    Raises BadRelease for files that are not such a release, KeyError for an unknown kind, and BlockingIOError when
    another process is importing the same release right now."""
    found = READERS[kind](path)
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / f"{file_stem(found.release)}.sqlite"
    if final.exists() and release_of(final) is not None:
        return found.release, found.report, final
    part, fresh = folder / f".{final.name}.part", folder / f".{final.name}.new"
    try:
        collect(found, part, progress)
    except BadRelease:
        part.unlink(missing_ok=True)  # going on later would find the same damage
        raise
    finish(part, fresh, {"release": json.dumps(asdict(found.release)), "format": FORMAT})
    fresh.replace(final)
    part.unlink()
    return found.release, found.report, final


def collect(found: Import, path: Path, progress: Progress | None = None) -> None:
    """All rows into a file of their own, going on with a half-written one. Raises BadRelease when there are none."""
    db = _opened(path)
    try:
        if _busy(db):
            raise BlockingIOError(f"{path.name} is being written by another process")
        done = _checkpoint(db)
        writer = Writer(db, found.report)
        if done:
            writer.resume()
        rows = islice(found.rows, done, None)  # parsed again (defects are told again), but not written again
        while _next_batch(db, writer, rows, done):
            done = writer.done
            if progress:
                progress(done)
        if not done:
            raise BadRelease(f"{found.release.name}: no concepts and no maps")
    finally:
        db.close()


def _opened(path: Path) -> sqlite3.Connection:
    """A fresh or half-written file; one that cannot be read is begun anew."""
    for attempt in (1, 2):
        db = sqlite3.connect(path, isolation_level=None, timeout=0.2)
        try:
            db.executescript(SCHEMA)
        except sqlite3.OperationalError as error:
            db.close()
            if "locked" in str(error):
                raise BlockingIOError(f"{path.name} is being written by another process") from None
            raise
        except sqlite3.DatabaseError:
            db.close()
            path.unlink()
            if attempt == 2:
                raise
        else:
            return db
    raise AssertionError


def _busy(db: sqlite3.Connection) -> bool:
    try:
        db.execute("begin exclusive")
        db.execute("commit")
    except sqlite3.OperationalError:
        return True
    return False


def _checkpoint(db: sqlite3.Connection) -> int:
    row = db.execute("select value from meta where name = 'rows'").fetchone()
    return int(row[0]) if row else 0


def _next_batch(db: sqlite3.Connection, writer: Writer, rows: Iterator[Row], done: int) -> bool:
    batch = list(islice(rows, _BATCH))
    if not batch:
        return False
    with _transaction(db):
        writer.add(batch)
        writer.done = done + len(batch)
        db.execute("insert or replace into meta values ('rows', ?)", (str(writer.done),))
    return True


@contextlib.contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("begin immediate")
    try:
        yield
    except BaseException:
        db.execute("rollback")
        raise
    db.execute("commit")


def release_of(path: Path) -> Release | None:
    """Whose file it is; None when it cannot be read, is unfinished, or of another format."""
    db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    try:
        meta = dict(db.execute("select name, value from meta"))
        return Release(**json.loads(meta["release"])) if meta.get("format") == FORMAT else None
    except (sqlite3.Error, TypeError, ValueError, KeyError):
        return None
    finally:
        db.close()


def list_releases(folder: Path) -> list[tuple[Release, Path]]:
    """Every readable release in `folder`, by system and version."""
    found = [(release, path) for path in sorted(folder.glob("*.sqlite")) if (release := release_of(path))]
    return sorted(found, key=lambda pair: (pair[0].system, pair[0].version))


def unfinished(folder: Path) -> list[tuple[Path, int]]:
    """Half-written files of interrupted imports, and how many rows they hold."""
    found = []
    for path in sorted(folder.glob(".*.sqlite.part")):
        db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        try:
            found.append((path, _checkpoint(db)))
        except sqlite3.Error:
            found.append((path, 0))
        finally:
            db.close()
    return found


def remove_release(folder: Path, system: str, version: str) -> bool:
    """Delete the file of that release (and of unfinished imports of it); False when there is none."""
    gone = False
    for release, path in list_releases(folder):
        if (release.system, release.version) == (system, version):
            path.unlink()
            gone = True
    prefix = file_stem(Release(system, version, "", ""))
    for path, _ in unfinished(folder):
        if path.name.startswith(f".{prefix}"):
            path.unlink()
            gone = True
    return gone


def file_stem(release: Release) -> str:
    name = re.sub(r"[^A-Za-z0-9]", "-", release.system.rsplit("/", 1)[-1])[:40]
    version = re.sub(r"[^A-Za-z0-9.]", "-", release.version.removeprefix("http://snomed.info/"))[:60]
    return f"{name}-{version}-{release.checksum[:12]}"
