"""What `science.forecast` takes and refuses: the ways to write a covariate, and every wrong one named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fhir_twin import science
from fhir_twin.errors import InvalidInput

NAN = float("nan")
TIMES = [[0.0, 0.5, 1.4], [0.0, 2.0, NAN]]
VALUES = [[152.0, 148, 144], [118, 121, NAN]]


def ask(
    covariates: Any = None, *, times: Any = TIMES, values: Any = VALUES, at: Any = (2.5, 5.0), **more: Any
):
    more.setdefault("biomarkers", "sbp")
    return science.forecast(times, values, covariates, at, **more)


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        (None, {}),
        ({"age": None, "sex": None, "setting": None, "groups": None, "drugs": None, "assay": None}, {}),
        ({"age": np.int64(61), "readings": np.int64(2)}, {"age": [61.0, 61.0], "readings": 2}),
        ({"age": np.array(61)}, {"age": [61.0, 61.0]}),
        ({"sex": ["F", " Male "]}, {"sex": ["female", "male"]}),
        ({"sex": np.array(["female", "M"])}, {"sex": ["female", "male"]}),
        ({"sex": ["other", NAN]}, {}),
        ({"groups": "ckd"}, {"groups": [{"ckd"}, {"ckd"}]}),
        ({"groups": ["ckd", "diabetes", "obesity"]}, {"groups": {"ckd", "diabetes", "obesity"}}),
        ({"groups": [None, ["ckd"]]}, {"groups": [set(), {"ckd"}]}),
        ({"drugs": {"ace-inhibitor": [-np.inf, np.inf]}}, {"drugs": {"ace-inhibitor": [-100.0, NAN]}}),
        ({"assay": {"egfr": [[None, NAN, ""], ["", "", None]]}}, {}),
    ],
)
def test_ways_to_write_the_same(given: Any, plain: Any) -> None:
    left, right = (ask(c, biomarkers="egfr", values=np.array(VALUES) / 2) for c in (given, plain))
    np.testing.assert_array_equal(left.quantiles, right.quantiles)
    assert np.isfinite(left.quantiles).all()


def test_the_groups_of_the_ways_above_matter() -> None:
    sick, well = (ask({"groups": g}, biomarkers="egfr", values=np.array(VALUES) / 2) for g in ("ckd", None))
    assert (sick.mean != well.mean).any()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"covariates": ["age"]}, "covariates"),
        ({"covariates": {"age": "x"}}, "age"),
        ({"covariates": {"age": [-9.0, 40.0]}}, "age"),
        ({"covariates": {"age": 61}, "times": [[2010.0, 2011, 2012]] * 2, "at": [2013.0]}, "age"),
        ({"covariates": {"sex": [1, 0]}}, "sex"),
        ({"covariates": {"setting": "clinic"}}, "setting clinic"),
        ({"covariates": {"readings": 0}}, "readings"),
        ({"covariates": {"readings": [1, 2]}}, "readings"),
        ({"covariates": {"drugs": ["statin"]}}, "drugs"),
        ({"covariates": {"drugs": {"ace-inhibitor": [0.1, 0.2, 0.3]}}}, "drugs, ace-inhibitor"),
        ({"covariates": {"assay": {"sbp": [["", ""], [""]]}}}, "assay"),
        ({"times": [[0.0, 1.0], [0.0]]}, "times"),
        ({"times": np.array([["2020-01-01", "2021-01-01", "2022-01-01"]] * 2, "datetime64[D]")}, "times"),
        ({"times": [[2.0, NAN, 1.0], [0, 1, 2]], "values": [[150.0, NAN, 150.0], [120, 120, 120]]}, "times"),
        ({"times": [[0.0, 180.0, 400.0], [0.0, 180.0, NAN]], "at": [500.0]}, "in years"),
        ({"times": [[0.0, 1.0, NAN], [0.0, 1.0, NAN]], "values": [[150.0] * 3] * 2}, "times: a value has no time"),
        ({"values": "x"}, "values"),
        ({"values": [[3.1, 3.0, 2.9], [2.5, 2.4, NAN]], "biomarkers": "ldl"}, "mg/dL"),
        ({"at": "x"}, "at"),
        ({"at": 3.0}, "at"),
        ({"levels": (10, 50, 90)}, "levels"),
        ({"levels": "x"}, "levels"),
        ({"of": "mean"}, "of"),
        ({"prior": "none"}, "prior"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named(more: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        ask(more.pop("covariates", None), **more)


def test_one_odd_value_is_an_outlier_and_no_refusal() -> None:
    assert np.isfinite(ask(values=[[152.0, 1480.0, 144.0], [118, 121, NAN]]).mean).all()


def test_padded_goals_have_no_answer_and_change_no_other() -> None:
    padded = ask(at=[[2.5, NAN], [3.0, 4.0]])
    assert np.isnan(padded.quantiles[0, 1]).all() and np.isnan(padded.mean).sum() == 1
    np.testing.assert_array_equal(padded.mean[0, 0], ask(at=[2.5]).mean[0, 0])
    np.testing.assert_array_equal(padded.quantiles[1], ask(at=[3.0, 4.0]).quantiles[1])
    np.testing.assert_array_equal(ask(at=[5.0, 2.5]).mean[:, ::-1], ask(at=[2.5, 5.0]).mean)
