"""The series of mean_ratio against the exponentials it stands for, and machine code against numpy, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from fhir_twin.dynamics import fast
from fhir_twin.dynamics.mean_ratio import REACH, Curve, Row, mean_ratios
from fhir_twin.model.twin import Array

DRAWS = 1000


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = dict(fast._loaded)
    yield
    fast._loaded.clear()
    fast._loaded.update(before)


def _row(rng: np.random.Generator, curves: int, spread: float, times: int = 21) -> Row:
    grid = np.sort(rng.uniform(0.0, 10.0, times))
    weights = rng.uniform(0.1, 1.0, times)
    logs = tuple(rng.normal(rng.uniform(-0.8, 0.3), spread, DRAWS) for _ in range(curves))
    grown = tuple(
        rng.uniform(1.0, 1.4) * (1.0 - np.exp(-grid / rng.uniform(0.05, 3.0))) for _ in range(curves)
    )
    return Row(logs, tuple(Curve.of(g) for g in grown), weights / weights.sum())


def _plain(row: Row) -> Array:
    log = sum(each[:, None] * curve.values for each, curve in zip(row.logs, row.curves, strict=True))
    return np.asarray(np.exp(log) @ row.weights)


@pytest.mark.parametrize("curves", [1, 2, 3])
@pytest.mark.parametrize("spread", [0.0, 0.01, 0.1, 0.3])
def test_series_is_the_average_of_the_exponentials(curves: int, spread: float) -> None:
    rng = np.random.default_rng(curves)
    rows = [_row(rng, curves, spread, times) for times in (3, 15, 21, 21, 38)]
    rows.append(Row(rows[0].logs, rows[1].curves, rows[1].weights))  # a log ratio that two rows share
    np.testing.assert_allclose(mean_ratios(rows, DRAWS), [_plain(r) for r in rows], rtol=3e-14)


def test_log_ratios_too_far_apart_take_the_exponentials() -> None:
    rng = np.random.default_rng(7)
    wide = [_row(rng, n, 3.0 * REACH) for n in (1, 2)]
    rows = [_row(rng, 1, 0.05), *wide, _row(rng, 2, 0.05)]
    np.testing.assert_allclose(mean_ratios(rows, DRAWS), [_plain(r) for r in rows], rtol=3e-14)
    assert np.array_equal(mean_ratios(wide, DRAWS), [_plain(r) for r in wide])


def test_what_is_no_number_stays_none() -> None:
    row = _row(np.random.default_rng(3), 1, 0.1)
    broken = row.logs[0].copy()
    broken[5] = np.nan
    found = mean_ratios([row, Row((broken,), row.curves, row.weights)], DRAWS)
    assert np.isnan(found[1, 5])
    assert np.isfinite(np.delete(found[1], 5)).all()
    assert np.isfinite(found[0]).all()


def test_no_rows_no_answer() -> None:
    assert mean_ratios([], DRAWS).shape == (0, DRAWS)


def test_machine_code_gives_the_same_bits() -> None:
    pytest.importorskip("numba")
    rng = np.random.default_rng(11)
    rows = [_row(rng, 1 + i % 2, spread) for i, spread in enumerate((0.01, 0.1, 0.2, 0.3, 0.4, 0.05))]
    fast._loaded.clear()
    plain = mean_ratios(rows, DRAWS)
    if not fast.load():
        pytest.skip("numba is switched off")
    assert np.array_equal(mean_ratios(rows, DRAWS), plain)
    narrow = [
        Row(tuple(each[:201] for each in r.logs), r.curves, r.weights) for r in rows
    ]  # no multiple of a register
    compiled = mean_ratios(narrow, 201)
    fast._loaded.clear()
    assert np.array_equal(mean_ratios(narrow, 201), compiled)


def test_switched_off_it_is_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    fast._loaded.clear()
    monkeypatch.setenv(fast.SWITCH, "1")
    assert not fast.load()
    assert not fast._loaded
