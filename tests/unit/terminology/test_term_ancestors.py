"""Ancestors of all concepts at once, against a walk up from each one."""

from __future__ import annotations

import random

import numpy as np
import pytest

from terminology import ancestors
from terminology.ancestors import ancestors_of


def walked(edges: list[tuple[int, int]], node: int) -> list[int]:
    up: dict[int, set[int]] = {}
    for child, parent in edges:
        up.setdefault(child, set()).add(parent)
    found: set[int] = set()
    waiting = list(up.get(node, ()))
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += up.get(one, ())
    return sorted(found)


@pytest.mark.parametrize("together", [1, 7, 5_000])
@pytest.mark.parametrize("seed", range(5))
def test_as_a_walk_from_each(seed: int, together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A random acyclic graph with several parents per concept, in steps of any size."""
    monkeypatch.setattr(ancestors, "_TOGETHER", together)
    rng = random.Random(seed)
    names = rng.sample(range(1, 1_000), 200)
    edges = sorted(
        {(names[i], names[rng.randrange(i)]) for i in range(1, 200) for _ in range(rng.randint(0, 4))}
    )
    found = ancestors_of(np.array(edges, np.int32))
    for node in names[: len(found.count)]:
        expected = walked(edges, node)
        assert (found.of(node).tolist() if node < len(found.count) else []) == expected
    rows = dict(found.rows())
    assert set(rows) == {child for child, _ in edges}
    assert all(np.frombuffer(rows[n], np.int32).tolist() == walked(edges, n) for n in rows)


def test_a_circle_and_what_is_below_it_have_no_entry() -> None:
    edges = [(2, 1), (3, 2), (4, 5), (5, 4), (6, 5), (6, 1), (7, 7)]
    found = ancestors_of(np.array(edges, np.int32))
    assert {n: found.of(n).tolist() for n in range(1, 8) if len(found.of(n))} == {2: [1], 3: [1, 2]}
    assert list(ancestors_of(np.empty((0, 2), np.int32)).rows()) == []
