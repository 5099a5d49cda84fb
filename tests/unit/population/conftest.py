"""A small synthetic cohort and its run, made once for all tests of populations."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="needs the extra: pip install 'fhir-twin[population]'")
pytest.importorskip("duckdb", reason="needs the extra: pip install 'fhir-twin[population]'")

from population_cohort import END, PEOPLE, Ran

from fhir_twin.knowledge import Knowledge
from fhir_twin.population.bucket import Site, knowledge_of
from fhir_twin.population.executors import InProcess
from fhir_twin.population.person import Task
from fhir_twin.population.run import run_population
from fhir_twin.population.synth import write_cohort


@pytest.fixture(scope="session")
def knowledge() -> Knowledge:
    return knowledge_of(Site())


@pytest.fixture(scope="session")
def cohort(knowledge: Knowledge, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cohort") / "export"
    write_cohort(out, knowledge, patients=PEOPLE, seed=7, end=END, years=4.0)
    return out


@pytest.fixture(scope="session")
def ran(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A retrospective run, so that every table has rows."""
    out = tmp_path_factory.mktemp("run") / "out"
    task = Task(END.isoformat(), index="2024-10-01")
    return Ran(cohort, out, run_population(cohort, out, task, InProcess(), buckets=3, keep_shards=True))
