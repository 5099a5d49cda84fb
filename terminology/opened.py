"""Opening a release file: read-only, shared between threads, refused when damaged or of another format."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from terminology.importers.rows import Release
from terminology.mapping import REVERSED, Match

Json = dict[str, Any]
Stamp = tuple[tuple[str, int, int], ...]


@dataclass(slots=True)
class Opened:
    """One release file. `systems` that stand in its tables; `heads` of the resources in it."""

    release: Release
    db: sqlite3.Connection
    has_concepts: bool
    heads: list[tuple[str, str, str, Json, int]]  # type, url, version, head, rowid


def stamp_of(path: Path) -> Stamp:
    """Name, size and time of the release file, or of every one of a folder: another release has another name, and one
    that is written anew another time."""
    files = sorted(path.glob("*.sqlite")) if path.is_dir() else [path]
    found = []
    for file in files:
        with contextlib.suppress(FileNotFoundError):  # removed while the folder was listed
            state = file.stat()
            found.append((file.name, state.st_size, state.st_mtime_ns))
    return tuple(found)


def open_file(path: Path) -> Opened | None:
    """None for what is no release file."""
    from terminology.library import FORMAT

    if not path.is_file():
        return None
    db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False)
    try:
        meta = dict(db.execute("select name, value from meta"))
        if meta.get("format") != FORMAT:
            raise ValueError("a release file of another format")
        release = Release(**json.loads(meta["release"]))
        has_concepts = db.execute("select 1 from concept limit 1").fetchone() is not None
        heads = [
            (t, u, v, json.loads(head), rowid)
            for t, u, v, head, rowid in db.execute(
                "select type, url, version, head, rowid from resource order by rowid"
            )
        ]
        db.execute("pragma mmap_size = 2147483648")
    except (sqlite3.Error, TypeError, ValueError, KeyError):
        db.close()
        return None
    return Opened(release, db, has_concepts, heads)


def matches_in(
    db: sqlite3.Connection,
    system: str,
    code: str,
    target_system: str,
    map_url: str,
    *,
    reverse: bool,
    release: str = "",
) -> Iterator[Match]:
    """Rows of the map table of one release file; `release` names it in the matches."""
    near, far = ("target", "source") if reverse else ("source", "target")
    statement = (
        f"select map_url, {far}_system, {far}, equivalence, grp, priority, rule, advice from map "  # noqa: S608
        f"where {near} = ? and {near}_system = ? and (? = '' or {far}_system = ?) and (? = '' or map_url = ?) "
        "order by map_url, grp, priority"
    )
    for row in db.execute(statement, (code, system, target_system, target_system, map_url, map_url)):
        equivalence = REVERSED.get(row[3], row[3]) if reverse else row[3]
        yield Match(
            row[0],
            row[1],
            row[2],
            "",
            equivalence,
            row[4],
            row[5],
            row[6] or "",
            row[7] or "",
            reverse,
            release=release,
        )
