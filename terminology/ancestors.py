"""All ancestors of every concept, worked out once at import: subsumption is then one look-up and a binary search.

Kahn's order over the is-a graph; concepts on a circle of parents get no entry, and are walked when asked.
"""

from __future__ import annotations

import sqlite3

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int32]
_BATCH = 20_000


def write_ancestors(db: sqlite3.Connection) -> None:
    """Fill `above`: id -> the ancestors' ids, ascending, as 32-bit integers."""
    edges = np.array(db.execute("select distinct child, parent from edge").fetchall(), np.int32).reshape(
        -1, 2
    )
    db.execute("begin")
    db.execute("delete from above")
    batch: list[tuple[int, bytes]] = []
    for number, ancestors in _in_order(edges):
        batch.append((number, ancestors.tobytes()))
        if len(batch) >= _BATCH:
            db.executemany("insert into above values (?,?)", batch)
            batch.clear()
    db.executemany("insert into above values (?,?)", batch)
    db.execute("commit")


def _in_order(edges: Ints) -> list[tuple[int, Ints]]:
    """(concept, ancestors) of every concept with parents, parents before children. edges: (E, 2) child, parent."""
    if not len(edges):
        return []
    size = int(edges.max()) + 1
    up, up_ptr = _rows(edges[:, 0], edges[:, 1], size)
    down, down_ptr = _rows(edges[:, 1], edges[:, 0], size)
    waiting = np.diff(up_ptr).tolist()
    ready = [n for n in np.unique(edges[:, 1]).tolist() if waiting[n] == 0]
    found: dict[int, Ints] = {}
    none = np.empty(0, np.int32)
    for node in ready:  # grows while it is read
        parents = up[up_ptr[node] : up_ptr[node + 1]]
        if len(parents) == 1:
            above = found.get(int(parents[0]), none)
            place = int(np.searchsorted(above, parents[0]))
            found[node] = np.concatenate((above[:place], parents, above[place:]))
        elif len(parents):
            found[node] = np.unique(
                np.concatenate([parents, *(found.get(p, none) for p in parents.tolist())])
            )
        for child in down[down_ptr[node] : down_ptr[node + 1]].tolist():
            waiting[child] -= 1
            if waiting[child] == 0:
                ready.append(child)
    return list(found.items())


def _rows(keys: Ints, values: Ints, size: int) -> tuple[Ints, npt.NDArray[np.int64]]:
    """CSR: the values of each key, and where they begin."""
    order = np.argsort(keys, kind="stable")
    return values[order], np.concatenate(([0], np.cumsum(np.bincount(keys, minlength=size))))
