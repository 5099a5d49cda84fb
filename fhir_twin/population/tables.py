"""The result tables of a population run, one Parquet file per bucket and table. `patient` is the FHIR id in each.

Numbers are in canonical UCUM units; probabilities 0..1; dates as of the run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pyarrow as pa

Row = tuple[Any, ...]
_S, _F, _I, _B = pa.string(), pa.float64(), pa.int32(), pa.bool_()

TABLES: dict[str, pa.Schema] = {
    # state: ok | refused | failed; reason says why; refusals and failures have no rows in the other tables
    "patients": pa.schema(
        [
            ("patient", _S), ("state", _S), ("reason", _S), ("age", _F), ("sex", _S), ("race", _S),
            ("ethnicity", _S), ("language", _S), ("deprivation", _S), ("smoking", _S), ("conditions", _S),
            ("resources", _I), ("measurements", _I), ("issues", _I),
        ]
    ),
    # the twin: current usual values with their 80 % interval
    "estimates": pa.schema(
        [
            ("patient", _S), ("biomarker", _S), ("unit", _S), ("mean", _F), ("low", _F), ("high", _F),
            ("basis", _S), ("observations", _I), ("last", _S),
        ]
    ),
    # absolute risks under "continue as now"
    "risks": pa.schema(
        [
            ("patient", _S), ("outcome", _S), ("years", _F), ("probability", _F), ("low", _F), ("high", _F),
            ("equation", _S),
        ]
    ),
    # worth: weighted events avoided within 10 years (mappings/guidelines/ranking.toml, as in the plan's own order), the
    # scale on which different outcomes can be compared; benefit: fall of the probability of the leading `outcome`
    # against "continue as now". Positive is better; low, high: 80 % interval
    "proposals": pa.schema(
        [
            ("patient", _S), ("rank", _I), ("key", _S), ("kind", _S), ("title", _S), ("worth", _F),
            ("worth_low", _F), ("worth_high", _F), ("outcome", _S), ("years", _F), ("benefit", _F), ("low", _F),
            ("high", _F), ("certainty", _S), ("strength", _S), ("why", _S),
        ]
    ),
    # kind: question | due | finding | limit
    "gaps": pa.schema([("patient", _S), ("kind", _S), ("key", _S), ("severity", _S), ("text", _S)]),
    # one-step-ahead residuals of measured values, for the coverage of the 80 % interval
    "residuals": pa.schema(
        [("patient", _S), ("biomarker", _S), ("z", _F), ("inside", _B), ("age", _F), ("setting", _S), ("day", _S)]
    ),
    # retrospective runs only: what happened after the index date. years: to the event or the end of what is seen
    "observed": pa.schema([("patient", _S), ("outcome", _S), ("event", _B), ("years", _F)]),
}  # fmt: skip

Rows = dict[str, list[Row]]


def empty() -> Rows:
    return {name: [] for name in TABLES}


def batch(name: str, rows: Sequence[Row]) -> pa.RecordBatch:
    """Rows of one table as Arrow."""
    schema = TABLES[name]
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    arrays = [pa.array(list(column), field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.record_batch(arrays, schema=schema)


def patient_digest(rows: Mapping[str, Sequence[Row]]) -> int:
    """sha256 of one patient's rows, as a number. Their sum over all patients (mod 2^256) is the digest of a run: it
    does not depend on how the patients were dealt out."""
    data = orjson.dumps([[name, list(rows[name])] for name in TABLES], option=orjson.OPT_SERIALIZE_NUMPY)
    return int.from_bytes(hashlib.sha256(data).digest(), "big")


def add_digests(values: Sequence[int]) -> int:
    return sum(values) % (1 << 256)
