"""A damaged or foreign index is built anew; it never sends a walk up the tree round in a circle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mappings import Source
from terminology import open_coder
from terminology.text.index import load_index


def test_codes_out_of_tree_order_are_refused_and_rebuilt(tmp_path: Path) -> None:
    first = open_coder(Source(), cache=tmp_path).code("hypertension", "problem")
    [folder] = [p.parent for p in tmp_path.rglob("code-parent.npy")]
    parent = np.load(folder / "code-parent.npy")
    parent[5] = 5
    np.save(folder / "code-parent.npy", parent)
    with pytest.raises(ValueError, match="tree order"):
        load_index(folder)
    again = open_coder(Source(), cache=tmp_path).code("hypertension", "problem")
    assert [c.code for c in again.chosen] == [c.code for c in first.chosen]
