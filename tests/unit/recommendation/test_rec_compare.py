"""Best how often, net harm, regret: small cases by hand, and what must hold for all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fhir_twin.recommendation.compare import compare, paired_error


def test_by_hand() -> None:
    """Draw 1: a saves most; draw 2: b; draw 3: both harm, so "as now" would be best; draw 4: equal."""
    found = compare({"a": np.array([-0.04, -0.01, 0.01, -0.02]), "b": np.array([-0.01, -0.03, 0.02, -0.02])})
    assert found["a"].best == pytest.approx((1 + 0 + 0 + 0.5) / 4)
    assert found["b"].best == pytest.approx((0 + 1 + 0 + 0.5) / 4)
    assert found["a"].harm == found["b"].harm == pytest.approx(0.25)
    assert found["a"].regret == pytest.approx((0 + 0.02 + 0.01 + 0) / 4)
    assert found["b"].regret == pytest.approx((0.03 + 0 + 0.02 + 0) / 4)


def test_nothing_to_compare() -> None:
    assert compare({}) == {}


def test_common_draws_take_the_common_part_away() -> None:
    base = np.linspace(-0.05, 0.05, 100)
    assert paired_error(base, base - 0.01) == pytest.approx(0.0, abs=1e-12)


VALUES = arrays(np.float64, (3, 40), elements=st.floats(-0.2, 0.2))


@given(VALUES)
def test_what_holds_for_all(values: np.ndarray) -> None:
    found = compare({str(i): row for i, row in enumerate(values)})
    assert sum(c.best for c in found.values()) <= 1.0 + 1e-9
    assert all(c.regret >= 0.0 for c in found.values())
    assert all(0.0 <= c.harm <= 1.0 for c in found.values())
    always = [i for i, row in enumerate(values) if (row <= np.minimum(values.min(axis=0), 0.0)).all()]
    assert all(found[str(i)].regret == pytest.approx(0.0) for i in always)
    better = {**{str(i): row for i, row in enumerate(values)}, "0": values[0] - 0.01}
    assert compare(better)["0"].best >= found["0"].best - 1e-9
    assert compare(better)["0"].harm <= found["0"].harm
