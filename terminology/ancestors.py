"""All ancestors of every concept, worked out once at import: subsumption is then one look-up and a binary search.

Level by level down the is-a graph (Kahn's order): the ancestors of a level are those of its parents, and the parents,
sorted and made unique for thousands of concepts at once. Concepts on a circle of parents, and all below them, get no
entry and are walked when asked.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int32]
Places = npt.NDArray[np.int64]
_TOGETHER = 5_000  # concepts worked out in one step: bounds the memory of a step
_LOW = np.int64(0xFFFFFFFF)


@dataclass(frozen=True, slots=True)
class Ancestors:
    """The ancestors of concept n, ascending: flat[begin[n] : begin[n] + count[n]]."""

    flat: Ints
    begin: Places
    count: Places

    def of(self, number: int) -> Ints:
        """(K,) ids; none for a concept without parents or on a circle."""
        return self.flat[self.begin[number] : self.begin[number] + self.count[number]]

    def rows(self) -> Iterator[tuple[int, bytes]]:
        """Every concept that has ancestors, with their ids as 32-bit integers."""
        for number in np.flatnonzero(self.count).tolist():
            yield number, self.of(number).tobytes()


def read_edges(db: sqlite3.Connection) -> Ints:
    """(E, 2): child, parent."""
    found = db.execute("select distinct child, parent from edge").fetchall()
    return np.array(found, np.int32).reshape(-1, 2)


def write_ancestors(db: sqlite3.Connection, found: Ancestors) -> None:
    """Fill `above`: id -> the ancestors' ids, ascending, as 32-bit integers."""
    db.execute("begin")
    db.execute("delete from above")
    db.executemany("insert into above values (?,?)", found.rows())
    db.execute("commit")


def ancestors_of(edges: Ints) -> Ancestors:
    """Of all concepts that an edge names. edges: (E, 2) child, parent."""
    size = int(edges.max()) + 1 if len(edges) else 1
    up, up_ptr = _csr(edges[:, 0], edges[:, 1], size)
    begin, count = np.zeros(size, np.int64), np.zeros(size, np.int64)
    flat, used = np.empty(1 << 16, np.int32), 0
    for level in _levels(edges, np.diff(up_ptr), size):
        for place in range(0, len(level), _TOGETHER):
            nodes = level[place : place + _TOGETHER]
            parents, of_node = _taken(up, up_ptr[nodes], up_ptr[nodes + 1] - up_ptr[nodes])
            above, of_parent = _taken(flat, begin[parents], count[parents])
            pairs = np.concatenate(((of_node << 32) | parents, (of_node[of_parent] << 32) | above))
            pairs.sort()
            pairs = pairs[np.concatenate(([True], pairs[1:] != pairs[:-1]))]
            each = np.bincount(pairs >> 32, minlength=len(nodes))
            while used + len(pairs) > len(flat):
                flat = np.concatenate((flat, np.empty(len(flat), np.int32)))
            flat[used : used + len(pairs)] = pairs & _LOW
            begin[nodes], count[nodes] = used + np.cumsum(each) - each, each
            used += len(pairs)
    return Ancestors(flat[:used], begin, count)


def _levels(edges: Ints, waiting: Places, size: int) -> Iterator[Places]:
    """Concepts whose parents all came before, level by level; not those without parents."""
    down, down_ptr = _csr(edges[:, 1], edges[:, 0], size)
    named = np.zeros(size, bool)
    named[edges[:, 1]] = True
    ready = np.flatnonzero(named & (waiting == 0))
    waiting = waiting.copy()
    while len(ready):
        children, _ = _taken(down, down_ptr[ready], down_ptr[ready + 1] - down_ptr[ready])
        found, times = np.unique(children, return_counts=True)
        waiting[found] -= times
        ready = found[waiting[found] == 0].astype(np.int64)
        if len(ready):
            yield ready


def _taken(values: Ints, begin: Places, count: Places) -> tuple[Ints, Places]:
    """The slices of `values` end to end, and which slice each value is of."""
    of_slice = np.repeat(np.arange(len(begin)), count)
    shift = np.repeat(begin - (np.cumsum(count) - count), count)
    return values[shift + np.arange(len(of_slice))], of_slice


def _csr(keys: Ints, values: Ints, size: int) -> tuple[Ints, Places]:
    """The values of each key, and where they begin."""
    order = np.argsort(keys, kind="stable")
    return values[order], np.concatenate(([0], np.cumsum(np.bincount(keys, minlength=size))))
