"""Every line of a file is read exactly once, whatever the ranges (performance.md 3.1: the trap of one line too
many)."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_twin.population.ranges import Line, cut, lines
from fhir_twin.population.shred import FAULTS, bucket_of, read_bucket, rows

LINE = st.binary(max_size=40).map(lambda b: b.replace(b"\n", b"").replace(b"\r", b""))
FILE = st.tuples(st.lists(LINE, max_size=20), st.sampled_from([b"\n", b"\r\n"]), st.booleans())


def _expected(data: bytes) -> list[bytes]:
    """The plain way: the whole file at once."""
    stripped = [line.strip() for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n")]
    return [line for line in stripped if line]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(FILE, st.integers(1, 200))
def test_ranges_cover_each_line_once(
    tmp_path: Path, made: tuple[list[bytes], bytes, bool], size: int
) -> None:
    body, end, final = made
    data = end.join(body) + (end if final else b"")
    path = tmp_path / "Observation.ndjson"
    path.write_bytes(data)
    found = [line for part in cut([path], size) for line in lines(part)]
    assert [f.data for f in found] == _expected(data)
    at = [data[f.offset :] for f in found]
    assert all(
        (a.removeprefix(b"\xef\xbb\xbf") if not f.offset else a).lstrip().startswith(f.data)
        for a, f in zip(at, found, strict=True)
    )


def test_long_lines_are_said_and_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    path.write_bytes(b'{"a":1}\n' + b"x" * 5000 + b'\n{"b":2}\n')
    for size in (3, 100, 4000, 10**6):
        found = [line for part in cut([path], size) for line in lines(part, max_line=1000)]
        assert [f.data for f in found] == [b'{"a":1}', b"", b'{"b":2}']
        assert "longer than 1000" in found[1].fault


def test_gzip_is_one_range_and_a_cut_file_is_said(tmp_path: Path) -> None:
    whole = gzip.compress(b"".join(b'{"n":%d}\n' % n for n in range(2000)))
    good, bad = tmp_path / "a.ndjson.gz", tmp_path / "b.ndjson.gz"
    good.write_bytes(whole)
    bad.write_bytes(whole[: len(whole) // 2])
    [part] = cut([good], 10)
    assert len(list(lines(part))) == 2000
    broken = list(lines(cut([bad], 10)[0]))
    assert broken[-1].fault and all(not line.fault for line in broken[:-1])
    assert 0 < len(broken) < 2001


def test_a_bom_is_taken_off(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    path.write_bytes(b'\xef\xbb\xbf{"a":1}\n')
    assert list(lines(cut([path])[0])) == [Line(0, b'{"a":1}')]


def test_shredding_quarantines_what_is_no_resource_and_never_repeats_it(tmp_path: Path) -> None:
    secret = "CANARY-7781"
    bad = [
        b'{"resourceType":"Observation","id":"1","subject":{"reference":"Patient/p',  # cut short
        b'{"resourceType":"Observation","id":"2","subject":{"reference":"Patient/p1"}} {"x":1}',  # two on a line
        b'{"resourceType":"Observation","id":3,"subject":{"reference":"Patient/p1"}}',  # a number for a text
        b"null",
        b'["resourceType"]',
        b'{"id":"CANARY-7781"}',
        b'{"resourceType":"Condition","id":"c","subject":{"reference":"Group/g"}}',
        b"{" * 100_000,
        b'\xff\xfe{"resourceType":"Patient"}',
    ]
    good = [
        b'{"resourceType":"Patient","id":"p1"}',
        b'{"resourceType":"Observation","id":"a","subject":{"reference":"http://x.example/fhir/Patient/p1/_history/3"}}',
        b'{"resourceType":"AllergyIntolerance","id":"b","patient":{"reference":"Patient/p1"}}',
        b'{"resourceType":"Medication","id":"m"}',
        b'{"resourceType":"Organization","id":"o"}',
    ]
    path = tmp_path / "mixed.ndjson"
    path.write_bytes(b"\n".join([*bad, *good]))
    [part] = cut([path])
    found = rows(part, 4, tmp_path / "x.arrow")
    assert (found.kept, found.passed, found.faults) == (4, 1, len(bad))
    mine = read_bucket(tmp_path / "x.arrow", bucket_of("p1", 4)).to_pylist()
    assert [r["type"] for r in mine] == ["Patient", "Observation", "AllergyIntolerance"]
    assert [r["id"] for r in read_bucket(tmp_path / "x.arrow", 4).to_pylist()] == ["m"]
    import pyarrow as pa

    with pa.memory_map(str(tmp_path / "x.faults")) as source:
        table = pa.ipc.open_file(source).read_all()
    assert table.schema == FAULTS
    assert secret not in json.dumps(table.to_pylist())
    offsets = [r["offset"] for r in table.to_pylist()]
    assert all(path.read_bytes()[o:].startswith(b[:5]) for o, b in zip(offsets, bad, strict=True))
