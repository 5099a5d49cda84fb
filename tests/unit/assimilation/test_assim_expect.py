"""The next reading of a twin is the public forecast of its history; the own spread survives updates and storage."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from assim_charts import at, chart, measured

from fhir_twin import science
from fhir_twin.assimilation import build_twin, load_biomarkers
from fhir_twin.assimilation.clock import years
from fhir_twin.assimilation.expect import expect
from fhir_twin.assimilation.keep import dump_twin, load_twin
from fhir_twin.assimilation.update import append
from fhir_twin.errors import InvalidInput
from mappings import Source

KNOWN = load_biomarkers(Source())
VALUES = (150, 128, 141, 133, 158, 130, 149)


def pressures(values, setting="office"):  # type: ignore[no-untyped-def]
    return [
        measured(f"p{i}", "8480-6", v, "mm[Hg]", at(2023) + timedelta(days=90 * i), setting=setting)
        for i, v in enumerate(values)
    ]


@pytest.mark.parametrize("setting", ["office", "home", "unknown"])
def test_equal_to_the_public_forecast(setting: str) -> None:
    """Alone in its chart SBP gets the same answer from the chart as from plain arrays (population prior included)."""
    rows = pressures(VALUES, setting)
    twin = build_twin(chart(*rows), KNOWN)
    found = expect(twin, KNOWN, "sbp", at(2025, 6), setting=setting)
    start = years(rows[0].measurement.time)
    times = np.array([[years(m.measurement.time) - start for m in rows]])
    born = years(at(1960))
    answer = science.forecast(
        times,
        np.array([VALUES], dtype=float),
        {"age": start - born, "sex": "male", "setting": setting},
        [years(at(2025, 6)) - start],
        biomarkers="sbp",
    )
    np.testing.assert_allclose(found.quantiles, answer.quantiles[0, 0, 0], rtol=2e-3)
    assert found.basis == "personal" and found.unit == "mm[Hg]"


def test_restless_people_are_told_from_steady_ones() -> None:
    wild, calm = (build_twin(chart(*pressures(v)), KNOWN) for v in (VALUES, (140,) * 7))
    one, two = (expect(t, KNOWN, "sbp", at(2025, 6), setting="office") for t in (wild, calm))
    assert one.scale > 1.0 > two.scale
    assert one.quantiles[2] - one.quantiles[0] > 1.3 * (two.quantiles[2] - two.quantiles[0])


def test_the_spread_goes_on_after_an_update_and_through_storage() -> None:
    rows = pressures(VALUES)
    short = build_twin(chart(*rows[:-1], now=rows[-2].measurement.time), KNOWN)
    arrived = replace(chart(now=at(2026)), measurements=(rows[-1],))
    updated = append(load_twin(dump_twin(short), KNOWN), arrived, KNOWN)
    assert updated is not None
    whole = build_twin(chart(*rows), KNOWN)
    for twin in (updated, load_twin(dump_twin(updated), KNOWN)):
        assert expect(twin, KNOWN, "sbp", at(2026, 3)).quantiles == pytest.approx(
            expect(whole, KNOWN, "sbp", at(2026, 3)).quantiles, rel=1e-9
        )


def test_without_a_value_it_is_the_population() -> None:
    twin = build_twin(chart(*pressures(VALUES)), KNOWN)
    found = expect(twin, KNOWN, "ldl", at(2025, 6))
    assert found.basis == "population" and found.scale == 1.0


def test_what_cannot_be_expected_is_said() -> None:
    twin = build_twin(chart(*pressures(VALUES)), KNOWN)
    with pytest.raises(InvalidInput, match="before the last value"):
        expect(twin, KNOWN, "sbp", at(2023, 2))
    with pytest.raises(InvalidInput, match="not modelled"):
        expect(twin, KNOWN, "shoe-size", at(2026))


def test_a_twin_that_was_asked_is_stored_as_one_that_was_not() -> None:
    """What a twin has worked out about itself is no part of it: neither of its bytes nor of what comes back."""
    twin = build_twin(chart(*pressures(VALUES)), KNOWN)
    before = dump_twin(twin)
    asked = twin.estimate("sbp")
    assert twin.used("sbp") and dump_twin(twin) == before
    back = load_twin(dump_twin(twin), KNOWN)
    assert back.estimate("sbp") == asked and back.used("sbp") == twin.used("sbp")
