"""Spark as an executor: the same two functions as an RDD map, and as `mapInArrow` over a table that the user has.

Extra `fhir-twin[spark]` (pyspark 4). The session is the one that is there (a cluster's), else a local one.
Files must lie where every worker sees them. The digest of a run is the same as with the local pool."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from fhir_twin.population import tables
from fhir_twin.population.bucket import OURS, Site, knowledge_of
from fhir_twin.population.lines import resources_of
from fhir_twin.population.person import Task, counted_issues, person

T = TypeVar("T")
R = TypeVar("R")


def session(workers: int = 2) -> SparkSession:
    """The active session, else a local one with `workers` threads. Spark's Python workers use this interpreter."""
    active = SparkSession.getActiveSession()
    if active is not None:
        return active
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
    return (
        SparkSession.builder.master(f"local[{workers}]")
        .appName("fhir-twin")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.session.timeZone", "UTC")
        .getOrCreate()
    )


class SparkExecutor:
    """`map` as one Spark job, a task per partition; a task that fails is retried by Spark, which is harmless
    here. All answers come at the end of the job (they are small): Spark's own page shows the progress."""

    def __init__(self, workers: int = 2) -> None:
        self.workers = workers

    def map(self, function: Callable[[T], R], tasks: Sequence[T]) -> Iterator[R]:
        if not tasks:
            return
        context = session(self.workers).sparkContext
        yield from context.parallelize(list(tasks), len(tasks)).map(function).collect()


def twins_of(table: DataFrame, task: Task, result: str, site: Site = OURS) -> DataFrame:
    """Rows of one result table (`tables.TABLES`) for a table with columns `patient` and `resource` (FHIR JSON text).

    The table is brought together by patient; the resources of one patient may come in any order. Raises KeyError for an
    unknown result table."""
    schema = tables.TABLES[result]

    def work(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        knowledge = knowledge_of(site)
        for batch in batches:
            for patient, lines in zip(batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True):
                resources, bad = resources_of(line.encode() for line in sorted(lines))
                found = person(patient, resources, knowledge, task)
                counted_issues(found, bad)
                yield tables.batch(result, found[result])

    together = table.selectExpr("patient", "resource").groupBy("patient").agg({"resource": "collect_list"})
    return together.toDF("patient", "resources").mapInArrow(work, _ddl(schema))


_TYPES = {pa.string(): "string", pa.float64(): "double", pa.int32(): "int", pa.bool_(): "boolean"}


def _ddl(schema: pa.Schema) -> str:
    return ", ".join(f"`{field.name}` {_TYPES[field.type]}" for field in schema)
