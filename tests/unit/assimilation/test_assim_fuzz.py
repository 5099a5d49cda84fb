"""Bad input is normal: whatever a record holds, the twin is built, nothing is lost, and no number is not a number."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
from assim_charts import NOW, chart, drug, problem
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_twin.assimilation import build_twin, load_biomarkers
from fhir_twin.model.chart import Measurement
from fhir_twin.model.coded import CodedMeasurement
from fhir_twin.model.codes import LOINC, UCUM, Coding, Concept
from mappings import Source

KNOWN = load_biomarkers(Source())
CODES = [
    *sorted(KNOWN.by_loinc)[::6],
    "8480-6",
    "8462-4",
    "2160-0",
    "29463-7",
    "8302-2",
    "4548-4",
    "9318-7",
    "0-0",
    "",
]
UNITS = [
    "",
    "mg/dL",
    "mmol/L",
    "mm[Hg]",
    "%",
    "kg",
    "[lb_av]",
    "mL/min/{1.73_m2}",
    "1",
    "wibble",
    "{}",
    "//",
    "mmol/mol",
]
VALUES = [
    Decimal(t)
    for t in ("NaN", "Infinity", "-Infinity", "0", "-1", "1e400", "1e-400", "0.065", "5", "42", "120", "1e6")
]

measurements = st.builds(
    lambda i, code, value, unit, days, bound, status, setting, readings, ucum: CodedMeasurement(
        Measurement(
            f"Observation/{i}",
            Concept((Coding(LOINC, code),)),
            None if days is None else NOW - timedelta(days=days),
            status=status,
            value=value,
            comparator=bound,
            unit=unit,
            unit_code=unit,
            unit_system=UCUM if ucum else "",
            setting=setting,
            readings=readings,
        ),
        (code,),
        1.0,
        False,
    ),
    st.integers(0, 30),
    st.sampled_from(CODES),
    st.one_of(st.none(), st.sampled_from(VALUES), st.decimals(1, 300, places=1)),
    st.sampled_from(UNITS),
    st.one_of(st.none(), st.integers(-400, 30000)),
    st.sampled_from([None, None, None, "<", ">", "<=", ">="]),
    st.sampled_from(
        ["final", "final", "amended", "preliminary", "entered-in-error", "cancelled", "unknown", "odd"]
    ),
    st.sampled_from(["home", "office", "inpatient", "unknown", "odd"]),
    st.integers(-1, 5),
    st.booleans(),
)
moments = st.one_of(
    st.none(), st.datetimes(datetime(1950, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))
)
drugs = st.builds(
    lambda i, start, end, name: drug(f"d{i}", start, name, end=end),
    st.integers(0, 5),
    moments,
    moments,
    st.sampled_from(["ace-inhibitor", "arb", "ccb-dhp", "statin", "sglt2-inhibitor", "glp1-ra", "karma"]),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(measurements, max_size=14),
    st.lists(drugs, max_size=4),
    st.sampled_from(["female", "male", "other", "unknown"]),
    st.one_of(st.none(), st.dates(date(1900, 1, 1), date(2030, 1, 1))),
    st.sampled_from(["diabetes", "ckd", "pregnancy", "hospice", "karma"]),
)
def test_any_record_gives_a_twin(measured, taken, sex, born, group) -> None:
    twin = build_twin(
        chart(*measured, sex=sex, born=born, drugs=tuple(taken), problems=(problem("c", group),)), KNOWN
    )
    for array in (twin.mean, twin.covariance, twin.state, twin.state_covariance):
        assert np.isfinite(array).all()
    assert (np.diagonal(twin.covariance) > 0).all()
    assert not len(twin.mean) or np.linalg.eigvalsh(twin.covariance).min() > -1e-9
    for key in twin.biomarkers:
        estimate = twin.estimate(key)
        assert 0 < estimate.low <= estimate.mean <= estimate.high < 1e6
        assert estimate.basis == ("personal" if twin.used(key) else "population")
    known = [m for m in measured if m.loinc[0] in KNOWN.by_loinc and m.measurement.value is not None]
    reported = [p for p in twin.points if not any(f.startswith("derived:") for f in p.flags)]
    assert len(reported) == len(known)  # nothing is lost
    for point in twin.points:
        assert point.used is (point.reason == "")
        assert 0 <= point.gain <= 1 and 0 < point.weight <= 1 and np.isfinite(point.shift)
