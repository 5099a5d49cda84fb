"""A stored twin is the same twin, and goes on as if it had never been stored."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from assim_charts import at, chart, drug, measured
from test_assim_update import equal, series, whole

from fhir_twin.assimilation import build_twin, load_biomarkers
from fhir_twin.assimilation.keep import dump_twin, load_twin
from fhir_twin.assimilation.update import append
from fhir_twin.errors import Conflict, InvalidInput
from mappings import Source

KNOWN = load_biomarkers(Source())


def test_bytes_and_back_is_the_same_twin() -> None:
    twin = build_twin(whole(series()), KNOWN)
    again = load_twin(dump_twin(twin), KNOWN)
    for f in fields(twin):
        left, right = getattr(twin, f.name), getattr(again, f.name)
        if isinstance(left, np.ndarray):
            np.testing.assert_array_equal(left, right)
            assert not right.flags.writeable
        elif f.name == "memory":
            for g in fields(left):
                np.testing.assert_array_equal(getattr(left, g.name), getattr(right, g.name))
        else:
            assert left == right, f.name
    assert dump_twin(again) == dump_twin(twin)


def test_a_stored_twin_goes_on_in_the_same_way() -> None:
    values = series(20)
    now = values[-1].measurement.time
    twin = build_twin(whole(values[:-1], now=values[-2].measurement.time), KNOWN)
    arrived = replace(whole([values[-1]], now=now), measurements=(values[-1],))
    kept = append(load_twin(dump_twin(twin)), arrived, KNOWN)
    assert kept is not None
    equal(kept, build_twin(whole(values, now=now), KNOWN))


def test_open_ended_drugs_and_twins_without_state_survive() -> None:
    values = [measured(f"s{y}", "8480-6", 130, "mm[Hg]", at(y)) for y in range(2020, 2025)]
    stopped = build_twin(chart(*values, drugs=(drug("a", at(2015), "arb", end=at(2022)),)), KNOWN)
    dead = build_twin(chart(*values, deceased=True), KNOWN)
    assert load_twin(dump_twin(stopped)).terms == stopped.terms
    assert load_twin(dump_twin(dead)).refused == "deceased"


@pytest.mark.parametrize("junk", [b"", b"\x00", b"hello", b"\x92\x01\xc0", b"\x92\x63\xc0"])
def test_junk_is_refused(junk: bytes) -> None:
    with pytest.raises(InvalidInput):
        load_twin(junk)


def test_a_twin_of_other_knowledge_is_not_taken_on() -> None:
    data = dump_twin(replace(build_twin(chart(), KNOWN), model_version="older"))
    with pytest.raises(Conflict):
        load_twin(data, KNOWN)
