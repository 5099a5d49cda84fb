"""Spark in local mode: the same digest as the local pool, and mapInArrow over a table that the user already has."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyspark", reason="needs the extra: pip install 'fhir-twin[spark]'")
pytestmark = [
    pytest.mark.spark,
    pytest.mark.skipif(shutil.which("java") is None, reason="needs Java 17"),
    pytest.mark.filterwarnings(
        "ignore::FutureWarning", "ignore::ResourceWarning", "ignore::DeprecationWarning"
    ),
]

from fhir_twin.population.bucket import Site, knowledge_of  # noqa: E402
from fhir_twin.population.executors import InProcess  # noqa: E402
from fhir_twin.population.person import Task  # noqa: E402
from fhir_twin.population.results import Results  # noqa: E402
from fhir_twin.population.run import run_population  # noqa: E402
from fhir_twin.population.synth import write_cohort  # noqa: E402

TASK = Task("2026-10-01", residuals=False)


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("spark") / "export"
    write_cohort(out, knowledge_of(Site()), patients=8, seed=3, end=date(2026, 10, 1), years=2.0)
    return out


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from fhir_twin.population.spark import session

        opened = session(2)
    opened.sparkContext.setLogLevel("ERROR")
    yield opened
    opened.stop()


def test_the_digest_is_that_of_the_local_run(export: Path, tmp_path: Path, spark: Any) -> None:
    from fhir_twin.population.spark import SparkExecutor

    local = run_population(export, tmp_path / "local", TASK, InProcess(), buckets=1)
    there = run_population(export, tmp_path / "spark", TASK, SparkExecutor(2), buckets=2)
    assert there.digest == local.digest and there.states == local.states


def test_map_in_arrow_over_a_users_table(export: Path, tmp_path: Path, spark: Any) -> None:
    from fhir_twin.population.spark import twins_of

    rows = []
    for path in sorted(export.glob("*.ndjson")):
        for line in path.read_text().splitlines():
            resource = json.loads(line)
            owner = resource.get("subject") or resource.get("patient")
            rows.append((owner["reference"].split("/")[1] if owner else resource["id"], line))
    rows.append((rows[0][0], "{ this is no resource"))
    table = spark.createDataFrame(rows[::-1], ["patient", "resource"]).repartition(3)
    found = sorted(
        (r.patient, r.outcome, r.years, r.probability) for r in twins_of(table, TASK, "risks").collect()
    )
    run_population(export, tmp_path / "local", TASK, InProcess(), buckets=1)
    expected = Results(tmp_path / "local").rows("select patient, outcome, years, probability from risks")
    assert found == sorted(expected) and found
