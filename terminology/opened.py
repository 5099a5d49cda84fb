"""Opening a release file: read-only, shared between threads, refused when damaged or of another format."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

from terminology.importers.rows import Release

Json = dict[str, Any]


def open_file(
    path: Path,
) -> tuple[Release, sqlite3.Connection, bool, list[tuple[str, str, str, Json, int]]] | None:
    """(release, connection, whether it has concepts, heads of its resources); None for what is no release file."""
    from terminology.library import FORMAT

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
    return release, db, has_concepts, heads
