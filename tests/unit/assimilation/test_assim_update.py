"""Stored twins: one more result in O(1), any order of arrival, the same answer as a rebuild."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from assim_charts import NOW, at, chart, drug, measured, problem
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_twin.assimilation import build_twin, load_biomarkers
from fhir_twin.assimilation.history import history
from fhir_twin.assimilation.update import append, update_twin
from fhir_twin.model.coded import CodedChart, CodedMeasurement
from fhir_twin.model.codes import Concept
from fhir_twin.model.twin import Twin
from mappings import Source

KNOWN = load_biomarkers(Source())
DRUGS = (drug("ace", at(2022, 6), "ace-inhibitor", "bp-lowering"), drug("st", at(2021, 2), "statin"))
HEIGHT = measured("h", "8302-2", 175, "cm", at(2018))
KINDS = [
    ("8480-6", "mm[Hg]", 140), ("8462-4", "mm[Hg]", 85), ("29463-7", "kg", 85), ("2160-0", "mg/dL", 1.1),
    ("13457-7", "mg/dL", 130), ("9318-7", "mg/g", 20), ("4548-4", "%", 6.9), ("2823-3", "mmol/L", 4.2),
]  # fmt: skip


DEVICES = {"mm[Hg]": ("", "Wrist cuff", "AOBP"), "mg/dL": ("", "POCT analyser", "Jaffe"), "%": ("A1CNow", "")}
SETTINGS = ("office", "home", "ambulatory", "inpatient", "unknown")


def series(count: int = 40, seed: int = 1) -> list[CodedMeasurement]:
    rng = random.Random(seed)
    found = []
    for i in range(count):
        loinc, unit, centre = KINDS[rng.randrange(len(KINDS))]
        value = round(centre * rng.uniform(0.85, 1.15), 2)
        where = SETTINGS[i % len(SETTINGS)] if unit == "mm[Hg]" else "unknown"
        if unit == "mg/g" and i % 2:
            loinc = "14958-3"  # timed urine has its own noise
        how = Concept(text=rng.choice(DEVICES.get(unit, ("",))))
        when = at(2019) + timedelta(days=55 * i)
        found.append(measured(f"o{i}", loinc, value, unit, when, setting=where, device=how))
    return found


def test_the_series_is_of_many_assays() -> None:
    told = {p.assay for p in build_twin(whole(series()), KNOWN).points if p.used}
    assert {"", "point-of-care", "wrist", "jaffe", "aobp", "24-h"} <= told


def whole(measurements, **more) -> CodedChart:
    return chart(HEIGHT, *measurements, drugs=DRUGS, **more)


def equal(left: Twin, right: Twin, tolerance: float = 1e-9) -> None:
    for name in ("mean", "covariance", "state", "state_covariance"):
        np.testing.assert_allclose(getattr(left, name), getattr(right, name), rtol=0, atol=tolerance)
    assert left.state_names == right.state_names
    key = lambda p: (p.source, p.biomarker)  # noqa: E731
    for a, b in zip(sorted(left.points, key=key), sorted(right.points, key=key), strict=True):
        assert (a.source, a.biomarker, a.used, a.reason, a.flags, a.assay) == (
            b.source,
            b.biomarker,
            b.used,
            b.reason,
            b.flags,
            b.assay,
        )
        assert (a.gain, a.shift, a.weight) == pytest.approx((b.gain, b.shift, b.weight), abs=1e-7)


def test_appending_in_order_equals_a_rebuild() -> None:
    values = series()
    twin = build_twin(whole(values[:10], now=values[9].measurement.time), KNOWN)
    appended = 0
    for i in range(10, len(values)):
        now = values[i].measurement.time
        arrived = replace(whole([values[i]], now=now), measurements=(values[i],))
        twin, fast = update_twin(twin, arrived, KNOWN, lambda i=i, now=now: whole(values[: i + 1], now=now))
        appended += fast
        equal(twin, build_twin(whole(values[: i + 1], now=now), KNOWN))
    assert appended >= 25  # the drug starts in between are replayed


@settings(max_examples=15, deadline=None)
@given(st.permutations(range(14)), st.sampled_from(["late", "amended", "error", "duplicate"]))
def test_any_order_of_arrival_gives_the_same_state(order: list[int], event: str) -> None:
    """Late, amended, entered-in-error and duplicate results replay to the state they have in order."""
    values = series(14, seed=7)
    first = values[5].measurement
    final = list(values)
    extra: list[CodedMeasurement] = []
    if event == "amended":
        final[5] = replace(
            values[5], measurement=replace(first, value=first.value * 2 // 2, status="amended", device=None)
        )
    elif event == "error":
        final[5] = replace(values[5], measurement=replace(first, status="entered-in-error"))
    elif event == "duplicate":
        extra = [replace(values[5], measurement=replace(first, source="Observation/copy"))]
    twin = build_twin(whole([]), KNOWN)
    have: list[CodedMeasurement] = []
    for i in order:
        have.append(values[i])
        now = whole(have)
        arrived = replace(now, measurements=(values[i],))
        twin, _ = update_twin(twin, arrived, KNOWN, lambda now=now: now)
    if event in ("amended", "error"):
        changed = [final[i] for i in order]
        twin, fast = update_twin(
            twin, replace(whole([]), measurements=(final[5],)), KNOWN, lambda: whole(changed)
        )
        assert not fast
    for copy in extra:
        twin, fast = update_twin(
            twin, replace(whole([]), measurements=(copy,)), KNOWN, lambda: whole([*have, *extra])
        )
        assert not fast
    expected = build_twin(whole([*final, *extra]), KNOWN)
    np.testing.assert_allclose(twin.state, expected.state, atol=1e-9)
    np.testing.assert_allclose(twin.state_covariance, expected.state_covariance, atol=1e-9)


def test_what_could_change_older_values_is_replayed() -> None:
    values = series(12)
    twin = build_twin(whole(values, now=at(2022)), KNOWN)
    late = measured("late", "8480-6", 150, "mm[Hg]", at(2019, 3))
    height = measured("h2", "8302-2", 176, "cm", at(2025))
    fresh = measured("new", "8480-6", 150, "mm[Hg]", at(2025))
    egfr = measured("e", "33914-3", 60, "mL/min/{1.73_m2}", at(2025))
    assert append(twin, replace(whole([]), measurements=(late,)), KNOWN) is None
    assert append(twin, replace(whole([]), measurements=(height,)), KNOWN) is None
    assert append(twin, replace(whole([]), measurements=(egfr,)), KNOWN) is None
    sick = whole([], problems=(problem("dm", "diabetes"),))
    assert append(twin, replace(sick, measurements=(fresh,)), KNOWN) is None
    other = replace(chart(drugs=()), measurements=(fresh,))
    assert append(twin, other, KNOWN) is None
    assert (
        append(build_twin(whole(values), KNOWN), replace(whole([]), measurements=(fresh,)), KNOWN) is not None
    )


def test_a_value_of_the_future_counts_from_its_day_on() -> None:
    """Once its moment has come it is used, whether something else arrives or nothing at all."""
    values = series(12)
    wrong = measured("soon", "8480-6", 190, "mm[Hg]", at(2021, 6))
    twin = build_twin(whole([*values, wrong], now=at(2021, 3)), KNOWN)
    assert next(p for p in twin.points if p.source.endswith("soon")).reason == "after-as-of"
    fresh = measured("new", "8480-6", 150, "mm[Hg]", at(2021, 9))
    for arrived in ([], [fresh]):
        now = whole([*values, wrong, *arrived], now=at(2021, 10))
        found, fast = update_twin(twin, replace(now, measurements=tuple(arrived)), KNOWN, lambda now=now: now)
        assert not fast
        equal(found, build_twin(now, KNOWN))
    still = whole([*values, wrong], now=at(2021, 4))
    assert append(twin, replace(still, measurements=()), KNOWN) is not None


def test_one_observation_takes_less_than_a_few_milliseconds() -> None:
    """The gate is 1 ms on a quiet machine (benchmarks/bench_update.py); here only that it is not a replay."""
    values = series(600)
    twin = build_twin(whole(values, now=NOW + timedelta(days=365 * 99)), KNOWN)
    later = values[-1].measurement.time + timedelta(days=60)
    one = measured("one", "8480-6", 150, "mm[Hg]", later)
    arrived = replace(whole([], now=NOW + timedelta(days=365 * 99)), measurements=(one,))
    append(twin, arrived, KNOWN)
    begin = time.process_time()
    for _ in range(20):
        assert append(twin, arrived, KNOWN) is not None
    each = (time.process_time() - begin) / 20
    begin = time.process_time()
    build_twin(whole([*values, one], now=NOW + timedelta(days=365 * 99)), KNOWN)
    assert each < 0.25 * (time.process_time() - begin)


def test_history_keeps_a_confirmed_change_where_it_happened() -> None:
    """The smoothed past is high before the fall and low after it, not an average of both."""
    before = [measured(f"c{y}", "2160-0", 0.9, "mg/dL", at(y)) for y in range(2016, 2024)]
    after = [measured(f"f{m}", "2160-0", 3.0, "mg/dL", at(2024, m)) for m in (3, 6, 9, 12)]
    twin = build_twin(chart(*before, *after), KNOWN)
    i = KNOWN.keys.index("egfr")
    past = history(twin, KNOWN, [at(2018), at(2023, 6), at(2024, 9), NOW]).median[:, i]
    assert past[0] > 80 and past[1] > 75 and past[2] < 28 and past[3] < 28


def test_history_ends_where_the_twin_stands_and_is_never_less_sure() -> None:
    values = series()
    twin = build_twin(whole(values), KNOWN)
    days = [at(2019), at(2020), at(2021), at(2022), at(2023), NOW]
    past = history(twin, KNOWN, days)
    np.testing.assert_allclose(past.median[-1], np.exp(twin.mean), rtol=1e-9)
    now = [twin.estimate(k) for k in twin.biomarkers]
    np.testing.assert_allclose(past.high[-1], [e.high for e in now], rtol=1e-6)
    i = KNOWN.keys.index("sbp")
    for d, row in zip(days[1:4], (past.high - past.low)[1:4], strict=True):
        then = build_twin(whole([v for v in values if v.measurement.time <= d], now=d), KNOWN).estimate("sbp")
        assert row[i] <= (then.high - then.low) * 1.05
    assert history(replace(twin, memory=None), KNOWN, days).median.shape[0] == 0
