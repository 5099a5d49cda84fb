"""twins(bucket, files) -> Parquet: the second of the two functions that know about scale.

A bucket's rows come from every range file; they are brought together by patient, put into one fixed order (so that
neither the number of ranges nor their order matters), and each patient runs through the pipeline."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache as once
from pathlib import Path

import pyarrow.parquet as pq

from fhir_twin.knowledge import Knowledge, load_knowledge
from fhir_twin.population import tables
from fhir_twin.population.lines import Resource, resources_of
from fhir_twin.population.person import Task, counted_issues, person
from fhir_twin.population.shred import Whole, read_bucket


@dataclass(frozen=True, slots=True)
class Site:
    """Where a site's knowledge is ("" = only ours, default places): its overlay, the cache of built indexes, imported
    terminology releases."""

    overlay: str = ""
    cache: str = ""
    releases: str = ""


OURS = Site()


@dataclass(frozen=True, slots=True)
class Bucket:
    """One piece of work: bucket `number` of `buckets`, the shredded files, where the results go."""

    number: int
    buckets: int
    shards: tuple[str, ...]
    out: str
    task: Task
    site: Site = OURS

    @property
    def receipt(self) -> Path:
        """Written last: the bucket is done when this is there."""
        return Path(self.out) / "done" / f"bucket-{self.number:05d}.json"

    def part(self, table: str) -> Path:
        return Path(self.out) / table / f"bucket-{self.number:05d}.parquet"


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a bucket. digest: sum of its patients' digests, as text (it is larger than JSON's numbers)."""

    number: int
    patients: int
    states: dict[str, int]
    faults: int
    digest: str


@once
def knowledge_of(site: Site) -> Knowledge:
    """Loaded once per worker process."""
    overlay, cache, releases = (Path(f) if f else None for f in (site.overlay, site.cache, site.releases))
    return load_knowledge(overlay, cache, releases)


def twins(work: Bucket) -> Done:
    """All patients of the bucket. Doing it again gives the same files."""
    if work.receipt.exists():
        return Done(**json.loads(work.receipt.read_text("utf-8")))
    knowledge = knowledge_of(work.site)
    shared = {key: line for _, _, key, line in _rows(work.shards, work.buckets)}
    rows, states, digests, faults = tables.empty(), dict[str, int](), [], 0
    for patient, lines in grouped(work.shards, work.number):
        resources, bad = resources_of(lines)
        faults += bad
        resources += _needed(resources, shared)
        found = person(patient, resources, knowledge, work.task)
        counted_issues(found, bad)  # a line that cannot be read is an issue of its patient
        digests.append(tables.patient_digest(found))
        state = str(found["patients"][0][1])
        states[state] = states.get(state, 0) + 1
        for name in tables.TABLES:
            rows[name] += found[name]
    for name in tables.TABLES:
        path = work.part(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with Whole(path) as draft, pq.ParquetWriter(draft, tables.TABLES[name], compression="zstd") as writer:
            writer.write_batch(tables.batch(name, rows[name]))
    done = Done(work.number, len(digests), states, faults, f"{tables.add_digests(digests):064x}")
    work.receipt.parent.mkdir(parents=True, exist_ok=True)
    with Whole(work.receipt) as draft:
        fields = {name: getattr(done, name) for name in Done.__slots__}
        draft.write_text(json.dumps(fields, sort_keys=True), "utf-8")
    return done


def grouped(shards: Sequence[str], bucket: int) -> Iterator[tuple[str, list[bytes]]]:
    """(patient, lines) of a bucket, patients and lines in a fixed order, equal lines once."""
    found: dict[str, set[tuple[str, str, bytes]]] = {}
    for patient, kind, key, line in _rows(shards, bucket):
        found.setdefault(patient, set()).add((kind, key, line))
    for patient in sorted(found):
        yield patient, [line for _, _, line in sorted(found.pop(patient))]


def _rows(shards: Sequence[str], bucket: int) -> Iterator[tuple[str, str, str, bytes]]:
    for shard in shards:
        batch = read_bucket(Path(shard), bucket)
        columns = [batch.column(i).to_pylist() for i in range(4)]
        yield from zip(*columns, strict=True)


def _needed(resources: Sequence[Resource], shared: dict[str, bytes]) -> list[Resource]:
    """The Medications that these resources refer to."""
    keys = set()
    for resource in resources:
        medication = resource.get("medicationReference")
        reference = medication.get("reference", "") if isinstance(medication, dict) else ""
        if isinstance(reference, str) and "/" in reference:
            keys.add(reference.partition("/_history/")[0].rsplit("/", 1)[-1])
    found, _ = resources_of([shared[k] for k in sorted(keys) if k in shared])
    return found


__all__ = ["Bucket", "Done", "Site", "grouped", "knowledge_of", "twins"]
